//! The bodies of long-polling requests: several packets tied together, in the forms of both revisions.
//! It promises never to panic, whatever the body, and to read what it writes. What a packet means is its caller's.
//!
//! * Revision 4: packets separated by U+001E, bytes in base64 behind a `b`.
//! * Revision 3 as text: `<length>:<packet>` again and again, the length in UTF-16 code units as JavaScript counts;
//!   bytes as `b<type><base64>`.
//! * Revision 3 as bytes: `<0 text or 1 bytes><digits of the length in bytes, each a byte><255><packet>`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Packet, Protocol};
use crate::websocket::{self, Payload};

const SEPARATOR: char = '\u{1e}';

/// Digits of a length: enough for any body that fits into memory.
const LENGTH_DIGITS_MAX: usize = 10;

/// Ends the digits of a length among bytes.
const LENGTH_END: u8 = 255;

/// What a client can read in a poll's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    V4,
    /// Revision 3; whether bytes may be sent as such, or only in base64.
    V3 {
        has_binary: bool,
    },
}

impl Form {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::V4 => Protocol::V4,
            Self::V3 { .. } => Protocol::V3,
        }
    }
}

/// A body and how it is to be labelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    Binary(Vec<u8>),
}

/// Writes what was queued as whole WebSocket frames as the answer to a poll.
pub(crate) fn encode<'a>(frames: impl Iterator<Item = &'a [u8]>, form: Form) -> Body {
    let packets: Vec<Payload<'a>> = frames.flat_map(websocket::payloads).collect();
    let has_bytes = packets
        .iter()
        .any(|packet| matches!(packet, Payload::Binary(_)));
    match form {
        Form::V4 => Body::Text(encode_v4(&packets)),
        Form::V3 { has_binary: true } if has_bytes => Body::Binary(encode_v3_binary(&packets)),
        Form::V3 { .. } => Body::Text(encode_v3(&packets)),
    }
}

fn encode_v4(packets: &[Payload<'_>]) -> String {
    let mut body = String::new();
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            body.push(SEPARATOR);
        }
        match packet {
            Payload::Text(text) => body.push_str(text),
            Payload::Binary(bytes) => {
                body.push('b');
                STANDARD.encode_string(bytes, &mut body);
            }
        }
    }
    body
}

