//! WebSocket frames (RFC 6455): bytes of a client to messages, and our messages to frames.
//! It promises never to panic, to hold no more than one message of the given limit, and to hold nothing while the
//! wire is quiet. No extensions are negotiated, so reserved bits are errors; it knows nothing of what a text says.

mod write;

pub(crate) use write::{
    Payload, binary_frame, close_frame, first_length, payloads, pong_frame, text_frame,
};

use crate::close::Close;

/// Payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// How a client broke the protocol; each is one close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("invalid frame")]
    Frame,
    #[error("a text is not UTF-8")]
    Text,
    #[error("a message is over the limit")]
    TooBig,
}

impl Violation {
    pub(crate) fn close(self) -> Close {
        match self {
            Self::Frame => Close::ProtocolError,
            Self::Text => Close::InvalidText,
            Self::TooBig => Close::TooBig,
        }
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// With the client's code, if it gave one.
    Close(Option<u16>),
}

/// The first bytes of a client's frame.
#[derive(Debug, Clone, Copy)]
struct Header {
    is_final: bool,
    opcode: Opcode,
    mask: [u8; 4],
    /// Bytes before the payload.
    offset: usize,
    length: usize,
}

impl Header {
    /// Reads a header; `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else {
            return Ok(None);
        };
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::Frame)?;
        let is_final = first & FIN != 0;
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(Violation::Frame);
        }
        let short = second & !MASKED;
        if opcode.is_control() && (!is_final || usize::from(short) > CONTROL_MAX) {
            return Err(Violation::Frame);
        }
        let Some((length, offset)) = payload_length(short, bytes)? else {
            return Ok(None);
        };
        let Some(mask) = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            is_final,
            opcode,
            mask: *mask,
            offset: offset + mask.len(),
            length,
        }))
    }
}

/// The payload's length and where the mask begins; lengths must be in their shortest form (RFC 6455 §5.2).
fn payload_length(short: u8, bytes: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let extended = bytes.get(2..).unwrap_or_default();
    match short {
        LENGTH_16 => {
            let Some(length) = extended.first_chunk().map(|raw| u16::from_be_bytes(*raw)) else {
                return Ok(None);
            };
            if length < u16::from(LENGTH_16) {
                return Err(Violation::Frame);
            }
            Ok(Some((usize::from(length), 4)))
        }
        LENGTH_64 => {
            let Some(length) = extended.first_chunk().map(|raw| u64::from_be_bytes(*raw)) else {
                return Ok(None);
            };
            if u16::try_from(length).is_ok() || length > i64::MAX.unsigned_abs() {
                return Err(Violation::Frame);
            }
            let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
            Ok(Some((length, 10)))
        }
        short => Ok(Some((usize::from(short), 2))),
    }
}

/// Puts a stream of bytes together to messages.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a frame whose end has not arrived.
    leftover: Vec<u8>,
    /// The fragments so far of a message.
    fragments: Option<Box<Fragments>>,
    /// Frames read since somebody last took their number.
    frames: u32,
}

/// A message in parts, unmasked.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
    count: u32,
}

/// Fragments of one message. Clients that fragment do so in pieces of kilobytes; more are an attack.
const FRAGMENTS_MAX: u32 = 1024;

impl Reader {
    /// Takes bytes in and hands each thing that is complete to `on`, in order, until it fails. What follows the
    /// frame at which it failed is kept for another call.
    ///
    /// # Errors
    /// A violation by the client, after which nothing may be read, or what `on` gave back.
    pub(crate) fn read<E: From<Violation>>(
        &mut self,
        data: &mut [u8],
        limit: usize,
        mut on: impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.leftover.is_empty() {
            let (used, result) = self.read_frames(data, limit, &mut on);
            // Only what arrived is held, never what a header announces.
            self.leftover = data.get(used..).unwrap_or_default().to_vec();
            return result;
        }
        let mut buffer = std::mem::take(&mut self.leftover);
        buffer.extend_from_slice(data);
        let (used, result) = self.read_frames(&mut buffer, limit, &mut on);
        self.leftover = match used {
            // The same frame goes on growing; moving it at each read would cost its square.
            0 => buffer,
            _ => buffer.split_off(used),
        };
        result
    }

