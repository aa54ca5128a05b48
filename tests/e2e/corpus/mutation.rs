//! Broken frames: 100,000 of them, drawn from a seed that a failure prints.
//!
//! Whatever is done to a message's frame, one that keeps its id and its places makes a message that shows something,
//! and any other ends in one named outcome; nothing panics.

use std::collections::BTreeMap;
use std::env;

use ingest::read_message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{blank, cases, directory, object};

/// Frames of one test; there are four, which run beside each other.
const FRAMES: usize = 25_000;
/// So many changes are made to one frame at most.
const CHANGES_MAX: usize = 4;
/// What Discord's largest frames are far from.
const DEPTH: usize = 3_000;

/// The outcomes that a broken frame may have.
const OUTCOMES: [[&str; 2]; 5] = [
    ["skipped", "ephemeral"],
    ["skipped", "direct_message"],
    ["skipped", "unplaced"],
    ["skipped", "partial"],
    ["refused", "malformed"],
];

#[test]
fn no_broken_frame_panics_or_loses_a_message_first_quarter() {
    run(1);
}

#[test]
fn no_broken_frame_panics_or_loses_a_message_second_quarter() {
    run(2);
}

#[test]
fn no_broken_frame_panics_or_loses_a_message_third_quarter() {
    run(3);
}

#[test]
fn no_broken_frame_panics_or_loses_a_message_last_quarter() {
    run(4);
}

/// `CORPUS_SEED` draws others.
fn run(quarter: u64) {
    let seed = env::var("CORPUS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(20_260_801_u64) ^ quarter;
    let mut random = StdRng::seed_from_u64(seed);
    let (cases, directory) = (cases(), directory());
    let mut ended: BTreeMap<[&str; 2], usize> = BTreeMap::new();
    for number in 0..FRAMES {
        let (case, frame) = &cases[random.random_range(0..cases.len())];
        let mut frame = frame.clone();
        for _ in 0..random.random_range(1..=CHANGES_MAX) {
            change(&mut frame, &mut random);
        }
        let text = written(&frame, &mut random);
        let what = || format!("seed {seed}, frame {number}, {}: {text}", case.name);
        match read_message(&case.event, &text) {
            Ok(reading) => {
                assert_eq!(Some(reading.message.id), id(&frame, "id"), "{}", what());
                let channel = Some(reading.message.channel_id);
                assert_eq!(channel, id(&frame, "channel_id"), "{}", what());
                let object = object(&reading, &directory);
                assert_eq!(blank(&object), None, "{}", what());
                *ended.entry(["published", ""]).or_default() += 1;
            }
            Err(words) => {
                assert!(OUTCOMES.contains(&words), "{words:?}: {}", what());
                assert!(!is_whole(&case.event, &frame), "{words:?}: {}", what());
                *ended.entry(words).or_default() += 1;
            }
        }
    }
    println!("seed {seed}: {ended:?}");
    let count = |words: &[&str; 2]| ended.get(words).copied().unwrap_or_default();
    assert_eq!(ended.values().sum::<usize>(), FRAMES, "each ended once");
    assert!(count(&["published", ""]) > FRAMES / 2, "{ended:?}");
    for words in &OUTCOMES {
        assert!(count(words) > 0, "none was {words:?}");
    }
}

/// The frame has all that a message can't be without, and nothing says that it is not everybody's.
fn is_whole(event: &str, frame: &Value) -> bool {
    let flags: u64 = number(&frame["flags"]).unwrap_or_default();
    let kind: Option<u32> = number(&frame["channel_type"]);
    let has_ids = ["id", "channel_id", "guild_id"]
        .iter()
        .all(|name| id(frame, name).is_some());
    let is_update = event == "MESSAGE_UPDATE";
    let has_text = !is_update || !frame["content"].is_null();
    has_ids && flags & 64 == 0 && !matches!(kind, Some(1 | 3)) && has_text
}

fn id(frame: &Value, name: &str) -> Option<u64> {
    let id: u64 = number(&frame[name])?;
    (id != 0 && i64::try_from(id).is_ok()).then_some(id)
}

/// A whole number, as a number or a text.
fn number<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let number: Option<i128> = match value {
        Value::Number(number) => number.as_i128(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number?.try_into().ok()
}

/// Changes one place of the frame: takes it away, puts something odd there, or adds what nobody knows.
fn change(frame: &mut Value, random: &mut StdRng) {
    match random.random_range(0..6_u8) {
        0 => *somewhere(frame, random) = odd(random),
        1 => *somewhere(frame, random) = Value::Null,
        2 => take_away(somewhere(frame, random), random),
        3 => add(somewhere(frame, random), random),
        4 => take_away(frame, random),
        _ => add(frame, random),
    }
}

/// A value somewhere in the tree, never its root.
fn somewhere<'a>(value: &'a mut Value, random: &mut StdRng) -> &'a mut Value {
    let mut inner = child(value, random.random_range(0..99)).expect("a frame has fields");
    while has_children(inner) && random.random_bool(0.7) {
        inner = child(inner, random.random_range(0..99)).expect("it has some");
    }
    inner
}

