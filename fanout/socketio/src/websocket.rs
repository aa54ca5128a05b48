//! WebSocket frames (RFC 6455): bytes of a client to messages, and our messages to frames.
//! It promises never to panic, to hold no more than one message of the given limit, and to hold nothing while the
//! wire is quiet. No extensions are negotiated, so reserved bits are errors; it knows nothing of what a text says.

use bytes::{BufMut, Bytes, BytesMut};

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
    #[error("binary messages are not supported")]
    Binary,
    #[error("a text is not UTF-8")]
    Text,
    #[error("a message is over the limit")]
    TooBig,
}

impl Violation {
    pub(crate) fn close(self) -> Close {
        match self {
            Self::Frame => Close::ProtocolError,
            Self::Binary => Close::Unsupported,
            Self::Text => Close::InvalidText,
            Self::TooBig => Close::TooBig,
        }
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    Text(&'a str),
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
    /// The fragments so far of a message, unmasked.
    fragments: Option<Vec<u8>>,
}

impl Reader {
    /// Takes bytes in and hands each thing that is complete to `on`, in order, until it fails.
    ///
    /// # Errors
    /// A violation by the client, or what `on` gave back; nothing may be read afterwards.
    pub(crate) fn read<E: From<Violation>>(
        &mut self,
        data: &mut [u8],
        limit: usize,
        mut on: impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.leftover.is_empty() {
            let used = self.read_frames(data, limit, &mut on)?;
            // Only what arrived is held, never what a header announces.
            self.leftover = data.get(used..).unwrap_or_default().to_vec();
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.leftover);
        buffer.extend_from_slice(data);
        let used = self.read_frames(&mut buffer, limit, &mut on)?;
        self.leftover = match used {
            // The same frame goes on growing; moving it at each read would cost its square.
            0 => buffer,
            _ => buffer.split_off(used),
        };
        Ok(())
    }

    /// Handles every whole frame and says how many bytes they were.
    fn read_frames<E: From<Violation>>(
        &mut self,
        mut data: &mut [u8],
        limit: usize,
        on: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        while let Some(header) = Header::parse(data)? {
            let held = self.fragments.as_ref().map_or(0, Vec::len);
            if !header.opcode.is_control() && header.length > limit.saturating_sub(held) {
                return Err(Violation::TooBig.into());
            }
            if !header.opcode.is_control() {
                self.check_order(header.opcode)?;
            }
            let size = header.offset + header.length;
            let Some((frame, rest)) = data.split_at_mut_checked(size) else {
                break;
            };
            let payload = frame.get_mut(header.offset..).unwrap_or_default();
            unmask(payload, header.mask);
            self.on_frame(header, payload, on)?;
            data = rest;
            used += size;
        }
        Ok(used)
    }

    /// A fragmented message must end before another begins (RFC 6455 §5.4).
    fn check_order(&self, opcode: Opcode) -> Result<(), Violation> {
        match (opcode, &self.fragments) {
            (Opcode::Binary, _) => Err(Violation::Binary),
            (Opcode::Continuation, None) | (Opcode::Text, Some(_)) => Err(Violation::Frame),
            _ => Ok(()),
        }
    }

    fn on_frame<E: From<Violation>>(
        &mut self,
        header: Header,
        payload: &[u8],
        on: &mut impl FnMut(Incoming<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match header.opcode {
            Opcode::Ping => on(Incoming::Ping(payload)),
            Opcode::Pong => on(Incoming::Pong),
            Opcode::Close => on(Incoming::Close(close_code(payload)?)),
            Opcode::Text if header.is_final => on(Incoming::Text(text(payload)?)),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let mut message = self.fragments.take().unwrap_or_default();
                message.extend_from_slice(payload);
                if header.is_final {
                    return on(Incoming::Text(text(&message)?));
                }
                self.fragments = Some(message);
                Ok(())
            }
        }
    }

    /// Bytes held between reads.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.leftover.capacity() + self.fragments.as_ref().map_or(0, Vec::capacity)
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

/// A text message of one frame, its payload given in parts.
pub(crate) fn text_frame(parts: &[&str]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(length + 10);
    frame.put_u8(FIN | 0x1);
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

#[cfg(test)]
mod tests;
