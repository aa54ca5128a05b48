//! Permission bits: a number inside, a decimal string on the wire, unknown bits untouched.
//! <https://discord.com/developers/docs/topics/permissions#permissions-bitwise-permission-flags>.

use std::ops::BitOr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions(u64);

impl Permissions {
    pub(crate) const NONE: Self = Self(0);
    /// Every bit that Discord has given out: 53 of them in August 2026.
    pub(crate) const ALL: Self = Self((1 << 53) - 1);
    pub(crate) const ADMINISTRATOR: Self = Self(1 << 3);
    pub(crate) const ADD_REACTIONS: Self = Self(1 << 6);
    pub(crate) const VIEW_CHANNEL: Self = Self(1 << 10);
    pub(crate) const SEND_MESSAGES: Self = Self(1 << 11);
    pub(crate) const MANAGE_MESSAGES: Self = Self(1 << 13);
    pub(crate) const EMBED_LINKS: Self = Self(1 << 14);
    pub(crate) const ATTACH_FILES: Self = Self(1 << 15);
    pub(crate) const READ_MESSAGE_HISTORY: Self = Self(1 << 16);
    pub(crate) const CONNECT: Self = Self(1 << 20);
    pub(crate) const SPEAK: Self = Self(1 << 21);
    pub(crate) const MANAGE_THREADS: Self = Self(1 << 34);
    pub(crate) const CREATE_PUBLIC_THREADS: Self = Self(1 << 35);
    pub(crate) const SEND_MESSAGES_IN_THREADS: Self = Self(1 << 38);

    /// Whether every bit of `wanted` is here.
    pub(crate) const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// These, less `denied`, plus `allowed`: one step of Discord's overwrite algorithm.
    pub(crate) const fn overwritten(self, allowed: Self, denied: Self) -> Self {
        Self((self.0 & !denied.0) | allowed.0)
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Text(String),
            Number(u64),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Number(bits) => Ok(Self(bits)),
            Wire::Text(text) => text
                .parse()
                .map(Self)
                .map_err(|_| de::Error::custom("permissions are not a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_survive_and_the_wire_is_a_string() {
        let bits: Permissions = serde_json::from_str("\"4611686018427388928\"").unwrap();
        assert!(bits.contains(Permissions::VIEW_CHANNEL));
        assert_eq!(
            serde_json::to_string(&bits).unwrap(),
            "\"4611686018427388928\""
        );
    }

    #[test]
    fn an_allow_outranks_a_deny_of_the_same_step() {
        let both = Permissions::VIEW_CHANNEL;
        assert!(
            Permissions::NONE
                .overwritten(both, both)
                .contains(Permissions::VIEW_CHANNEL)
        );
    }
}
