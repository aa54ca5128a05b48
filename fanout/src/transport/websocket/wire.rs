//! WebSocket frames (RFC 6455) by actix-http's codec: a client's bytes to whole messages, our messages to bytes.
//!
//! Holds no more than one message of the given limit, and nothing while the wire is quiet. Knows nothing of what a
//! text says.

use actix_codec::Decoder as _;
use actix_http::ws::{CloseCode, CloseReason, Codec, Frame, Item, OpCode, Parser, ProtocolError};
use actix_socketio::Close;
use bytes::{Bytes, BytesMut};

/// The longest head of a client's frame: two bytes, a length of eight, the mask (RFC 6455 §5.2).
const HEAD_BYTES_MAX: usize = 14;

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(String),
    Ping(Bytes),
    Pong,
    /// With the client's code, if it gave one.
    Close(Option<u16>),
}

/// Puts a client's bytes together to messages.
#[derive(Debug)]
pub(super) struct Reader {
    codec: Codec,
    input: BytesMut,
    /// The fragments so far of a message.
    fragments: Option<BytesMut>,
}

impl Reader {
    /// A reader of messages of at most so many bytes, beginning with what was read already.
    pub(super) fn new(message_bytes_max: usize, already_read: &[u8]) -> Self {
        Self {
            codec: Codec::new().max_size(message_bytes_max),
            input: already_read.into(),
            fragments: None,
        }
    }

    /// Takes bytes in.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next thing that is complete; none when more has to arrive.
    ///
    /// # Errors
    /// How the client broke the protocol; nothing may be read afterwards.
    pub(super) fn next(&mut self, message_bytes_max: usize) -> Result<Option<Incoming>, Close> {
        loop {
            let frame = match self.codec.decode(&mut self.input) {
                Ok(Some(frame)) => frame,
                // What a head announces is refused as soon as so much has come, not when all of it has.
                Ok(None) if self.input.len() > message_bytes_max + HEAD_BYTES_MAX => {
                    return Err(Close::TooBig);
                }
                Ok(None) => {
                    if self.input.is_empty() {
                        self.input = BytesMut::new();
                    }
                    return Ok(None);
                }
                Err(ProtocolError::Overflow) => return Err(Close::TooBig),
                Err(_) => return Err(Close::ProtocolError),
            };
            if let Some(incoming) = self.on_frame(frame, message_bytes_max)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn on_frame(&mut self, frame: Frame, limit: usize) -> Result<Option<Incoming>, Close> {
        match frame {
            Frame::Text(payload) if payload.len() > limit => Err(Close::TooBig),
            Frame::Text(payload) => text_of(&payload).map(Some),
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) => Err(Close::Unsupported),
            Frame::Continuation(Item::FirstText(part) | Item::Continue(part)) => {
                self.add(&part, limit)?;
                Ok(None)
            }
            Frame::Continuation(Item::Last(part)) => {
                self.add(&part, limit)?;
                let whole = self.fragments.take().unwrap_or_default();
                text_of(&whole).map(Some)
            }
            Frame::Ping(payload) => Ok(Some(Incoming::Ping(payload))),
            Frame::Pong(_) => Ok(Some(Incoming::Pong)),
            Frame::Close(reason) => {
                let code = reason.map(|reason| u16::from(reason.code));
                Ok(Some(Incoming::Close(code)))
            }
        }
    }

    fn add(&mut self, part: &[u8], limit: usize) -> Result<(), Close> {
        let fragments = self.fragments.get_or_insert_default();
        if fragments.len() + part.len() > limit {
            return Err(Close::TooBig);
        }
        fragments.extend_from_slice(part);
        Ok(())
    }
}

fn text_of(payload: &[u8]) -> Result<Incoming, Close> {
    let text = std::str::from_utf8(payload).map_err(|_| Close::InvalidText)?;
    Ok(Incoming::Text(text.to_owned()))
}

/// A text message.
pub(crate) fn text(text: String) -> Bytes {
    frame(text, OpCode::Text)
}

/// A ping.
pub(super) fn ping() -> Bytes {
    frame("", OpCode::Ping)
}

/// The answer to a ping.
pub(super) fn pong(payload: Bytes) -> Bytes {
    frame(payload, OpCode::Pong)
}

/// A close frame; without a code it is empty.
pub(super) fn close(code: Option<u16>) -> Bytes {
    let mut bytes = BytesMut::new();
    let reason = code.map(|code| CloseReason::from(CloseCode::from(code)));
    Parser::write_close(&mut bytes, reason, false);
    bytes.freeze()
}

fn frame(payload: impl AsRef<[u8]>, opcode: OpCode) -> Bytes {
    let mut bytes = BytesMut::new();
    Parser::write_message(&mut bytes, payload, opcode, true, false);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 200;

    /// A client's frame.
    fn sent(payload: &[u8], opcode: OpCode, is_final: bool) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        Parser::write_message(&mut bytes, payload, opcode, is_final, true);
        bytes.to_vec()
    }

