//! The ledger by itself: what each dispatch makes of it, whatever base there is.

use proto::{ChannelId, MessageId};

use super::*;
use crate::reactions::Emoji;

fn key() -> Key {
    (ChannelId::new(1).unwrap(), MessageId::new(2).unwrap())
}

fn dispatch(sequence: u64) -> Dispatch {
    Dispatch {
        epoch: 7,
        shard: 0,
        sequence,
    }
}

fn emoji(name: &str) -> Emoji {
    Emoji {
        name: name.to_owned(),
        id: None,
        animated: false,
    }
}

fn added(name: &str, sequence: u64) -> Waiting<u64> {
    Waiting {
        dispatch: dispatch(sequence),
        change: Change::Added(emoji(name)),
        ticket: sequence,
    }
}

fn of(pairs: &[(&str, u32)]) -> Vec<Reaction> {
    let one = |(name, count): &(&str, u32)| Reaction {
        emoji: (*name).to_owned(),
        count: *count,
        ..Reaction::default()
    };
    pairs.iter().map(one).collect()
}

/// What the steps say, short: totals by ticket, ends, look-ups.
fn said(steps: &[Step<u64>]) -> Vec<String> {
    let one = |step: &Step<u64>| match step {
        Step::Total(_, totals, dispatch, ticket) => {
            let totals = totals
                .iter()
                .map(|one| format!("{}{}", one.emoji, one.count));
            let totals: Vec<_> = totals.collect();
            format!("{ticket}@{}: {}", dispatch.sequence, totals.join(" "))
        }
        Step::Settled(ticket, outcome) => format!("{ticket} {outcome:?}"),
        Step::LookUp(_, LookUp::Stored(dispatch)) => format!("stored? {}", dispatch.sequence),
        Step::LookUp(_, LookUp::Discord(_)) => "discord?".to_owned(),
    };
    steps.iter().map(one).collect()
}

fn change(ledger: &mut Ledger<u64>, name: &str, sequence: u64, now: Instant) -> Vec<String> {
    said(&ledger.on_change(key(), added(name, sequence), now))
}

#[test]
fn a_message_that_was_seen_posted_is_counted_at_once_and_a_replay_is_not() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.on_created(key(), of(&[("b", 2)]));
    assert_eq!(change(&mut ledger, "a", 5, now), ["5@5: b2 a1"]);
    assert_eq!(change(&mut ledger, "a", 6, now), ["6@6: b2 a2"]);
    assert_eq!(change(&mut ledger, "a", 6, now), ["6 Duplicate"]);
    ledger.on_created(key(), Vec::new());
    assert_eq!(
        change(&mut ledger, "a", 7, now),
        ["7@7: b2 a3"],
        "its creation again"
    );
    let nothing = Waiting {
        change: Change::Removed(emoji("c")),
        ..added("c", 8)
    };
    let steps = said(&ledger.on_change(key(), nothing, now));
    assert_eq!(steps, ["8 Skipped(Unchanged)"]);
}

#[test]
fn changes_wait_in_order_for_a_base_and_one_look_up_serves_all() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    assert_eq!(change(&mut ledger, "a", 5, now), ["stored? 5"]);
    assert!(change(&mut ledger, "b", 6, now).is_empty());
    assert!(change(&mut ledger, "a", 7, now).is_empty());
    let steps = ledger.on_counted(key(), of(&[("a", 1)]), Some(dispatch(5)));
    assert_eq!(said(&steps), ["5 Duplicate", "6@6: a1 b1", "7@7: a2 b1"]);
    let mut other = Ledger::default();
    change(&mut other, "a", 5, now);
    let of_another_session = Dispatch {
        epoch: 6,
        ..dispatch(9)
    };
    let steps = other.on_counted(key(), Vec::new(), Some(of_another_session));
    assert_eq!(said(&steps), ["5@5: a1"]);
}