fn has_children(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn child(value: &mut Value, at: usize) -> Option<&mut Value> {
    match value {
        Value::Object(fields) => {
            let at = at % fields.len().max(1);
            fields.values_mut().nth(at)
        }
        Value::Array(list) => {
            let at = at % list.len().max(1);
            list.get_mut(at)
        }
        _ => None,
    }
}

fn take_away(place: &mut Value, random: &mut StdRng) {
    match place {
        Value::Object(fields) if !fields.is_empty() => {
            let at = random.random_range(0..fields.len());
            let name = fields.keys().nth(at).expect("it is there").clone();
            fields.remove(&name);
        }
        Value::Array(list) if !list.is_empty() => {
            list.remove(random.random_range(0..list.len()));
        }
        other => *other = Value::Null,
    }
}

fn add(place: &mut Value, random: &mut StdRng) {
    match place {
        Value::Object(fields) => {
            fields.insert(
                format!("novelty_{}", random.random_range(0..9_u8)),
                odd(random),
            );
        }
        Value::Array(list) => {
            let twin = list.first().cloned().unwrap_or_else(|| odd(random));
            list.push(twin);
            list.push(odd(random));
        }
        other => *other = odd(random),
    }
}

fn odd(random: &mut StdRng) -> Value {
    const KINDS: u8 = 17;
    match random.random_range(0..KINDS) {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(random.next_u64()),
        3 => json!(1.5e300),
        4 => json!(true),
        5 => json!(""),
        6 => json!("   "),
        7 => json!("\u{0}\u{202e}<b>\u{2028}"),
        8 => json!("340282366920938463463374607431768211457"),
        9 => json!([]),
        10 => json!({}),
        11 => json!([null, [], {}, "x", 7, { "id": [] }]),
        12 => json!({ "id": "5", "name": null, "type": 10, "components": [{ "type": {} }] }),
        13 => json!(random.random_range(0..130_u32)),
        14 => json!(1_u64 << random.random_range(0..63_u32)),
        15 => json!("x".repeat(random.random_range(1..4_000))),
        _ => json!(random.random_range(1..1_u64 << 62).to_string()),
    }
}

/// The frame as text: now and then with a nest that is deeper than any parser likes.
fn written(frame: &Value, random: &mut StdRng) -> String {
    let text = frame.to_string();
    if !random.random_bool(0.001) {
        return text;
    }
    let nest = [
        ("[", "]"),
        ("{\"components\":[", "]}"),
        ("{\"referenced_message\":", "}"),
    ];
    let (open, close) = nest[random.random_range(0..nest.len())];
    let deep = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
    let body = text.strip_prefix('{').expect("an object");
    let name = ["components", "referenced_message", "embeds", "novelty"];
    let name = name[random.random_range(0..name.len())];
    // The first of two equal names counts.
    format!("{{\"{name}\":{deep},{body}")
}
