//! Every way in which a channel is taken from somebody, or given to them, as Discord tells of it.

use proto::event::{
    Channel, ChannelDeleted, Event, GuildRemoved, Member, MemberRemoved, RoleDeleted,
};
use runtime::metrics::{Histogram, Metrics};
use runtime::time::now_ms;
use serde_json::{Value, json};

use super::bench::{
    Bench, GUILD, HIDDEN, HISTORY, KEY_ROLE, OWNER, SEND, TEXT, VIEW, Watcher, channel, eventually,
    member, overwrite, role, with_bench,
};

/// CONNECT and a voice channel's kind, as Discord numbers them.
const CONNECT: u64 = 1 << 20;
const VOICE: u32 = 2;

/// [`HIDDEN`], as far as the key role opens it.
fn hidden(allowed: u64) -> Channel {
    Channel {
        overwrites: vec![overwrite(GUILD, 0, VIEW), overwrite(KEY_ROLE, allowed, 0)],
        ..channel(HIDDEN, "hidden")
    }
}

fn observations(histogram: &Histogram) -> u64 {
    let (metrics, histogram) = (Metrics::new(), histogram.clone());
    metrics.collect(move |scrape| scrape.histogram("delay_seconds", "A delay", &histogram));
    let page = metrics.text().unwrap();
    let count = page
        .lines()
        .find_map(|line| line.strip_prefix("delay_seconds_count "));
    count.unwrap().parse().unwrap()
}

fn sees(viewer: &Watcher, channel: u64) -> Option<bool> {
    let list: Value = viewer.link.all("channels_list").pop()?;
    let (mut listed, id) = (list.as_array().unwrap().iter(), channel.to_string());
    Some(listed.any(|one| one["id"] == id))
}

