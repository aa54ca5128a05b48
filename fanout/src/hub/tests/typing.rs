//! `typing_start`: from the broker to the members of the room, and to nobody else.

use prost::Message as _;
use proto::event::{Typing, User};
use proto::{ChannelId, subject};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use broker::Broker as _;

use super::bench::{HIDDEN, TEXT, eventually, with_bench};
use crate::typing;

fn typed(channel: u64) -> (String, bytes::Bytes) {
    let typing = Typing {
        guild_id: super::bench::GUILD,
        channel_id: channel,
        user: Some(User {
            id: 5,
            username: "five".into(),
            ..User::default()
        }),
        nick: None,
    };
    let channel = ChannelId::new(channel).unwrap();
    (subject::ephemeral(channel), typing.encode_to_vec().into())
}

#[tokio::test]
async fn the_members_of_a_room_are_told_who_types_and_nobody_else() {
    with_bench(async |bench| {
        let stop = CancellationToken::new();
        let (broker, instance) = (bench.broker.clone(), bench.instance.clone());
        tokio::spawn(typing::run(broker, instance, stop.clone()));
        let insider = bench.watch(9, HIDDEN).await;
        let outsider = bench.watch(2, TEXT).await;
        let onlooker = bench.connect(3);
        let last = loop {
            for channel in [HIDDEN, 999, TEXT] {
                let (subject, payload) = typed(channel);
                bench.broker.notify(&subject, payload).await.unwrap();
            }
            tokio::task::yield_now().await;
            if let Some(last) = outsider.link.all("typing_start").pop() {
                break last;
            }
        };
        let expected = |channel: u64| json!({ "channelId": channel.to_string(), "userId": "5", "username": "five" });
        assert_eq!(last, expected(TEXT));
        let heard = eventually("the insider hears", || insider.link.all("typing_start").pop()).await;
        assert_eq!(heard, expected(HIDDEN));
        for told in outsider.link.all("typing_start") {
            assert_eq!(told, expected(TEXT), "nothing of the hidden channel");
        }
        assert!(onlooker.link.all("typing_start").is_empty());
        stop.cancel();
    })
    .await;
}
