//! The namespaces `/` and `/discord` are equal (contract.md §1), also to each other.

use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{MEMBER, Node, TEXT, Ws};
use crate::recovery::text;

/// A client that is connected to both, over one transport, or to one.
async fn connected(node: &Node, namespaces: &[&str]) -> Ws {
    let path = "/socket.io/?EIO=4&transport=websocket";
    let mut ws = node.try_ws(path, &[]).await.unwrap();
    for prefix in namespaces {
        let auth = serde_json::json!({ "token": node.token(MEMBER) });
        ws.send_frame(Frame::text(format!("40{prefix}{auth}")))
            .await;
        let join = format!(r#"42{prefix}1["join_channel","{TEXT}"]"#);
        until(&mut ws, &format!("40{prefix}{{")).await;
        ws.send_frame(Frame::text(join)).await;
        let joined = until(&mut ws, &format!("43{prefix}1")).await;
        assert!(joined.contains(r#""success":true"#), "{joined}");
    }
    ws
}

async fn until(ws: &mut Ws, beginning: &str) -> String {
    loop {
        let text = text(ws).await;
        if text.starts_with(beginning) {
            return text;
        }
    }
}

#[tokio::test]
async fn members_in_both_namespaces_are_told_the_same() {
    let node = Node::start().await;
    let mut in_root = connected(&node, &[""]).await;
    let mut in_discord = connected(&node, &["/discord,"]).await;
    let mut in_both = connected(&node, &["", "/discord,"]).await;
    for id in 1..=3 {
        node.say(TEXT, id, "for all").await;
        for (ws, prefixes) in [
            (&mut in_root, &[""][..]),
            (&mut in_discord, &["/discord,"]),
            (&mut in_both, &["", "/discord,"]),
        ] {
            let mut told = Vec::new();
            for _ in prefixes {
                let message = loop {
                    let text = text(ws).await;
                    if text.contains(r#"["message","#) {
                        break text;
                    }
                };
                assert!(message.contains(&format!(r#""id":"{id}""#)), "{message}");
                let (prefix, _) = message.split_once('[').unwrap();
                told.push(prefix.trim_start_matches("42").to_owned());
            }
            told.sort();
            assert_eq!(told, prefixes);
        }
    }
}