/// Somebody in a channel loses it by an event that a message follows at once.
async fn loses(user: u64, place: u64, event: Event, reason: &str) {
    with_bench(async |bench| {
        let viewer = bench.watch(user, place).await;
        bench.say(place, 501).await;
        bench.publish(None, event).await;
        bench.say(place, 502).await;
        bench.touch_guild().await;
        let left = viewer.link.all("channel_left");
        let told = json!({ "channelId": place.to_string(), "reason": reason });
        assert_eq!(left, [told], "once, and when the event was handled");
        assert_eq!(observations(&bench.instance.revocation), 1);
        let messages = viewer.link.all("message");
        let ids: Vec<_> = messages.iter().map(|message| &message["id"]).collect();
        assert_eq!(ids, ["501"], "what was posted before, and nothing later");
        eventually("a list without it", || {
            sees(&viewer, place).filter(|is_seen| !is_seen)
        })
        .await;
        for (asked, name) in ["join_channel", "get_messages"].into_iter().enumerate() {
            bench.ask(&viewer, name, &json!({ "channelId": place.to_string() }));
            let refused = viewer.until("error", asked + 1).await;
            assert_eq!(refused[asked]["code"], "FORBIDDEN", "{name}");
        }
        assert!(viewer.link.all("messages_bulk").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_member_whose_role_is_taken_is_out_before_the_next_message() {
    let without = Event::MemberUpserted(member(9, &[]));
    loses(9, HIDDEN, without, "access_revoked").await;
}

#[tokio::test]
async fn everybody_whose_role_is_deleted_is_out_before_the_next_message() {
    let deleted = Event::RoleDeleted(RoleDeleted { role_id: KEY_ROLE });
    loses(9, HIDDEN, deleted, "access_revoked").await;
}

#[tokio::test]
async fn everybody_whose_role_loses_its_overwrite_is_out_before_the_next_message() {
    let changed = Event::ChannelUpserted(hidden(0));
    loses(9, HIDDEN, changed, "access_revoked").await;
}

#[tokio::test]
async fn everybody_whose_role_loses_a_permission_is_out_before_the_next_message() {
    let changed = Event::RoleUpserted(role(GUILD, SEND | HISTORY));
    loses(2, TEXT, changed, "access_revoked").await;
}

#[tokio::test]
async fn a_member_who_is_kicked_or_banned_is_out_before_the_next_message() {
    let removed = Event::MemberRemoved(MemberRemoved { user_id: 2 });
    loses(2, TEXT, removed, "access_revoked").await;
}

#[tokio::test]
async fn everybody_is_out_of_a_deleted_channel() {
    let deleted = Event::ChannelDeleted(ChannelDeleted { channel_id: TEXT });
    loses(2, TEXT, deleted, "channel_deleted").await;
}

#[tokio::test]
async fn everybody_is_out_of_a_guild_that_the_bot_has_left() {
    with_bench(async |bench| {
        let viewers = [bench.watch(2, TEXT).await, bench.watch(OWNER, TEXT).await];
        bench
            .settle(Event::GuildRemoved(GuildRemoved::default()))
            .await;
        for viewer in &viewers {
            assert_eq!(viewer.link.all("channel_left").len(), 1);
            eventually("an empty list", || {
                sees(viewer, TEXT).filter(|is_seen| !is_seen)
            })
            .await;
        }
        assert_eq!(observations(&bench.instance.revocation), 2);
    })
    .await;
}

#[tokio::test]
async fn a_member_who_is_timed_out_stays_where_they_may_read_and_leaves_where_they_may_not_connect()
{
    with_bench(async |bench| {
        let everyone = role(GUILD, VIEW | SEND | HISTORY | CONNECT);
        bench.settle(Event::RoleUpserted(everyone)).await;
        let voice = Channel {
            kind: VOICE,
            ..channel(700, "voice")
        };
        bench.settle(Event::ChannelUpserted(voice)).await;
        let viewer = bench.watch(2, TEXT).await;
        bench.join(&viewer, 700).await;
        let timed_out = Member {
            timed_out_until_ms: Some(now_ms() + 60_000),
            ..member(2, &[])
        };
        bench.settle(Event::MemberUpserted(timed_out)).await;
        let left = viewer.link.all("channel_left");
        assert_eq!((left.len(), &left[0]["channelId"]), (1, &"700".into()));
        bench.say(TEXT, 501).await;
        viewer.until("message", 1).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_it_does_not_concern_notices_nothing() {
    with_bench(async |bench| {
        let (key, owner) = (
            bench.watch(9, HIDDEN).await,
            bench.watch(OWNER, HIDDEN).await,
        );
        let other = bench.watch(2, TEXT).await;
        bench.settle(Event::ChannelUpserted(hidden(0))).await;
        key.until("channel_left", 1).await;
        bench.say(HIDDEN, 501).await;
        owner.until("message", 1).await;
        bench.say(TEXT, 502).await;
        other.until("message", 1).await;
        assert!(owner.link.all("channel_left").is_empty());
        assert!(other.link.all("channel_left").is_empty());
        assert!(key.link.all("message").is_empty());
    })
    .await;
}

/// Somebody is given a channel by an event: it is in their next list, and they can join it.
async fn gains(bench: &Bench, user: u64, place: u64, event: Event) {
    let viewer = bench.connect(user);
    assert_eq!(sees(&viewer, place), Some(false));
    let before = observations(&bench.instance.list_delay);
    bench.settle(event).await;
    eventually("a list with it", || {
        sees(&viewer, place).filter(|is_seen| *is_seen)
    })
    .await;
    assert_eq!(observations(&bench.instance.list_delay), before + 1);
    bench.join(&viewer, place).await;
}

#[tokio::test]
async fn what_is_given_is_in_the_next_list_and_can_be_joined() {
    with_bench(async |bench| {
        let given = Event::MemberUpserted(member(3, &[KEY_ROLE]));
        gains(bench, 3, HIDDEN, given).await;
    })
    .await;
    with_bench(async |bench| {
        let lifted = Channel {
            overwrites: Vec::new(),
            ..channel(HIDDEN, "hidden")
        };
        gains(bench, 2, HIDDEN, Event::ChannelUpserted(lifted)).await;
    })
    .await;
    with_bench(async |bench| {
        bench.settle(Event::ChannelUpserted(hidden(0))).await;
        gains(bench, 9, HIDDEN, Event::ChannelUpserted(hidden(VIEW))).await;
    })
    .await;
    with_bench(async |bench| {
        let nothing = role(GUILD, 0);
        bench.settle(Event::RoleUpserted(nothing)).await;
        let back = Event::RoleUpserted(role(GUILD, VIEW | HISTORY));
        gains(bench, 2, TEXT, back).await;
    })
    .await;
    with_bench(async |bench| {
        let come = Event::MemberUpserted(member(20, &[]));
        gains(bench, 20, TEXT, come).await;
    })
    .await;
}
