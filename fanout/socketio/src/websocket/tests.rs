//! The frame codec against tables from RFC 6455 and against generated streams, cut anywhere.

use proptest::prelude::*;

use super::*;

/// An incoming thing, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(MASKED | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            frame.push(MASKED | LENGTH_16);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(MASKED | LENGTH_64);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let mut payload = payload.to_vec();
    unmask(&mut payload, mask);
    frame.extend(payload);
    frame
}

/// Feeds the bytes in pieces of the given sizes, then the rest.
fn read_in_pieces(
    bytes: &[u8],
    limit: usize,
    pieces: &[usize],
) -> (Vec<Seen>, Result<(), Violation>, Reader) {
    let mut reader = Reader::default();
    let mut seen = Vec::new();
    let mut rest = bytes;
    for size in pieces.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        let result = reader.read(&mut piece.to_vec(), limit, |incoming| {
            seen.push(match incoming {
                Incoming::Text(text) => Seen::Text(text.to_owned()),
                Incoming::Binary(bytes) => Seen::Binary(bytes.to_vec()),
                Incoming::Ping(payload) => Seen::Ping(payload.to_vec()),
                Incoming::Pong => Seen::Pong,
                Incoming::Close(code) => Seen::Close(code),
            });
            Ok::<(), Violation>(())
        });
        if result.is_err() {
            return (seen, result, reader);
        }
        rest = after;
    }
    (seen, Ok(()), reader)
}

fn read(bytes: &[u8], limit: usize) -> Result<Vec<Seen>, Violation> {
    let (seen, result, _) = read_in_pieces(bytes, limit, &[]);
    result.map(|()| seen)
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // RFC 6455 §5.7: a masked "Hello", a masked pong of it.
    let hello = [
        0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58,
    ];
    assert_eq!(read(&hello, 5), Ok(vec![Seen::Text("Hello".to_owned())]));
    let pong = [
        0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58,
    ];
    assert_eq!(read(&pong, 5), Ok(vec![Seen::Pong]));
}

#[test]
fn a_control_frame_may_stand_between_fragments() {
    let mask = [1, 2, 3, 4];
    let stream = [
        client_frame(0x01, "a\u{e9}".get(..1).unwrap().as_bytes(), mask),
        client_frame(0x89, b"now", mask),
        // The two bytes of one character, in two fragments.
        client_frame(0x00, &[0xC3], mask),
        client_frame(0x80, &[0xA9], mask),
        client_frame(0x81, b"b", mask),
    ]
    .concat();
    assert_eq!(
        read(&stream, 3),
        Ok(vec![
            Seen::Ping(b"now".to_vec()),
            Seen::Text("aé".to_owned()),
            Seen::Text("b".to_owned()),
        ])
    );
}