fn encode_v3(packets: &[Payload<'_>]) -> String {
    let mut body = String::new();
    for packet in packets {
        match packet {
            Payload::Text(text) => {
                body.push_str(&text.encode_utf16().count().to_string());
                body.push(':');
                body.push_str(text);
            }
            Payload::Binary(bytes) => {
                // Over a WebSocket the type is a byte, here it is a digit.
                let (kind, bytes) = bytes.split_first().unwrap_or((&super::MESSAGE_BYTE, &[]));
                let packet = format!("b{kind}{}", STANDARD.encode(bytes));
                body.push_str(&packet.len().to_string());
                body.push(':');
                body.push_str(&packet);
            }
        }
    }
    body
}

fn encode_v3_binary(packets: &[Payload<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for packet in packets {
        let (kind, bytes) = match packet {
            Payload::Text(text) => (0, text.as_bytes()),
            Payload::Binary(bytes) => (1, *bytes),
        };
        body.push(kind);
        body.extend(bytes.len().to_string().bytes().map(|digit| digit - b'0'));
        body.push(LENGTH_END);
        body.extend_from_slice(bytes);
    }
    body
}

/// A body that is no payload, or a packet in it that a client may not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no payload")]
pub(crate) struct Malformed;

/// Reads the body of a POST and hands each packet to `on`, in order, until it fails.
pub(crate) fn decode<E: From<Malformed>>(
    body: &[u8],
    is_binary: bool,
    protocol: Protocol,
    on: impl FnMut(Packet<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match (protocol, is_binary) {
        // The reference server refuses it too: bytes are always in base64 here.
        (Protocol::V4, true) => Err(Malformed.into()),
        (Protocol::V4, false) => decode_v4(text(body)?, on),
        (Protocol::V3, false) => decode_v3(text(body)?, on),
        (Protocol::V3, true) => decode_v3_binary(body, on),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// The bytes of a message in base64, `b<base64>` or in revision 3 `b4<base64>`; none if the packet is a text. Clients that
/// are told to use no bytes (`forceBase64`) send them so over a WebSocket too.
pub(crate) fn binary(packet: &str, protocol: Protocol) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(encoded) = packet.strip_prefix('b') else {
        return Ok(None);
    };
    let encoded = match protocol {
        Protocol::V4 => encoded,
        Protocol::V3 => encoded.strip_prefix(super::MESSAGE).ok_or(Malformed)?,
    };
    STANDARD.decode(encoded).map(Some).map_err(|_| Malformed)
}

fn decode_v4<E: From<Malformed>>(
    body: &str,
    mut on: impl FnMut(Packet<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for packet in body.split(SEPARATOR) {
        match binary(packet, Protocol::V4)? {
            Some(bytes) => on(Packet::Message(super::Message::Binary(&bytes)))?,
            None => on(Packet::parse(packet, Protocol::V4).ok_or(Malformed)?)?,
        }
    }
    Ok(())
}

fn decode_v3<E: From<Malformed>>(
    mut body: &str,
    mut on: impl FnMut(Packet<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if body.is_empty() {
        return Err(Malformed.into());
    }
    while !body.is_empty() {
        let (length, rest) = body.split_once(':').ok_or(Malformed)?;
        let (packet, rest) = split_utf16(rest, number(length.bytes())?)?;
        body = rest;
        match binary(packet, Protocol::V3)? {
            Some(bytes) => on(Packet::Message(super::Message::Binary(&bytes)))?,
            None => on(Packet::parse(packet, Protocol::V3).ok_or(Malformed)?)?,
        }
    }
    Ok(())
}

fn decode_v3_binary<E: From<Malformed>>(
    mut body: &[u8],
    mut on: impl FnMut(Packet<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if body.is_empty() {
        return Err(Malformed.into());
    }
    while let Some((&kind, rest)) = body.split_first() {
        let end = rest.iter().take(LENGTH_DIGITS_MAX + 1);
        let end = end.copied().position(|byte| byte == LENGTH_END);
        let (digits, rest) = rest
            .split_at_checked(end.ok_or(Malformed)?)
            .ok_or(Malformed)?;
        let length = number(digits.iter().map(|digit| digit.saturating_add(b'0')))?;
        let packet = rest.get(1..).and_then(|rest| rest.split_at_checked(length));
        let (packet, rest) = packet.ok_or(Malformed)?;
        body = rest;
        let packet = match kind {
            0 => Packet::parse(text(packet)?, Protocol::V3),
            1 => Packet::parse_binary(packet, Protocol::V3),
            _ => None,
        };
        on(packet.ok_or(Malformed)?)?;
    }
    Ok(())
}

/// A length of decimal digits.
fn number(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, Malformed> {
    if !(1..=LENGTH_DIGITS_MAX).contains(&digits.len()) {
        return Err(Malformed);
    }
    let mut number = 0_usize;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Malformed);
        }
        let shifted = number.checked_mul(10).ok_or(Malformed)?;
        number = shifted
            .checked_add(usize::from(digit - b'0'))
            .ok_or(Malformed)?;
    }
    Ok(number)
}

/// Cuts so many UTF-16 code units off the front.
fn split_utf16(text: &str, units: usize) -> Result<(&str, &str), Malformed> {
    let mut left = units;
    for (index, character) in text.char_indices() {
        if left == 0 {
            return text.split_at_checked(index).ok_or(Malformed);
        }
        left = left.checked_sub(character.len_utf16()).ok_or(Malformed)?;
    }
    if left == 0 {
        Ok((text, ""))
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
