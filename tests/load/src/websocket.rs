//! The client's half of WebSocket (RFC 6455), as little of it as a viewer of ours needs.
//! It promises that reading a frame copies and allocates nothing, because the generator shares the cores with what it
//! measures, and that whatever it does not understand is an error and never skipped. It knows nothing of Socket.IO.

/// What a page of a hundred long messages stays far below; beyond it the length is no length.
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;
/// Room for one read: ten messages of 400 bytes, the burst that the bench sends.
const READ_BYTES: usize = 8192;
/// A buffer that has grown beyond this for a page is given back once it is empty.
const KEPT_BYTES_MAX: usize = 4 * READ_BYTES;

/// In place of a length: it follows in two bytes, or in eight (RFC 6455 section 5.2).
const LENGTH_16: u8 = 0x7e;
const LENGTH_64: u8 = 0x7f;

/// Why a stream is not the server's half of WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The first byte names an extension, a fragment, a binary frame or nothing at all.
    #[error("a frame begins with {0:#04x}")]
    Kind(u8),
    /// A server must not mask (RFC 6455 section 5.1).
    #[error("a masked frame came from a server")]
    Masked,
    /// Longer than anything that a server of ours sends.
    #[error("a frame of {0} bytes")]
    TooLong(u64),
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole text.
    Text,
    /// The server is leaving.
    Close,
    /// The server wants its payload back.
    Ping,
    /// The answer to a ping; we send none.
    Pong,
}

/// One frame of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// What it carries.
    pub(crate) payload: &'a [u8],
    /// Its length with its header.
    pub(crate) wire_bytes: usize,
}

/// Bytes in, frames out.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    /// Where the next frame begins; what is before it was given out.
    start: usize,
}

impl FrameReader {
    /// Where the next bytes of the stream go, with room for some.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// What has come of a frame that is not whole yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The next frame, if all of it is here.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        let Some(header) = Header::read(bytes)? else {
            return Ok(None);
        };
        let wire_bytes = header.length + header.payload;
        let Some(payload) = bytes.get(header.length..wire_bytes) else {
            return Ok(None);
        };
        self.start += wire_bytes;
        Ok(Some(Frame {
            kind: header.kind,
            payload,
            wire_bytes,
        }))
    }
}

struct Header {
    kind: Kind,
    length: usize,
    payload: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let kind = match first {
            0x81 => Kind::Text,
            0x88 => Kind::Close,
            0x89 => Kind::Ping,
            0x8a => Kind::Pong,
            other => return Err(FrameError::Kind(other)),
        };
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let extended = match second {
            LENGTH_16 => rest
                .first_chunk()
                .map(|b| (4, u64::from(u16::from_be_bytes(*b)))),
            LENGTH_64 => rest.first_chunk().map(|b| (10, u64::from_be_bytes(*b))),
            length => Some((2, u64::from(length))),
        };
        let Some((length, payload)) = extended else {
            return Ok(None);
        };
        if payload > PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLong(payload));
        }
        let payload = usize::try_from(payload).map_err(|_| FrameError::TooLong(payload))?;
        Ok(Some(Self {
            kind,
            length,
            payload,
        }))
    }
}

/// A server's text frame.
pub(crate) fn served_text(payload: &str) -> Vec<u8> {
    let mut frame = header(0x81, payload.len(), 0);
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// A client's text frame.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// A client's answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(0x8a, payload)
}

/// A client's end, with its code.
pub(crate) fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}

/// The mask is zero, which is a mask: its randomness protects caches between a browser and a server (RFC 6455
/// section 10.3), and between us and the server there is nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), MASKED);
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// In the byte of the length: a mask follows (RFC 6455 section 5.2).
const MASKED: u8 = 0x80;

fn header(first: u8, length: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => header.push(mask | length),
        (_, Ok(length)) => {
            header.push(mask | LENGTH_16);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(mask | LENGTH_64);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server would send.
    fn served(first: u8, payload: &[u8]) -> Vec<u8> {
        [&header(first, payload.len(), 0), payload].concat()
    }

    fn read_all(reader: &mut FrameReader) -> Vec<(Kind, Vec<u8>, usize)> {
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            frames.push((frame.kind, frame.payload.to_vec(), frame.wire_bytes));
        }
        frames
    }

    #[test]
    fn every_length_has_the_header_that_the_rfc_gives_it() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut reader = FrameReader::default();
            let payload = vec![b'x'; length];
            reader.space().extend_from_slice(&served(0x81, &payload));
            let frames = read_all(&mut reader);
            assert_eq!(frames, [(Kind::Text, payload, length + header)], "{length}");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_an_error() {
        let errors = [
            (vec![0xc1, 0], FrameError::Kind(0xc1)),
            (vec![0x01, 0], FrameError::Kind(0x01)),
            (vec![0x80, 0], FrameError::Kind(0x80)),
            (vec![0x82, 0], FrameError::Kind(0x82)),
            (vec![0x81, 0x80], FrameError::Masked),
            (
                [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat(),
                FrameError::TooLong(u64::MAX),
            ),
        ];
        for (bytes, error) in errors {
            let mut reader = FrameReader::default();
            reader.space().extend_from_slice(&bytes);
            assert_eq!(reader.next(), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_clients_frame_is_masked_with_zeros() {
        assert_eq!(text("3"), [0x81, 0x81, 0, 0, 0, 0, b'3']);
        assert_eq!(close(1000), [0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]);
        assert_eq!(pong(b"hi"), [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn a_page_does_not_keep_its_memory() {
        let mut reader = FrameReader::default();
        reader
            .space()
            .extend_from_slice(&served(0x81, &vec![b'x'; 1 << 20]));
        assert_eq!(read_all(&mut reader).len(), 1);
        assert!(reader.space().capacity() <= KEPT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
            cut in 1_usize..50,
        ) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| served(0x89, payload)).collect();
            let mut reader = FrameReader::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(cut) {
                reader.space().extend_from_slice(piece);
                frames.extend(read_all(&mut reader).into_iter().map(|(_, payload, _)| payload));
            }
            prop_assert_eq!(frames, payloads);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut reader = FrameReader::default();
            reader.space().extend_from_slice(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
