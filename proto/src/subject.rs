//! The one grammar of subjects (contract.md, section 5).
//!
//! `discord.v1.channel.<id>` is what viewers see, `discord.v1.guild.<id>` who may see it. The stream
//! republishes both below `live.`; everything else that crosses the broker has a constant here.

use std::fmt;
use std::str::FromStr;

use crate::id::{ChannelId, GuildId};

/// The stream that holds every event.
pub const STREAM: &str = "DISCORD";
/// All subjects of the stream.
pub const ALL: &str = "discord.v1.>";
/// All republished events.
pub const LIVE: &str = "live.discord.v1.>";
/// What the stream puts before a subject when it republishes.
pub const LIVE_PREFIX: &str = "live.";
/// The leader's last acknowledged sequence.
pub const HEADS: &str = "heads.discord.v1";
/// Requests to the leader about a member.
pub const RPC_MEMBER: &str = "rpc.ingest.member";
/// Requests to the leader for links of files that hold longer.
pub const RPC_LINKS: &str = "rpc.ingest.links";
/// Requests to the leader for a channel's messages of before anybody listened.
pub const RPC_HISTORY: &str = "rpc.ingest.history";
/// How many viewers each fanout has, between fanouts.
pub const VIEWERS: &str = "viewers.discord.v1";
/// Tokens that are void from now on, between fanouts.
pub const REVOKED: &str = "revoked.discord.v1";
/// Everything that is told and never stored.
pub const EPHEMERAL: &str = "ephemeral.discord.v1.>";
/// The bucket of the lease and of the gateway session.
pub const INGEST_BUCKET: &str = "discord-ingest";
/// The bucket of the addresses at which fanouts reach each other.
pub const FANOUT_BUCKET: &str = "discord-fanout";

const CHANNEL: &str = "discord.v1.channel.";
const GUILD: &str = "discord.v1.guild.";

/// What happens in a channel and is never stored: somebody types.
pub fn ephemeral(channel: ChannelId) -> String {
    format!("ephemeral.discord.v1.{channel}")
}

/// A subject of the stream. Order is kept within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// What the viewers of a channel see.
    Channel(ChannelId),
    /// The directory of a guild: who may see what.
    Guild(GuildId),
}

/// Text that is no subject of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of the stream")]
pub struct NotASubject;

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(id) => write!(f, "{CHANNEL}{id}"),
            Self::Guild(id) => write!(f, "{GUILD}{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = NotASubject;

    /// Reads a subject, republished (`live.…`) or not.
    fn from_str(text: &str) -> Result<Self, NotASubject> {
        let text = text.strip_prefix(LIVE_PREFIX).unwrap_or(text);
        if let Some(id) = text.strip_prefix(CHANNEL) {
            return id.parse().map(Self::Channel).map_err(|_| NotASubject);
        }
        let id = text.strip_prefix(GUILD).ok_or(NotASubject)?;
        id.parse().map(Self::Guild).map_err(|_| NotASubject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_as_it_was_written_also_republished() {
        for subject in [
            Subject::Channel(ChannelId::new(5).unwrap()),
            Subject::Guild(GuildId::new(6).unwrap()),
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
            assert_eq!(format!("live.{subject}").parse(), Ok(subject));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "discord.v1.channel.",
            "discord.v1.channel.x",
            "discord.v1.guild.1.2",
            "heads.discord.v1",
            "live.live.discord.v1.guild.1",
        ] {
            assert_eq!(text.parse::<Subject>(), Err(NotASubject), "{text}");
        }
    }
}
