//! An event with its identity, its place and its trace, to and from the stream's bytes and headers.
//!
//! The payload is `discord.v1.Envelope`; identity and trace are headers, so that a broker can refuse a
//! double, and a tracer follow an event, without decoding it.

use bytes::Bytes;
use prost::Message as _;

use crate::event::{Event, WireEnvelope};
use crate::id::{ChannelId, GuildId};
use crate::identity::Identity;
use crate::subject::Subject;
use crate::trace::TraceParent;

/// The payload's content type.
pub const CONTENT_TYPE: &str = "application/x-protobuf; messageType=discord.v1.Envelope";

/// Above this many bytes an envelope travels without its raw JSON: NATS refuses a message of more than 1 MiB for ever.
pub const ENVELOPE_BYTES_MAX: usize = 512 * 1024;

/// One event on its way to the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// What makes it the same event when it comes again.
    pub identity: Identity,
    /// The trace that began with Discord's frame.
    pub trace: Option<TraceParent>,
    /// The guild that it happened in.
    pub guild: GuildId,
    /// The channel that it happened in; none for the directory's events.
    pub channel: Option<ChannelId>,
    /// When ingest read the frame, in milliseconds since 1970: for delays, never for order.
    pub received_ms: i64,
    /// What happened.
    pub event: Event,
}

/// An envelope's payload, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub payload: Bytes,
    /// It was too large, and what is not modelled was left out: to be counted.
    pub is_trimmed: bool,
}

/// A stored payload, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The guild that it happened in.
    pub guild: GuildId,
    /// The channel that it happened in; none for the directory's events.
    pub channel: Option<ChannelId>,
    /// When ingest read the frame, in milliseconds since 1970.
    pub received_ms: i64,
    /// What happened.
    pub event: Event,
}

/// A payload that is no envelope of ours.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes are no protobuf of this message.
    #[error("the payload is not an envelope")]
    Payload(#[from] prost::DecodeError),
    /// An event of a newer schema, or none at all.
    #[error("the envelope holds no event that this version knows")]
    NoEvent,
    /// It names no guild.
    #[error("the envelope names no guild")]
    NoGuild,
}

impl Envelope {
    /// The subject that it is published to.
    pub fn subject(&self) -> Subject {
        self.channel
            .map_or(Subject::Guild(self.guild), Subject::Channel)
    }

    /// The payload's bytes. Over [`ENVELOPE_BYTES_MAX`] a message goes without what is not modelled.
    pub fn encode(self) -> Encoded {
        let mut wire = WireEnvelope {
            guild_id: self.guild.get(),
            channel_id: self.channel.map_or(0, ChannelId::get),
            received_ms: self.received_ms,
            event: Some(self.event),
        };
        let is_trimmed = wire.encoded_len() > ENVELOPE_BYTES_MAX && trim(&mut wire);
        Encoded {
            payload: wire.encode_to_vec().into(),
            is_trimmed,
        }
    }
}

/// Takes the raw JSON out of a message; false if there was none.
fn trim(wire: &mut WireEnvelope) -> bool {
    match &mut wire.event {
        Some(Event::MessageCreated(message) | Event::MessageUpdated(message)) => {
            !std::mem::take(&mut message.raw).is_empty()
        }
        _ => false,
    }
}

