//! What comes in: a frame of the gateway becomes envelopes in their lanes, a total of reactions, or a notice.
//!
//! Everything that is learned from a frame beside is learned here, in the order of the frames.

use proto::event::Event;
use proto::identity::Dispatch;
use proto::{Envelope, Identity, MessageId, UserId};
use tokio::time::Instant;

use super::reacting::Reckoned;
use super::repair::{Snapshot, last_messages};
use super::{About, Note, Owner, Publisher};
use crate::backfill::Place;
use crate::decode::{
    Decoded, Known, Origin, decode, guild_of_frame, members_limited, ready_guilds,
};
use crate::frame::{Frame, Held, Peek};
use crate::outcome::{Outcome, Refusal, Skip};
use crate::reactions::{Found, Key};
use crate::roll;
use crate::roster::Era;
use crate::shard::ShardId;
use crate::trace;

/// Kinds of events that were logged as unknown; beyond that they are counted alone.
const UNKNOWN_KINDS_MAX: usize = 64;

/// The kind of a total in its trace: whichever of the four it came from.
const REACTION: &str = "MESSAGE_REACTION";

impl Publisher {
    pub(super) fn on_frame(&mut self, frame: Frame) {
        let Frame {
            dispatch,
            shard,
            text,
            received_ms,
            held,
        } = frame;
        let origin = Origin {
            dispatch,
            trace: None,
            received_ms,
        };
        let now = Instant::now();
        let mut snapshot = None;
        let said = match self.decode(&text, origin, shard) {
            Ok(Decoded::Events(envelopes)) => Ok(envelopes),
            Ok(Decoded::Message(envelope, placeholders)) => {
                self.desk.outcomes.on_placeholders(&placeholders);
                Ok(vec![*envelope])
            }
            Ok(Decoded::Channels(envelopes, channels)) => {
                self.desk.outcomes.on_channels_left_out(channels.unreadable);
                self.desk.exclusions.learn(channels.seen);
                snapshot = snapshot_of(&envelopes, origin, channels.is_threadless);
                unless_empty(envelopes, Skip::Excluded)
            }
            Ok(Decoded::Members(chunk, _)) if self.desk.chunks.on_chunk(&chunk) => {
                Err(Outcome::Skipped(Skip::Answer))
            }
            Ok(Decoded::Members(_, envelopes)) => unless_empty(envelopes, Skip::Empty),
            Ok(Decoded::Typing(typing)) => Err(self.desk.typist.tell(&typing, now)),
            Ok(Decoded::Reaction(reacted)) => {
                let number = self.progress.begin(dispatch, 1, held, now);
                let acknowledged = *self.desk.acknowledged.borrow();
                let reckoned = self
                    .reacting
                    .on_reacted(reacted, origin, number, acknowledged);
                self.on_reckoned(reckoned);
                return;
            }
            Err(outcome) => Err(outcome),
        };
        match said {
            Ok(envelopes) => {
                let lasts = snapshot.is_some().then(|| last_messages(&envelopes));
                let number = self.on_events(dispatch, envelopes, held, now);
                if let Some(snapshot) = snapshot {
                    let snapshot = Snapshot { number, ..snapshot };
                    self.on_snapshot(snapshot, &lasts.unwrap_or_default());
                }
            }
            Err(outcome) => {
                let number = self.progress.begin(dispatch, 0, held, now);
                self.settle(number, outcome);
            }
        }
    }

    fn on_events(
        &mut self,
        dispatch: Dispatch,
        envelopes: Vec<Envelope>,
        held: Held,
        now: Instant,
    ) -> u64 {
        let number = self.progress.begin(dispatch, envelopes.len(), held, now);
        for envelope in envelopes {
            self.on_queued(&envelope);
            let member = member_of(&envelope, self.desk.roster.era());
            if let Some(About { guild, user, .. }) = member {
                self.desk.roster.on_queued(guild, user);
            }
            let note = member.map_or(Note::Nothing, Note::Member);
            self.lanes.push(envelope, Owner::Frame(number, note));
        }
        number
    }

    /// A look-up of reactions has ended.
    pub(super) fn on_found(&mut self, key: Key, found: Found) {
        let acknowledged = *self.desk.acknowledged.borrow();
        let reckoned = self.reacting.on_found(key, found, acknowledged);
        self.on_reckoned(reckoned);
    }

    fn on_reckoned(&mut self, reckoned: Vec<Reckoned>) {
        for one in reckoned {
            match one {
                Reckoned::Total(number, key, mut envelope) => {
                    if let Identity::Dispatch(dispatch, _) = envelope.identity {
                        let received_ms = envelope.received_ms;
                        let envelopes = std::slice::from_mut(&mut *envelope);
                        trace::on_frame(REACTION, dispatch, received_ms, envelopes);
                    }
                    let owner = Owner::Frame(number, Note::Total(key));
                    self.lanes.push(*envelope, owner);
                }
                Reckoned::Settled(number, outcome) => self.settle(number, outcome),
            }
        }
    }

