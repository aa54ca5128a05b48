//! What a viewer asks, read from the JSON of whichever transport, and how a refusal is answered (contract.md §1).
//!
//! Pure. The text of a refusal names the field and never repeats what was sent.

use std::fmt;
use std::time::Duration;

use proto::{ChannelId, MessageId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth::AuthError;
use crate::limit::Limited;
use crate::offset::Offset;

/// Messages of a page unless the viewer asks for another number.
const LIMIT_DEFAULT: u32 = 50;

/// Messages of a page at most.
pub const LIMIT_MAX: u32 = 100;

/// A token that replaces another one; as much as may come before a CONNECT (decisions.md, "Limits").
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A request of a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// `get_channels`
    GetChannels,
    /// `join_channel`; whether a limit was sent decides what a second join answers.
    Join {
        /// The channel.
        channel: ChannelId,
        /// Messages of the page.
        limit: Option<u32>,
    },
    /// `join_channel` with an offset to go on from; none if it is unusable, and the page comes in its place.
    Resume {
        /// The channel.
        channel: ChannelId,
        /// Messages of the page.
        limit: Option<u32>,
        /// Everything up to here was seen.
        after: Option<Offset>,
    },
    /// `leave_channel`
    Leave {
        /// The channel.
        channel: ChannelId,
    },
    /// `get_messages`
    GetMessages {
        /// The channel.
        channel: ChannelId,
        /// The cursor, exclusive.
        before: Option<MessageId>,
        /// Messages of the page.
        limit: u32,
    },
}

/// The codes of the contract that a request can be refused with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A field is missing, mistyped or oversized.
    BadRequest,
    /// The viewer may not, or there is no such channel.
    Forbidden,
    /// The channel was not joined.
    NotJoined,
    /// A dependency is away: try again.
    Unavailable,
    /// No such event.
    UnknownEvent,
    /// Too much was asked.
    RateLimited,
    /// No token came.
    AuthRequired,
    /// The token is not valid here.
    AuthInvalid,
    /// The token is valid no longer.
    AuthExpired,
    /// The token lacks a claim.
    AuthPayload,
    /// The token was taken back.
    AuthRevoked,
}

/// How bad an `error` event is for the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// The request was wrong.
    Low,
    /// The viewer may not.
    Medium,
    /// The service can't.
    High,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The contract's code.
    pub code: Code,
    /// For people; names the field.
    pub text: &'static str,
    /// The channel, where the viewer is known to see it: an id that they only guessed is not repeated.
    pub channel: Option<ChannelId>,
    /// In so many seconds the same is not refused for this reason again.
    pub retry_after: Option<u64>,
}

impl Code {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::BadRequest | Self::NotJoined | Self::UnknownEvent => Severity::Low,
            Self::Forbidden | Self::RateLimited => Severity::Medium,
            Self::Unavailable
            | Self::AuthRequired
            | Self::AuthInvalid
            | Self::AuthExpired
            | Self::AuthPayload
            | Self::AuthRevoked => Severity::High,
        }
    }
}

impl Refusal {
    /// A refusal of this code and text.
    pub fn new(code: Code, text: &'static str, channel: Option<ChannelId>) -> Self {
        Self {
            code,
            text,
            channel,
            retry_after: None,
        }
    }

    /// Too much was asked; after so long the same is let through.
    pub fn rate_limited(text: &'static str, retry_after: Duration) -> Self {
        // Whole seconds, rounded up: who waits for them is not refused again.
        let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
        Self {
            retry_after: Some(u64::try_from(seconds).unwrap_or(u64::MAX)),
            ..Self::new(Code::RateLimited, text, None)
        }
    }

    fn bad(text: &'static str) -> Self {
        Self::new(Code::BadRequest, text, None)
    }
}

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        Self::rate_limited(limited.limit.message(), limited.retry_after)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let (code, text) = match error {
            AuthError::Required => (Code::AuthRequired, "Authentication token required"),
            AuthError::Invalid => (Code::AuthInvalid, "Invalid authentication token"),
            AuthError::Expired => (Code::AuthExpired, "Authentication token expired"),
            AuthError::Payload => (Code::AuthPayload, "Invalid token payload"),
            AuthError::Revoked => (Code::AuthRevoked, "Authentication token revoked"),
        };
        Self::new(code, text, None)
    }
}

/// An event of a client on an open socket.
#[derive(Clone, PartialEq, Eq)]
pub enum Asked {
    /// A request.
    Request(Request),
    /// `refresh_token`
    Refresh(String),
}