impl Opened {
    /// Reads a payload.
    ///
    /// # Errors
    /// Bytes that are no envelope, or one of a kind that this version does not know.
    pub fn decode(payload: Bytes) -> Result<Self, EnvelopeError> {
        let wire = WireEnvelope::decode(payload)?;
        Ok(Self {
            guild: GuildId::new(wire.guild_id).ok_or(EnvelopeError::NoGuild)?,
            channel: ChannelId::new(wire.channel_id),
            received_ms: wire.received_ms,
            event: wire.event.ok_or(EnvelopeError::NoEvent)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::event::{Member, Message, MessageDeleted, User};
    use crate::id::MessageId;
    use crate::identity::Dispatch;

    fn envelope(channel: Option<u64>, event: Event) -> Envelope {
        let dispatch = Dispatch {
            epoch: 1,
            shard: 0,
            sequence: 2,
        };
        Envelope {
            identity: Identity::Dispatch(dispatch, 0),
            trace: None,
            guild: GuildId::new(7).unwrap(),
            channel: channel.and_then(ChannelId::new),
            received_ms: 1_700_000_000_000,
            event,
        }
    }

    fn user() -> User {
        User {
            id: 3,
            username: "ada".into(),
            display_name: Some("Ada".into()),
            avatar: None,
            bot: false,
        }
    }

    fn message() -> Message {
        Message {
            id: 9,
            channel_id: 8,
            guild_id: 7,
            author: Some(user()),
            content: "h\u{e9} \u{2028}".into(),
            timestamp_ms: 1_700_000_000_001,
            mentioned_users: [(5, "b".into()), (4, "a".into())].into(),
            ..Message::default()
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// The wire as it was first written: a change here breaks whoever reads an older stream.
    #[test]
    fn the_bytes_of_each_kind_stay_as_they_are() {
        let deleted = Event::MessageDeleted(MessageDeleted { message_id: 9 });
        let member = Event::MemberUpserted(Member {
            user: Some(user()),
            roles: vec![1, 300],
            ..Member::default()
        });
        let table = [
            (envelope(Some(8), deleted), GOLDEN_DELETED),
            (
                envelope(Some(8), Event::MessageCreated(message())),
                GOLDEN_CREATED,
            ),
            (envelope(None, member), GOLDEN_MEMBER),
        ];
        for (envelope, golden) in table {
            let event = envelope.event.clone();
            let payload = envelope.encode().payload;
            assert_eq!(hex(&payload), golden, "{}", event.name());
            assert_eq!(Opened::decode(payload).unwrap().event, event);
        }
    }

    const GOLDEN_DELETED: &str = "080710081880d095ffbc3162020809";
    const GOLDEN_CREATED: &str = "080710081880d095ffbc315232080910081807220c080312036164611a03416461320768c3a920e280a83881d095ffbc317a0508041201617a050805120162";
    const GOLDEN_MEMBER: &str = "08071880d095ffbc31ba02130a0c080312036164611a034164611a0301ac02";

    #[test]
    fn a_huge_message_goes_without_its_raw_json() {
        let mut huge = message();
        huge.raw = vec![b'x'; ENVELOPE_BYTES_MAX].into();
        let encoded = envelope(Some(8), Event::MessageCreated(huge)).encode();
        assert!(encoded.is_trimmed);
        let opened = Opened::decode(encoded.payload).unwrap();
        assert_eq!(opened.event, Event::MessageCreated(message()));
    }

    #[test]
    fn an_event_without_guild_or_of_a_newer_schema_is_refused() {
        let nothing = Opened::decode(Bytes::new());
        assert!(matches!(nothing, Err(EnvelopeError::NoGuild)));
        let newer = Opened::decode(Bytes::from_static(&[0x08, 0x07, 0xca, 0x3e, 0x00]));
        assert!(matches!(newer, Err(EnvelopeError::NoEvent)));
        let garbage = Opened::decode(Bytes::from_static(&[0xff]));
        assert!(matches!(garbage, Err(EnvelopeError::Payload(_))));
    }

    #[test]
    fn the_subject_follows_from_the_channel() {
        let deleted = Event::MessageDeleted(MessageDeleted { message_id: 9 });
        let id = MessageId::new(9).unwrap();
        let mut envelope = envelope(Some(8), deleted);
        envelope.identity = Identity::Delete(id);
        assert_eq!(envelope.subject().to_string(), "discord.v1.channel.8");
        envelope.channel = None;
        assert_eq!(envelope.subject().to_string(), "discord.v1.guild.7");
    }
}
