//! What a client says on a plain WebSocket: `{"event":"join_channel","data":{...},"id":1}`. Pure.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::request::{Asked, Code, Refusal, Request};

/// Bytes of an acknowledgement's id: clients count, or send a UUID.
const ID_BYTES_MAX: usize = 64;

/// A message of a client.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    /// The event's name.
    pub(super) event: String,
    /// Its object.
    pub(super) data: Option<Box<RawValue>>,
    /// Where an acknowledgement is wanted: a number or a text, sent back as it came.
    id: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Resumed {
    offset: Option<Value>,
}

impl Said {
    /// Reads a message; none for what is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let said: Self = serde_json::from_str(text).ok()?;
        said.id.as_deref().is_none_or(is_id).then_some(said)
    }

    /// The id of the acknowledgement.
    pub(super) fn take_id(&mut self) -> Option<Box<RawValue>> {
        self.id.take()
    }

    /// The token of the first message.
    pub(super) fn token(&self) -> Option<String> {
        if self.event != "auth" {
            return None;
        }
        let auth: Auth = serde_json::from_str(self.data.as_deref()?.get()).ok()?;
        Some(auth.token)
    }

    /// The request.
    ///
    /// # Errors
    /// As [`Asked::read`]; here a join may name an offset too.
    pub(super) fn asked(&self) -> Result<Asked, Refusal> {
        let data = self.data.as_deref();
        let asked = Asked::read(&self.event, data)?;
        let Asked::Request(Request::Join { channel, limit }) = asked else {
            return Ok(asked);
        };
        let resumed = data.and_then(|data| serde_json::from_str::<Resumed>(data.get()).ok());
        match resumed.and_then(|resumed| resumed.offset) {
            None | Some(Value::Null) => Ok(asked),
            // Text that is no offset of ours is one that can't be resumed from.
            Some(Value::String(offset)) => Ok(Asked::Request(Request::Resume {
                channel,
                limit,
                after: offset.parse().ok(),
            })),
            Some(_) => Err(Refusal::new(
                Code::BadRequest,
                "offset must be a string",
                None,
            )),
        }
    }
}

fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    let first = text.bytes().next().unwrap_or_default();
    text.len() <= ID_BYTES_MAX && (first == b'"' || first == b'-' || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;
    use proptest::prelude::*;
    use proto::ChannelId;

    fn request(text: &str) -> Result<Request, Refusal> {
        match Said::read(text).expect("it is a message").asked()? {
            Asked::Request(request) => Ok(request),
            Asked::Refresh(_) => panic!("{text} is no request"),
        }
    }

    #[test]
    fn a_join_may_name_the_offset_to_go_on_from() {
        let channel = ChannelId::new(7).unwrap();
        let join = |data: &str| request(&format!(r#"{{"event":"join_channel","data":{data}}}"#));
        let plain = Request::Join {
            channel,
            limit: None,
        };
        let after = Some(Offset {
            generation: 1,
            sequence: 9,
        });
        let resume = |after| Request::Resume {
            channel,
            limit: Some(5),
            after,
        };
        let table = [
            (r#""7""#, plain),
            (r#"{"channelId":"7"}"#, plain),
            (r#"{"channelId":"7","offset":null}"#, plain),
            (
                r#"{"channelId":"7","limit":5,"offset":"0000000000000001.9"}"#,
                resume(after),
            ),
            (
                r#"{"channelId":"7","limit":5,"offset":"of another server"}"#,
                resume(None),
            ),
        ];
        for (data, expected) in table {
            assert_eq!(join(data), Ok(expected), "{data}");
        }
        let refusal = join(r#"{"channelId":"7","offset":9}"#).unwrap_err();
        assert_eq!(refusal.code, Code::BadRequest);
        assert!(refusal.text.contains("offset"));
    }

    #[test]
    fn an_id_comes_back_as_it_was_sent() {
        for id in ["1", "-1.5", r#""a\u0062c""#] {
            let text = format!(r#"{{"event":"get_channels","id":{id}}}"#);
            let mut said = Said::read(&text).expect("it is a message");
            assert_eq!(
                said.take_id().map(|id| id.get().to_owned()).as_deref(),
                Some(id)
            );
        }
        let long = format!(r#""{}""#, "x".repeat(ID_BYTES_MAX));
        for id in ["{}", "[1]", "true", &long] {
            let text = format!(r#"{{"event":"get_channels","id":{id}}}"#);
            assert!(Said::read(&text).is_none(), "{id}");
        }
    }

    #[test]
    fn only_the_auth_event_carries_a_token() {
        let token = |text: &str| Said::read(text).and_then(|said| said.token());
        assert_eq!(
            token(r#"{"event":"auth","data":{"token":"t"}}"#).as_deref(),
            Some("t")
        );
        for text in [
            r#"{"event":"auth"}"#,
            r#"{"event":"auth","data":{"token":1}}"#,
            r#"{"event":"join_channel","data":{"token":"t"}}"#,
        ] {
            assert_eq!(token(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[{\"a-z_:,}\\]. 0-9]{0,80}") {
            if let Some(said) = Said::read(&text) {
                let _read: Result<Asked, Refusal> = said.asked();
            }
        }
    }
}
