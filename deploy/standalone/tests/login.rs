//! The demo's login: through the ordinary flow, at the simulated Discord's pages, as any of its members.

#![cfg(test)]

use std::time::Duration;

use runtime::{Lifecycle, Settings};
use serde_json::Value;
use standalone::Standalone;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(30);

fn location(answer: &reqwest::Response) -> Url {
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    answer.url().join(location).unwrap()
}

#[tokio::test]
async fn a_visitor_of_the_demo_logs_in_as_a_member_and_sees_what_that_member_sees() {
    runtime::start::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.set("DATA_DIR", folder.path().display().to_string());
    for name in ["PORT", "DRAIN_SECONDS", "SHUTDOWN_GRACE_MS"] {
        settings.set(name, "0");
    }
    let life = Lifecycle::new();
    let metrics = runtime::Metrics::new();
    let demo = Standalone::start(settings, life.clone(), &metrics);
    let demo = demo.await.unwrap();
    let own = Url::parse(&demo.page).unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();

    let login = own.join("/api/auth/discord/login").unwrap();
    let begun = http.get(login).send().await.unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().to_owned();
    let mut page = location(&begun);
    let world = http.get(page.join("/sim/world").unwrap()).send().await;
    let world: Value = world.unwrap().json().await.unwrap();
    let members = world["guilds"][0]["members"].as_array().unwrap();
    let member = members
        .iter()
        .find(|member| member["bot"] == false)
        .unwrap();
    page.query_pairs_mut()
        .append_pair("as", member["id"].as_str().unwrap());
    let agreed = http.get(page).send().await.unwrap();
    let back = http.get(location(&agreed)).header("cookie", cookie);
    let landed = location(&back.send().await.unwrap());
    assert_eq!(landed.authority(), own.authority());
    let token = landed.fragment().unwrap().strip_prefix("token=").unwrap();

    // The first server has many channels; ingest may still be on its way to them.
    let channels = own.join("/api/channels").unwrap();
    let seeing = async {
        loop {
            let seen = http.get(channels.clone()).bearer_auth(token).send().await;
            let seen: Value = seen.unwrap().json().await.unwrap();
            if seen["channels"]
                .as_array()
                .is_some_and(|all| all.len() >= 5)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seeing).await;
    assert!(seen.is_ok(), "the channels never came");
    life.soft.cancel();
    demo.run().await.unwrap();
}
