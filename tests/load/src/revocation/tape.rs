//! What one socket was sent, byte by byte, and whether any of it was not for its eyes.
//! It promises to look at every byte twice: as a stream, for the mark that each message carries, and frame by frame, for
//! what came after the socket was out. It knows nothing of time.

use crate::packet::{Namespace, Packet};
use crate::websocket::{FrameReader, Kind};

/// What stands before a message's number in its text.
pub(crate) const MARK: &str = "mark=";
/// A number's digits: all marks are equally long.
pub(crate) const DIGITS: usize = 10;

/// Events that a socket may be sent when it is out of its channel: what it sees then, and nothing of the channel.
const OUTSIDE: [&str; 3] = ["channels_list", "channels", "channel_update"];

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// All bytes.
    pub(crate) bytes: u64,
    /// All frames.
    pub(crate) frames: u64,
    /// Messages that the socket could see still.
    pub(crate) before: u64,
    /// Numbers of messages that it must not have seen.
    pub(crate) leaked: Vec<u64>,
    /// What came after the socket was out and is not what may come then.
    pub(crate) outside: Vec<String>,
    /// The tape ends within a frame, or is none.
    pub(crate) is_torn: bool,
}

/// Looks through a tape, on which no message beyond this number may be.
pub(crate) fn search(tape: &[u8], last: u64) -> Findings {
    let mut findings = Findings {
        bytes: tape.len() as u64,
        ..Findings::default()
    };
    for number in marks(tape) {
        if number > last {
            findings.leaked.push(number);
        } else {
            findings.before += 1;
        }
    }
    read_frames(tape, &mut findings);
    findings
}

/// The numbers of all marks, wherever they are. A mark without its number is beyond every number.
fn marks(tape: &[u8]) -> impl Iterator<Item = u64> {
    let found = tape.windows(MARK.len()).enumerate();
    let found = found.filter(|(_, bytes)| *bytes == MARK.as_bytes());
    found.map(|(at, _)| {
        let start = at + MARK.len();
        let digits = tape.get(start..start + DIGITS);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(u64::MAX)
    })
}

fn read_frames(tape: &[u8], findings: &mut Findings) {
    let mut reader = FrameReader::default();
    reader.space().extend_from_slice(tape);
    let mut is_out = false;
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                findings.frames += 1;
                if frame.kind != Kind::Text {
                    continue;
                }
                let packet = Packet::read(Namespace::Discord, frame.payload);
                if is_out && !may_come_outside(packet) {
                    let text = String::from_utf8_lossy(frame.payload);
                    findings.outside.push(text.chars().take(80).collect());
                }
                is_out |= ends_it(packet);
            }
            Ok(None) => break,
            Err(_) => findings.is_torn = true,
        }
        if findings.is_torn {
            return;
        }
    }
    findings.is_torn = !reader.rest().is_empty();
}

/// From this packet on the socket is out.
fn ends_it(packet: Packet<'_>) -> bool {
    match packet {
        Packet::Disconnected => true,
        Packet::OtherEvent(event) => name(event) == Some("channel_left"),
        _ => false,
    }
}

fn may_come_outside(packet: Packet<'_>) -> bool {
    match packet {
        Packet::Ping => true,
        Packet::OtherEvent(event) => name(event).is_some_and(|name| OUTSIDE.contains(&name)),
        _ => false,
    }
}

/// The name of an event, from its JSON array.
pub(crate) fn name(event: &[u8]) -> Option<&str> {
    let rest = event.strip_prefix(br#"[""#)?;
    let length = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server sends, in frames of at most 65,535 bytes.
    fn served(texts: &[&str]) -> Vec<u8> {
        let mut tape = Vec::new();
        for text in texts {
            let length = u16::try_from(text.len()).unwrap();
            tape.extend([0x81, 126]);
            tape.extend(length.to_be_bytes());
            tape.extend_from_slice(text.as_bytes());
        }
        tape
    }

    const FIRST: &str = r#"42/discord,["message",{"content":"mark=0000000001;xx"},"7"]"#;
    const SECOND: &str = r#"42/discord,["message",{"content":"mark=0000000002;xx"},"8"]"#;
    const LEFT: &str = r#"42/discord,["channel_left",{"channelId":"1","reason":"access_revoked"}]"#;
    const LIST: &str = r#"42/discord,["channels_list",[]]"#;

    #[test]
    fn a_socket_that_is_put_out_in_time_has_nothing_that_is_not_its_own() {
        let tape = served(&[FIRST, LEFT, "2", LIST]);
        let expected = Findings {
            bytes: tape.len() as u64,
            frames: 4,
            before: 1,
            ..Findings::default()
        };
        assert_eq!(search(&tape, 1), expected);
    }

    #[test]
    fn a_message_of_after_the_change_is_a_leak_wherever_it_stands() {
        assert_eq!(search(&served(&[FIRST, SECOND, LEFT]), 1).leaked, [2]);
        let late = search(&served(&[FIRST, LEFT, SECOND]), 1);
        assert_eq!((late.leaked, late.outside.len()), (vec![2], 1));
        let quoted =
            r#"42/discord,["messages_bulk",{"messages":[{"content":"mark=0000000002;"}]}]"#;
        assert_eq!(search(&served(&[quoted]), 1).leaked, [2]);
    }

    #[test]
    fn part_of_a_message_is_a_leak_too() {
        let whole = served(&[FIRST, LEFT, SECOND]);
        let cut = &whole[..whole.len() - SECOND.len() + 45];
        let findings = search(cut, 1);
        assert!(findings.is_torn);
        assert_eq!(findings.leaked.len(), 1, "a mark without its number");
        assert!(search(&whole[..whole.len() - SECOND.len()], 1).is_torn);
    }

    #[test]
    fn whatever_else_comes_to_a_socket_outside_is_named() {
        let typing = r#"42/discord,["typing_start",{"channelId":"1"}]"#;
        assert!(search(&served(&[typing, LEFT]), 1).outside.is_empty());
        assert_eq!(search(&served(&[LEFT, typing]), 1).outside, [typing]);
        assert_eq!(search(&served(&["41/discord,", LIST]), 1).outside.len(), 0);
    }

    #[test]
    fn what_is_no_websocket_is_torn() {
        assert!(search(b"HTTP/1.1 400 Bad Request", 1).is_torn);
        assert!(!search(b"", 1).is_torn);
    }
}
