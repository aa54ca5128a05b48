//! What happened in channels lately, as the stream has it: read once for all who come back from about the same
//! offset, as thousands do when an instance has gone.
//!
//! A run of a channel's events is kept while it is asked for and grows at both ends. It is whole, or there is none;
//! all runs together are bounded. Who gets what of it is not known here.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Catchup, Freshness};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use proto::envelope::Opened;
use proto::event::{Event, Message};
use proto::{ChannelId, Subject};
use tokio::time::Instant;

use crate::delivery::Delivery;
use crate::feed::FeedHandle;
use crate::history::{Library, Links};
use crate::offset::Offset;

/// Who has missed more gets a page (decisions.md, "Recovery sessions").
pub const EVENTS_MAX: usize = 5_000;

/// The same, in bytes of the stream.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Events a read.
const READ_EVENTS: usize = 500;

/// Between two reads that did not reach the end.
const PAUSE: Duration = Duration::from_millis(20);

/// After this long a replica's word is not enough: the stream's leader is asked.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// All runs together, by their bytes in the stream; decoded they have about twice as many.
const RUNS_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What an event costs beside its bytes.
const EVENT_BYTES: usize = 512;

/// A run that nobody has asked for in so long is forgotten: a crowd that comes back does so in less.
const IDLE: Duration = Duration::from_secs(30);

/// Why nobody can say what was missed: the viewer gets a page.
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

/// An event that may have been missed.
#[derive(Debug, Clone)]
pub struct Past {
    /// The event.
    pub delivery: Arc<Delivery>,
    /// Its size in the stream.
    pub bytes: usize,
}

/// All that happened in a channel after one sequence and up to another.
#[derive(Debug, Default)]
pub struct Run {
    after: u64,
    until: u64,
    /// After this sequence or an earlier one it is too much; 0: nobody has found that.
    too_much_after: u64,
    events: Vec<Past>,
}

/// The runs of an instance. Clones share them.
#[derive(Debug, Clone)]
pub struct Runs {
    broker: Arc<dyn Broker>,
    links: Links,
    feed: FeedHandle,
    by_channel: Cache<(u64, ChannelId), Arc<Run>>,
}

impl Runs {
    /// None yet, of the stream that a feed follows.
    pub fn new(library: &Library, feed: FeedHandle) -> Self {
        let weigh =
            |_: &(u64, ChannelId), run: &Arc<Run>| u32::try_from(run.weight()).unwrap_or(u32::MAX);
        let by_channel = Cache::builder()
            .weigher(weigh)
            .max_capacity(RUNS_BYTES_MAX)
            .time_to_idle(IDLE)
            .build();
        Self {
            broker: library.broker.clone(),
            links: library.links.clone(),
            feed,
            by_channel,
        }
    }

    /// What happened in a channel after one offset and up to another of the same generation, and perhaps more. The
    /// caller bounds the time.
    ///
    /// # Errors
    /// It can't be whole.
    pub async fn of(
        &self,
        channel: ChannelId,
        after: Offset,
        until: Offset,
    ) -> Result<Arc<Run>, NotWhole> {
        let asked = self
            .by_channel
            .entry((after.generation, channel))
            .and_try_compute_with(async move |known| {
                let known = known.map(moka::Entry::into_value).unwrap_or_default();
                if known.answers(after.sequence, until.sequence) {
                    return Ok(Op::Nop);
                }
                // As far as the feed is: whoever waits for this read needs no other one.
                let feed = self.feed.position();
                let until = if feed.generation == until.generation {
                    feed.sequence.max(until.sequence)
                } else {
                    until.sequence
                };
                let run = self.grown(&known, channel, after, until).await?;
                Ok(Op::Put(Arc::new(run)))
            });
        let run = match asked.await? {
            CompResult::Inserted(run)
            | CompResult::ReplacedWith(run)
            | CompResult::Unchanged(run) => run.into_value(),
            CompResult::Removed(_) | CompResult::StillNone(_) => return Err(NotWhole::Away),
        };
        if run.is_too_much_after(after.sequence) || after.sequence < run.after {
            return Err(NotWhole::TooMuch);
        }
        Ok(run)
    }