#[test]
fn violations_have_their_close_codes() {
    let mask = [9, 8, 7, 6];
    let fragment = client_frame(0x01, b"abc", mask);
    for (name, bytes, code) in [
        ("unmasked", b"\x81\x01a".to_vec(), 1002),
        ("reserved bit", client_frame(0xC1, b"a", mask), 1002),
        ("unknown data opcode", client_frame(0x83, b"a", mask), 1002),
        (
            "unknown control opcode",
            client_frame(0x8B, b"", mask),
            1002,
        ),
        ("fragmented ping", client_frame(0x09, b"", mask), 1002),
        ("long ping", client_frame(0x89, &[0; 126], mask), 1002),
        (
            "continuation of nothing",
            client_frame(0x80, b"a", mask),
            1002,
        ),
        (
            "text inside a fragmented message",
            [fragment.clone(), client_frame(0x81, b"a", mask)].concat(),
            1002,
        ),
        (
            "16 bits for a short length",
            vec![0x81, 0xFE, 0, 125, 0, 0, 0, 0],
            1002,
        ),
        (
            "64 bits for a medium length",
            [vec![0x81, 0xFF], 0xFFFF_u64.to_be_bytes().to_vec()].concat(),
            1002,
        ),
        (
            "64 bits with the highest set",
            vec![0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
            1002,
        ),
        ("not UTF-8", client_frame(0x81, &[0xC3, 0x28], mask), 1007),
        ("close of one byte", client_frame(0x88, &[3], mask), 1002),
        (
            "close with a reserved code",
            client_frame(0x88, &1005_u16.to_be_bytes(), mask),
            1002,
        ),
        (
            "close with a bad reason",
            client_frame(0x88, &[3, 232, 0xFF], mask),
            1007,
        ),
        (
            "over the limit",
            client_frame(0x81, &[b'a'; 11], mask),
            1009,
        ),
        (
            "over the limit in fragments",
            [fragment, client_frame(0x00, b"12345678", mask)].concat(),
            1009,
        ),
    ] {
        let violation = read(&bytes, 10).expect_err(name);
        assert_eq!(violation.close().code(), code, "{name}");
    }
}

#[test]
fn a_message_ends_before_another_begins_and_is_not_cut_too_small() {
    let mask = [9, 8, 7, 6];
    let fragment = client_frame(0x01, b"", mask);
    let bytes = [fragment.clone(), client_frame(0x82, b"a", mask)].concat();
    assert_eq!(read(&bytes, 10), Err(Violation::Frame));
    let most = client_frame(0x00, b"", mask).repeat(1023);
    let bytes = [fragment, most, client_frame(0x80, b"", mask)].concat();
    assert_eq!(read(&bytes, 10), Err(Violation::Frame));
}

#[test]
fn bytes_are_put_together_as_texts_are() {
    let mask = [3, 1, 4, 1];
    let stream = [
        client_frame(0x82, &[0xFF, 0], mask),
        client_frame(0x02, &[1], mask),
        client_frame(0x80, &[2], mask),
    ]
    .concat();
    assert_eq!(
        read(&stream, 10),
        Ok(vec![Seen::Binary(vec![0xFF, 0]), Seen::Binary(vec![1, 2])])
    );
}

#[test]
fn what_follows_the_frame_that_ends_a_reading_is_read_by_the_next() {
    let mask = [1; 4];
    let mut stream = [
        client_frame(0x81, b"5", mask),
        client_frame(0x81, b"4a", mask),
    ]
    .concat();
    stream.extend_from_slice(&client_frame(0x81, b"4b", mask)[..3]);
    let mut reader = Reader::default();
    let stopped = reader.read(&mut stream, 10, |_| Err(Violation::Text));
    assert_eq!((stopped, reader.take_frames()), (Err(Violation::Text), 1));
    let mut seen = Vec::new();
    let mut rest = client_frame(0x81, b"4b", mask)[3..].to_vec();
    for data in [&mut [][..], &mut rest] {
        let read = reader.read(data, 10, |incoming| {
            if let Incoming::Text(text) = incoming {
                seen.push(text.to_owned());
            }
            Ok::<(), Violation>(())
        });
        assert_eq!(read, Ok(()));
    }
    assert_eq!(seen, ["4a", "4b"]);
}

#[test]
fn an_announced_giant_is_refused_by_its_header_alone() {
    let header = [
        vec![0x81, 0xFF],
        (1_u64 << 40).to_be_bytes().to_vec(),
        vec![0; 4],
    ]
    .concat();
    assert_eq!(read(&header, 1000), Err(Violation::TooBig));
}

#[test]
fn nothing_is_held_between_whole_messages() {
    let message = client_frame(0x81, &[b'a'; 500], [1, 2, 3, 4]);
    let (seen, result, reader) = read_in_pieces(&message, 500, &[1, 200, 1]);
    assert_eq!((seen.len(), result, reader.held()), (1, Ok(()), 0));
}

#[test]
fn a_close_gives_its_code() {
    let mask = [5; 4];
    assert_eq!(
        read(&client_frame(0x88, b"", mask), 1),
        Ok(vec![Seen::Close(None)])
    );
    let going = [&1001_u16.to_be_bytes()[..], b"bye"].concat();
    assert_eq!(
        read(&client_frame(0x88, &going, mask), 1),
        Ok(vec![Seen::Close(Some(1001))])
    );
}

#[test]
fn our_frames_have_the_shortest_length() {
    for (length, header) in [
        (0, vec![0x81, 0]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (0xFFFF, vec![0x81, 126, 0xFF, 0xFF]),
        (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = "x".repeat(length);
        let (left, right) = payload.split_at(length / 2);
        let frame = text_frame(&[left, right]);
        assert_eq!(frame, [header, payload.into_bytes()].concat(), "{length}");
    }
    assert_eq!(&close_frame(Some(1013))[..], [0x88, 2, 0x03, 0xF5]);
    assert_eq!(&close_frame(None)[..], [0x88, 0]);
    assert_eq!(&pong_frame(b"hi")[..], b"\x8A\x02hi");
    assert_eq!(pong_frame(&[0; 200]).len(), CONTROL_MAX + 2);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_hold_more_than_came(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(0_usize..40, 0..10),
        limit in 0_usize..200,
    ) {
        let (_, _, reader) = read_in_pieces(&bytes, limit, &pieces);
        prop_assert!(reader.held() <= 2 * bytes.len() + 8);
    }

    #[test]
    fn messages_survive_fragments_and_cuts(
        messages in proptest::collection::vec(("\\PC{0,80}", 1_usize..5, any::<[u8; 4]>()), 1..6),
        pieces in proptest::collection::vec(0_usize..60, 0..20),
    ) {
        let mut stream = Vec::new();
        for (text, fragments, mask) in &messages {
            let size = (text.len() / fragments).max(1);
            let mut chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            if chunks.is_empty() {
                chunks.push(b"");
            }
            let last = chunks.len() - 1;
            for (index, chunk) in chunks.into_iter().enumerate() {
                let opcode = u8::from(index == 0) | if index == last { FIN } else { 0 };
                stream.extend(client_frame(opcode, chunk, *mask));
            }
        }
        let (seen, result, reader) = read_in_pieces(&stream, 400, &pieces);
        prop_assert_eq!(result, Ok(()));
        let expected: Vec<Seen> = messages.into_iter().map(|(text, ..)| Seen::Text(text)).collect();
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(reader.held(), 0);
    }
}
