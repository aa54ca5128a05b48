//! Bytes that are too many, in the wrong form or in pieces.

use actix_socketio::{Config, DisconnectReason};
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    client::{Client, QUERY, masked, patiently},
    harness::{TestServer, Told, eventually, quick},
    http::{Polling, Request},
};

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let server = TestServer::start(Config {
        max_payload: 100_000,
        ..quick()
    });
    let mut client = server.connected("/").await;
    let fits = format!(r#"42["echo","{}"]"#, "x".repeat(100_000 - 13));
    assert_eq!(fits.len(), 100_000);
    client.send(&fits).await;
    assert_eq!(client.text().await, fits);
    client.send(&format!("{fits} ")).await;
    assert_eq!(client.close_code().await, 1009);
    server.assert_disconnected(DisconnectReason::TooBig);
}

#[tokio::test]
async fn the_limit_is_lower_before_a_namespace_is_connected() {
    let server = TestServer::start(quick());
    let payload = |length: usize| format!(r#"40{{"x":"{}"}}"#, "x".repeat(length - 10));
    let mut client = server.client().await;
    client.send(&payload(16 * 1024)).await;
    assert!(client.text().await.starts_with("40{"));
    client.text().await;
    client
        .send(&format!(r#"42["echo","{}"]"#, "x".repeat(500_000)))
        .await;
    assert_eq!(client.text().await.len(), 500_013);

    let mut other = server.client().await;
    other.send(&payload(16 * 1024 + 1)).await;
    assert_eq!(other.close_code().await, 1009);
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_a_ping_between() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    let fragment = |payload: &'static str, opcode, is_final| {
        Message::Frame(Frame::message(payload, OpCode::Data(opcode), is_final))
    };
    client
        .send_message(fragment(r#"42["ec"#, Data::Text, false))
        .await;
    client.send_message(Message::Ping(vec![7].into())).await;
    client
        .send_message(fragment("ho\",", Data::Continue, false))
        .await;
    assert_eq!(client.next().await, Message::Pong(vec![7].into()));
    client
        .send_message(fragment("1]", Data::Continue, true))
        .await;
    assert_eq!(client.text().await, r#"42["echo",1]"#);
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte() {
    let server = TestServer::start(quick());
    let mut raw = server.connected("/").await.into_raw();
    raw.0.set_nodelay(true).unwrap();
    let stream = [
        masked(0x81, r#"42["echo","é"]"#.as_bytes()),
        masked(0x88, &[3, 232]),
    ]
    .concat();
    for byte in stream {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = raw.read_to_end().await;
    let expected = [
        &b"\x81\x0f"[..],
        r#"42["echo","é"]"#.as_bytes(),
        &[0x88, 2, 3, 232],
    ]
    .concat();
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn bytes_that_are_no_websocket_close_with_their_codes() {
    let server = TestServer::start(quick());
    for (name, bytes, code) in [
        ("not UTF-8", masked(0x81, &[b'4', 0xC3, 0x28]), 1007),
        ("unmasked", b"\x81\x0240".to_vec(), 1002),
        ("reserved bit", masked(0xC1, b"3"), 1002),
        ("bytes that belong to no packet", masked(0x82, b"4"), 1002),
        ("continuation of nothing", masked(0x80, b"3"), 1002),
    ] {
        let mut raw = server.connected("/").await.into_raw();
        raw.send(&bytes).await;
        assert_eq!(raw.close_code().await, code, "{name}");
        server.assert_disconnected(DisconnectReason::ProtocolError);
    }
}

#[tokio::test]
async fn a_close_reaches_a_client_that_is_still_sending() {
    let server = TestServer::start(quick());
    let mut raw = server.connected("/").await.into_raw();
    // Twice what is allowed: without reading on, the server's end would reset the connection over its own farewell.
    let header = [&[0x81, 0xFF][..], &2_000_000_u64.to_be_bytes(), &[0; 4]].concat();
    raw.send(&header).await;
    raw.send(&vec![b'x'; 2_000_000]).await;
    assert_eq!(raw.close_code().await, 1009);
}

/// Whether a WebSocket and a poll that would be one session more are refused, with what a client needs to come back.
async fn refuses_one_more(server: &TestServer, headers: &[(&'static str, &str)]) -> bool {
    let refused = Client::try_open(server.address, QUERY, headers).await;
    let poll = QUERY.replace("websocket", "polling");
    let poll = Request::send(server.address, "GET", &poll, headers, b"").await;
    let answer = poll.answer().await;
    let is_refused = answer.status == 503;
    if is_refused {
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(
            answer.text(),
            r#"{"code":4,"message":"Too many connections"}"#
        );
    }
    match refused {
        Err(Error::Http(answer)) if is_refused => assert_eq!(answer.status(), 503),
        Err(error) => panic!("{error}"),
        Ok(_) => assert!(!is_refused),
    }
    is_refused
}

#[tokio::test]
async fn no_more_sessions_open_than_the_server_allows() {
    let server = TestServer::start(Config {
        connections_max: 3,
        ..quick()
    });
    let sockets = [server.client().await, server.client().await];
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    assert!(refuses_one_more(&server, &[]).await);
    assert_eq!(server.running.server.connections(), 3);
    assert_eq!(server.stats.polling(), 1);
    // A session that polls takes no second place when it is upgraded.
    let mut upgrade = Client::try_open(server.address, &polling.upgrade_target(), &[])
        .await
        .unwrap();
    upgrade.send("2probe").await;
    assert_eq!(upgrade.text().await, "3probe");
    upgrade.send("5").await;
    eventually("nobody polls any more", || server.stats.polling() == 0).await;
    // Each that ends makes room for another.
    drop(sockets);
    eventually("two places are free", || {
        server.running.server.connections() == 1
    })
    .await;
    let _again = [server.client().await, server.client().await];
    assert!(refuses_one_more(&server, &[]).await);
    assert_eq!(server.stats.refused(), 4);
}

#[tokio::test]
async fn no_more_sessions_open_than_an_address_may_have() {
    let server = TestServer::start(Config {
        connections_per_address_max: 2,
        ..quick()
    });
    let first = server.client().await;
    let _second = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    assert!(refuses_one_more(&server, &[]).await);
    // Where a host knows better whose it is, it counts there, or nowhere.
    let headers = [("x-address", "192.0.2.1")];
    let others = [
        Client::open(server.address, &headers).await,
        Client::open(server.address, &headers).await,
    ];
    assert!(refuses_one_more(&server, &headers).await);
    let nobody = Client::open(server.address, &[("x-address", "nobody")]).await;
    drop((first, others, nobody));
    eventually("only the one that polls is left", || {
        server.running.server.connections() == 1
    })
    .await;
    let _again = server.client().await;
    assert!(refuses_one_more(&server, &[]).await);
}

#[tokio::test]
async fn a_flood_of_packets_closes_its_connection_alone() {
    let server = TestServer::start(Config {
        packets_per_second_max: 100,
        ..quick()
    });
    let mut other = server.connected("/").await;
    let ping = || Message::Ping(Vec::new().into());
    // Events, pings of the WebSocket itself, and whatever else needs no answer.
    for message in [Message::text(r#"42["e"]"#), ping(), Message::text("3")] {
        let mut client = server.connected("/").await;
        // Three windows, as a slow machine may begin another on the way.
        for _ in 0..300 {
            if client.stream.send(message.clone()).await.is_err() {
                break;
            }
        }
        assert_eq!(client.close_code().await, 1008, "{message:?}");
        server.assert_disconnected(DisconnectReason::Flood);
    }
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    let packets = vec!["3"; 101].join("\u{1e}");
    assert_eq!(polling.post(&packets).await.status, 400);
    assert_eq!(server.closes("flood"), 4);
    other.send(r#"42["echo"]"#).await;
    assert_eq!(other.text().await, r#"42["echo"]"#);
}

#[tokio::test]
async fn a_socket_is_in_no_more_rooms_than_it_may_be() {
    let server = TestServer::start(Config {
        rooms_per_socket_max: 7,
        ..quick()
    });
    let mut client = server.connected("/").await;
    client.send(r#"421["join many"]"#).await;
    assert_eq!(client.text().await, "431[[7,7]]");
}

#[tokio::test]
async fn a_client_that_does_not_poll_is_bounded_like_any_other() {
    let server = TestServer::start(Config {
        queue_bytes_max: 100_000,
        ..quick()
    });
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    polling.send("40").await;
    assert!(polling.packets().await.starts_with("40"));
    let mut fast = server.connected("/").await;
    let frame = actix_socketio::Frame::event_json("load", &"x".repeat(9_000)).unwrap();
    let socketio = &server.running.server;
    for _ in 0..15 {
        socketio.broadcast("/", None, &frame).unwrap();
        assert_eq!(fast.text().await.len(), frame.json().len() + 2);
    }
    server.assert_disconnected(DisconnectReason::TooSlow);
    // It comes back: its polls fail, as those of a session that is gone.
    assert_eq!(polling.poll().await.status, 400);
    assert_eq!(server.stats.sockets(), 1);
}

#[tokio::test]
async fn a_replay_may_be_larger_than_the_queue_and_nothing_overtakes_it() {
    let server = TestServer::start(Config {
        queue_bytes_max: 100_000,
        ..quick()
    });
    let mut client = server.connected("/").await;
    client.send(r#"42["replay"]"#).await;
    let replay = Told::Event("replay".to_owned(), String::new());
    while server.told() != replay {}
    // It reads nothing yet, and the kernel takes far less than ten megabytes.
    let frame = actix_socketio::Frame::event_json("live", &1).unwrap();
    server.running.server.broadcast("/", None, &frame).unwrap();
    for number in 0..1_000 {
        let past = client.text().await;
        assert!(past.starts_with(&format!(r#"42["past",[{number},"x"#)));
    }
    assert_eq!(client.text().await, r#"42["present"]"#);
    assert_eq!(client.text().await, r#"42["live",1]"#);

    // What comes after a replay is bounded as ever.
    let mut stuck = server.connected("/").await;
    stuck.send(r#"42["replay"]"#).await;
    let load = actix_socketio::Frame::event_json("load", &"x".repeat(9_000)).unwrap();
    while server.stats.sockets() == 2 {
        server.running.server.broadcast("/", None, &load).unwrap();
        // The one that reads is not closed.
        assert!(client.text().await.starts_with(r#"42["load""#));
    }
    assert_eq!(stuck.close_code().await, 1013);
}

#[tokio::test]
async fn a_handshake_that_would_be_kept_large_is_refused() {
    let server = TestServer::start(quick());
    let long = "x".repeat(17_000);
    let target = format!("{QUERY}&more={long}");
    for (target, headers) in [
        (target.as_str(), vec![]),
        (QUERY, vec![("cookie", long.as_str())]),
    ] {
        let refused = Client::try_open(server.address, target, &headers).await;
        let Err(Error::Http(answer)) = refused else {
            panic!("it was let in");
        };
        assert_eq!(answer.status(), 431);
    }
    // What is not kept is no matter of ours.
    Client::open(server.address, &[("x-unkept", &long)]).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_with_its_session() {
    let server = TestServer::start(quick());
    let polling = Polling::open(server.address, "/socket.io/", "EIO=4").await;
    let mut stalled = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n40",
        polling.target()
    );
    stalled.write_all(head.as_bytes()).await.unwrap();
    // A second POST beside the first one is an error, which ends the session.
    let ends = async {
        loop {
            if polling.post("3").await.status == 400 {
                break;
            }
        }
    };
    patiently("the session's end", ends).await;
    let mut answer = [0; 12];
    patiently("an answer", stalled.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn what_a_client_sends_before_it_knows_of_its_dismissal_is_passed_over_however_large() {
    let server = TestServer::start(quick());
    let mut client = server.connected("/").await;
    client.send(r#"42["leave"]"#).await;
    let large = format!(r#"42["echo","{}"]"#, "x".repeat(100_000));
    client.send(&large).await;
    assert_eq!(client.text().await, "41");
    client.connect("/").await;
}