#[test]
fn what_discord_was_asked_for_may_hold_changes_to_come_so_that_they_are_read_and_not_counted() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    change(&mut ledger, "a", 5, now);
    change(&mut ledger, "a", 6, now);
    ledger.on_asking(key(), Some(of(&[("a", 1)])));
    change(&mut ledger, "a", 7, now);
    let steps = ledger.on_read(key(), of(&[("a", 4)]), now);
    assert_eq!(
        said(&steps),
        ["5 Skipped(Unchanged)", "6@6: a4", "discord?"]
    );
    ledger.on_asking(key(), None);
    let steps = ledger.on_read(key(), of(&[("a", 4)]), now);
    assert_eq!(
        said(&steps),
        ["7 Skipped(Unchanged)"],
        "it was in the first answer"
    );
    assert_eq!(change(&mut ledger, "a", 8, now + UNSURE / 2), ["discord?"]);
    ledger.on_asking(key(), None);
    let steps = ledger.on_read(key(), of(&[("a", 5)]), now + UNSURE / 2);
    assert_eq!(said(&steps), ["8@8: a5"]);
    let sure = now + UNSURE / 2 + UNSURE;
    assert_eq!(change(&mut ledger, "a", 9, sure), ["9@9: a6"]);
    assert_eq!(change(&mut ledger, "a", 8, sure), ["8 Duplicate"]);
}

#[test]
fn a_total_that_sql_has_already_is_not_published() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    change(&mut ledger, "a", 5, now);
    ledger.on_asking(key(), Some(of(&[("a", 1)])));
    let steps = ledger.on_read(key(), of(&[("a", 1)]), now);
    assert_eq!(said(&steps), ["5 Skipped(Unchanged)"]);
}

#[test]
fn what_can_t_be_found_ends_and_the_next_change_looks_again_unless_the_author_is_left_out() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    change(&mut ledger, "a", 5, now);
    change(&mut ledger, "a", 6, now);
    let steps = ledger.on_lost(key(), Skip::Unreadable);
    assert_eq!(
        said(&steps),
        ["5 Skipped(Unreadable)", "6 Skipped(Unreadable)"]
    );
    assert_eq!(change(&mut ledger, "a", 7, now), ["stored? 7"]);
    let steps = ledger.on_lost(key(), Skip::Excluded);
    assert_eq!(said(&steps), ["7 Skipped(Excluded)"]);
    assert_eq!(change(&mut ledger, "a", 8, now), ["8 Skipped(Excluded)"]);
}

#[test]
fn a_new_session_counts_on_nothing_that_was_known() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.on_created(key(), of(&[("a", 1)]));
    change(&mut ledger, "a", 5, now);
    ledger.on_identified(|_| true);
    assert_eq!(change(&mut ledger, "a", 1, now), ["stored? 1"]);
}

#[test]
fn whoever_waits_at_a_new_session_is_answered_however_old_the_question_is() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    assert_eq!(change(&mut ledger, "a", 1, now), ["stored? 1"]);
    let other = |n: u64| (key().0, MessageId::new(1_000 + n).unwrap());
    for n in 0..SHELF_MAX as u64 {
        ledger.on_created(other(n), Vec::new());
    }
    assert!(ledger.old.contains_key(&key()), "it is on the older shelf");
    ledger.on_identified(|_| true);
    assert!(ledger.young.contains_key(&key()));
}

#[test]
fn a_new_session_of_another_shard_leaves_what_is_known() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.on_created(key(), of(&[("a", 1)]));
    change(&mut ledger, "a", 5, now);
    ledger.on_identified(|_| false);
    assert_eq!(change(&mut ledger, "a", 6, now), ["6@6: a3"]);
}

#[test]
fn the_ledger_is_bounded_and_keeps_what_is_on_its_way() {
    let (mut ledger, now) = (Ledger::default(), Instant::now());
    ledger.on_created(key(), Vec::new());
    change(&mut ledger, "a", 5, now);
    let other = |n: u64| (key().0, MessageId::new(1_000 + n).unwrap());
    for n in 0..3 * SHELF_MAX as u64 {
        ledger.on_created(other(n), Vec::new());
    }
    assert!(ledger.young.len() + ledger.old.len() <= 2 * SHELF_MAX);
    assert_eq!(
        change(&mut ledger, "a", 6, now),
        ["6@6: a2"],
        "nothing else knows it yet"
    );
    ledger.on_published(key());
    ledger.on_published(key());
    for n in 0..3 * SHELF_MAX as u64 {
        ledger.on_created(other(n), Vec::new());
    }
    assert_eq!(change(&mut ledger, "a", 7, now), ["stored? 7"]);
}
