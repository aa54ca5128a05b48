//! Opening a transport: who is let in, and what the others are told.

use tokio_tungstenite::tungstenite::Error;

use crate::{
    client::{Client, QUERY, Raw, masked},
    harness::{TestServer, quick},
};

#[tokio::test]
async fn an_open_packet_names_the_session_and_its_bounds() {
    let server = TestServer::start(quick());
    let mut client = Client::try_open(server.address, QUERY, &[]).await.unwrap();
    let open = client.text().await;
    let json: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(json["sid"].as_str().unwrap().len(), 23);
    assert_eq!(json["upgrades"], serde_json::json!([]));
    assert_eq!(
        (&json["pingInterval"], &json["pingTimeout"]),
        (&25_000.into(), &60_000.into())
    );
    assert_eq!(json["maxPayload"], 1_000_000);
}

#[tokio::test]
async fn a_host_refuses_a_handshake_with_its_own_answer() {
    let server = TestServer::start(quick());
    let refused = Client::try_open(server.address, QUERY, &[("x-refuse", "1")]).await;
    let Err(Error::Http(answer)) = refused else {
        panic!("not refused");
    };
    assert_eq!(answer.status().as_u16(), 403);
    assert_eq!(answer.headers()["vary"], "Origin");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.body().as_deref(), Some(&br#"{"no":true}"#[..]));
    assert_eq!((server.stats.refused(), server.stats.opened()), (1, 0));
}

#[tokio::test]
async fn bad_upgrades_get_the_errors_of_engine_io() {
    let server = TestServer::start(quick());
    for (target, status, body) in [
        (
            "/socket.io/?EIO=4",
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "/socket.io/?EIO=4&transport=websocket&sid=x",
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "/socket.io/?EIO=3&transport=websocket",
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
        ("/elsewhere?EIO=4&transport=websocket", 404, "{}"),
    ] {
        let Err(Error::Http(answer)) = Client::try_open(server.address, target, &[]).await else {
            panic!("{target} was let in");
        };
        assert_eq!(answer.status().as_u16(), status, "{target}");
        assert_eq!(answer.body().as_deref(), Some(body.as_bytes()), "{target}");
    }
}

#[tokio::test]
async fn plain_requests_on_the_endpoint_get_the_errors_of_engine_io() {
    let server = TestServer::start(quick());
    for (request, body) in [
        (
            "GET /socket.io/?EIO=4&transport=webtransport",
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET /socket.io?EIO=4&transport=websocket",
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "POST /socket.io/?EIO=4&transport=websocket",
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
    ] {
        let mut raw = Raw(tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap());
        let request = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        raw.send(request.as_bytes()).await;
        let answer = String::from_utf8(raw.read_to_end().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with(body), "{answer}");
    }
}

#[tokio::test]
async fn frames_that_arrive_with_the_handshake_are_not_lost() {
    let server = TestServer::start(quick());
    let mut raw = Raw(tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap());
    let request = format!(
        "GET {QUERY} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let frames = [masked(0x81, b"40"), masked(0x81, b"1")].concat();
    raw.send(&[request.as_bytes(), &frames].concat()).await;
    let answer = raw.read_to_end().await;
    // RFC 6455 §1.3 gives this key's answer.
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
    assert!(answer.ends_with(&[0x88, 2, 0x03, 0xE8]), "{text}");
}

#[tokio::test]
async fn only_the_chosen_headers_outlive_the_handshake() {
    let server = TestServer::start(quick());
    let headers = [("authorization", "Bearer x"), ("x-unkept", "y")];
    let mut client = Client::open(server.address, &headers).await;
    client.send("40").await;
    client.text().await;
    assert_eq!(
        client.text().await,
        r#"42["welcome","/ None Some(\"Bearer x\") None"]"#
    );
}
