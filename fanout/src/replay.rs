//! What a viewer has missed of a channel: its events after an offset, up to where they enter the room, read from
//! the stream.
//!
//! A replay is whole or there is none. What was deleted since is applied first: nobody is sent the text of a
//! message that is gone (decisions.md, "Replays know what was deleted"). Pure but for [`read`].

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use broker::{Broker, Catchup, Freshness};
use proto::envelope::Opened;
use proto::event::{Event, Reaction};
use proto::{ChannelId, Subject};
use tokio::time::Instant;

use crate::delivery::Delivery;
use crate::history::preview;
use crate::offset::Offset;

/// A longer replay is a page (decisions.md, "Recovery sessions").
const EVENTS_MAX: usize = 5_000;

/// The same, in bytes of the stream.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events a read.
const READ_EVENTS: usize = 500;

/// Between two reads that did not reach the end.
const PAUSE: Duration = Duration::from_millis(20);

/// After this long a replica's word is not enough: the stream's leader is asked.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// What was missed of one channel.
#[derive(Debug, Default)]
pub struct Replay {
    /// Messages posted, changed and deleted, in the stream's order.
    pub events: Vec<Delivery>,
    /// The last known reactions of messages whose reactions changed.
    pub reactions: BTreeMap<u64, Vec<Reaction>>,
}

/// Why there is no replay: the viewer gets a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// The stream no longer holds everything after the offset.
    #[error("the stream no longer holds what was missed")]
    Gone,
    /// More than 5,000 events or 4 MiB.
    #[error("too much was missed")]
    TooMuch,
    /// The broker is away.
    #[error("the broker is away")]
    Away,
}

/// Reads what happened in a channel after one offset and up to another of the same generation. The caller bounds
/// the time.
///
/// # Errors
/// It can't be whole.
pub async fn read(
    broker: &dyn Broker,
    channel: ChannelId,
    after: Offset,
    until: Offset,
) -> Result<Replay, NotWhole> {
    let began = Instant::now();
    let mut missed = Missed::default();
    let mut complete_to = after.sequence;
    while complete_to < until.sequence {
        let freshness = if began.elapsed() < REPLICA_PATIENCE {
            Freshness::Any
        } else {
            Freshness::Leader
        };
        let subject = Some(Subject::Channel(channel));
        let read = broker.read(complete_to + 1, subject, READ_EVENTS, freshness);
        let catchup = read.await.map_err(|_| NotWhole::Away)?;
        if catchup.complete_to <= complete_to {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        complete_to = catchup.complete_to;
        missed.add(catchup, until)?;
    }
    // Asked last: the stream's beginning may have passed the offset while it was read.
    let state = broker.state().await.map_err(|_| NotWhole::Away)?;
    if state.generation != after.generation || state.first > after.sequence + 1 {
        return Err(NotWhole::Gone);
    }
    Ok(missed.into_replay())
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Missed {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Missed {
    fn add(&mut self, catchup: Catchup, until: Offset) -> Result<(), NotWhole> {
        let events = catchup.events.into_iter();
        for stored in events.take_while(|stored| stored.sequence <= until.sequence) {
            self.bytes += stored.payload.len();
            if self.deliveries.len() >= EVENTS_MAX || self.bytes > BYTES_MAX {
                return Err(NotWhole::TooMuch);
            }
            let offset = Offset {
                generation: until.generation,
                sequence: stored.sequence,
            };
            // What can't be read is passed, as it is by the feed.
            let opened = Opened::decode(stored.payload).ok();
            self.deliveries
                .extend(opened.and_then(|opened| Delivery::new(offset, opened)));
        }
        Ok(())
    }

    /// Leaves out what is void by what came after it.
    fn into_replay(self) -> Replay {
        let mut created = HashSet::new();
        let mut deleted = HashSet::new();
        for delivery in &self.deliveries {
            match &delivery.event {
                Event::MessageCreated(message) => created.insert(message.id),
                Event::MessageDeleted(gone) => deleted.insert(gone.message_id),
                _ => false,
            };
        }
        let mut replay = Replay::default();
        let (mut told, mut told_gone) = (HashSet::new(), HashSet::new());
        for mut delivery in self.deliveries {
            if let Event::MessageCreated(message) | Event::MessageUpdated(message) =
                &mut delivery.event
            {
                preview::blank(message, |original| deleted.contains(&original));
            }
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
                    let reactions = changed.reactions.clone();
                    replay.reactions.insert(changed.message_id, reactions);
                    false
                }
                _ => false,
            };
            if is_told {
                replay.events.push(delivery);
            }
        }
        replay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::GuildId;
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
            Delivery::new(offset, opened)
        });
        let missed = Missed {
            deliveries: deliveries.collect(),
            bytes: 0,
        };
        missed.into_replay()
    }

    fn told(events: Vec<Event>) -> Vec<Event> {
        let events = replay(events).events.into_iter();
        events.map(|delivery| delivery.event).collect()
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
            .map(|(id, reactions)| (*id, reactions[0].count))
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