    /// Frames read since the last call.
    pub(crate) fn take_frames(&mut self) -> u32 {
        std::mem::take(&mut self.frames)
    }

    /// Handles every whole frame and says how many bytes they were.
    fn read_frames<E: From<Violation>>(
        &mut self,
        mut data: &mut [u8],
        limit: usize,
        on: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> (usize, Result<(), E>) {
        let mut used = 0;
        loop {
            let header = match self.next_header(data, limit) {
                Ok(Some(header)) => header,
                Ok(None) => return (used, Ok(())),
                Err(violation) => return (used, Err(violation.into())),
            };
            let size = header.offset + header.length;
            let Some((frame, rest)) = data.split_at_mut_checked(size) else {
                return (used, Ok(()));
            };
            let payload = frame.get_mut(header.offset..).unwrap_or_default();
            unmask(payload, header.mask);
            data = rest;
            used += size;
            self.frames = self.frames.saturating_add(1);
            if let Err(error) = self.on_frame(header, payload, on) {
                return (used, Err(error));
            }
        }
    }

    /// The header of the next frame, if it is whole and its frame may come now.
    fn next_header(&self, data: &[u8], limit: usize) -> Result<Option<Header>, Violation> {
        let Some(header) = Header::parse(data)? else {
            return Ok(None);
        };
        if header.opcode.is_control() {
            return Ok(Some(header));
        }
        let held = self.fragments.as_ref().map_or(0, |held| held.bytes.len());
        if header.length > limit.saturating_sub(held) {
            return Err(Violation::TooBig);
        }
        // A fragmented message must end before another begins (RFC 6455 §5.4).
        let is_continued = header.opcode == Opcode::Continuation;
        match &self.fragments {
            Some(held) if is_continued && held.count < FRAGMENTS_MAX => Ok(Some(header)),
            None if !is_continued => Ok(Some(header)),
            _ => Err(Violation::Frame),
        }
    }

    fn on_frame<E: From<Violation>>(
        &mut self,
        header: Header,
        payload: &[u8],
        on: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_text = header.opcode == Opcode::Text;
        match header.opcode {
            Opcode::Ping => on(Incoming::Ping(payload)),
            Opcode::Pong => on(Incoming::Pong),
            Opcode::Close => on(Incoming::Close(close_code(payload)?)),
            Opcode::Text | Opcode::Binary if header.is_final => on(message(is_text, payload)?),
            Opcode::Text | Opcode::Binary => {
                self.fragments = Some(Box::new(Fragments {
                    is_text,
                    bytes: payload.to_vec(),
                    count: 1,
                }));
                Ok(())
            }
            Opcode::Continuation => {
                let Some(mut held) = self.fragments.take() else {
                    return Err(Violation::Frame.into());
                };
                held.bytes.extend_from_slice(payload);
                held.count += 1;
                if header.is_final {
                    return on(message(held.is_text, &held.bytes)?);
                }
                self.fragments = Some(held);
                Ok(())
            }
        }
    }

    /// Bytes held between reads.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held(&self) -> usize {
        let fragments = self.fragments.as_ref();
        self.leftover.capacity() + fragments.map_or(0, |held| held.bytes.capacity())
    }
}

fn message(is_text: bool, payload: &[u8]) -> Result<Incoming<'_>, Violation> {
    if is_text {
        text(payload).map(Incoming::Text)
    } else {
        Ok(Incoming::Binary(payload))
    }
}

fn text(payload: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(payload).map_err(|_| Violation::Text)
}

/// The code of a close frame (RFC 6455 §5.5.1, §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(None),
        None => Err(Violation::Frame),
        Some((raw, reason)) => {
            text(reason)?;
            match u16::from_be_bytes(*raw) {
                code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
                _ => Err(Violation::Frame),
            }
        }
    }
}

/// XORs the payload with its mask, in chunks of the mask so that the compiler can widen it.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for chunk in payload.chunks_mut(mask.len()) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests;
