//! Every kind of message, from Discord's frame to what viewers get; then the same frames, broken.
//!
//! `tests/corpus/frame.json` is a plain post as the gateway sends it; a case of `tests/corpus/messages/*.json` changes
//! some of its fields (a null leaves a field out of neither: it is null, as Discord sends it), and says what becomes
//! of it: the whole `Message` of the contract, and the placeholders that stand in it. Written from
//! <https://docs.discord.com/developers/resources/message>.

use std::fs;

use fanout::access::Directory;
use fanout::object::message_object;
use ingest::{Reading, read_message};
use proto::GuildId;
use proto::event::{
    Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart, Overwrite, Role,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::sources::root;

mod mutation;

const GUILD: u64 = 900_000_000_000_000_001;
/// The channel of the frames, which everyone may see, and one that only some may.
const PUBLIC: u64 = 900_000_000_000_000_010;
const PRIVATE: u64 = 900_000_000_000_000_011;
const ROLE: u64 = 900_000_000_000_000_041;
const VIEW_CHANNEL: u64 = 1 << 10;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default = "created")]
    event: String,
    /// The fields that differ from the plain post's.
    frame: Map<String, Value>,
    message: Option<Value>,
    #[serde(default)]
    placeholders: Vec<String>,
    /// The outcome and its reason, where there is no message.
    skipped: Option<[String; 2]>,
}

fn created() -> String {
    "MESSAGE_CREATE".to_owned()
}

fn parse(path: &str) -> Value {
    let text = fs::read_to_string(root().join("tests/corpus").join(path));
    serde_json::from_str(&text.expect(path)).expect(path)
}

/// The cases, each with its whole frame.
fn cases() -> Vec<(Case, Value)> {
    let base = parse("frame.json");
    let folder = root().join("tests/corpus/messages");
    let files = fs::read_dir(folder).expect("the corpus is there");
    let mut names: Vec<_> = files
        .map(|file| {
            file.expect("a file")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    let mut cases = Vec::new();
    for name in names {
        let listed: Vec<Case> =
            serde_json::from_value(parse(&format!("messages/{name}"))).expect(&name);
        for case in listed {
            let mut frame = base.clone();
            let fields = frame.as_object_mut().expect("an object");
            fields.extend(case.frame.clone());
            cases.push((case, frame));
        }
    }
    cases
}

/// A guild with a role, a channel for everyone and one that is not.
fn directory() -> Directory {
    let channel = |id, name: &str, deny| Channel {
        id,
        name: name.to_owned(),
        overwrites: vec![Overwrite {
            id: GUILD,
            member: false,
            allow: 0,
            deny,
        }],
        ..Channel::default()
    };
    let role = |id, name: &str| Role {
        id,
        name: name.to_owned(),
        permissions: VIEW_CHANNEL,
        ..Role::default()
    };
    let part = GuildSnapshotPart {
        version: "v".to_owned(),
        roles: vec![role(GUILD, "@everyone"), role(ROLE, "Moderators")],
        channels: vec![
            channel(PUBLIC, "general", 0),
            channel(PRIVATE, "secret", VIEW_CHANNEL),
        ],
        members: Vec::new(),
    };
    let begin = GuildSnapshotBegin {
        version: "v".to_owned(),
        guild: Some(Guild {
            id: GUILD,
            ..Guild::default()
        }),
        roles: 2,
        channels: 2,
        members: 0,
    };
    let end = GuildSnapshotEnd {
        version: "v".to_owned(),
    };
    let mut directory = Directory::default();
    for event in [
        Event::GuildSnapshotBegin(begin),
        Event::GuildSnapshotPart(part),
        Event::GuildSnapshotEnd(end),
    ] {
        directory.apply(guild(), &event);
    }
    directory
}

fn guild() -> GuildId {
    GuildId::new(GUILD).expect("an id")
}

/// The message that viewers get.
fn object(reading: &Reading, directory: &Directory) -> Value {
    let guild = GuildId::new(reading.message.guild_id).expect("a guild");
    serde_json::to_value(message_object(&reading.message, guild, directory)).expect("JSON")
}

#[test]
fn every_kind_of_message_becomes_the_documented_object() {
    let directory = directory();
    let cases = cases();
    assert!(cases.len() > 100, "{} cases", cases.len());
    for (case, frame) in &cases {
        let read = read_message(&case.event, &frame.to_string());
        let name = &case.name;
        match (&case.skipped, read) {
            (Some(outcome), Err(words)) => assert_eq!(*outcome, words, "{name}"),
            (None, Ok(reading)) => {
                let object = object(&reading, &directory);
                assert_eq!(reading.placeholders, case.placeholders, "{name}");
                assert_eq!(blank(&object), None, "{name}");
                let expected = case.message.as_ref().expect(name);
                assert_eq!(
                    object, *expected,
                    "{name}:\n{object:#}\nand expected was\n{expected:#}"
                );
            }
            (expected, read) => panic!("{name}: {expected:?} but {read:?}"),
        }
    }
    println!("{} messages of the corpus", cases.len());
}

#[test]
fn the_corpus_has_every_type_of_message_and_every_kind_of_component() {
    let cases = cases();
    let types: Vec<_> = cases
        .iter()
        .map(|(_, frame)| frame["type"].clone())
        .collect();
    // 13 and 33 to 35, 40 to 43 and 45 do not exist or are no messages of a guild's channel.
    let documented = (0..=12).chain(14..=32).chain(36..=39).chain([44, 46]);
    for kind in documented {
        assert!(types.contains(&kind.into()), "no message of type {kind}");
    }
    let text: String = cases.iter().map(|(_, frame)| frame.to_string()).collect();
    for kind in (1..=3).chain(5..=14).chain([17]) {
        let needle = format!("\"type\":{kind}");
        assert!(text.contains(&needle), "no component of type {kind}");
    }
}

/// What of a message shows nothing at all; none where everything shows something.
fn blank(message: &Value) -> Option<String> {
    let parts = ["attachments", "embeds", "stickers", "components"];
    let lists = parts.map(|part| message[part].as_array().cloned().unwrap_or_default());
    for (part, list) in parts.iter().zip(&lists) {
        for item in list {
            let is_blank = match *part {
                "attachments" => is_empty(&item["filename"]),
                "stickers" => is_empty(&item["name"]),
                "components" => item["type"] != "separator" && !shows_text(item),
                _ => !shows_text(item),
            };
            if is_blank {
                return Some(format!("{part}: {item}"));
            }
        }
    }
    let shown = |list: &Vec<Value>| list.iter().any(|item| item["type"] != "separator");
    let has_part = lists.iter().any(shown);
    if let Some(forwarded) = message.get("forwarded")
        && let Some(why) = blank(forwarded)
    {
        return Some(format!("forwarded: {why}"));
    }
    if let Some(poll) = message.get("poll")
        && is_empty(&poll["question"])
    {
        return Some("a poll without a question".to_owned());
    }
    let has_more = message.get("poll").is_some() || message.get("forwarded").is_some();
    let is_blank = is_empty(&message["content"]) && !has_part && !has_more;
    is_blank.then(|| message.to_string())
}

fn is_empty(text: &Value) -> bool {
    text.as_str().is_none_or(|text| text.trim().is_empty())
}

/// Somewhere in it stands a text that is not the name of its type.
fn shows_text(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => list.iter().any(shows_text),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name != "type" && shows_text(value)),
        _ => false,
    }
}
