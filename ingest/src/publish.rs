//! Frames → envelopes → the stream: every event once and in order, whatever the broker does meanwhile.
//!
//! At most one publication a subject is under way (`lane.rs`), each until its end is known (`delivery.rs`),
//! many subjects at once. The session's sequence moves only over settled dispatches (`progress.rs`). Ends
//! when nobody puts frames or members in any more and all that came is settled. Knows no gateway and no SQL.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use broker::{Broker, Publication};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use proto::identity::Dispatch;
use proto::{ChannelId, Envelope, GuildId, Subject, UserId};
use runtime::Health;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::Instrument as _;

use crate::backfill::{Book, Gaps};
use crate::buffer::Frames;
use crate::exclusions::Exclusions;
use crate::leader::Tenure;
use crate::members::Chunks;
use crate::meters::Meters;
use crate::outcome::{Outcome, Outcomes, Refusal};
use crate::places::Places;
use crate::reactions::{self, Bases};
use crate::roll::Rolls;
use crate::roster::{Era, Roster};
use crate::trace;
use crate::typing::Typist;
use delivery::{Courier, End, Trouble};
use lane::{Lanes, Turn};
use progress::Progress;
use reacting::Reacting;
use repair::{Hold, Repair, Snapshot, Standing};
use stall::Stall;
use tries::Tries;

mod delivery;
mod frames;
pub(crate) mod head;
mod lane;
mod progress;
mod reacting;
pub(crate) mod repair;
mod stall;
mod tries;

/// Publications under way at once: enough to fill a round trip to a cluster, and a bound on what hangs
/// while the broker is away.
const UNDER_WAY_MAX: usize = 256;

/// Envelopes that may wait for their turn before no more frames are taken: in the buffer they are packed. Some seconds
/// of what a busy bot hears, and of what one subject takes.
const WAITING_MAX: usize = 8_192;

/// The last dispatch of each shard up to which all of it are settled.
pub(crate) type Reached = BTreeMap<u32, Dispatch>;

/// What a publisher works with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) tenure: Tenure,
    pub(crate) health: Health,
    pub(crate) outcomes: Outcomes,
    pub(crate) meters: Meters,
    pub(crate) places: Places,
    pub(crate) roster: Roster,
    pub(crate) exclusions: Exclusions,
    pub(crate) bases: Bases,
    pub(crate) typist: Typist,
    pub(crate) chunks: Chunks,
    /// What each session has to make good, what became of it, and where its snapshots go for that.
    pub(crate) gaps: Gaps,
    pub(crate) book: Book,
    // Unbounded: one a guild and session, and what comes back is bounded.
    pub(crate) snapshots: mpsc::UnboundedSender<Snapshot>,
    /// The guilds that each session names; none before its READY, or where that can't be read.
    pub(crate) rolls: watch::Sender<Rolls>,
    pub(crate) reached: watch::Sender<Reached>,
    /// The last sequence that the stream acknowledged.
    pub(crate) acknowledged: watch::Sender<u64>,
}

/// What was found out beside the gateway, to be published between its events.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) envelope: Envelope,
    pub(crate) claim: Claim,
    /// Gets the sequence; dropped if the gateway has belied it by its turn, or the broker refuses it.
    pub(crate) reply: oneshot::Sender<u64>,
}

/// What a submission says, and what makes it void.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim {
    /// Discord said this of a member: void once the gateway speaks of that member.
    Member(UserId),
    /// The session of this epoch does not name the guild: void once it does, or is another.
    Left(u64),
}

/// Publishes until its inputs end.
#[derive(Debug)]
pub(crate) struct Publisher {
    desk: Desk,
    courier: Courier,
    lanes: Lanes<Owner>,
    progress: Progress,
    stall: Stall,
    reacting: Reacting,
    under_way: FuturesUnordered<BoxFuture<'static, Delivered>>,
    /// When each publication that is under way was begun.
    sent: HashMap<Subject, Instant>,
    /// The newest message of each channel that went through here, or was found to be Discord's last.
    newest: HashMap<ChannelId, u64>,
    /// Who waits for a lane to stand still.
    standing: HashMap<Hold, (oneshot::Sender<Standing>, Option<u64>)>,
    unknown_kinds: HashSet<String>,
}

/// Who wants to know how an envelope ended.
#[derive(Debug)]
enum Owner {
    /// A dispatch, by its number in the progress, and who else wants to know.
    Frame(u64, Note),
    Submission(oneshot::Sender<u64>),
}

/// What an event is about, for whoever keeps a book of it.
#[derive(Debug, Clone, Copy)]
enum Note {
    Nothing,
    Member(About),
    Total(reactions::Key),
}

/// The member that an event is about, and whether it is one from then on.
#[derive(Debug, Clone, Copy)]
struct About {
    guild: GuildId,
    user: UserId,
    stays: bool,
    era: Era,
}

#[derive(Debug)]
struct Delivered {
    subject: Subject,
    owner: Owner,
    end: End,
    known: Option<u64>,
}

impl Publisher {
    /// A publisher with nothing to do yet.
    pub(crate) fn new(desk: Desk) -> Self {
        let courier = Courier {
            broker: Arc::clone(&desk.broker),
            tenure: desk.tenure.clone(),
            trouble: Arc::new(Trouble::new(desk.health.clone())),
        };
        let stall = Stall::new(Arc::clone(&courier.trouble));
        Self {
            stall,
            reacting: Reacting::new(desk.bases.clone()),
            desk,
            courier,
            lanes: Lanes::default(),
            progress: Progress::default(),
            under_way: FuturesUnordered::new(),
            sent: HashMap::new(),
            newest: HashMap::new(),
            standing: HashMap::new(),
            unknown_kinds: HashSet::new(),
        }
    }