    /// A run that reaches from one sequence to another, with what is known read no second time.
    async fn grown(
        &self,
        known: &Run,
        channel: ChannelId,
        after: Offset,
        until: u64,
    ) -> Result<Run, NotWhole> {
        // What is known is no use to who comes back from later; it would be a gap to read.
        let is_new = known.until < after.sequence || known.until == 0;
        let none = Run {
            after: until,
            until,
            too_much_after: known.too_much_after,
            events: Vec::new(),
        };
        let known = if is_new { &none } else { known };
        let (first, last) = (known.after, known.until);
        let later = self.read(channel, after.generation, last, until).await;
        let earlier = self.read(channel, after.generation, after.sequence, first);
        let (earlier, later) = match (earlier.await, later) {
            (Ok(earlier), Ok(later)) => (earlier, later),
            (Err(NotWhole::TooMuch), _) | (_, Err(NotWhole::TooMuch)) => {
                return Ok(known.too_much(after.sequence));
            }
            (Err(why), _) | (_, Err(why)) => return Err(why),
        };
        let all = [&earlier, &known.events, &later];
        let mut run = Run {
            after: first.min(after.sequence),
            until: last.max(until),
            too_much_after: known.too_much_after,
            events: all.into_iter().flatten().cloned().collect(),
        };
        run.trim();
        Ok(run)
    }