    fn read(bytes: &[u8]) -> Result<Option<Incoming>, Close> {
        Reader::new(LIMIT, bytes).next(LIMIT)
    }

    #[test]
    fn each_violation_has_its_close_code() {
        let too_big = sent(&[b'x'; LIMIT + 1], OpCode::Text, true);
        let mut announced = vec![0x81, 0xFF, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
        announced.extend([0; LIMIT + 1]);
        let mut compressed = sent(b"x", OpCode::Text, true);
        compressed[0] |= 0x40;
        let table = [
            (sent(b"\xFF\xFE", OpCode::Text, true), Close::InvalidText),
            (sent(b"\x01", OpCode::Binary, true), Close::Unsupported),
            (sent(b"\x01", OpCode::Binary, false), Close::Unsupported),
            (sent(b"x", OpCode::Continue, true), Close::ProtocolError),
            (vec![0x81, 0x01, b'x'], Close::ProtocolError),
            (compressed, Close::ProtocolError),
            (sent(&[0; 126], OpCode::Ping, true), Close::ProtocolError),
            (sent(b"\x03", OpCode::Close, true), Close::ProtocolError),
            (too_big, Close::TooBig),
            (announced, Close::TooBig),
        ];
        for (bytes, close) in table {
            assert_eq!(read(&bytes), Err(close), "{bytes:?}");
        }
    }

    #[test]
    fn fragments_become_one_message_and_pings_go_between() {
        let mut bytes = sent("grü".as_bytes(), OpCode::Text, false);
        bytes.extend(sent(b"?", OpCode::Ping, true));
        bytes.extend(sent("ß".as_bytes(), OpCode::Continue, false));
        bytes.extend(sent(b"e", OpCode::Continue, true));
        bytes.extend(sent(&[0x03, 0xE8], OpCode::Close, true));
        let mut reader = Reader::new(LIMIT, &[]);
        let mut arrived = Vec::new();
        for byte in bytes {
            reader.extend(&[byte]);
            while let Some(incoming) = reader.next(LIMIT).unwrap() {
                arrived.push(incoming);
            }
        }
        let expected = [
            Incoming::Ping(Bytes::from_static(b"?")),
            Incoming::Text("grüße".to_owned()),
            Incoming::Close(Some(1000)),
        ];
        assert_eq!(arrived, expected);
    }

    #[test]
    fn fragments_together_are_bounded() {
        let mut bytes = sent(&[b'x'; LIMIT], OpCode::Text, false);
        bytes.extend(sent(b"x", OpCode::Continue, false));
        assert_eq!(read(&bytes), Err(Close::TooBig));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(LIMIT, &bytes);
            while let Ok(Some(_)) = reader.next(LIMIT) {}
            prop_assert!(reader.input.len() <= bytes.len());
        }

        #[test]
        fn a_text_reads_back_however_it_is_cut(text in "\\PC{0,40}", at in 0_usize..60) {
            let bytes = sent(text.as_bytes(), OpCode::Text, true);
            let (first, rest) = bytes.split_at(at.min(bytes.len()));
            let mut reader = Reader::new(1_000, first);
            let early = reader.next(1_000).unwrap();
            reader.extend(rest);
            let incoming = early.or(reader.next(1_000).unwrap());
            prop_assert_eq!(incoming, Some(Incoming::Text(text)));
        }
    }
}