/// What is asked; a token has no place in a log.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => request.fmt(f),
            Self::Refresh(_) => f.write_str("Refresh"),
        }
    }
}

impl Asked {
    /// Reads an event of a client.
    ///
    /// # Errors
    /// No such event, or a field that is missing, mistyped or oversized.
    pub fn read(name: &str, payload: Option<&RawValue>) -> Result<Self, Refusal> {
        if name == "refresh_token" {
            return token(payload).map(Self::Refresh);
        }
        Request::read(name, payload).map(Self::Request)
    }
}

/// The event of this name is not counted against a quota (decisions.md, "Limits").
pub fn is_free(name: &str) -> bool {
    matches!(name, "refresh_token" | "leave_channel")
}

fn token(payload: Option<&RawValue>) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Fields {
        token: Option<Value>,
    }
    let payload = payload.ok_or(Refusal::bad("token is required"))?;
    if payload.get().len() > TOKEN_BYTES_MAX {
        return Err(Refusal::bad("token is too long"));
    }
    let fields: Fields = serde_json::from_str(payload.get())
        .map_err(|_| Refusal::bad("the payload must be an object with token"))?;
    match fields.token {
        Some(Value::String(token)) if !token.is_empty() => Ok(token),
        Some(Value::String(_) | Value::Null) | None => Err(Refusal::bad("token is required")),
        Some(_) => Err(Refusal::bad("token must be a string")),
    }
}

/// The fields of a request as they came: each is checked by itself, so that the refusal names it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    channel_id: Option<Value>,
    limit: Option<Value>,
    before: Option<Value>,
}

impl Request {
    /// Reads an event of a client.
    ///
    /// # Errors
    /// No such event, or a field that is missing, mistyped or oversized.
    pub fn read(name: &str, payload: Option<&RawValue>) -> Result<Self, Refusal> {
        match name {
            "get_channels" => no_fields(payload),
            "join_channel" => {
                let fields = Fields::read(payload)?;
                let channel = fields.channel()?;
                let limit = fields.limit()?;
                Ok(Self::Join { channel, limit })
            }
            "leave_channel" => {
                let channel = Fields::read(payload)?.channel()?;
                Ok(Self::Leave { channel })
            }
            "get_messages" => {
                let fields = Fields::read(payload)?;
                let channel = fields.channel()?;
                let limit = fields.limit()?;
                Ok(Self::GetMessages {
                    channel,
                    before: fields.before()?,
                    limit: limit.unwrap_or(LIMIT_DEFAULT),
                })
            }
            _ => Err(Refusal::new(Code::UnknownEvent, "unknown event", None)),
        }
    }
}

/// The number of messages of a join's page.
pub fn page_limit(limit: Option<u32>) -> u32 {
    limit.unwrap_or(LIMIT_DEFAULT)
}

/// `get_channels` takes nothing, `null` or `{}`; other clients' fields are no reason to refuse.
fn no_fields(payload: Option<&RawValue>) -> Result<Request, Refusal> {
    let first = payload.and_then(|payload| payload.get().bytes().next());
    match first {
        None | Some(b'n' | b'{') => Ok(Request::GetChannels),
        Some(_) => Err(Refusal::bad("the payload must be an object")),
    }
}

impl Fields {
    /// An object, or the channel's id alone.
    fn read(payload: Option<&RawValue>) -> Result<Self, Refusal> {
        let payload = payload.ok_or(Refusal::bad("channelId is required"))?;
        match serde_json::from_str(payload.get()) {
            Ok(id @ Value::String(_)) => Ok(Self {
                channel_id: Some(id),
                ..Self::default()
            }),
            Ok(object @ Value::Object(_)) => serde_json::from_value(object)
                .map_err(|_| Refusal::bad("the payload must be an object")),
            _ => Err(Refusal::bad("the payload must be an object with channelId")),
        }
    }

    fn channel(&self) -> Result<ChannelId, Refusal> {
        let Some(value) = &self.channel_id else {
            return Err(Refusal::bad("channelId is required"));
        };
        let id = value.as_str().and_then(|text| text.parse().ok());
        id.ok_or(Refusal::bad("channelId must be a snowflake as a string"))
    }

    fn limit(&self) -> Result<Option<u32>, Refusal> {
        let Some(value) = &self.limit else {
            return Ok(None);
        };
        let limit = value.as_u64().and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit
            .map(Some)
            .ok_or(Refusal::bad("limit must be a whole number from 1 to 100"))
    }

