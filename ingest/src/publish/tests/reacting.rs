//! Reactions and typing through the whole publisher.

use broker::Broker as _;
use prost::Message as _;
use proto::event::Typing;
use proto::subject;

use super::*;

/// Another message than the one that the API knows.
const OTHER: u64 = 3;

impl Bench {
    fn reaction(&mut self, kind: &str, message: u64, name: &str) {
        let data = json!({ "channel_id": "100", "guild_id": "1", "message_id": message.to_string(),
            "user_id": "9", "emoji": { "id": null, "name": name } });
        self.put(&format!("MESSAGE_REACTION_{kind}"), &data);
    }
}

/// The identities and totals that the stream holds, in its order.
fn totals(stored: &[Stored]) -> Vec<(String, String)> {
    let total = |stored: &Stored| match opened(stored).event {
        Event::ReactionsChanged(changed) => {
            let one = |one: &proto::event::Reaction| format!("{}{}", one.emoji, one.count);
            let totals: Vec<_> = changed.reactions.iter().map(one).collect();
            let sequence = changed.mark.unwrap().sequence;
            assert!(
                stored.identity.ends_with(&format!("-{sequence}-0")),
                "{}",
                stored.identity
            );
            Some((stored.identity.clone(), totals.join(" ")))
        }
        _ => None,
    };
    stored.iter().filter_map(total).collect()
}

#[tokio::test]
async fn reactions_to_what_was_posted_are_totals_in_order_whatever_is_lost() {
    for seed in [1, 2, 3] {
        let mut bench = bench_on(&embedded().await, drawn(seed));
        bench.message(100, OTHER);
        for name in ["a", "b", "a"] {
            bench.reaction("ADD", OTHER, name);
        }
        bench.reaction("REMOVE", OTHER, "b");
        bench.reaction("REMOVE", OTHER, "b");
        bench.reaction("REMOVE_ALL", OTHER, "");
        let outcomes = bench.outcomes.clone();
        let totals = totals(&bench.finish().await);
        let texts: Vec<_> = totals.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a1", "a1 b1", "a2 b1", "a2", ""], "seed {seed}");
        assert_eq!(outcomes.count(Outcome::Skipped(Skip::Unchanged)), 1);
    }
}

#[tokio::test]
async fn what_a_resume_repeats_is_not_counted_again() {
    let home = embedded().await;
    for _ in 0..2 {
        let mut bench = bench_on(&home, |_, _| Fault::None);
        bench.message(100, OTHER);
        bench.reaction("ADD", OTHER, "a");
        bench.reaction("ADD", OTHER, "a");
        let totals = totals(&bench.finish().await);
        let texts: Vec<_> = totals.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a1", "a2"]);
    }
}

#[tokio::test]
async fn an_older_message_is_read_from_discord_once_and_holds_nobody_up() {
    let home = embedded().await;
    let mut bench = bench_on(&home, |_, _| Fault::None);
    bench.reaction("ADD", 2, "x");
    bench.reaction("ADD", 2, "x");
    for id in 10..15 {
        bench.message(100, id);
    }
    let outcomes = bench.outcomes.clone();
    let stored = bench.finish().await;
    let said = totals(&stored);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].1, "x5", "as Discord says, not as we count");
    assert_eq!(outcomes.count(Outcome::Skipped(Skip::Unchanged)), 1);
    let last = stored.last().unwrap();
    assert!(
        last.identity.starts_with("g-"),
        "the messages went first: {}",
        last.identity
    );
}

#[tokio::test]
async fn who_types_is_told_and_not_stored() {
    let home = embedded().await;
    let mut heard = home.0.notices(subject::EPHEMERAL).await.unwrap();
    let mut bench = bench_on(&home, |_, _| Fault::None);
    let data = json!({ "channel_id": "100", "guild_id": "1", "user_id": "9",
        "member": { "user": { "id": "9", "username": "ada" }, "roles": [] } });
    bench.put("TYPING_START", &data);
    let notice = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(notice.subject, "ephemeral.discord.v1.100");
    let typing = Typing::decode(notice.payload).unwrap();
    assert_eq!(typing.user.unwrap().username, "ada");
    let outcomes = bench.outcomes.clone();
    assert!(bench.finish().await.is_empty());
    assert_eq!(outcomes.count(Outcome::Told), 1);
}
