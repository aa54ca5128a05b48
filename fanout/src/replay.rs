//! What a viewer has missed: the events of channels after an offset, up to where they enter the rooms, in the
//! stream's order, so that a replay that is cut is gone on with from any of its offsets.
//!
//! A replay is whole or there is none. What was deleted since is applied first: nobody is sent the text of a
//! message that is gone (decisions.md, "Replays know what was deleted"). Pure: [`Runs`](crate::past::Runs) reads.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proto::ChannelId;
use proto::event::{Event, Reaction};

use crate::delivery::Delivery;
use crate::history::preview;
use crate::past::{BYTES_MAX, EVENTS_MAX, NotWhole, Run};

/// What was missed.
#[derive(Debug, Default)]
pub struct Replay {
    /// Messages posted, changed and deleted, in the stream's order.
    pub events: Vec<Arc<Delivery>>,
    /// The last known reactions of messages whose reactions changed.
    pub reactions: BTreeMap<(ChannelId, u64), Vec<Reaction>>,
}

impl Replay {
    /// What happened after one sequence and up to another in the channels of these runs.
    ///
    /// # Errors
    /// It is too much.
    pub fn of<'r>(
        runs: impl IntoIterator<Item = &'r Run>,
        after: u64,
        until: u64,
    ) -> Result<Self, NotWhole> {
        let (mut missed, mut count, mut bytes) = (Vec::new(), 0, 0);
        for past in runs.into_iter().flat_map(|run| run.after(after)) {
            if past.delivery.offset.sequence <= until {
                count += 1;
                bytes += past.bytes;
            }
            if count > EVENTS_MAX || bytes > BYTES_MAX {
                return Err(NotWhole::TooMuch);
            }
            missed.push(past.delivery.clone());
        }
        missed.sort_unstable_by_key(|delivery| delivery.offset.sequence);
        Ok(Self::of_missed(missed, until))
    }

    /// Leaves out what is void by what came after it, and what lies beyond the last sequence.
    fn of_missed(missed: Vec<Arc<Delivery>>, until: u64) -> Self {
        let mut created = HashSet::new();
        let mut deleted = HashSet::new();
        for delivery in &missed {
            match &delivery.event {
                Event::MessageCreated(message) => created.insert(message.id),
                Event::MessageDeleted(gone) => deleted.insert(gone.message_id),
                _ => false,
            };
        }
        let mut replay = Self::default();
        let (mut told, mut told_gone) = (HashSet::new(), HashSet::new());
        let missed = missed.into_iter();
        for delivery in missed.take_while(|delivery| delivery.offset.sequence <= until) {
            let is_told = match &delivery.event {
                Event::MessageCreated(message) => {
                    !deleted.contains(&message.id) && told.insert(message.id)
                }
                Event::MessageUpdated(message) => !deleted.contains(&message.id),
                // Of a message that was posted since, the viewer has heard nothing.
                Event::MessageDeleted(gone) => {
                    !created.contains(&gone.message_id) && told_gone.insert(gone.message_id)
                }
                Event::ReactionsChanged(changed) if !deleted.contains(&changed.message_id) => {
                    let place = (delivery.channel, changed.message_id);
                    replay.reactions.insert(place, changed.reactions.clone());
                    false
                }
                _ => false,
            };
            if is_told {
                replay.events.push(without_deleted(delivery, &deleted));
            }
        }
        replay
    }
}

