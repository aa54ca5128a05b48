//! Our own WebSocket frames (RFC 6455 §5): never masked, never in fragments.
//! It promises that what it writes it also reads back, which is how a long poll takes what was queued for a WebSocket.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CONTROL_MAX, FIN, LENGTH_16, LENGTH_64};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;

/// A text message of one frame, its payload given in parts.
pub(crate) fn text_frame(parts: &[&str]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut frame = header(TEXT, length);
    for part in parts {
        frame.put_slice(part.as_bytes());
    }
    frame.freeze()
}

/// A close frame; without a code it is empty.
pub(crate) fn close_frame(code: Option<u16>) -> Bytes {
    match code {
        Some(code) => {
            let [high, low] = code.to_be_bytes();
            Bytes::copy_from_slice(&[FIN | 0x8, 2, high, low])
        }
        None => Bytes::from_static(&[FIN | 0x8, 0]),
    }
}

/// The answer to a ping; a payload over [`CONTROL_MAX`] is cut, which no parsed ping has.
pub(crate) fn pong_frame(payload: &[u8]) -> Bytes {
    let payload = payload.get(..CONTROL_MAX).unwrap_or(payload);
    let mut frame = BytesMut::with_capacity(payload.len() + 2);
    frame.put_u8(FIN | 0xA);
    frame.put_u8(u8::try_from(payload.len()).unwrap_or_default());
    frame.put_slice(payload);
    frame.freeze()
}

/// A binary message of one frame, its payload given in parts.
pub(crate) fn binary_frame(parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut frame = header(BINARY, length);
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}

/// The beginning of a frame, with room for its payload.
fn header(opcode: u8, length: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(length + 10);
    frame.put_u8(FIN | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < LENGTH_16 => frame.put_u8(short),
        (_, Ok(medium)) => {
            frame.put_u8(LENGTH_16);
            frame.put_u16(medium);
        }
        _ => {
            frame.put_u8(LENGTH_64);
            frame.put_u64(length as u64);
        }
    }
    frame
}

/// The payload of one of our own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// The messages in a run of our own frames; control frames are none.
pub(crate) fn payloads(mut frames: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    std::iter::from_fn(move || {
        loop {
            let (opcode, payload, rest) = split_frame(frames)?;
            frames = rest;
            match opcode {
                TEXT => return std::str::from_utf8(payload).ok().map(Payload::Text),
                BINARY => return Some(Payload::Binary(payload)),
                _ => {}
            }
        }
    })
}

/// The length of the first frame of a run of our own.
pub(crate) fn first_length(frames: &[u8]) -> Option<usize> {
    let (_, _, rest) = split_frame(frames)?;
    Some(frames.len() - rest.len())
}

fn split_frame(frames: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, short], extended) = frames.split_first_chunk()?;
    let (length, rest) = match short {
        LENGTH_16 => {
            let (raw, rest) = extended.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*raw)), rest)
        }
        LENGTH_64 => {
            let (raw, rest) = extended.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*raw)).ok()?, rest)
        }
        short => (usize::from(short), extended),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((first & !FIN, payload, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            texts in proptest::collection::vec("\\PC{0,300}", 0..4),
            large in 0_usize..70_000,
        ) {
            let mut frames = Vec::new();
            let bytes = vec![7; large];
            for text in &texts {
                frames.extend_from_slice(&text_frame(&[text]));
                frames.extend_from_slice(&pong_frame(b"x"));
            }
            frames.extend_from_slice(&binary_frame(&[&[4], &bytes]));
            frames.extend_from_slice(&close_frame(Some(1000)));
            let mut read = payloads(&frames);
            for text in &texts {
                prop_assert_eq!(read.next(), Some(Payload::Text(text)));
            }
            let expected = [&[4], &bytes[..]].concat();
            prop_assert_eq!(read.next(), Some(Payload::Binary(&expected)));
            prop_assert_eq!(read.next(), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(frames: Vec<u8>) {
            payloads(&frames).for_each(drop);
        }
    }
}
