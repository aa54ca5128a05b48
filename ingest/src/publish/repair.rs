//! What a new session's snapshots bring to light, and what comes back of it: lanes stand still where messages may be
//! missing, until whoever reads them from Discord has put them in.
//!
//! A snapshot's dispatch is settled only once its channels are repaired, so that after a crash a RESUME brings it
//! again, and the work is done again. Knows no API.

use proto::event::{Channel, Event};
use proto::identity::Dispatch;
use proto::{ChannelId, Envelope, GuildId, MessageId, Subject};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Owner, Publisher};
use crate::outcome::Outcome;

pub(crate) use super::lane::Hold;

/// Channel types without messages of their own: categories, forums and media channels. The last message that a forum
/// names is a post, which is a thread (<https://docs.discord.com/developers/resources/channel#channel-object>).
const MESSAGELESS: [u32; 3] = [4, 15, 16];

/// A guild's snapshot, as far as it tells where messages may be missing.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) guild: GuildId,
    pub(crate) dispatch: Dispatch,
    pub(crate) received_ms: i64,
    /// The dispatch in the progress, which [`Repair::Done`] settles.
    pub(crate) number: u64,
    pub(crate) suspects: Vec<Suspect>,
    /// It says of threads nothing at all.
    pub(crate) is_threadless: bool,
}

/// A channel in which messages may be missing. Its lane stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspect {
    pub(crate) channel: ChannelId,
    /// Its last message, as Discord says; what is newer comes behind the hold.
    pub(crate) last: u64,
    /// The newest that went through here; none if none did in this term.
    pub(crate) newest: Option<u64>,
    pub(crate) hold: Hold,
}

/// A lane that stands still, with all of before settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) hold: Hold,
    /// As [`Suspect::newest`].
    pub(crate) newest: Option<u64>,
}

/// What whoever repairs asks for.
#[derive(Debug)]
pub(crate) enum Repair {
    /// Let this channel stand still, and say when it does.
    Hold(ChannelId, GuildId, oneshot::Sender<Standing>),
    /// Publish this before the hold. It was read from Discord at that moment.
    Publish(Hold, Box<Envelope>, Instant, oneshot::Sender<u64>),
    /// Let the lane go on.
    Release(Hold),
    /// The channels of this snapshot are repaired.
    Done(u64),
}

/// Whether a channel has messages of its own.
pub(crate) fn has_messages(channel: &Channel) -> bool {
    !MESSAGELESS.contains(&channel.kind)
}

/// A snapshot's channels that have messages, each with the last.
pub(super) fn last_messages(envelopes: &[Envelope]) -> Vec<(ChannelId, u64)> {
    let parts = envelopes
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::GuildSnapshotPart(part) => Some(&part.channels),
            _ => None,
        });
    let channels = parts.flatten().filter(|channel| has_messages(channel));
    channels
        .filter_map(|channel| Some((ChannelId::new(channel.id)?, channel.last_message_id?)))
        .collect()
}

impl Publisher {
    /// A snapshot's envelopes are in their lanes: behind them the lanes of these channels stand still.
    pub(super) fn on_snapshot(&mut self, snapshot: Snapshot, channels: &[(ChannelId, u64)]) {
        let mut snapshot = snapshot;
        for (channel, last) in channels {
            let newest = self.newest.get(channel).copied();
            if newest.is_some_and(|newest| newest >= *last) {
                continue;
            }
            self.newest.insert(*channel, *last);
            let subject = Subject::Channel(*channel);
            let hold = self.lanes.hold(subject, snapshot.guild);
            self.desk.gaps.on_gap(*channel);
            snapshot.suspects.push(Suspect {
                channel: *channel,
                last: *last,
                newest,
                hold,
            });
        }
        self.progress.defer(snapshot.number);
        if self.desk.snapshots.send(snapshot).is_err() {
            tracing::debug!("the term ends; the next repairs what is missing");
        }
    }

    pub(super) fn on_repair(&mut self, repair: Repair) {
        match repair {
            Repair::Hold(channel, guild, reply) => {
                let hold = self.lanes.hold(Subject::Channel(channel), guild);
                let newest = self.newest.get(&channel).copied();
                self.standing.insert(hold, (reply, newest));
            }
            Repair::Publish(hold, envelope, read_at, reply) => {
                self.on_read(&envelope, read_at);
                let owner = Owner::Submission(reply);
                if self.lanes.insert(hold, *envelope, owner).is_err() {
                    tracing::error!("a message was read for a lane that does not stand still");
                }
            }
            Repair::Release(hold) => self.lanes.release(hold),
            Repair::Done(number) => self.settle(number, Outcome::Duplicate),
        }
        self.on_reached();
    }

    /// Tells whoever waits that a lane stands still.
    pub(super) fn on_reached(&mut self) {
        while let Some(hold) = self.lanes.take_reached() {
            let Some((reply, newest)) = self.standing.remove(&hold) else {
                continue;
            };
            if reply.send(Standing { hold, newest }).is_err() {
                self.lanes.release(hold);
            }
        }
    }

    /// Learns what is learned of an envelope, where Discord was asked for it.
    fn on_read(&mut self, envelope: &Envelope, read_at: Instant) {
        let read = match &envelope.event {
            Event::MessageCreated(message) => Some((message.id, &message.reactions)),
            Event::ReactionsChanged(changed) => Some((changed.message_id, &changed.reactions)),
            _ => None,
        };
        if let Some((id, totals)) = read
            && let Some(key) = envelope.channel.zip(MessageId::new(id))
        {
            self.reacting.ledger.on_told(key, totals.clone(), read_at);
        }
        self.on_queued(envelope);
    }

    /// Since when the oldest publication is under way, of those that no hold stops.
    pub(super) fn oldest(&self) -> Option<Instant> {
        if self.lanes.is_holding() {
            return self.sent.values().min().copied();
        }
        self.progress.oldest()
    }
}
