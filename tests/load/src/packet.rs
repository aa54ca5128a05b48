//! What a viewer understands of Engine.IO 4 and Socket.IO 5, and of our messages: enough to join and to count.
//! It promises to look at no more bytes than it must; it parses no JSON.
//! Protocol: <https://socket.io/docs/v4/engine-io-protocol/>, <https://socket.io/docs/v4/socket-io-protocol/>.

/// The namespace that the viewers use.
pub(crate) const NAMESPACE: &str = "/discord";

/// A text of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The session begins.
    Open,
    /// The server's heartbeat, which wants an answer.
    Ping,
    /// The namespace is ours.
    Connected,
    /// The namespace is not ours; the rest says why.
    Refused(&'a [u8]),
    /// The answer to our one request.
    Acknowledged(&'a [u8]),
    /// A `message` event, as its JSON array.
    Message(&'a [u8]),
    /// An event that is not counted.
    OtherEvent,
    /// Anything else.
    Unknown,
}

impl<'a> Packet<'a> {
    /// What a text is.
    pub(crate) fn read(text: &'a [u8]) -> Self {
        if let Some(event) = text.strip_prefix(b"42/discord,") {
            if event.starts_with(br#"["message","#) {
                return Self::Message(event);
            }
            return Self::OtherEvent;
        }
        if let Some(answer) = text.strip_prefix(b"43/discord,0") {
            return Self::Acknowledged(answer);
        }
        if let Some(why) = text.strip_prefix(b"44/discord,") {
            return Self::Refused(why);
        }
        match text {
            b"2" => Self::Ping,
            [b'0', ..] => Self::Open,
            _ if text.starts_with(b"40/discord,") => Self::Connected,
            _ => Self::Unknown,
        }
    }
}

/// The number and the time that the simulator writes into a message's text: `n=<number>;t=<unix nanoseconds>;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// From 1 to the count of the load.
    pub(crate) number: u64,
    /// When it was posted, in nanoseconds since 1970.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    /// The stamp of a `message` event; none if its text is somebody else's.
    pub(crate) fn find(event: &[u8]) -> Option<Self> {
        const BEGINNING: &[u8] = br#""content":"n="#;
        let at = event
            .windows(BEGINNING.len())
            .position(|w| w == BEGINNING)?;
        let (number, rest) = digits(event.get(at + BEGINNING.len()..)?)?;
        let (sent_ns, rest) = digits(rest.strip_prefix(b";t=")?)?;
        rest.starts_with(b";").then_some(Self { number, sent_ns })
    }
}

/// A number at the beginning, and what follows it.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(length)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_the_protocol_is_known() {
        let table: [(&str, Packet<'_>); 10] = [
            (r#"0{"sid":"x"}"#, Packet::Open),
            ("2", Packet::Ping),
            (r#"40/discord,{"sid":"x"}"#, Packet::Connected),
            (
                r#"44/discord,{"message":"no"}"#,
                Packet::Refused(br#"{"message":"no"}"#),
            ),
            (
                r#"43/discord,0[{"success":true}]"#,
                Packet::Acknowledged(br#"[{"success":true}]"#),
            ),
            (
                r#"42/discord,["message",{"id":"1"},"7"]"#,
                Packet::Message(br#"["message",{"id":"1"},"7"]"#),
            ),
            (r#"42/discord,["messages_bulk",{}]"#, Packet::OtherEvent),
            (r#"42/discord,["message_update",{}]"#, Packet::OtherEvent),
            (r#"42["message",{}]"#, Packet::Unknown),
            ("", Packet::Unknown),
        ];
        for (text, packet) in table {
            assert_eq!(Packet::read(text.as_bytes()), packet, "{text}");
        }
    }

    #[test]
    fn a_stamp_is_read_from_the_text_of_the_message() {
        let event = br#"["message",{"id":"1","content":"n=17;t=1700000000000000001;xxx"},"7"]"#;
        let stamp = Stamp {
            number: 17,
            sent_ns: 1_700_000_000_000_000_001,
        };
        assert_eq!(Stamp::find(event), Some(stamp));
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for content in [
            "hello",
            "n=",
            "n=1",
            "n=1;",
            "n=1;t=",
            "n=1;t=2",
            "n=x;t=2;",
            "n=99999999999999999999;t=2;",
        ] {
            let event = format!(r#"["message",{{"content":"{content}"}}]"#);
            assert_eq!(Stamp::find(event.as_bytes()), None, "{content}");
        }
    }
}