    fn decode(&mut self, text: &str, origin: Origin, shard: ShardId) -> Result<Decoded, Outcome> {
        let peek = Peek::read(text).ok_or(Outcome::Refused(Refusal::Malformed))?;
        let kind = peek.t.as_deref().unwrap_or_default();
        let dispatch = origin.dispatch;
        let places = self.desk.places.clone();
        let known = Known {
            guild_of: &|channel| places.guild_of(channel),
            exclusions: &self.desk.exclusions,
        };
        let mut decoded = decode(kind, peek.data(), origin, known);
        self.desk.meters.on_frame(kind);
        if let Ok(decoded) = &mut decoded {
            let envelopes = decoded.envelopes_mut();
            trace::on_frame(kind, dispatch, origin.received_ms, envelopes);
        }
        let is_outage = matches!(decoded, Err(Outcome::Skipped(Skip::Outage)));
        let frame = (kind, peek.data());
        roll::keep(&self.desk.rolls, shard, frame, dispatch, is_outage);
        if kind == "READY" {
            self.on_identified(dispatch, shard, peek.data(), origin.received_ms);
        }
        let is_away = is_outage || kind == "GUILD_DELETE";
        if is_away && let Some(guild) = guild_of_frame(peek.data()) {
            self.desk.gaps.on_away(dispatch, guild);
        }
        if kind == "RATE_LIMITED"
            && let Some(limited) = members_limited(peek.data())
        {
            let nonce = limited.nonce.as_deref();
            self.desk.chunks.on_limited(nonce, limited.wait);
        }
        match &decoded {
            Err(Outcome::Skipped(Skip::UnknownEvent)) => self.on_unknown(kind),
            Err(Outcome::Refused(_)) => {
                tracing::error!(
                    kind,
                    sequence = dispatch.sequence,
                    "a dispatch can't be read"
                );
            }
            _ => {}
        }
        decoded
    }

    /// A new session of this shard begins: what was known of its guilds' members, reactions and messages may have
    /// changed since the one before.
    fn on_identified(&mut self, dispatch: Dispatch, shard: ShardId, ready: &str, received_ms: i64) {
        self.desk.roster.on_identified(shard);
        let places = &self.desk.places;
        let is_of_shard = |(channel, _): Key| {
            let guild = places.guild_of(channel);
            guild.is_none_or(|guild| shard.has(guild))
        };
        self.reacting
            .on_identified(dispatch, received_ms, is_of_shard);
        let named = ready_guilds(ready);
        let gaps = &self.desk.gaps;
        let since_ms = gaps.on_ready(shard, dispatch.epoch, named, received_ms);
        if let Some(since_ms) = since_ms {
            let place = Place {
                shard: dispatch.shard,
                epoch: dispatch.epoch,
            };
            self.desk.book.open(place, Some(since_ms), received_ms);
            tracing::info!("a new session begins behind a gap, which is read from Discord");
        }
    }

    pub(super) fn on_queued(&mut self, envelope: &Envelope) {
        self.desk.places.on_event(envelope);
        let key = |id| Some((envelope.channel?, MessageId::new(id)?));
        match &envelope.event {
            Event::GuildRemoved(_) => self.desk.roster.on_guild_removed(envelope.guild),
            Event::MessageCreated(message) => {
                if let Some(key) = key(message.id) {
                    let newest = self.newest.entry(key.0).or_default();
                    *newest = message.id.max(*newest);
                    let ledger = &mut self.reacting.ledger;
                    ledger.on_created(key, message.reactions.clone());
                }
            }
            Event::MessageDeleted(deleted) => {
                if let Some(key) = key(deleted.message_id) {
                    self.reacting.ledger.on_deleted(key);
                }
            }
            _ => {}
        }
    }

    fn on_unknown(&mut self, kind: &str) {
        let is_new = self.unknown_kinds.len() < UNKNOWN_KINDS_MAX
            && self.unknown_kinds.insert(kind.to_owned());
        if is_new {
            tracing::info!(
                kind,
                "a kind of event that this version does not know is skipped"
            );
        }
    }
}

fn unless_empty(envelopes: Vec<Envelope>, skip: Skip) -> Result<Vec<Envelope>, Outcome> {
    if envelopes.is_empty() {
        return Err(Outcome::Skipped(skip));
    }
    Ok(envelopes)
}

/// A guild's snapshot, without its number and its suspects; none of any other events.
fn snapshot_of(envelopes: &[Envelope], origin: Origin, is_threadless: bool) -> Option<Snapshot> {
    let first = envelopes.first()?;
    matches!(first.event, Event::GuildSnapshotBegin(_)).then(|| Snapshot {
        guild: first.guild,
        dispatch: origin.dispatch,
        received_ms: origin.received_ms,
        number: 0,
        suspects: Vec::new(),
        is_threadless,
    })
}

/// The member that an envelope is about, if it is about one.
fn member_of(envelope: &Envelope, era: Era) -> Option<About> {
    let (user, stays) = match &envelope.event {
        Event::MemberUpserted(member) => (member.user.as_ref()?.id, true),
        Event::MemberRemoved(removed) => (removed.user_id, false),
        _ => return None,
    };
    Some(About {
        guild: envelope.guild,
        user: UserId::new(user)?,
        stays,
        era,
    })
}