    async fn read(
        &self,
        channel: ChannelId,
        generation: u64,
        after: u64,
        until: u64,
    ) -> Result<Vec<Past>, NotWhole> {
        if after >= until {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let mut reading = Reading::default();
        let mut complete_to = after;
        while complete_to < until {
            let freshness = if began.elapsed() < REPLICA_PATIENCE {
                Freshness::Any
            } else {
                Freshness::Leader
            };
            let subject = Some(Subject::Channel(channel));
            let read = self
                .broker
                .read(complete_to + 1, subject, READ_EVENTS, freshness);
            let catchup = read.await.map_err(|_| NotWhole::Away)?;
            if catchup.complete_to <= complete_to {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            complete_to = catchup.complete_to;
            reading.add(catchup, until)?;
        }
        self.links.learn(reading.messages()).await;
        self.links.sign(reading.messages());
        // Asked last: the stream's beginning may have passed the offset while it was read.
        let state = self.broker.state().await.map_err(|_| NotWhole::Away)?;
        if state.generation != generation || state.first > after + 1 {
            return Err(NotWhole::Gone);
        }
        Ok(reading.finish(generation))
    }
}

impl Run {
    /// What happened after a sequence, as far as it was read.
    pub fn after(&self, sequence: u64) -> &[Past] {
        let first = self
            .events
            .partition_point(|past| past.delivery.offset.sequence <= sequence);
        self.events.get(first..).unwrap_or_default()
    }

    fn answers(&self, after: u64, until: u64) -> bool {
        let reaches = self.after <= after && until <= self.until;
        self.until > 0 && (reaches || self.is_too_much_after(after))
    }

    fn is_too_much_after(&self, sequence: u64) -> bool {
        self.too_much_after > 0 && sequence <= self.too_much_after
    }

    /// The same, and that it is too much after this sequence.
    fn too_much(&self, after: u64) -> Self {
        Self {
            too_much_after: self.too_much_after.max(after),
            events: self.events.clone(),
            ..*self
        }
    }

    /// Forgets what is too much.
    fn trim(&mut self) {
        let (mut bytes, mut kept) = (0, 0);
        for past in self.events.iter().rev() {
            bytes += past.bytes;
            if bytes > BYTES_MAX || kept >= EVENTS_MAX {
                break;
            }
            kept += 1;
        }
        let forgotten = self.events.len() - kept;
        let mut events = self.events.drain(..forgotten);
        let last = events.next_back();
        drop(events);
        if let Some(last) = last {
            self.after = last.delivery.offset.sequence;
            self.too_much_after = self.too_much_after.max(self.after.saturating_sub(1));
        }
    }

    fn weight(&self) -> usize {
        let events = self.events.iter();
        events.map(|past| past.bytes + EVENT_BYTES).sum::<usize>() + EVENT_BYTES
    }
}

/// Events as they are read: sequence, size, and what they say.
#[derive(Debug, Default)]
struct Reading {
    events: Vec<(u64, usize, Opened)>,
    read: usize,
    bytes: usize,
}

impl Reading {
    fn add(&mut self, catchup: Catchup, until: u64) -> Result<(), NotWhole> {
        let events = catchup.events.into_iter();
        for stored in events.take_while(|stored| stored.sequence <= until) {
            let bytes = stored.payload.len();
            self.bytes += bytes;
            self.read += 1;
            if self.read > EVENTS_MAX || self.bytes > BYTES_MAX {
                return Err(NotWhole::TooMuch);
            }
            // What can't be read is passed, as it is by the feed.
            let opened = Opened::decode(stored.payload).ok();
            self.events
                .extend(opened.map(|opened| (stored.sequence, bytes, opened)));
        }
        Ok(())
    }

    fn messages(&mut self) -> impl Iterator<Item = &mut Message> {
        let events = self.events.iter_mut();
        events.filter_map(|(.., opened)| match &mut opened.event {
            Event::MessageCreated(message) | Event::MessageUpdated(message) => Some(message),
            _ => None,
        })
    }

    fn finish(self, generation: u64) -> Vec<Past> {
        let past = |(sequence, bytes, opened)| {
            let offset = Offset {
                generation,
                sequence,
            };
            let delivery = Arc::new(Delivery::new(offset, opened)?);
            Some(Past { delivery, bytes })
        };
        self.events.into_iter().filter_map(past).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::GuildId;
    use proto::event::MessageDeleted;

    fn past(sequence: u64, bytes: usize) -> Past {
        let offset = Offset {
            generation: 1,
            sequence,
        };
        let opened = Opened {
            guild: GuildId::new(1).unwrap(),
            channel: ChannelId::new(2),
            event: Event::MessageDeleted(MessageDeleted {
                message_id: sequence,
            }),
            received_ms: 0,
        };
        Past {
            delivery: Arc::new(Delivery::new(offset, opened).unwrap()),
            bytes,
        }
    }

    fn run(sequences: std::ops::RangeInclusive<u64>, bytes: usize) -> Run {
        Run {
            after: sequences.start() - 1,
            until: *sequences.end(),
            too_much_after: 0,
            events: sequences.map(|sequence| past(sequence, bytes)).collect(),
        }
    }

    #[test]
    fn a_run_answers_for_what_lies_within_it() {
        let run = run(11..=20, 1);
        for (after, until, answers) in [
            (10, 20, true),
            (15, 16, true),
            (20, 20, true),
            (9, 20, false),
            (10, 21, false),
        ] {
            assert_eq!(run.answers(after, until), answers, "{after} {until}");
        }
        assert!(!Run::default().answers(0, 0));
        assert_eq!(run.after(18).len(), 2);
        assert_eq!(run.after(20).len(), 0);
    }

    #[test]
    fn what_is_too_much_is_forgotten_from_its_beginning_and_known_to_be_too_much() {
        let sizes = [(6_000, 1, 5_000), (9, 500_000, 8)];
        for (count, bytes, kept) in sizes {
            let mut run = run(11..=10 + count, bytes);
            run.trim();
            assert_eq!(run.events.len(), kept);
            let first = run.events[0].delivery.offset.sequence;
            assert!(run.is_too_much_after(first - 2) && !run.is_too_much_after(first - 1));
            assert!(run.answers(first - 1, 10 + count));
        }
    }
}
