//! One viewer's state: who they are, what they have joined, what they were last told that they see.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use proto::{ChannelId, GuildId};
use serde_json::value::RawValue;

use crate::access::{Grant, Holder};
use crate::address::ClientAddress;
use crate::audience::Watcher;
use crate::auth::{AuthError, Principal};
use crate::hub::Waiting;
use crate::recovery::Kept;
use crate::request::{Asked, Code, Refusal};
use crate::transport::{Link, Seat};

/// Channels that one viewer may have joined (decisions.md, "Joining and paging").
pub const JOINED_MAX: usize = 50;

/// Pages that may be read for one viewer at a time: as many as a client asks for at once when it opens.
pub const PAGING_MAX: usize = 8;

/// Names a viewer on their worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewerKey(u64);

impl ViewerKey {
    /// The key of this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

/// What a connection's authentication has found.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who it is.
    pub principal: Principal,
    /// Nobody could say whether they are a member of every guild: a refusal may be wrong.
    pub is_unresolved: bool,
    /// Where they come from.
    pub address: ClientAddress,
    /// Their places among connections; none where these are not counted.
    pub seat: Option<Seat>,
}

/// A connected viewer.
#[derive(Debug)]
pub struct Viewer {
    /// Who it is, and whether that is settled.
    pub session: Session,
    /// Where their events go.
    pub link: Link,
    /// What they have joined.
    pub joined: BTreeSet<ChannelId>,
    /// What they are about to join.
    pub joining: BTreeSet<ChannelId>,
    /// Pages that are being read for them.
    pub paging: usize,
    /// What they have asked and was not answered.
    pub line: VecDeque<Waiting>,
    /// Their line is being served.
    pub is_served: bool,
    /// Their token has expired; unless they send another one by then (seconds since 1970), they go.
    pub grace_ends: Option<i64>,
    /// What they can come back to; none where nothing is kept of them.
    pub kept: Option<Kept>,
    /// A hash of the channel list that they were last sent.
    listed: u64,
    /// The guilds of that list.
    guilds: BTreeSet<GuildId>,
}

impl Viewer {
    /// A viewer who has been told nothing yet.
    pub fn new(session: Session, link: Link) -> Self {
        Self {
            session,
            link,
            joined: BTreeSet::new(),
            joining: BTreeSet::new(),
            paging: 0,
            line: VecDeque::new(),
            is_served: false,
            grace_ends: None,
            kept: None,
            listed: 0,
            guilds: BTreeSet::new(),
        }
    }

    /// This would be a second token while one stands in line.
    pub fn is_refreshing(&self, asked: &Result<Asked, Refusal>) -> bool {
        matches!(asked, Ok(Asked::Refresh(_))) && self.line.iter().any(Waiting::is_refresh)
    }

    /// Whom they count as where viewers are counted.
    pub fn watcher(&self) -> Watcher {
        match self.session.principal.grant {
            Grant::User(user) => Watcher::User(user),
            Grant::Embed(_) => Watcher::Embed(self.link.transport()),
        }
    }

    /// Whose form of events they get.
    pub fn holder(&self) -> Holder {
        self.session.principal.grant.holder()
    }

    /// One more channel would be too many.
    pub fn is_full(&self) -> bool {
        self.joined.union(&self.joining).count() >= JOINED_MAX
    }

    /// They see channels of this guild, for all they were told.
    pub fn is_in(&self, guild: GuildId) -> bool {
        self.guilds.contains(&guild)
    }

    /// Whose channels they see, for all they were told.
    pub fn guilds(&self) -> impl Iterator<Item = GuildId> {
        self.guilds.iter().copied()
    }

    /// Remembers whose channels they see.
    pub fn set_guilds(&mut self, guilds: impl Iterator<Item = GuildId>) {
        self.guilds = guilds.collect();
    }

    /// Remembers the list that is sent now. True if it is another one than the last.
    pub fn is_news(&mut self, list: &RawValue) -> bool {
        let mut hasher = DefaultHasher::new();
        list.get().hash(&mut hasher);
        let listed = hasher.finish();
        std::mem::replace(&mut self.listed, listed) != listed
    }
}

/// Whether a token may take the place of another one on an open socket (decisions.md, "Refresh").
///
/// # Errors
/// It is another user's, issuer's or kind of token, or does not last longer.
pub fn succeed(present: &Principal, next: &Principal) -> Result<(), Refusal> {
    let is_embed = |principal: &Principal| matches!(principal.grant, Grant::Embed(_));
    let is_same = (present.user, &present.issuer, is_embed(present))
        == (next.user, &next.issuer, is_embed(next));
    if !is_same {
        return Err(AuthError::Invalid.into());
    }
    if next.expires <= present.expires {
        let text = "token must expire later than the present one";
        return Err(Refusal::new(Code::BadRequest, text, None));
    }
    Ok(())
}
