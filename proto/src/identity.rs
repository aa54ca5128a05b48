//! An event's identity: the key by which the stream, the archive and third parties know a double.
//!
//! A message's creation and deletion are named by the message, wherever they come from; any other event by
//! the gateway dispatch that it was made from, exactly what a RESUME repeats. An edit could not be named by
//! its content: an edit and its unfurl share a timestamp, and a pin, an unpin and a pin share everything.

use std::fmt;

use crate::id::{GuildId, MessageId, UserId};

/// The name of one event. Two events are the same exactly if their identities are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The creation of a message: `create-<message>`.
    Create(MessageId),
    /// The deletion of a message: `delete-<message>`.
    Delete(MessageId),
    /// One envelope of a gateway dispatch: `g-<epoch>-<shard>-<sequence>-<n>`.
    Dispatch(Dispatch, u32),
    /// A member that was asked of Discord: `m-<epoch>-<guild>-<user>-<n>`.
    Member(u64, GuildId, UserId, u64),
    /// A message without what it told of somebody who was erased: `e-<epoch>-<message>`, the epoch of the sweep.
    Erasure(u64, MessageId),
    /// A guild that the session of this epoch no longer names: `left-<epoch>-<guild>`.
    Left(u64, GuildId),
    /// A change that was found when the session of this epoch began: `b-<epoch>-<message>-<hash of the full state>`.
    Backfill(u64, MessageId, u64),
}

/// A dispatch of the gateway, as a RESUME repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dispatch {
    /// 64 random bits, minted at each IDENTIFY and stored with the session. They name, they never order.
    pub epoch: u64,
    /// The shard's number.
    pub shard: u32,
    /// Discord's sequence.
    pub sequence: u64,
}

impl Identity {
    /// The message whose deletion this identity, as it is written, names.
    pub fn deleted(identity: &str) -> Option<MessageId> {
        identity.strip_prefix("delete-")?.parse().ok()
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}-{}", self.epoch, self.shard, self.sequence)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(id) => write!(f, "create-{id}"),
            Self::Delete(id) => write!(f, "delete-{id}"),
            Self::Dispatch(dispatch, n) => write!(f, "g-{dispatch}-{n}"),
            Self::Member(epoch, guild, user, n) => write!(f, "m-{epoch:016x}-{guild}-{user}-{n}"),
            Self::Erasure(epoch, message) => write!(f, "e-{epoch:016x}-{message}"),
            Self::Left(epoch, guild) => write!(f, "left-{epoch:016x}-{guild}"),
            Self::Backfill(epoch, message, hash) => {
                write!(f, "b-{epoch:016x}-{message}-{hash:016x}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_written_as_third_parties_read_them() {
        let message = MessageId::new(42).unwrap();
        let dispatch = Dispatch {
            epoch: 0xab,
            shard: 1,
            sequence: 7,
        };
        let member = Identity::Member(1, GuildId::new(2).unwrap(), UserId::new(3).unwrap(), 4);
        let table = [
            (Identity::Create(message), "create-42"),
            (Identity::Delete(message), "delete-42"),
            (Identity::Erasure(0xab, message), "e-00000000000000ab-42"),
            (Identity::Dispatch(dispatch, 3), "g-00000000000000ab-1-7-3"),
            (member, "m-0000000000000001-2-3-4"),
            (
                Identity::Backfill(0xab, message, 0xcd),
                "b-00000000000000ab-42-00000000000000cd",
            ),
            (
                Identity::Left(0xab, GuildId::new(2).unwrap()),
                "left-00000000000000ab-2",
            ),
        ];
        for (identity, text) in table {
            assert_eq!(identity.to_string(), text);
        }
    }
}
