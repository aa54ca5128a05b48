//! The ways in which access is taken away and given back, in the order in which they are tried.

use std::ops::Range;

use super::ledger::Sign;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The role is denied the channel.
    Overwrite,
    /// And no longer.
    OverwriteLifted,
    /// The role loses its permissions.
    Permission,
    /// And gets them back.
    PermissionBack,
    /// Some members are kicked.
    Kick,
    /// Some others log out.
    Logout,
    /// The role is deleted.
    RoleDeleted,
}

impl Act {
    /// Each leaves the sockets where the next one needs them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Overwrite,
        Self::OverwriteLifted,
        Self::Permission,
        Self::PermissionBack,
        Self::Kick,
        Self::Logout,
        Self::RoleDeleted,
    ];

    /// How it stands in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite denies the role",
            Self::OverwriteLifted => "overwrite lifted",
            Self::Permission => "role loses VIEW_CHANNEL",
            Self::PermissionBack => "role gets it back",
            Self::Kick => "member kicked",
            Self::Logout => "token revoked",
            Self::RoleDeleted => "role deleted",
        }
    }

    /// Whom it concerns.
    pub(crate) fn concerns(self, sockets: usize, few: usize) -> Range<usize> {
        match self {
            Self::Kick => 0..few,
            Self::Logout => few..2 * few,
            Self::RoleDeleted => 2 * few..sockets,
            _ => 0..sockets,
        }
    }

    /// It takes something away.
    pub(crate) fn is_taking(self) -> bool {
        !matches!(self, Self::OverwriteLifted | Self::PermissionBack)
    }

    /// It is done to each by itself.
    pub(crate) fn is_one_by_one(self) -> bool {
        matches!(self, Self::Kick | Self::Logout)
    }

    /// It stands in the stream, where messages have their place before it or after it.
    pub(crate) fn is_ordered(self) -> bool {
        self != Self::Logout
    }

    /// What the sockets are told.
    pub(crate) fn signs(self) -> &'static [Sign] {
        match self {
            Self::OverwriteLifted | Self::PermissionBack => &[Sign::Shown],
            Self::Logout => &[Sign::Ended],
            _ => &[Sign::Left, Sign::Hidden],
        }
    }
}

impl Sign {
    /// How it stands in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Left => "channel_left",
            Self::Hidden | Self::Shown => "channels_list",
            Self::Ended => "DISCONNECT",
        }
    }
}
