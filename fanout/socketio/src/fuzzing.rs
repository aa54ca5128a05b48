//! What must hold of the codecs for any bytes at all: the door of the fuzz targets (`make fuzz`), whose seeds are also
//! replayed as a plain test. Each function panics if something does not hold; none is part of the package otherwise.

use crate::{
    engine::{
        self, Message, Protocol,
        payload::{self, Body, Form, Malformed},
    },
    packet::{self, EventArray, Packet},
    websocket::{self, Incoming, Reader, Violation},
};

/// A Socket.IO packet: what is read is written and read again as the same.
///
/// # Panics
/// If that does not hold.
pub fn packets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(packet) = Packet::parse(text) else {
        return;
    };
    let written = packet.to_string();
    let again = Packet::parse(&written).map(|again| format!("{again:?}"));
    assert_eq!(again, Ok(format!("{packet:?}")), "{written:?}");
    match packet {
        Packet::Event {
            array, attachments, ..
        } => {
            if let Ok(event) = EventArray::parse(array) {
                let written = serde_json::to_string(&event.args);
                assert!(written.is_ok(), "{event:?}");
            }
            packet::has_valid_placeholders(array, attachments.unwrap_or(0));
        }
        Packet::Ack { array, .. } => {
            if let Ok(args) = packet::ack_args(array) {
                assert!(args.len() <= array.get().len());
            }
        }
        _ => {}
    }
}

/// The body of a long poll, whose form is the first byte: what is read is written and read again as the same.
///
/// # Panics
/// If that does not hold.
pub fn payloads(data: &[u8]) {
    let Some((&selector, body)) = data.split_first() else {
        return;
    };
    let (form, is_binary) = match selector % 3 {
        0 => (Form::V4, false),
        1 => (Form::V3 { has_binary: false }, false),
        _ => (Form::V3 { has_binary: true }, true),
    };
    let protocol = form.protocol();
    let mut frames = Vec::new();
    let read = payload::decode(body, is_binary, protocol, |packet| {
        frames.push(frame(&packet, protocol));
        Ok::<(), Malformed>(())
    });
    if read.is_err() {
        return;
    }
    let (written, is_binary) = match payload::encode(frames.iter().map(Vec::as_slice), form) {
        Body::Text(text) => (text.into_bytes(), false),
        Body::Binary(bytes) => (bytes, true),
    };
    let mut again = Vec::new();
    let read = payload::decode(&written, is_binary, protocol, |packet| {
        again.push(frame(&packet, protocol));
        Ok::<(), Malformed>(())
    });
    assert_eq!((read, again), (Ok(()), frames));
}

/// A packet as a whole WebSocket frame.
fn frame(packet: &engine::Packet<'_>, protocol: Protocol) -> Vec<u8> {
    let text = |parts: &[&str]| websocket::text_frame(parts).to_vec();
    match (packet, protocol) {
        (engine::Packet::Close, _) => text(&["1"]),
        (engine::Packet::Ping(data), _) => text(&["2", data]),
        (engine::Packet::Pong, _) => text(&["3"]),
        (engine::Packet::Idle, _) => text(&["6"]),
        (engine::Packet::Message(Message::Text(data)), _) => text(&[engine::MESSAGE, data]),
        (engine::Packet::Message(Message::Binary(bytes)), Protocol::V4) => {
            websocket::binary_frame(&[bytes]).to_vec()
        }
        (engine::Packet::Message(Message::Binary(bytes)), Protocol::V3) => {
            websocket::binary_frame(&[&[engine::MESSAGE_BYTE], bytes]).to_vec()
        }
    }
}

/// Bytes of one message at most, in [`frames`]: so small that the bound is met often.
const MESSAGE_MAX: usize = 300;

/// Bytes before the payload of a client's frame (RFC 6455 §5.2).
const HEADER_MAX: usize = 14;

/// A client's WebSocket frames: however the wire cuts them, they read the same, and no more is held than one message.
/// The first byte says where it is cut.
///
/// # Panics
/// If that does not hold.
pub fn frames(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let whole = read(stream, stream.len());
    assert_eq!(read(stream, usize::from(size % 64) + 1), whole);
}

/// Everything that a stream says, as text, when it comes in pieces of a size.
fn read(stream: &[u8], size: usize) -> (Vec<String>, Result<(), Violation>) {
    let mut reader = Reader::default();
    let mut seen = Vec::new();
    for piece in stream.chunks(size.max(1)) {
        let mut piece = piece.to_vec();
        let read = reader.read(&mut piece, MESSAGE_MAX, |incoming: Incoming<'_>| {
            seen.push(format!("{incoming:?}"));
            Ok::<(), Violation>(())
        });
        if read.is_err() {
            return (seen, read);
        }
        // An unfinished frame and the fragments before it, in vectors that grow by doubling.
        assert!(reader.held() <= 2 * (2 * MESSAGE_MAX + HEADER_MAX));
    }
    (seen, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Replays the seeds of a target. How many there were.
    fn replay(target: &str, run: fn(&[u8])) -> usize {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let seeds = fs::read_dir(seeds.join(target)).unwrap();
        let seeds = seeds.map(|seed| seed.unwrap().path());
        // Every file is a seed but the one that tells Git so.
        seeds
            .filter(|seed| !seed.ends_with(".gitattributes"))
            .map(|seed| run(&fs::read(seed).unwrap()))
            .count()
    }

    #[test]
    fn what_the_fuzzer_has_found_interesting_still_holds() {
        assert!(replay("packets", super::packets) > 200);
        assert!(replay("payloads", super::payloads) > 100);
        assert!(replay("frames", super::frames) > 40);
    }
}
