//! Viewers of whom nobody here has heard.

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::{Client, Home, Plan, World};

/// As many as the page's readers who come when a link is shared.
const STRANGERS: usize = 200;

async fn stats(world: &World) -> anyhow::Result<Value> {
    world.get(&format!("{}/sim/stats", world.sim_url)).await
}

/// Times that Discord was asked about single members by REST.
fn looked_up(stats: &Value) -> u64 {
    let routes = stats["rest"].as_object();
    let asked = routes.into_iter().flatten();
    let asked = asked.filter(|(route, _)| route.starts_with("GET /guilds/{}/members/{}"));
    asked.filter_map(|(_, count)| count.as_u64()).sum()
}

#[tokio::test]
async fn two_hundred_strangers_who_join_at_once_are_asked_about_once() -> anyhow::Result<()> {
    let plan = Plan::new(Home::Distributed).with_members(STRANGERS + 50);
    let mut world = plan.start().await?;
    // The members that were founded with the guild are known from its greeting or by name; the others are not.
    world.overview = world.get(&format!("{}/sim/world", world.sim_url)).await?;
    let members = world.guild()["members"]
        .as_array()
        .context("it has members")?;
    assert!(members.len() > STRANGERS + 12, "{}", members.len());
    let known: Vec<Value> = members
        .iter()
        .take(13)
        .map(|member| member["id"].clone())
        .collect();
    let before = stats(&world).await?;
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(STRANGERS);
    settings["known"] = json!(known);
    let client = Client::start("strangers.mjs", &settings)?;
    let result = client.result().await.with_context(|| world.output())?;
    let after = stats(&world).await?;
    let rest = looked_up(&after) - looked_up(&before);
    println!("{result}; by REST {rest}; {}", after["members"]);
    assert_eq!(result["joined"], STRANGERS);
    // By the gateway in batches of up to a hundred, or by REST: each member of each guild at most once.
    let guilds = world.overview["guilds"].as_array().map_or(0, Vec::len) as u64;
    let batched = after["members"]["userIds"].as_u64().unwrap_or_default();
    assert!(rest + batched >= STRANGERS as u64, "they were asked about");
    assert!(
        rest + batched <= STRANGERS as u64 * guilds,
        "{rest} + {batched}"
    );
    assert_eq!(
        after["tooEarly"], 0,
        "nothing was asked before Discord allowed it"
    );
    assert_eq!(after["invalid"], before["invalid"]);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_the_slow_answer_about_another() -> anyhow::Result<()> {
    const COUNT: usize = 20;
    let plan = Plan::new(Home::Distributed).with_members(COUNT + 20);
    let world = plan.start().await?;
    let members = world.guild()["members"].as_array();
    let members = members.context("it has members")?;
    let known: Vec<Value> = members
        .iter()
        .take(13)
        .map(|one| one["id"].clone())
        .collect();
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(COUNT);
    settings["familiar"] = known.last().context("there are some")?.clone();
    settings["known"] = json!(known);
    let client = Client::start("unhurried.mjs", &settings)?;
    let result = client.result().await.with_context(|| world.output())?;
    println!("{result}");
    assert!(result["quick"].as_u64() < Some(1_000), "{result}");
    // They had to wait: else nothing was slow.
    assert!(result["slowest"].as_u64() > Some(1_000), "{result}");
    Ok(())
}
