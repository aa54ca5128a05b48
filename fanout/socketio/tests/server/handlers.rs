//! Applications made of closures: guards before the authentication, filters before the handlers, one event at a time.

use std::{rc::Rc, time::Duration};

use actix_socketio::{Accepted, ConnectError, ConnectRequest, Frame, Handlers, Namespace, Server};
use serde_json::value::RawValue;

use crate::{
    client::Client,
    harness::{Running, Tellable, quick},
};

/// What the application says of itself.
type Told = Tellable<String>;

/// The payload is what a socket's session is; `"nobody"` is refused.
async fn authenticate(request: Rc<ConnectRequest>) -> Result<Accepted<String>, ConnectError> {
    let auth = request.auth.as_ref();
    let name = auth.map_or_else(String::new, |auth| auth.get().to_owned());
    if name.contains("nobody") {
        return Err(ConnectError::new("nobody is nobody"));
    }
    tokio::task::yield_now().await;
    Ok(Accepted::new(name))
}

fn application(told: &Told) -> Handlers {
    let (guarded, again) = (told.clone(), told.clone());
    let (connected, disconnected, heard) = (told.clone(), told.clone(), told.clone());
    let root = Namespace::new(authenticate)
        .guard(async move |request| {
            guarded.tell("first guard".to_owned());
            match request.handshake.headers.get("x-no-entry") {
                Some(_) => Err(ConnectError::new("no entry").with_data(&1)),
                None => Ok(()),
            }
        })
        .guard(async move |_| {
            tokio::task::yield_now().await;
            again.tell("second guard".to_owned());
            Ok(())
        })
        .on_connected(move |client| {
            connected.tell(format!("connected {}", client.session()));
            client.send(&Frame::event("hello", &[]));
        })
        .filter(async |_, event| (event.name != "forbidden").then_some(event))
        .filter(async |client, mut event| {
            if event.name == "alias" {
                tokio::task::yield_now().await;
                client.send(&Frame::event("renamed", &[]));
                event.name = "echo".to_owned();
            }
            Some(event)
        })
        .on("echo", async |client, event| {
            let args: Vec<&RawValue> = event.args.iter().map(AsRef::as_ref).collect();
            client.send(&Frame::event("echo", &args));
        })
        .on("wait", async |client, _| {
            tokio::time::sleep(Duration::from_millis(30)).await;
            client.send(&Frame::event("waited", &[]));
        })
        .on("hear", async move |_, _| heard.tell("heard".to_owned()))
        .on("out", async |client, _| {
            tokio::task::yield_now().await;
            client.disconnect();
        })
        .on("hang", async |_, _| std::future::pending().await)
        .on("panic", async |_, _| panic!("a handler that fails"))
        .on("panic later", async |_, _| {
            tokio::task::yield_now().await;
            panic!("a handler that fails");
        })
        .on_others(async |client, event| {
            client.send(&Frame::event_json("unknown", &event.name).unwrap());
        })
        .on_disconnected(move |client, reason| {
            disconnected.tell(format!("{} {}", reason.label(), client.session()));
        });
    Handlers::new().namespace("/", root)
}

/// A server of that application, which has no handlers for `/discord`, and what it tells.
fn start() -> (Running, std::sync::mpsc::Receiver<String>) {
    let (tellable, told) = Told::new();
    let running = Running::start(Server::new(quick()), 1, move |server| {
        server.endpoint(Rc::new(application(&tellable)))
    });
    (running, told)
}