    fn before(&self) -> Result<Option<MessageId>, Refusal> {
        let Some(value) = &self.before else {
            return Ok(None);
        };
        let id = value.as_str().and_then(|text| text.parse().ok());
        id.map(Some)
            .ok_or(Refusal::bad("before must be a message id as a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str, json: &str) -> Result<Request, Refusal> {
        let payload: Option<Box<RawValue>> =
            (!json.is_empty()).then(|| serde_json::from_str(json).unwrap());
        Request::read(name, payload.as_deref())
    }

    #[test]
    fn requests_are_read_as_clients_write_them() {
        let channel = ChannelId::new(7).unwrap();
        let table = [
            ("get_channels", "", Request::GetChannels),
            ("get_channels", "null", Request::GetChannels),
            ("get_channels", "{}", Request::GetChannels),
            (
                "join_channel",
                "\"7\"",
                Request::Join {
                    channel,
                    limit: None,
                },
            ),
            (
                "join_channel",
                r#"{"channelId":"7","limit":null}"#,
                Request::Join {
                    channel,
                    limit: None,
                },
            ),
            (
                "join_channel",
                r#"{"channelId":"7","limit":100}"#,
                Request::Join {
                    channel,
                    limit: Some(100),
                },
            ),
            (
                "leave_channel",
                r#"{"channelId":"7"}"#,
                Request::Leave { channel },
            ),
            (
                "get_messages",
                r#"{"channelId":"7","before":"9"}"#,
                Request::GetMessages {
                    channel,
                    before: MessageId::new(9),
                    limit: 50,
                },
            ),
        ];
        for (name, json, request) in table {
            assert_eq!(read(name, json), Ok(request), "{name} {json}");
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        let table = [
            ("join_channel", "", "channelId"),
            ("join_channel", "{}", "channelId"),
            ("join_channel", "7", "channelId"),
            ("join_channel", r#"{"channelId":7}"#, "channelId"),
            ("join_channel", r#"{"channelId":"seven"}"#, "channelId"),
            (
                "join_channel",
                r#"{"channelId":"99999999999999999999"}"#,
                "channelId",
            ),
            ("join_channel", r#"{"channelId":"7","limit":0}"#, "limit"),
            ("join_channel", r#"{"channelId":"7","limit":101}"#, "limit"),
            ("join_channel", r#"{"channelId":"7","limit":"50"}"#, "limit"),
            ("join_channel", r#"{"channelId":"7","limit":1.5}"#, "limit"),
            ("get_messages", r#"{"channelId":"7","before":9}"#, "before"),
            ("get_channels", "[]", "payload"),
        ];
        for (name, json, field) in table {
            let refusal = read(name, json).unwrap_err();
            assert_eq!(refusal.code, Code::BadRequest, "{name} {json}");
            assert!(refusal.text.contains(field), "{json}: {}", refusal.text);
        }
        assert_eq!(read("shout", "{}").unwrap_err().code, Code::UnknownEvent);
    }

    #[test]
    fn a_token_is_read_whole_or_refused_by_name_and_never_shown() {
        let read = |json: &str| {
            let payload: Option<Box<RawValue>> =
                (!json.is_empty()).then(|| serde_json::from_str(json).unwrap());
            Asked::read("refresh_token", payload.as_deref())
        };
        let asked = read(r#"{"token":"secret"}"#).unwrap();
        assert!(is_free("refresh_token") && !format!("{asked:?}").contains("secret"));
        assert_eq!(asked, Asked::Refresh("secret".into()));
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(TOKEN_BYTES_MAX));
        for json in [
            "",
            "{}",
            "[]",
            "1",
            r#"{"token":1}"#,
            r#"{"token":""}"#,
            &long,
        ] {
            let refusal = read(json).unwrap_err();
            assert_eq!(refusal.code, Code::BadRequest);
            assert!(refusal.text.contains("token"), "{json}");
        }
    }

    #[test]
    fn a_retry_time_is_whole_seconds_that_are_enough() {
        let table = [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)];
        for (milliseconds, seconds) in table {
            let refusal = Refusal::rate_limited("", Duration::from_millis(milliseconds));
            assert_eq!(refusal.retry_after, Some(seconds), "{milliseconds} ms");
        }
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused(text in "[\\[{\"a-zA-Z0-9:,}\\]. ]{0,60}") {
            if let Ok(payload) = serde_json::from_str::<Box<RawValue>>(&text) {
                for name in ["get_channels", "join_channel", "leave_channel", "get_messages"] {
                    let _read: Result<Request, Refusal> = Request::read(name, Some(&payload));
                }
            }
        }
    }
}
