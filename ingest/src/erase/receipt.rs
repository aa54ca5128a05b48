//! What was erased, in numbers.

use std::fmt;
use std::ops::AddAssign;

use proto::UserId;
use runtime::time::iso;

/// What is handed to whoever asked for it. Names nothing but the id that they gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    user: UserId,
    at_ms: i64,
    /// How much there was.
    pub counts: Counts,
}

/// How much there was of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of the user.
    pub messages: u64,
    /// Others' messages that said whom or what they answer.
    pub replies: u64,
    /// Others' copies of the user's messages.
    pub forwards: u64,
    /// Others' messages that told the user's name.
    pub names: u64,
    /// Servers that the user was known to be a member of.
    pub memberships: u64,
    /// Lists of servers of the user's last login.
    pub logins: u64,
    /// Events that the stream still held.
    pub events: u64,
}

impl Receipt {
    pub(super) fn new(user: UserId, at_ms: i64) -> Self {
        Self {
            user,
            at_ms,
            counts: Counts::default(),
        }
    }
}

impl Counts {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn lines(self) -> [(&'static str, u64); 7] {
        [
            ("messages", self.messages),
            ("replies", self.replies),
            ("forwards", self.forwards),
            ("names", self.names),
            ("memberships", self.memberships),
            ("logins", self.logins),
            ("events", self.events),
        ]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.replies += more.replies;
        self.forwards += more.forwards;
        self.names += more.names;
        self.memberships += more.memberships;
        self.logins += more.logins;
        self.events += more.events;
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "user {}", self.user)?;
        write!(f, "at {}", iso(self.at_ms))?;
        for (name, count) in self.counts.lines() {
            write!(f, "\n{name} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_every_count_also_where_there_was_nothing() {
        let mut receipt = Receipt::new(UserId::new(7).unwrap(), 1_700_000_000_007);
        let some = Counts {
            messages: 2,
            events: 3,
            ..Counts::default()
        };
        receipt.counts += some;
        receipt.counts += some;
        assert_eq!(
            receipt.to_string(),
            "user 7\nat 2023-11-14T22:13:20.007Z\nmessages 4\nreplies 0\nforwards 0\nnames 0\n\
             memberships 0\nlogins 0\nevents 6"
        );
    }
}
