//! What a client sends to the gateway, read strictly: anything else closes the connection with Discord's code.
//! Pure: text in, command or close code out. <https://discord.com/developers/docs/topics/opcodes-and-status-codes>.

use serde::Deserialize;
use serde_json::Value;

use super::session::Subscription;
use crate::TOKEN;
use crate::event::Intents;
use crate::snowflake::Snowflake;

/// The longest payload that Discord takes, in bytes.
const PAYLOAD_MAX: usize = 4_096;
/// Every intent bit that Discord has given out.
const KNOWN_INTENTS: u64 = (1 << 26) - 1;

/// Why the server closes a connection: the code and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseReason(pub(crate) u16, pub(crate) &'static str);

impl CloseReason {
    pub(crate) const UNKNOWN: Self = Self(4_000, "Unknown error.");
    pub(crate) const UNKNOWN_OPCODE: Self = Self(4_001, "Unknown opcode.");
    pub(crate) const DECODE: Self = Self(4_002, "Error while decoding payload.");
    pub(crate) const NOT_AUTHENTICATED: Self = Self(4_003, "Not authenticated.");
    pub(crate) const AUTHENTICATION_FAILED: Self = Self(4_004, "Authentication failed.");
    pub(crate) const ALREADY_AUTHENTICATED: Self = Self(4_005, "Already authenticated.");
    pub(crate) const RATE_LIMITED: Self = Self(4_008, "Rate limited.");
    pub(crate) const TIMED_OUT: Self = Self(4_009, "Session timed out.");
    pub(crate) const INVALID_SHARD: Self = Self(4_010, "Invalid shard.");
    pub(crate) const SHARDING_REQUIRED: Self = Self(4_011, "Sharding required.");
    pub(crate) const INVALID_VERSION: Self = Self(4_012, "Invalid API version.");
    pub(crate) const INVALID_INTENTS: Self = Self(4_013, "Invalid intent(s).");
    pub(crate) const DISALLOWED_INTENTS: Self = Self(4_014, "Disallowed intent(s).");
}

/// A client's command.
#[derive(Debug)]
pub(crate) enum Command {
    Heartbeat,
    Identify(Subscription),
    Resume {
        session_id: String,
        seq: u64,
    },
    RequestMembers(MemberRequest),
    /// Presence, voice state and the like: taken and without effect.
    Ignored,
}

impl Command {
    /// Whether it is allowed before IDENTIFY or RESUME.
    pub(crate) fn is_greeting(&self) -> bool {
        matches!(
            self,
            Self::Heartbeat | Self::Identify(_) | Self::Resume { .. }
        )
    }
}

/// Op 8.
#[derive(Debug, Deserialize)]
pub(crate) struct MemberRequest {
    pub(crate) guild_id: Snowflake,
    pub(crate) query: Option<String>,
    #[serde(default)]
    pub(crate) limit: usize,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) user_ids: Option<Vec<Snowflake>>,
    pub(crate) nonce: Option<String>,
}

#[derive(Deserialize)]
struct Frame {
    op: u8,
    #[serde(default)]
    d: Value,
}

#[derive(Deserialize)]
struct Identify {
    token: String,
    intents: Option<u64>,
    shard: Option<[u64; 2]>,
}

#[derive(Deserialize)]
struct Resume {
    token: String,
    session_id: String,
    seq: u64,
}

/// Reads one frame.
pub(crate) fn parse(text: &str) -> Result<Command, CloseReason> {
    if text.len() > PAYLOAD_MAX {
        return Err(CloseReason::DECODE);
    }
    let frame: Frame = serde_json::from_str(text).map_err(|_| CloseReason::DECODE)?;
    match frame.op {
        1 => Ok(Command::Heartbeat),
        2 => identify(&read(frame.d)?),
        3 | 4 | 31 | 43 => Ok(Command::Ignored),
        6 => resume(read(frame.d)?),
        8 => read(frame.d).map(Command::RequestMembers),
        _ => Err(CloseReason::UNKNOWN_OPCODE),
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: Value) -> Result<T, CloseReason> {
    serde_json::from_value(body).map_err(|_| CloseReason::DECODE)
}

fn identify(body: &Identify) -> Result<Command, CloseReason> {
    if !is_token(&body.token) {
        return Err(CloseReason::AUTHENTICATION_FAILED);
    }
    let intents = body.intents.filter(|intents| intents & !KNOWN_INTENTS == 0);
    let intents = Intents(intents.ok_or(CloseReason::INVALID_INTENTS)?);
    let [shard, shards] = body.shard.unwrap_or([0, 1]);
    if shard >= shards {
        return Err(CloseReason::INVALID_SHARD);
    }
    Ok(Command::Identify(Subscription {
        intents,
        shard,
        shards,
    }))
}

fn resume(body: Resume) -> Result<Command, CloseReason> {
    if !is_token(&body.token) {
        return Err(CloseReason::AUTHENTICATION_FAILED);
    }
    Ok(Command::Resume {
        session_id: body.session_id,
        seq: body.seq,
    })
}

/// Clients send the bare token or, as twilight does, `Bot ` before it.
fn is_token(text: &str) -> bool {
    text.strip_prefix("Bot ").unwrap_or(text) == TOKEN
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Snowflake>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(Snowflake),
        Many(Vec<Snowflake>),
    }
    Ok(
        Option::<Ids>::deserialize(deserializer)?.map(|ids| match ids {
            Ids::One(id) => vec![id],
            Ids::Many(ids) => ids,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_frame_decides_the_close_code() {
        let identify =
            |token: &str, rest: &str| format!(r#"{{"op":2,"d":{{"token":"{token}"{rest}}}}}"#);
        let cases = [
            ("not json".to_owned(), CloseReason::DECODE),
            (
                format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(PAYLOAD_MAX)),
                CloseReason::DECODE,
            ),
            (r#"{"op":99}"#.to_owned(), CloseReason::UNKNOWN_OPCODE),
            (r#"{"op":2,"d":{}}"#.to_owned(), CloseReason::DECODE),
            (
                identify("wrong", r#","intents":1"#),
                CloseReason::AUTHENTICATION_FAILED,
            ),
            (identify(TOKEN, ""), CloseReason::INVALID_INTENTS),
            (
                identify(TOKEN, r#","intents":17179869184"#),
                CloseReason::INVALID_INTENTS,
            ),
            (
                identify(TOKEN, r#","intents":1,"shard":[1,1]"#),
                CloseReason::INVALID_SHARD,
            ),
            (
                r#"{"op":6,"d":{"token":"wrong","session_id":"x","seq":1}}"#.to_owned(),
                CloseReason::AUTHENTICATION_FAILED,
            ),
        ];
        for (text, reason) in cases {
            assert_eq!(parse(&text).unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn a_token_may_come_with_or_without_its_prefix() {
        for prefix in ["", "Bot "] {
            let text = format!(r#"{{"op":2,"d":{{"token":"{prefix}{TOKEN}","intents":513}}}}"#);
            assert!(matches!(parse(&text), Ok(Command::Identify(_))));
        }
    }
}
