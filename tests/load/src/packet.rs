//! What a viewer understands of Engine.IO 4 and Socket.IO 5, and of our messages: enough to join and to count.
//! It promises to look at no more bytes than it must; it parses no JSON.
//! Protocol: <https://socket.io/docs/v4/engine-io-protocol/>, <https://socket.io/docs/v4/socket-io-protocol/>.

/// A namespace that is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// `/`, of the Socket.IO servers without an application.
    Root,
    /// `/discord`, of the fanout.
    Discord,
}

impl Namespace {
    /// What stands before a packet's data.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Discord => "/discord,",
        }
    }
}

/// More messages than any run sends have ten digits; a fixed length keeps all frames of a run equally long.
pub(crate) const NUMBER_DIGITS: usize = 10;

/// A text of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The session begins.
    Open,
    /// The server's heartbeat, which wants an answer.
    Ping,
    /// A WebSocket may take its session over.
    Probed,
    /// The namespace is ours.
    Connected,
    /// The namespace is not ours; the rest says why.
    Refused(&'a [u8]),
    /// The answer to our one request.
    Acknowledged(&'a [u8]),
    /// A `message` event, as its JSON array.
    Message(&'a [u8]),
    /// Any other event, as its JSON array.
    OtherEvent(&'a [u8]),
    /// The server has ended the namespace for good.
    Disconnected,
    /// Anything else.
    Unknown,
}

impl<'a> Packet<'a> {
    /// What a text is.
    pub(crate) fn read(namespace: Namespace, text: &'a [u8]) -> Self {
        match text {
            b"2" => Self::Ping,
            b"3probe" => Self::Probed,
            [b'0', ..] => Self::Open,
            [b'4', kind, rest @ ..] => rest
                .strip_prefix(namespace.prefix().as_bytes())
                .map_or(Self::Unknown, |data| Self::of_namespace(*kind, data)),
            _ => Self::Unknown,
        }
    }

    fn of_namespace(kind: u8, data: &'a [u8]) -> Self {
        match (kind, data) {
            (b'0', _) => Self::Connected,
            (b'2', event) if event.starts_with(br#"["message","#) => Self::Message(event),
            (b'1', []) => Self::Disconnected,
            (b'2', event @ [b'[', ..]) => Self::OtherEvent(event),
            (b'3', [b'0', answer @ ..]) => Self::Acknowledged(answer),
            (b'4', why) => Self::Refused(why),
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

/// The number of a message of the bench's own servers: the first ten digits of its text.
pub(crate) fn number(event: &[u8]) -> Option<usize> {
    let text = event.strip_prefix(br#"["message",""#)?;
    let (number, rest) = digits(text.get(..NUMBER_DIGITS)?)?;
    rest.is_empty().then_some(usize::try_from(number).ok()?)
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
        let table: [(&str, Packet<'_>); 13] = [
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
            (
                r#"42/discord,["messages_bulk",{}]"#,
                Packet::OtherEvent(br#"["messages_bulk",{}]"#),
            ),
            (
                r#"42/discord,["message_update",{}]"#,
                Packet::OtherEvent(br#"["message_update",{}]"#),
            ),
            (r#"42["message",{}]"#, Packet::Unknown),
            ("41/discord,", Packet::Disconnected),
            ("41/discord,x", Packet::Unknown),
            ("4", Packet::Unknown),
            ("", Packet::Unknown),
        ];
        for (text, packet) in table {
            assert_eq!(
                Packet::read(Namespace::Discord, text.as_bytes()),
                packet,
                "{text}"
            );
        }
    }

    #[test]
    fn the_main_namespace_has_no_prefix() {
        let table: [(&str, Packet<'_>); 4] = [
            (r#"40{"sid":"x"}"#, Packet::Connected),
            ("430[{}]", Packet::Acknowledged(b"[{}]")),
            (
                r#"42["message","x"]"#,
                Packet::Message(br#"["message","x"]"#),
            ),
            (r#"42/discord,["message","x"]"#, Packet::Unknown),
        ];
        for (text, packet) in table {
            assert_eq!(Packet::read(Namespace::Root, text.as_bytes()), packet);
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
    fn a_number_is_the_beginning_of_the_text() {
        let table = [
            (r#"["message","0000000017xxx"]"#, Some(17)),
            (r#"["message","00000"]"#, None),
            (r#"["message","x000000017"]"#, None),
            (r#"["message","1xxxxxxxxxxx"]"#, None),
            (r#"["message",{}]"#, None),
        ];
        for (event, expected) in table {
            assert_eq!(number(event.as_bytes()), expected, "{event}");
        }
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
