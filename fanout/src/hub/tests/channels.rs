//! `channel_update`, `channels_list` and `channel_left`, as channels and threads come, change and go.

use proto::event::{Channel, ChannelDeleted, Event, ThreadMembersChanged};
use serde_json::Value;

use super::bench::{
    Bench, GUILD, HIDDEN, KEY_ROLE, TEXT, VIEW, channel, eventually, overwrite, with_bench,
};

const THREAD: u64 = 400;

fn thread(kind: u32) -> Channel {
    Channel {
        kind,
        parent_id: Some(TEXT),
        ..channel(THREAD, "thread")
    }
}

async fn upsert(bench: &Bench, channel: Channel) {
    bench.settle(Event::ChannelUpserted(channel)).await;
}

fn ids(list: &Value) -> Vec<&str> {
    let channels = list.as_array().unwrap().iter();
    channels.map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_sees_a_channel_is_told_how_it_changes_as_they_see_it() {
    with_bench(async |bench| {
        let (member, owner) = (bench.connect(2), bench.connect(1));
        let renamed = Channel {
            topic: Some("topic".into()),
            position: 3,
            nsfw: true,
            ..channel(TEXT, "renamed")
        };
        upsert(bench, renamed.clone()).await;
        for (viewer, can_manage) in [(&member, false), (&owner, true)] {
            let told = viewer.until("channel_update", 1).await;
            let fields = (&told[0]["name"], &told[0]["topic"], &told[0]["position"]);
            assert_eq!(fields, (&"renamed".into(), &"topic".into(), &3.into()));
            assert_eq!(told[0]["nsfw"], true);
            assert_eq!(told[0]["permissions"]["canManage"], can_manage);
        }
        // What nobody sees differently is not told, and a hidden channel's name to those alone who see it.
        upsert(
            bench,
            Channel {
                last_message_id: Some(5),
                ..renamed
            },
        )
        .await;
        let hidden = Channel {
            overwrites: vec![overwrite(GUILD, 0, VIEW), overwrite(KEY_ROLE, VIEW, 0)],
            ..channel(HIDDEN, "secret")
        };
        upsert(bench, hidden).await;
        let told = owner.until("channel_update", 2).await;
        assert_eq!((told.len(), &told[1]["name"]), (2, &"secret".into()));
        assert_eq!(member.link.all("channel_update").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_for_adults_as_soon_as_its_channel_is() {
    with_bench(async |bench| {
        upsert(bench, thread(11)).await;
        let viewer = bench.connect(2);
        let is_adult = |list: &Value| {
            let mut listed = list.as_array().unwrap().iter();
            let thread = listed.find(|one| one["type"] == "thread");
            thread.map(|one| one["nsfw"].clone())
        };
        let lists = viewer.until("channels_list", 1).await;
        assert_eq!(is_adult(&lists[0]), Some(false.into()));
        viewer.link.clear();
        for (times, nsfw) in [(2, true), (4, false)] {
            let text = Channel {
                nsfw,
                ..channel(TEXT, "text")
            };
            upsert(bench, text).await;
            let told = viewer.until("channel_update", times).await;
            let told = told[times - 2..].iter();
            let flags: Vec<_> = told.map(|one| (&one["id"], &one["nsfw"])).collect();
            let (text, thread) = (TEXT.to_string().into(), THREAD.to_string().into());
            assert_eq!(flags, [(&text, &nsfw.into()), (&thread, &nsfw.into())]);
            eventually("the list", || {
                let list = viewer.link.all("channels_list").pop()?;
                (is_adult(&list)? == nsfw).then_some(())
            })
            .await;
        }
        // What else changes of the channel is nothing of the thread's.
        upsert(bench, channel(TEXT, "renamed")).await;
        assert_eq!(viewer.until("channel_update", 5).await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_thread_comes_is_archived_and_goes_with_its_parent() {
    with_bench(async |bench| {
        let viewer = bench.connect(2);
        viewer.link.clear();
        upsert(bench, thread(11)).await;
        let lists = viewer.until("channels_list", 1).await;
        let listed = lists[0].as_array().unwrap().iter();
        let listed = listed.rev().find(|one| one["type"] == "thread").unwrap();
        assert_eq!(
            (&listed["type"], &listed["parentId"]),
            (&"thread".into(), &TEXT.to_string().into())
        );
        assert_eq!(listed["isActive"], true);
        assert_eq!(viewer.link.all("channels").len(), 1, "the alias");

        bench.join(&viewer, THREAD).await;
        upsert(
            bench,
            Channel {
                archived: true,
                ..thread(11)
            },
        )
        .await;
        let told = viewer.until("channel_update", 1).await;
        assert_eq!(
            (&told[0]["id"], &told[0]["isActive"]),
            (&THREAD.to_string().into(), &false.into())
        );
        assert!(viewer.link.all("channel_left").is_empty());

        bench
            .settle(Event::ChannelDeleted(ChannelDeleted { channel_id: TEXT }))
            .await;
        let left = viewer.until("channel_left", 1).await;
        assert_eq!(left[0]["channelId"], THREAD.to_string());
        assert_eq!(left[0]["reason"], "channel_deleted");
        let is_empty = |list: &Value| ids(list).is_empty();
        eventually("an empty list", || {
            viewer.link.all("channels_list").pop().filter(is_empty)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_left_when_its_parent_is_hidden() {
    with_bench(async |bench| {
        upsert(bench, thread(11)).await;
        let viewer = bench.watch(2, THREAD).await;
        let hidden = Channel {
            overwrites: vec![overwrite(GUILD, 0, VIEW)],
            ..channel(TEXT, "text")
        };
        upsert(bench, hidden).await;
        let left = viewer.until("channel_left", 1).await;
        assert_eq!(left[0]["reason"], "access_revoked");
        assert!(viewer.link.all("channel_update").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_private_thread_is_its_members_alone() {
    with_bench(async |bench| {
        let (inside, outside) = (bench.connect(2), bench.connect(3));
        inside.link.clear();
        outside.link.clear();
        upsert(bench, thread(12)).await;
        let joined = ThreadMembersChanged {
            thread_id: THREAD,
            added: vec![2],
            removed: Vec::new(),
        };
        bench.settle(Event::ThreadMembersChanged(joined)).await;
        let lists = inside.until("channels_list", 1).await;
        assert_eq!(ids(&lists[0]), [TEXT.to_string(), THREAD.to_string()]);
        bench.join(&inside, THREAD).await;
        upsert(
            bench,
            Channel {
                name: "other".into(),
                ..thread(12)
            },
        )
        .await;
        inside.until("channel_update", 1).await;
        let removed = ThreadMembersChanged {
            thread_id: THREAD,
            added: Vec::new(),
            removed: vec![2],
        };
        bench.settle(Event::ThreadMembersChanged(removed)).await;
        let left = inside.until("channel_left", 1).await;
        assert_eq!(left[0]["reason"], "access_revoked");
        assert!(
            outside.link.names().is_empty(),
            "{:?}",
            outside.link.names()
        );
    })
    .await;
}
