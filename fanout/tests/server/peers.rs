//! The port between instances: behind a preface it serves what the public port does, for the client that it names.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Node, PATIENCE};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The preface of a client of IPv4, with a field that nobody knows.
fn preface(client: Ipv4Addr) -> Vec<u8> {
    let mut preface = SIGNATURE.to_vec();
    preface.extend([0x21, 0x11, 0, 16]);
    preface.extend(client.octets());
    preface.extend([10, 0, 0, 1, 0x30, 0x39, 0, 80]);
    preface.extend([0xE7, 0, 1, 42]);
    preface
}

/// A fanout with a port for its peers.
async fn node(more: &[(&'static str, &str)]) -> (Node, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let text = port.to_string();
    let mut settings = vec![("PEER_PORT", text.as_str())];
    settings.extend(more);
    let node = Node::with(&settings).await;
    (node, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// What is answered to these bytes until the connection ends, or is quiet for long.
async fn said(port: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(port).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
    // A refused connection may end with a reset.
    let length = read.expect("it is answered in time").unwrap_or(0);
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

const LIVE: &[u8] = b"GET /api/live HTTP/1.1\r\nhost: stream.example\r\n\r\n";

#[tokio::test]
async fn a_peer_is_served_what_the_public_port_serves() {
    let (_node, port) = node(&[]).await;
    let client = preface(Ipv4Addr::new(203, 0, 113, 9));
    let mut local = SIGNATURE.to_vec();
    local.extend([0x20, 0, 0, 0]);
    for preface in [client, local] {
        let answer = said(port, &[&preface, LIVE].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("x-content-type-options: nosniff"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_comes_without_a_preface_is_closed() {
    let (_node, port) = node(&[]).await;
    let first = b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\n".as_slice();
    let mut long = SIGNATURE.to_vec();
    long.extend([0x21, 0x11, 0xFF, 0xFF]);
    for garbage in [LIVE, first, &[0; 64], &long] {
        assert_eq!(said(port, garbage).await, "");
    }
    // It waits for no preface for long.
    let mut quiet = TcpStream::connect(port).await.unwrap();
    quiet.write_all(SIGNATURE).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), quiet.read_u8()).await;
    assert!(ended.expect("it is closed").is_err());
}

/// A handshake of a plain WebSocket by way of a peer: the head of the answer and, after it, what is said.
async fn handshake(port: SocketAddr, client: Ipv4Addr, token: &str) -> String {
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: stream.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(port).await.unwrap();
    let bytes = [preface(client).as_slice(), head.as_bytes()].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = String::new();
    let reading = async {
        while !["user_info", "RATE_LIMITED"]
            .iter()
            .any(|end| answer.contains(end))
        {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.push_str(&String::from_utf8_lossy(&chunk[..length])),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("something is said");
    answer
}

#[tokio::test]
async fn an_upgrade_by_way_of_a_peer_counts_for_the_client_that_the_preface_names() {
    let (node, port) = node(&[("CONNECT_RATE_PER_ADDRESS", "1")]).await;
    let token = node.token(crate::harness::MEMBER);
    let (one, other) = (
        Ipv4Addr::new(203, 0, 113, 9),
        Ipv4Addr::new(203, 0, 113, 10),
    );
    for (client, is_let_in) in [(one, true), (one, false), (other, true)] {
        let answer = handshake(port, client, &token).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(answer.contains("user_info"), is_let_in, "{answer}");
        assert_eq!(answer.contains("RATE_LIMITED"), !is_let_in, "{answer}");
    }
}

#[tokio::test]
async fn the_port_is_closed_when_the_service_has_ended() {
    let (node, port) = node(&[]).await;
    node.life.soft.cancel();
    tokio::time::timeout(PATIENCE, node.life.finish(PATIENCE))
        .await
        .unwrap();
    let closed = async {
        // The workers' threads end on their own.
        while TcpStream::connect(port).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("it is closed");
}

#[tokio::test]
async fn no_body_is_read_for_a_session_of_nobody() {
    let (node, port) = node(&[]).await;
    let target = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAA.Axxxxxxxxxxxxxxxxxxxx";
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: stream.example\r\ncontent-length: 900000\r\n\r\n40"
    );
    let passed_on = [preface(Ipv4Addr::new(203, 0, 113, 9)), head.clone().into()].concat();
    for (address, bytes) in [(node.address, head.into_bytes()), (port, passed_on)] {
        let answer = said(address, &bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("Session ID unknown"), "{answer}");
    }
}