/// The event, which quotes nothing that is gone.
fn without_deleted(delivery: Arc<Delivery>, deleted: &HashSet<u64>) -> Arc<Delivery> {
    let quoted = match &delivery.event {
        Event::MessageCreated(message) | Event::MessageUpdated(message) => preview::quoted(message),
        _ => None,
    };
    if quoted.is_some_and(|original| deleted.contains(&original)) {
        return Arc::new(delivery.unquoting());
    }
    delivery
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;
    use proptest::prelude::*;
    use proto::GuildId;
    use proto::envelope::Opened;
    use proto::event::{Message, MessageDeleted, ReactionsChanged, Reply, User};

    const GENERATION: u64 = 7;

    fn created(id: u64) -> Event {
        Event::MessageCreated(Message {
            id,
            ..Message::default()
        })
    }

    fn updated(id: u64) -> Event {
        Event::MessageUpdated(Message {
            id,
            ..Message::default()
        })
    }

    fn deleted(message_id: u64) -> Event {
        Event::MessageDeleted(MessageDeleted { message_id })
    }

    fn reacted(message_id: u64, count: u32) -> Event {
        Event::ReactionsChanged(ReactionsChanged {
            message_id,
            reactions: vec![Reaction {
                emoji: "👍".into(),
                count,
                ..Reaction::default()
            }],
            mark: None,
        })
    }

    fn replay(events: Vec<Event>) -> Replay {
        let deliveries = events.into_iter().enumerate().filter_map(|(index, event)| {
            let offset = Offset {
                generation: GENERATION,
                sequence: index as u64 + 1,
            };
            let opened = Opened {
                guild: GuildId::new(1)?,
                channel: ChannelId::new(2),
                event,
                received_ms: 0,
            };
            Delivery::new(offset, opened).map(Arc::new)
        });
        Replay::of_missed(deliveries.collect(), u64::MAX)
    }

    fn told(events: Vec<Event>) -> Vec<Event> {
        let events = replay(events).events.into_iter();
        events.map(|delivery| delivery.event.clone()).collect()
    }

    #[test]
    fn what_was_deleted_since_is_left_out_and_its_deletion_told_to_who_knew_it() {
        let table = [
            (vec![created(1), updated(1)], vec![created(1), updated(1)]),
            (vec![created(1), updated(1), deleted(1)], vec![]),
            (vec![updated(1), deleted(1)], vec![deleted(1)]),
            (vec![deleted(1), deleted(1)], vec![deleted(1)]),
            (vec![created(1), created(1)], vec![created(1)]),
            (vec![created(2), created(1), deleted(1)], vec![created(2)]),
        ];
        for (missed, expected) in table {
            assert_eq!(told(missed.clone()), expected, "{missed:?}");
        }
    }

    #[test]
    fn a_reply_quotes_nothing_that_was_deleted_since() {
        let reply = |id, original| Message {
            id,
            reply: Some(Reply {
                message_id: original,
                author: Some(User::default()),
                content: Some("quoted".into()),
            }),
            ..Message::default()
        };
        let missed = vec![
            created(1),
            Event::MessageCreated(reply(10, 1)),
            // Posted before what was missed, and answered after.
            Event::MessageCreated(reply(11, 5)),
            Event::MessageUpdated(reply(9, 5)),
            Event::MessageCreated(reply(12, 2)),
            deleted(1),
            deleted(5),
            Event::MessageCreated(reply(13, 1)),
        ];
        let told = told(missed).into_iter().filter_map(|event| match event {
            Event::MessageCreated(message) | Event::MessageUpdated(message) => {
                Some((message.id, message.reply?))
            }
            _ => None,
        });
        let told: Vec<_> = told
            .map(|(id, reply)| (id, reply.author.is_some(), reply.content.is_some()))
            .collect();
        let blank = |id| (id, true, false);
        assert_eq!(
            told,
            [blank(10), blank(11), blank(9), (12, true, true), blank(13)]
        );
    }

    #[test]
    fn reactions_are_told_once_as_they_are_in_the_end() {
        let replay = replay(vec![
            reacted(1, 1),
            reacted(2, 5),
            reacted(1, 3),
            deleted(2),
        ]);
        let counts: Vec<_> = replay
            .reactions
            .iter()
            .map(|((_, id), reactions)| (*id, reactions[0].count))
            .collect();
        assert_eq!(counts, [(1, 3)]);
    }

    proptest! {
        /// A viewer who saw everything and one who was replayed the rest hold the same messages in the end.
        #[test]
        fn a_replay_leads_where_the_events_led(
            events in proptest::collection::vec((1_u64..6, 0_u8..3), 0..40),
            seen in 0_usize..40,
        ) {
            // A creation is stored once: that is what its identity is for.
            let mut once = HashSet::new();
            let events: Vec<Event> = events
                .into_iter()
                .filter(|(id, what)| *what > 0 || once.insert(*id))
                .map(|(id, what)| match what {
                    0 => created(id),
                    1 => updated(id),
                    _ => deleted(id),
                })
                .collect();
            let seen = seen.min(events.len());
            let hold = |all: &[Event], held: &mut std::collections::BTreeSet<u64>, gone: &mut HashSet<u64>| {
                for event in all {
                    match event {
                        Event::MessageCreated(m) if !gone.contains(&m.id) => { held.insert(m.id); }
                        Event::MessageDeleted(d) => { held.remove(&d.message_id); gone.insert(d.message_id); }
                        _ => {}
                    }
                }
            };
            let (mut all, mut gone) = Default::default();
            hold(&events, &mut all, &mut gone);
            let (mut own, mut own_gone) = Default::default();
            hold(&events[..seen], &mut own, &mut own_gone);
            let rest = told(events[seen..].to_vec());
            hold(&rest, &mut own, &mut own_gone);
            prop_assert_eq!(own, all);
        }

        #[test]
        fn a_replay_keeps_the_order(events in proptest::collection::vec(1_u64..9, 0..40)) {
            let replay = replay(events.into_iter().map(updated).collect());
            let places: Vec<_> = replay.events.iter().map(|d| d.offset.sequence).collect();
            prop_assert!(places.is_sorted());
        }
    }
}
