//! Notices: heard by all who listen now, at most once, and kept nowhere.

use broker::Notice;
use bytes::Bytes;
use proto::ChannelId;
use proto::subject::{self, VIEWERS};

use super::home::{Home, soon};

fn notice(subject: &str, text: &'static [u8]) -> Notice {
    Notice {
        subject: subject.to_owned(),
        payload: Bytes::from_static(text),
    }
}

pub(crate) async fn a_notice_is_heard_by_everybody_who_listens(home: &Home) {
    let broker = home.broker();
    broker
        .notify(VIEWERS, Bytes::from_static(b"early"))
        .await
        .unwrap();
    let mut all = [
        broker.notices(VIEWERS).await.unwrap(),
        broker.notices(VIEWERS).await.unwrap(),
    ];
    broker
        .notify(VIEWERS, Bytes::from_static(b"one"))
        .await
        .unwrap();
    broker
        .notify(VIEWERS, Bytes::from_static(b"two"))
        .await
        .unwrap();
    for listener in &mut all {
        for text in [b"one", b"two"] {
            let heard = soon("the notice comes", listener.next()).await.unwrap();
            assert_eq!(heard, notice(VIEWERS, text));
        }
    }
}

pub(crate) async fn a_listener_above_hears_everything_below_and_nothing_else(home: &Home) {
    let broker = home.broker();
    let mut typing = broker.notices(subject::EPHEMERAL).await.unwrap();
    let channel = subject::ephemeral(ChannelId::new(7).unwrap());
    broker
        .notify(VIEWERS, Bytes::from_static(b"no"))
        .await
        .unwrap();
    broker
        .notify(&channel, Bytes::from_static(b"yes"))
        .await
        .unwrap();
    let heard = soon("the notice comes", typing.next()).await.unwrap();
    assert_eq!(heard, notice(&channel, b"yes"));
}