async fn connected(server: &Running) -> Client {
    let mut client = Client::open(server.address, &[]).await;
    client.send(r#"40{"name":"Ada"}"#).await;
    assert!(client.text().await.starts_with(r#"40{"sid":"#));
    assert_eq!(client.text().await, r#"42["hello"]"#);
    client
}

#[tokio::test]
async fn guards_are_asked_in_order_before_the_authentication() {
    let (server, told) = start();
    let client = connected(&server).await;
    let expected = ["first guard", "second guard", r#"connected {"name":"Ada"}"#];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
    drop(client);
    let ended = told.recv_timeout(crate::harness::PATIENCE).unwrap();
    assert_eq!(ended, r#"transport_closed {"name":"Ada"}"#);

    let mut barred = Client::open(server.address, &[("x-no-entry", "1")]).await;
    barred.send("40").await;
    let refused = r#"44{"message":"no entry","data":1}"#;
    assert_eq!(barred.text().await, refused);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["first guard"]);

    let mut nobody = Client::open(server.address, &[]).await;
    nobody.send(r#"40{"name":"nobody"}"#).await;
    let refused = r#"44{"message":"nobody is nobody"}"#;
    assert_eq!(nobody.text().await, refused);
    nobody.send("40/discord,").await;
    let refused = r#"44/discord,{"message":"Invalid namespace"}"#;
    assert_eq!(nobody.text().await, refused);
}

#[tokio::test]
async fn filters_change_events_and_keep_them_out() {
    let (server, _told) = start();
    let mut client = connected(&server).await;
    for event in [r#"["alias",1]"#, r#"["forbidden"]"#, r#"["other"]"#] {
        client.send(&format!("42{event}")).await;
    }
    for expected in [r#"["renamed"]"#, r#"["echo",1]"#, r#"["unknown","other"]"#] {
        assert_eq!(client.text().await, format!("42{expected}"));
    }
}

#[tokio::test]
async fn events_of_one_socket_are_handled_one_after_the_other() {
    let (server, _told) = start();
    let (mut client, mut other) = (connected(&server).await, connected(&server).await);
    client.send(r#"42["wait"]"#).await;
    client.send(r#"42["echo",1]"#).await;
    client.send(r#"42["wait"]"#).await;
    client.send(r#"42["echo",2]"#).await;
    // Another socket does not wait for them.
    other.send(r#"42["echo",3]"#).await;
    assert_eq!(other.text().await, r#"42["echo",3]"#);
    for expected in [
        r#"["waited"]"#,
        r#"["echo",1]"#,
        r#"["waited"]"#,
        r#"["echo",2]"#,
    ] {
        assert_eq!(client.text().await, format!("42{expected}"));
    }
}

#[tokio::test]
async fn a_client_that_emits_more_than_its_handlers_get_done_is_closed() {
    let (server, told) = start();
    for event in [
        // Each counts,
        r#"42["echo"]"#.to_owned(),
        // and so does what is in it.
        format!(r#"42["echo","{}"]"#, "x".repeat(10_000)),
    ] {
        let mut client = connected(&server).await;
        client.send(r#"42["hang"]"#).await;
        // The last of them meets a closed connection.
        for _ in 0..1_100 {
            if client.try_send(&event).await.is_err() {
                break;
            }
        }
        assert_eq!(client.close_code().await, 1013);
    }
    drop(server);
    let ended = told.try_iter().filter(|told| told.starts_with("closed"));
    assert_eq!(ended.count(), 2);
}

#[tokio::test]
async fn what_waits_behind_the_end_of_its_socket_is_dropped() {
    let (server, told) = start();
    let mut client = connected(&server).await;
    let events = ["out", "hear", "hear"].map(|name| format!(r#"42["{name}"]"#));
    for event in events {
        client.send(&event).await;
    }
    assert_eq!(client.text().await, "41");
    client.send("40").await;
    assert!(client.text().await.starts_with("40"));
    assert!(!told.try_iter().any(|told| told == "heard"));
}

#[tokio::test]
async fn a_handler_that_panics_loses_its_connection_alone() {
    let (server, told) = start();
    let mut other = connected(&server).await;
    for event in [r#"42["panic"]"#, r#"42["panic later"]"#] {
        let mut client = connected(&server).await;
        client.send(event).await;
        assert_eq!(client.close_code().await, 1011);
    }
    other.send(r#"42["echo"]"#).await;
    assert_eq!(other.text().await, r#"42["echo"]"#);
    let ended = told
        .try_iter()
        .filter(|told| told.starts_with("host_panicked"));
    assert_eq!(ended.count(), 2);
}
