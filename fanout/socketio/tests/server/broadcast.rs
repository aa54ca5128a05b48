//! One frame to many, and the slow among them.

use std::time::{Duration, Instant};

use actix_socketio::{Config, DisconnectReason, Frame};

use crate::harness::{Order, PATIENCE, TestServer, quick};

#[tokio::test]
async fn a_frame_reaches_every_socket_once_and_in_order() {
    let server = TestServer::start(quick());
    let mut clients = Vec::new();
    for index in 0..600 {
        let namespace = if index % 2 == 0 { "/" } else { "/discord" };
        clients.push((namespace, server.connected(namespace).await));
    }
    for number in 0..10 {
        server.order(Order::Broadcast(
            Frame::event_json("tick", &number).unwrap(),
        ));
    }
    for (namespace, client) in &mut clients {
        let prefix = if *namespace == "/" { "" } else { "/discord," };
        for number in 0..10 {
            assert_eq!(
                client.text().await,
                format!(r#"42{prefix}["tick",{number}]"#)
            );
        }
    }
}

#[tokio::test]
async fn a_slow_reader_is_closed_without_delaying_others() {
    let server = TestServer::start(Config {
        queue_bytes_max: 256 * 1024,
        ..quick()
    });
    let slow = server.connected("/").await;
    let mut fast = server.connected("/").await;
    let frame = Frame::event_json("load", &"x".repeat(100_000)).unwrap();
    let mut sent = 0;
    let began = Instant::now();
    // Far more than any kernel holds for the slow one; the fast one gets each before the next is sent.
    while server.closes("slow") == 0 && server.stats.sockets() == 2 {
        server.order(Order::Broadcast(frame.clone()));
        assert_eq!(fast.text().await.len(), frame.json().len() + 2);
        sent += 1;
        assert!(
            began.elapsed() < PATIENCE,
            "never too slow after {sent} frames"
        );
    }
    server.assert_disconnected(DisconnectReason::TooSlow);
    assert_eq!(server.stats.sockets(), 1);
    fast.send(r#"42["echo"]"#).await;
    assert_eq!(fast.text().await, r#"42["echo"]"#);
    drop(slow);
}

#[tokio::test]
async fn a_slow_reader_that_wakes_up_reads_whole_frames_and_why_it_was_closed() {
    let server = TestServer::start(Config {
        queue_bytes_max: 64 * 1024,
        ..quick()
    });
    let mut slow = server.connected("/").await;
    let frame = Frame::event_json("load", &"x".repeat(50_000)).unwrap();
    while server.stats.sockets() > 0 {
        server.order(Order::Broadcast(frame.clone()));
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.close_code().await, 1013);
}

#[tokio::test]
async fn a_burst_that_the_kernel_takes_is_no_slowness() {
    let server = TestServer::start(Config {
        queue_bytes_max: 10_000,
        ..quick()
    });
    let mut client = server.connected("/").await;
    // More than the queue in one turn, and one frame larger than all of it.
    for text in ["x".repeat(50_000), "y".repeat(8_000), "z".repeat(8_000)] {
        server.order(Order::Broadcast(Frame::event_json("e", &text).unwrap()));
    }
    for length in [50_000, 8_000, 8_000] {
        assert_eq!(client.text().await.len(), length + 10);
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_closed_at_the_write_deadline() {
    let server = TestServer::start(Config {
        queue_bytes_max: 64 * 1024 * 1024,
        ping_interval: Duration::from_mins(10),
        ping_timeout: Duration::from_millis(300),
        ..quick()
    });
    let stalled = server.connected("/").await;
    // More than the kernel's buffers on both sides, less than the queue.
    let frame = Frame::event_json("load", &"x".repeat(1_000_000)).unwrap();
    for _ in 0..30 {
        server.order(Order::Broadcast(frame.clone()));
    }
    server.assert_disconnected(DisconnectReason::TooSlow);
    server.until_empty().await;
    drop(stalled);
}

#[tokio::test]
async fn a_room_is_told_on_every_worker_once_and_in_order_and_others_are_not() {
    let server = TestServer::start(Config {
        allow_eio3: true,
        ..quick()
    });
    let mut inside = Vec::new();
    for index in 0..40 {
        let mut client = server
            .connected(if index % 2 == 0 { "/" } else { "/discord" })
            .await;
        let prefix = if index % 2 == 0 { "" } else { "/discord," };
        client.send(&format!(r#"42{prefix}1["join"]"#)).await;
        client.send(&format!(r#"42{prefix}2["echo"]"#)).await;
        assert_eq!(client.text().await, format!("43{prefix}2[]"));
        inside.push((prefix, client));
    }
    let mut outside = server.connected("/").await;
    let mut parted = server.connected("/").await;
    for text in [r#"42["join"]"#, r#"42["part"]"#, r#"421["echo"]"#] {
        parted.send(text).await;
    }
    assert_eq!(parted.text().await, "431[]");
    for number in 0..10 {
        let frame = Frame::event_json("tick", &number).unwrap();
        let socketio = &server.running.server;
        socketio.broadcast("/", Some("room"), &frame).unwrap();
        socketio
            .broadcast("/discord", Some("room"), &frame)
            .unwrap();
        socketio.broadcast("/", Some("empty"), &frame).unwrap();
        socketio.broadcast("/unknown", None, &frame).unwrap();
    }
    let last = Frame::event_json("last", &()).unwrap();
    server.running.server.broadcast("/", None, &last).unwrap();
    server
        .running
        .server
        .broadcast("/discord", None, &last)
        .unwrap();
    for (prefix, client) in &mut inside {
        for number in 0..10 {
            assert_eq!(
                client.text().await,
                format!(r#"42{prefix}["tick",{number}]"#)
            );
        }
        assert_eq!(client.text().await, format!(r#"42{prefix}["last",null]"#));
    }
    for client in [&mut outside, &mut parted] {
        assert_eq!(client.text().await, r#"42["last",null]"#);
    }
}

#[tokio::test]
async fn a_worker_tells_its_own_room_in_order_with_what_it_tells_one_alone() {
    let server = TestServer::start(Config {
        // Whatever the kernel takes of it.
        queue_bytes_max: 8 * 1024 * 1024,
        ..quick()
    });
    let mut other = server.connected("/").await;
    let mut shouting = server.connected("/").await;
    let mut outside = server.connected("/").await;
    for client in [&mut other, &mut shouting] {
        client.send(r#"42["join"]"#).await;
        client.send(r#"421["echo"]"#).await;
        assert_eq!(client.text().await, "431[]");
    }
    let listening = async {
        for number in 0..30 {
            let all = other.text().await;
            assert!(all.starts_with(&format!(r#"42["all",[{number},"#)));
        }
        other.send(r#"42["echo",1]"#).await;
        assert_eq!(other.text().await, r#"42["echo",1]"#);
    };
    let shouting = async {
        shouting.send(r#"42["shout"]"#).await;
        for number in 0..30 {
            let all = shouting.text().await;
            assert!(all.starts_with(&format!(r#"42["all",[{number},"#)));
            assert_eq!(shouting.text().await, format!(r#"42["alone",{number}]"#));
        }
    };
    tokio::join!(listening, shouting);
    outside.send(r#"42["echo",2]"#).await;
    assert_eq!(outside.text().await, r#"42["echo",2]"#);
}
