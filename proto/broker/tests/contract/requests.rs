//! Requests and their answers.

use std::time::Duration;

use broker::Unanswered;
use bytes::Bytes;
use proto::subject::RPC_MEMBER;

use super::home::{Home, PATIENCE, eventually, soon};

/// Short, for an answer that never comes.
const SHORT: Duration = Duration::from_millis(200);

pub(crate) async fn a_request_is_answered(home: &Home) {
    let broker = home.broker();
    let mut server = broker.serve(RPC_MEMBER).await.unwrap();
    let asked = broker.request(RPC_MEMBER, Bytes::from_static(b"who?"), PATIENCE);
    let answering = async {
        let request = soon("the request comes", server.next()).await.unwrap();
        assert_eq!(request.payload, Bytes::from_static(b"who?"));
        request.reply.send(Bytes::from_static(b"me")).unwrap();
    };
    let (answer, ()) = tokio::join!(asked, answering);
    assert_eq!(answer.unwrap(), Bytes::from_static(b"me"));
}

pub(crate) async fn requests_are_answered_out_of_order(home: &Home) {
    let broker = home.broker();
    let mut server = broker.serve(RPC_MEMBER).await.unwrap();
    let ask = |text: &'static [u8]| broker.request(RPC_MEMBER, Bytes::from_static(text), PATIENCE);
    let answering = async {
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(soon("the request comes", server.next()).await.unwrap());
        }
        while let Some(request) = waiting.pop() {
            request.reply.send(request.payload).unwrap();
        }
    };
    let (a, b, c, ()) = tokio::join!(ask(b"a"), ask(b"b"), ask(b"c"), answering);
    let answers = [a, b, c].map(|answer| answer.unwrap());
    assert_eq!(
        answers,
        [b"a", b"b", b"c"].map(|text| Bytes::from_static(text))
    );
}

pub(crate) async fn a_request_that_nobody_serves_says_so(home: &Home) {
    let broker = home.broker();
    let ask = || broker.request(RPC_MEMBER, Bytes::new(), PATIENCE);
    assert!(matches!(ask().await, Err(Unanswered::Nobody)));
    let server = broker.serve(RPC_MEMBER).await.unwrap();
    drop(server);
    eventually("the server is gone", async || {
        let short = broker.request(RPC_MEMBER, Bytes::new(), SHORT).await;
        matches!(short, Err(Unanswered::Nobody)).then_some(())
    })
    .await;
}

pub(crate) async fn a_request_without_an_answer_is_late(home: &Home) {
    let broker = home.broker();
    let mut server = broker.serve(RPC_MEMBER).await.unwrap();
    let asked = broker.request(RPC_MEMBER, Bytes::new(), SHORT);
    let (answer, request) = tokio::join!(asked, server.next());
    assert!(matches!(answer, Err(Unanswered::Late)));
    drop(request);
}
