//! Packets against the examples of the protocol page, what the reference parser refuses, and generated texts.

use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_of_packet_reads_as_the_protocol_page_says() {
    for (text, expected) in [
        (
            "0",
            r#"Connect { namespace: "/", query: None, payload: None }"#,
        ),
        (
            "0/admin",
            r#"Connect { namespace: "/admin", query: None, payload: None }"#,
        ),
        (
            r#"0{"token":"123"}"#,
            r#"Connect { namespace: "/", query: None, payload: Some(RawValue({"token":"123"})) }"#,
        ),
        (
            r#"0/discord?x=y,{"a":1}"#,
            r#"Connect { namespace: "/discord", query: Some("x=y"), payload: Some(RawValue({"a":1})) }"#,
        ),
        ("1", r#"Disconnect { namespace: "/" }"#),
        ("1/admin,", r#"Disconnect { namespace: "/admin" }"#),
        (
            r#"2["foo"]"#,
            r#"Event { namespace: "/", ack: None, array: RawValue(["foo"]), attachments: None }"#,
        ),
        (
            r#"2/admin,12["foo",1]"#,
            r#"Event { namespace: "/admin", ack: Some(12), array: RawValue(["foo",1]), attachments: None }"#,
        ),
        (
            "3/admin,13[]",
            r#"Ack { namespace: "/admin", id: 13, array: RawValue([]), attachments: None }"#,
        ),
        (
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            r#"Event { namespace: "/", ack: None, array: RawValue(["baz",{"_placeholder":true,"num":0}]), attachments: Some(1) }"#,
        ),
        (
            r#"52-/admin,14["baz"]"#,
            r#"Event { namespace: "/admin", ack: Some(14), array: RawValue(["baz"]), attachments: Some(2) }"#,
        ),
        (
            r#"61-15["bar"]"#,
            r#"Ack { namespace: "/", id: 15, array: RawValue(["bar"]), attachments: Some(1) }"#,
        ),
        (
            r#"4"no""#,
            r#"ConnectError { namespace: "/", payload: RawValue("no") }"#,
        ),
        (
            r#"4{"message":"no"}"#,
            r#"ConnectError { namespace: "/", payload: RawValue({"message":"no"}) }"#,
        ),
    ] {
        let packet = Packet::parse(text).expect(text);
        assert_eq!(format!("{packet:?}"), expected, "{text}");
    }
}

#[test]
fn what_the_reference_parser_refuses_is_refused() {
    for (text, expected) in [
        ("", PacketError::Type),
        ("abc", PacketError::Type),
        ("7", PacketError::Type),
        ("é", PacketError::Type),
        ("5[\"x\"]", PacketError::Attachments),
        ("5-[\"x\"]", PacketError::Attachments),
        ("5+1-[\"x\"]", PacketError::Attachments),
        ("565-[\"x\"]", PacketError::Attachments),
        ("6a-1[]", PacketError::Attachments),
        ("61-[]", PacketError::AckId),
        ("4[]", PacketError::Payload),
        ("0[]", PacketError::Payload),
        ("0\"x\"", PacketError::Payload),
        ("0{", PacketError::Payload),
        ("0/discord,1{}", PacketError::AckId),
        ("1{}", PacketError::Payload),
        ("2", PacketError::Payload),
        ("2{}", PacketError::Payload),
        ("2[\"x\"]]", PacketError::Payload),
        ("2abc[\"x\"]", PacketError::Payload),
        ("299999999999999999999[\"x\"]", PacketError::AckId),
        ("3[]", PacketError::AckId),
        ("31{}", PacketError::Payload),
    ] {
        assert_eq!(Packet::parse(text).expect_err(text), expected, "{text}");
    }
}

#[test]
fn an_event_is_a_name_and_bounded_arguments() {
    let read = |json: &str| {
        let array: Box<RawValue> = serde_json::from_str(json).expect("test input is JSON");
        EventArray::parse(&array).map(|event| (event.name, event.args.len()))
    };
    assert_eq!(read(r#"["a"]"#), Ok(("a".to_owned(), 0)));
    assert_eq!(
        read(r#"[ "\u0061", {}, [1], null ]"#),
        Ok(("a".to_owned(), 3))
    );
    for refused in [
        "[]",
        "[1]",
        "[null]",
        "[{}]",
        r#"["connect"]"#,
        r#"["disconnecting",1]"#,
    ] {
        assert_eq!(read(refused), Err(PacketError::Payload), "{refused}");
    }
    let most = format!(r#"["a"{}]"#, ",1".repeat(ARGS_MAX));
    assert_eq!(read(&most), Ok(("a".to_owned(), ARGS_MAX)));
    let more = format!(r#"["a"{}]"#, ",1".repeat(ARGS_MAX + 1));
    assert_eq!(read(&more), Err(PacketError::Payload));
}

/// Texts that a parser finds interesting more often than noise does.
fn packet_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/discord,".to_owned()),
        Just("/".to_owned()),
        Just("?x=y".to_owned()),
        Just("[\"e\",1]".to_owned()),
        Just("{\"a\":\"é\"}".to_owned()),
        "[0-9]{0,22}",
        "\\PC{0,6}",
    ];
    ("[0-7]?", proptest::collection::vec(part, 0..5))
        .prop_map(|(kind, parts)| kind + &parts.concat())
}

fn json(open: &'static str) -> impl Strategy<Value = Box<RawValue>> {
    "[a-zé/,?0-9]{0,8}".prop_map(move |text| {
        let text = serde_json::to_string(&text).expect("a text has a JSON form");
        let json = if open == "[" {
            format!("[{text}]")
        } else {
            format!("{{{text}:1}}")
        };
        RawValue::from_string(json).expect("built as JSON")
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_reads_it_prints(text in packet_like()) {
        if let Ok(packet) = Packet::parse(&text) {
            let printed = packet.to_string();
            let again = Packet::parse(&printed).expect("a printed packet is a packet");
            prop_assert_eq!(format!("{again:?}"), format!("{packet:?}"));
        }
    }

    #[test]
    fn every_packet_survives_the_round_trip(
        namespace in "/([a-z/]{1,8})?",
        query in proptest::option::of("[a-z=&]{0,8}"),
        id in any::<u64>(),
        object in json("{"),
        array in json("["),
            attachments in proptest::option::of(0..=ATTACHMENTS_MAX),
    ) {
        let namespace = namespace.as_str();
        for packet in [
            Packet::Connect { namespace, query: query.as_deref(), payload: None },
            Packet::Connect { namespace, query: query.as_deref(), payload: Some(&object) },
            Packet::Disconnect { namespace },
            Packet::Event { namespace, ack: None, array: &array, attachments },
            Packet::Event { namespace, ack: Some(id), array: &array, attachments },
            Packet::Ack { namespace, id, array: &array, attachments },
            Packet::ConnectError { namespace, payload: &object },
        ] {
            let text = packet.to_string();
            let read = Packet::parse(&text).expect("a printed packet is a packet");
            prop_assert_eq!(format!("{read:?}"), format!("{packet:?}"));
        }
    }
}

#[test]
fn a_placeholder_stands_for_an_attachment_that_is_there() {
    let valid = |json: &str, attachments| {
        let array: Box<RawValue> = serde_json::from_str(json).expect("test input is JSON");
        has_valid_placeholders(&array, attachments)
    };
    assert!(valid(r#"["a",{"b":[{"_placeholder":true,"num":1}]}]"#, 2));
    assert!(valid(r#"["a",{"_placeholder":false,"num":9}]"#, 1));
    assert!(!valid(r#"["a",{"b":[{"_placeholder":true,"num":2}]}]"#, 2));
    assert!(!valid(r#"["a",{"_placeholder":true,"num":-1}]"#, 1));
    assert!(!valid(r#"["a",{"_placeholder":true,"num":"0"}]"#, 1));
    assert!(!valid(r#"["a",{"_placeholder":true}]"#, 1));
}