    /// Publishes what comes, until all inputs are closed and all is settled. What stands behind a hold that nobody
    /// will release is left: its frames come again.
    pub(crate) async fn run(
        mut self,
        mut frames: Frames,
        mut submissions: mpsc::Receiver<Submission>,
        mut repairs: mpsc::Receiver<Repair>,
    ) {
        let (mut has_frames, mut has_submissions, mut has_repairs) = (true, true, true);
        let mut looks = interval(stall::PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while self.under_way.len() < UNDER_WAY_MAX
                && let Some(turn) = self.lanes.take()
            {
                self.send(turn);
            }
            let is_idle = self.under_way.is_empty() && self.lanes.waiting() == 0;
            let has_inputs = has_frames || has_submissions || has_repairs;
            if is_idle && self.reacting.is_idle() && !has_inputs {
                return;
            }
            tokio::select! {
                Some(delivered) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.on_delivered(delivered);
                }
                (key, found) = self.reacting.found(), if !self.reacting.is_idle() => {
                    self.on_found(key, found);
                }
                frame = frames.recv(), if has_frames && self.lanes.waiting() < WAITING_MAX => match frame {
                    Some(frame) => self.on_frame(frame),
                    None => has_frames = false,
                },
                submission = submissions.recv(), if has_submissions => match submission {
                    Some(submission) => self.on_submission(submission),
                    None => has_submissions = false,
                },
                repair = repairs.recv(), if has_repairs => match repair {
                    Some(repair) => self.on_repair(repair),
                    None => has_repairs = false,
                },
                now = looks.tick() => {
                    let is_leased = self.desk.tenure.is_valid();
                    self.stall.on_look(now, self.oldest(), is_leased);
                }
            }
        }
    }

    fn on_submission(&mut self, submission: Submission) {
        if self.is_void(&submission) {
            return;
        }
        self.on_queued(&submission.envelope);
        let owner = Owner::Submission(submission.reply);
        self.lanes.push(submission.envelope, owner);
    }

    /// What the gateway says is newer than what was found out beside it, or comes again.
    fn is_void(&self, submission: &Submission) -> bool {
        let guild = submission.envelope.guild;
        match submission.claim {
            Claim::Member(user) => self.desk.roster.is_overtaken(guild, user),
            Claim::Left(epoch) => !self.desk.rolls.borrow().is_left(epoch, guild),
        }
    }

    fn send(&mut self, turn: Turn<Owner>) {
        let Turn {
            subject,
            envelope,
            owner,
            known,
        } = turn;
        let identity = envelope.identity.to_string();
        let trace = envelope.trace;
        let encoded = envelope.encode();
        if encoded.is_trimmed {
            self.desk.outcomes.on_trimmed();
        }
        let mut publication = Publication {
            subject,
            identity,
            trace,
            payload: encoded.payload,
        };
        let span = trace::on_send(&mut publication);
        self.sent.insert(subject, Instant::now());
        let (courier, meters) = (self.courier.clone(), self.desk.meters.clone());
        self.under_way.push(Box::pin(async move {
            let mut tries = Tries::begin(span, meters);
            let delivering = courier.deliver(&publication, known, &mut tries.count);
            let (end, known) = delivering.instrument(tries.span.for_logs()).await;
            tries.on_end(&end);
            Delivered {
                subject,
                owner,
                end,
                known,
            }
        }));
    }

    fn on_delivered(&mut self, delivered: Delivered) {
        let Delivered {
            subject,
            owner,
            end,
            known,
        } = delivered;
        self.sent.remove(&subject);
        self.lanes.settle(subject, known);
        self.on_reached();
        let (outcome, sequence) = match end {
            End::Stored(sequence) => (Outcome::Published, Some(sequence)),
            End::Duplicate(sequence) => (Outcome::Duplicate, Some(sequence)),
            End::Refused(why) => {
                tracing::error!(%subject, %why, "the broker refuses an event for good");
                (Outcome::Refused(Refusal::Broker), None)
            }
        };
        if let Some(sequence) = sequence {
            self.desk.acknowledged.send_if_modified(|last| {
                let is_newer = sequence > *last;
                *last = sequence.max(*last);
                is_newer
            });
        }
        match (owner, sequence) {
            (Owner::Frame(number, note), sequence) => {
                match note {
                    Note::Nothing => {}
                    Note::Member(about) => {
                        let key = (about.guild, about.user);
                        let roster = &self.desk.roster;
                        roster.on_settled(key, about.stays, sequence, about.era);
                    }
                    Note::Total(key) => self.reacting.ledger.on_published(key),
                }
                self.settle(number, outcome);
            }
            (Owner::Submission(reply), Some(sequence)) => {
                if reply.send(sequence).is_err() {
                    tracing::debug!("whoever asked for a member is gone");
                }
            }
            (Owner::Submission(_), None) => {}
        }
    }

    fn settle(&mut self, number: u64, outcome: Outcome) {
        let step = self.progress.settle(number, outcome);
        if let Some(outcome) = step.settled {
            self.desk.outcomes.on_settled(outcome);
        }
        if let Some(dispatch) = step.reached {
            self.desk.reached.send_modify(|reached| {
                reached.insert(dispatch.shard, dispatch);
            });
        }
    }
}

#[cfg(test)]
mod tests;
