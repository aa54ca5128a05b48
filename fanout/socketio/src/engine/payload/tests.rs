//! Payloads against the examples of the protocol pages, and against generated packets.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::engine::{Message, message_frame};

const V3_TEXT: Form = Form::V3 { has_binary: false };
const V3_BINARY: Form = Form::V3 { has_binary: true };

/// A packet, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Bytes(Vec<u8>),
    Other(String),
}

fn read(body: &[u8], is_binary: bool, protocol: Protocol) -> Result<Vec<Seen>, Malformed> {
    let mut seen = Vec::new();
    decode(body, is_binary, protocol, |packet| {
        seen.push(match packet {
            Packet::Message(Message::Text(text)) => Seen::Text(text.to_owned()),
            Packet::Message(Message::Binary(bytes)) => Seen::Bytes(bytes.to_vec()),
            other => Seen::Other(format!("{other:?}")),
        });
        Ok::<(), Malformed>(())
    })?;
    Ok(seen)
}

fn write(messages: &[Message<'_>], form: Form) -> Body {
    let frames: Vec<Bytes> = messages
        .iter()
        .map(|message| message_frame(*message, form.protocol()))
        .collect();
    encode(frames.iter().map(AsRef::as_ref), form)
}

#[test]
fn the_examples_of_the_protocol_pages_are_written_and_read() {
    let hello = Message::Text("hello");
    let bytes = Message::Binary(&[1, 2, 3, 4]);
    let seen = [Seen::Text("hello".into()), Seen::Bytes(vec![1, 2, 3, 4])];
    for (form, body) in [
        (Form::V4, Body::Text("4hello\u{1e}bAQIDBA==".into())),
        (V3_TEXT, Body::Text("6:4hello10:b4AQIDBA==".into())),
        (
            V3_BINARY,
            Body::Binary(vec![
                0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4,
            ]),
        ),
    ] {
        assert_eq!(write(&[hello, bytes], form), body);
        let (bytes, is_binary) = match &body {
            Body::Text(text) => (text.as_bytes(), false),
            Body::Binary(bytes) => (&bytes[..], true),
        };
        assert_eq!(
            read(bytes, is_binary, form.protocol()).as_deref(),
            Ok(&seen[..])
        );
    }
    // Without bytes the body is text, also where bytes could be read.
    assert_eq!(write(&[hello], V3_BINARY), Body::Text("6:4hello".into()));
    assert_eq!(
        read(b"4hello\x1e3\x1e4world", false, Protocol::V4),
        Ok(vec![
            Seen::Text("hello".into()),
            Seen::Other("Pong".into()),
            Seen::Text("world".into())
        ])
    );
}

#[test]
fn lengths_of_revision_3_count_as_javascript_does() {
    // "€" is one code unit and three bytes, "😀" two and four.
    assert_eq!(
        write(&[Message::Text("€")], V3_TEXT),
        Body::Text("2:4€".into())
    );
    assert_eq!(
        write(&[Message::Text("😀")], V3_TEXT),
        Body::Text("3:4😀".into())
    );
    let seen = Ok(vec![Seen::Text("😀".into()), Seen::Text("€".into())]);
    assert_eq!(read("3:4😀2:4€".as_bytes(), false, Protocol::V3), seen);
    // Cut inside of a surrogate pair.
    assert_eq!(
        read("2:4😀".as_bytes(), false, Protocol::V3),
        Err(Malformed)
    );
}

#[test]
fn what_is_no_payload_is_refused() {
    let text: [(&[u8], Protocol); 20] = [
        (b"", Protocol::V4),
        (b"abc", Protocol::V4),
        (b"4a\x1e", Protocol::V4),
        (b"b!", Protocol::V4),
        (b"bAQIDBA", Protocol::V4),
        (b"2", Protocol::V4),
        (b"4\xff", Protocol::V4),
        (b"", Protocol::V3),
        (b"abc", Protocol::V3),
        (b":4", Protocol::V3),
        (b"-1:4", Protocol::V3),
        (b"+1:4", Protocol::V3),
        (b" 1:4", Protocol::V3),
        (b"2:4", Protocol::V3),
        (b"0:", Protocol::V3),
        (b"1:", Protocol::V3),
        (b"99999999999:4", Protocol::V3),
        (b"1:41", Protocol::V3),
        (b"6:bAAAA=", Protocol::V3),
        (b"1:3", Protocol::V3),
    ];
    for (body, protocol) in text {
        assert_eq!(read(body, false, protocol), Err(Malformed), "{body:?}");
    }
    let binary: [&[u8]; 9] = [
        &[],
        &[0],
        &[0, 255],
        &[0, 1, 255],
        &[2, 1, 255, b'4'],
        &[0, 10, 255, b'4'],
        &[1, 1, 255, 5],
        &[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 255, b'4'],
        &[0, 1, 255, 0xFF],
    ];
    for body in binary {
        assert_eq!(read(body, true, Protocol::V3), Err(Malformed), "{body:?}");
    }
    assert_eq!(read(b"4hello", true, Protocol::V4), Err(Malformed));
}

#[test]
fn a_packet_that_is_refused_ends_the_reading() {
    let mut count = 0;
    let result = decode(b"4a\x1e4b\x1e4c", false, Protocol::V4, |_| {
        count += 1;
        if count == 2 { Err(Malformed) } else { Ok(()) }
    });
    assert_eq!((result, count), (Err(Malformed), 2));
}

/// Messages without the separator, which revision 4 assumes to be absent from text.
fn messages() -> impl Strategy<Value = Vec<Seen>> {
    let text = "[^\u{1e}]{0,20}".prop_map(Seen::Text);
    let bytes = proptest::collection::vec(any::<u8>(), 0..30).prop_map(Seen::Bytes);
    proptest::collection::vec(prop_oneof![text, bytes], 1..8)
}

proptest! {
    #[test]
    fn messages_survive_the_round_trip(sent in messages()) {
        let messages: Vec<_> = sent.iter().map(|message| match message {
            Seen::Text(text) | Seen::Other(text) => Message::Text(text),
            Seen::Bytes(bytes) => Message::Binary(bytes),
        }).collect();
        for form in [Form::V4, V3_TEXT, V3_BINARY] {
            let read = match write(&messages, form) {
                Body::Text(text) => read(text.as_bytes(), false, form.protocol()),
                Body::Binary(bytes) => read(&bytes, true, form.protocol()),
            };
            prop_assert_eq!(read.as_ref(), Ok(&sent));
        }
    }

    #[test]
    fn no_body_makes_the_reader_panic(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[0-9:b4\u{1e}é😀=]{0,20}".prop_map(String::into_bytes),
            proptest::collection::vec(prop_oneof![0_u8..10, Just(255), Just(b'4')], 0..30),
        ],
        is_binary: bool,
    ) {
        for protocol in [Protocol::V3, Protocol::V4] {
            let _read = read(&body, is_binary, protocol);
        }
    }
}
