//! Frames as Discord documents them, and what becomes of them; then the same frames, broken.

use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::exclusions::ExclusionRules;
use crate::reactions::Change;

mod talk;

const GUILD: u64 = 700;
const CHANNEL: u64 = 800;

fn origin() -> Origin {
    Origin {
        dispatch: Dispatch {
            epoch: 0xe,
            shard: 0,
            sequence: 5,
        },
        trace: None,
        received_ms: 1,
    }
}

fn guild_of(channel: ChannelId) -> Option<GuildId> {
    (channel.get() == CHANNEL).then(|| GuildId::new(GUILD).unwrap())
}

/// What a frame says where these channels, roles and users are left out.
fn under(rules: ExclusionRules, kind: &str, data: &Value) -> Result {
    let exclusions = Exclusions::new(rules);
    let known = Known {
        guild_of: &guild_of,
        exclusions: &exclusions,
    };
    decode(kind, &data.to_string(), origin(), known)
}

fn read(kind: &str, data: &Value) -> Result {
    under(ExclusionRules::default(), kind, data)
}

fn decoded(kind: &str, data: &Value) -> Result<Vec<Envelope>> {
    read(kind, data).map(envelopes_of)
}

/// A frame that is neither skipped nor refused says something; an answer may say that there is nobody.
fn says_something(read: &Decoded) -> bool {
    match read {
        Decoded::Events(envelopes) | Decoded::Channels(envelopes, _) => !envelopes.is_empty(),
        Decoded::Message(..) | Decoded::Members(..) | Decoded::Reaction(_) | Decoded::Typing(_) => {
            true
        }
    }
}

/// The events that are published as they are.
fn envelopes_of(mut decoded: Decoded) -> Vec<Envelope> {
    decoded.envelopes_mut().to_vec()
}

fn events(kind: &str, data: &Value) -> Vec<Event> {
    let envelopes = decoded(kind, data).unwrap();
    envelopes
        .into_iter()
        .map(|envelope| envelope.event)
        .collect()
}

fn skipped(kind: &str, data: &Value) -> Outcome {
    decoded(kind, data).unwrap_err()
}

fn message_frame() -> Value {
    json!({
        "id": "900", "channel_id": "800", "guild_id": "700", "type": 19, "flags": 0,
        "content": "hé \u{2028} <b>", "tts": false, "pinned": false, "mention_everyone": false,
        "timestamp": "2023-11-14T22:13:20.123000+00:00", "edited_timestamp": null,
        "author": { "id": "30", "username": "ada", "global_name": "Ada", "avatar": "abc", "discriminator": "0" },
        "member": { "nick": "Countess", "roles": ["40"], "joined_at": "2020-01-01T00:00:00+00:00" },
        "mentions": [{ "id": "31", "username": "bob", "global_name": null, "member": { "nick": "Bobby" } }],
        "mention_roles": ["41"], "mention_channels": [{ "id": "801", "name": "general" }],
        "attachments": [{ "id": "50", "filename": "a.png", "url": "https://x/a", "proxy_url": "https://p/a",
            "size": 3, "content_type": "image/png", "width": 1, "height": 2, "description": "a cat" }],
        "embeds": [{ "type": "rich", "title": "T", "color": 255, "thumbnail": { "url": "https://x/t" },
            "author": { "name": "N" }, "fields": [{ "name": "a", "value": "b", "inline": true }] }],
        "reactions": [{ "emoji": { "id": null, "name": "👍" }, "count": 2, "me": false }],
        "message_reference": { "message_id": "899", "channel_id": "800" },
        "referenced_message": { "id": "899", "content": "first", "author": { "id": "31", "username": "bob" } },
        "components": [{ "type": 1 }], "sticker_items": [], "poll": null, "nonce": "1",
        "thread": { "id": "900", "name": "t" },
    })
}

#[test]
fn a_message_is_read_whole_and_the_unmodelled_travels_along() {
    let envelopes = decoded("MESSAGE_CREATE", &message_frame()).unwrap();
    let [envelope] = envelopes.as_slice() else {
        panic!("one envelope");
    };
    assert_eq!(envelope.identity.to_string(), "create-900");
    assert_eq!(envelope.channel, ChannelId::new(CHANNEL));
    let Event::MessageCreated(message) = &envelope.event else {
        panic!("a creation");
    };
    assert_eq!(message.content, "hé \u{2028} <b>");
    assert_eq!(message.timestamp_ms, 1_700_000_000_123);
    assert_eq!(message.edited_timestamp_ms, None);
    assert_eq!(message.nick.as_deref(), Some("Countess"));
    assert_eq!(
        message.author.as_ref().unwrap().display_name.as_deref(),
        Some("Ada")
    );
    assert_eq!(message.mentioned_users[&31], "Bobby");
    assert_eq!(message.mentioned_channels[&801], "general");
    assert_eq!(message.mentioned_roles, [41]);
    assert_eq!(message.reactions[0].emoji, "👍");
    assert_eq!(message.embeds[0].fields[0].value, "b");
    assert_eq!(
        message.reply.as_ref().unwrap().content.as_deref(),
        Some("first")
    );
    assert_eq!(message.thread_id, Some(900));
    let raw: Value = serde_json::from_slice(&message.raw).unwrap();
    assert_eq!(message.attachments[0].description.as_deref(), Some("a cat"));
    // A row of nothing is nothing that can be shown: it stays as it came.
    assert_eq!(raw["components"], json!([{ "type": 1 }]));
    assert_eq!(raw.as_object().unwrap().len(), 1);
}

#[test]
fn one_odd_field_costs_nothing_but_itself() {
    let names: Vec<String> = message_frame()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for name in names {
        if matches!(name.as_str(), "id" | "channel_id") {
            continue;
        }
        for odd in [
            json!(null),
            json!(5),
            json!("x"),
            json!([null, 1]),
            json!({ "id": [] }),
        ] {
            let mut frame = message_frame();
            frame[&name] = odd.clone();
            let outcome = decoded("MESSAGE_CREATE", &frame);
            let envelopes = outcome.unwrap_or_else(|why| panic!("{name} = {odd}: {why:?}"));
            let Event::MessageCreated(message) = &envelopes[0].event else {
                panic!("a creation");
            };
            assert_eq!(message.id, 900);
            // A type of the system has a text of its own.
            assert!(
                matches!(name.as_str(), "content" | "type") || message.content.starts_with("hé"),
                "{name} = {odd}"
            );
        }
    }
}

#[test]
fn a_message_without_its_ids_is_refused() {
    for name in ["id", "channel_id"] {
        let mut frame = message_frame();
        frame[name] = json!("0");
        assert_eq!(skipped("MESSAGE_CREATE", &frame), MALFORMED);
    }
    assert_eq!(skipped("MESSAGE_CREATE", &json!([])), MALFORMED);
}

#[test]
fn forwards_keep_their_snapshot_and_answer_nothing() {
    let frame = json!({
        "id": "900", "channel_id": "800", "guild_id": "700", "type": 0, "content": "",
        "message_reference": { "type": 1, "message_id": "5", "channel_id": "6" },
        "message_snapshots": [{ "message": { "content": "a\u{0}b" } }],
    });
    let Event::MessageCreated(message) = events("MESSAGE_CREATE", &frame).remove(0) else {
        panic!("a creation");
    };
    assert_eq!(message.reply, None);
    let forward = message.forward.unwrap();
    assert_eq!(forward.message_id, Some(5));
    assert_eq!(forward.content, "a\u{fffd}b");
}

#[test]
fn what_only_some_may_see_or_nobody_mirrors_is_skipped_with_its_reason() {
    let direct = json!({ "id": "1", "channel_id": "2", "channel_type": 1, "content": "" });
    let ephemeral = json!({ "id": "1", "channel_id": "800", "flags": 64, "content": "" });
    let unplaced = json!({ "id": "1", "channel_id": "2", "content": "" });
    let partial = json!({ "id": "1", "channel_id": "800", "embeds": [] });
    let outage = json!({ "id": "700", "unavailable": true });
    let table = [
        ("MESSAGE_CREATE", &direct, Skip::DirectMessage),
        ("MESSAGE_CREATE", &ephemeral, Skip::Ephemeral),
        ("MESSAGE_DELETE", &unplaced, Skip::Unplaced),
        ("MESSAGE_UPDATE", &partial, Skip::Partial),
        (
            "MESSAGE_DELETE_BULK",
            &json!({ "channel_id": "800", "ids": [] }),
            Skip::Empty,
        ),
        (
            "CHANNEL_CREATE",
            &json!({ "id": "1", "type": 1 }),
            Skip::DirectMessage,
        ),
        ("GUILD_CREATE", &outage, Skip::Outage),
        ("GUILD_DELETE", &outage, Skip::Outage),
        ("PRESENCE_UPDATE", &json!({}), Skip::NotMirrored),
        ("READY", &json!({}), Skip::Session),
        ("MESSAGE_SANG", &json!({}), Skip::UnknownEvent),
    ];
    for (kind, data, skip) in table {
        assert_eq!(skipped(kind, data), Outcome::Skipped(skip), "{kind} {data}");
    }
}

#[test]
fn a_bulk_deletion_makes_one_envelope_a_message() {
    let frame = json!({ "ids": ["1", "2", "3"], "channel_id": "800" });
    let envelopes = decoded("MESSAGE_DELETE_BULK", &frame).unwrap();
    let names: Vec<_> = envelopes
        .iter()
        .map(|envelope| envelope.identity.to_string())
        .collect();
    assert_eq!(names, ["delete-1", "delete-2", "delete-3"]);
    assert!(
        envelopes
            .iter()
            .all(|envelope| envelope.guild.get() == GUILD)
    );
}

#[test]
fn an_update_is_named_by_its_dispatch() {
    let envelopes = decoded("MESSAGE_UPDATE", &message_frame()).unwrap();
    assert_eq!(
        envelopes[0].identity.to_string(),
        "g-000000000000000e-0-5-0"
    );
}

#[test]
fn directory_frames_become_directory_events() {
    let member =
        json!({ "guild_id": "700", "user": { "id": "3", "username": "a" }, "roles": ["4"] });
    let thread = json!({ "id": "9", "type": 12, "parent_id": "800", "thread_metadata": { "archived": true } });
    let sync = json!({ "guild_id": "700", "threads": [thread, thread], "members": [] });
    let members =
        json!({ "id": "800", "added_members": [{ "user_id": "3" }], "removed_member_ids": ["4"] });
    let role =
        json!({ "guild_id": "700", "role": { "id": "4", "permissions": "9007199254740993" } });
    let chunk = json!({ "guild_id": "700", "members": [member, member, { "user": null }] });
    let table = [
        (
            "GUILD_UPDATE",
            json!({ "id": "700", "roles": [{ "id": "4" }] }),
            "guild_updated role_upserted",
        ),
        ("GUILD_DELETE", json!({ "id": "700" }), "guild_removed"),
        (
            "CHANNEL_UPDATE",
            json!({ "id": "800", "type": 0, "permission_overwrites": [] }),
            "channel_upserted",
        ),
        (
            "CHANNEL_DELETE",
            json!({ "id": "800", "guild_id": "700" }),
            "channel_deleted",
        ),
        ("THREAD_CREATE", thread.clone(), "channel_upserted"),
        (
            "THREAD_DELETE",
            json!({ "id": "9", "guild_id": "700" }),
            "channel_deleted",
        ),
        (
            "THREAD_LIST_SYNC",
            sync,
            "channel_upserted channel_upserted",
        ),
        ("THREAD_MEMBERS_UPDATE", members, "thread_members_changed"),
        ("GUILD_ROLE_CREATE", role.clone(), "role_upserted"),
        (
            "GUILD_ROLE_DELETE",
            json!({ "guild_id": "700", "role_id": "4" }),
            "role_deleted",
        ),
        ("GUILD_MEMBER_ADD", member.clone(), "member_upserted"),
        ("GUILD_MEMBER_REMOVE", member.clone(), "member_removed"),
        (
            "GUILD_MEMBERS_CHUNK",
            chunk,
            "member_upserted member_upserted",
        ),
    ];
    for (kind, data, names) in table {
        let envelopes = decoded(kind, &data).unwrap_or_else(|why| panic!("{kind}: {why:?}"));
        let found: Vec<_> = envelopes
            .iter()
            .map(|envelope| envelope.event.name())
            .collect();
        assert_eq!(found.join(" "), names, "{kind}");
        assert!(
            envelopes
                .iter()
                .all(|e| e.channel.is_none() && e.guild.get() == GUILD)
        );
    }
}

#[test]
fn permission_bits_and_time_outs_are_read_from_their_texts() {
    let role =
        json!({ "guild_id": "700", "role": { "id": "4", "permissions": "9007199254740993" } });
    let member = json!({ "guild_id": "700", "user": { "id": "3" },
        "communication_disabled_until": "2023-11-14T22:13:20Z" });
    let Event::RoleUpserted(role) = events("GUILD_ROLE_CREATE", &role).remove(0) else {
        panic!("a role");
    };
    assert_eq!(role.permissions, 9_007_199_254_740_993);
    let Event::MemberUpserted(member) = events("GUILD_MEMBER_UPDATE", &member).remove(0) else {
        panic!("a member");
    };
    assert_eq!(member.timed_out_until_ms, Some(1_700_000_000_000));
}

fn guild_frame(channels: u64) -> Value {
    let channel = |id| {
        json!({ "id": format!("{id}"), "type": 0, "name": "n".repeat(80), "topic": "t".repeat(900),
            "permission_overwrites": [{ "id": "700", "type": 0, "allow": "0", "deny": "1024" }] })
    };
    json!({
        "id": "700", "name": "G", "owner_id": "3", "roles": [{ "id": "700", "permissions": "1024" }],
        "channels": (1000..1000 + channels).map(channel).collect::<Vec<_>>(),
        "threads": [{ "id": "9", "type": 11, "parent_id": "1000" }],
        "members": [{ "user": { "id": "3", "username": "bot", "bot": true }, "roles": [] }],
    })
}

#[test]
fn a_guild_is_a_snapshot_in_bounded_parts_named_by_the_dispatch() {
    let all = events("GUILD_CREATE", &guild_frame(600));
    let Event::GuildSnapshotBegin(begin) = &all[0] else {
        panic!("a beginning");
    };
    assert_eq!((begin.roles, begin.channels, begin.members), (1, 601, 1));
    assert_eq!(begin.version, "000000000000000e-0-5");
    assert_eq!(begin.guild.as_ref().unwrap().owner_id, 3);
    let (mut roles, mut channels, mut members) = (0, 0, 0);
    for event in &all[1..all.len() - 1] {
        let Event::GuildSnapshotPart(part) = event else {
            panic!("a part");
        };
        assert!(part.encoded_len() < snapshot::PART_BYTES_MAX + 1024);
        assert_eq!(part.version, begin.version);
        roles += part.roles.len();
        channels += part.channels.len();
        members += part.members.len();
    }
    assert_eq!((roles, channels, members), (1, 601, 1));
    assert!(all.len() > 4, "more than one part");
    assert!(matches!(all.last(), Some(Event::GuildSnapshotEnd(_))));
    assert_eq!(all, events("GUILD_CREATE", &guild_frame(600)));
}

#[test]
fn a_channel_that_nobody_knows_the_permissions_of_is_closed_or_left_out_and_counted() {
    let odd = json!({ "id": "800", "guild_id": "700", "type": 0, "name": "n" });
    for kind in ["CHANNEL_CREATE", "CHANNEL_UPDATE"] {
        let Event::ChannelUpserted(channel) = events(kind, &odd).remove(0) else {
            panic!("a channel");
        };
        let [everyone] = channel.overwrites.as_slice() else {
            panic!("one overwrite");
        };
        assert_eq!(
            (everyone.id, everyone.deny, everyone.allow),
            (GUILD, u64::MAX, 0)
        );
        assert_eq!(channel.name, "n");
    }
    let mut frame = guild_frame(3);
    frame["channels"][1]["permission_overwrites"] = json!("none");
    let Ok(Decoded::Channels(_, learned)) = read("GUILD_CREATE", &frame) else {
        panic!("a snapshot");
    };
    assert_eq!(learned.unreadable, 1);
    let events = events("GUILD_CREATE", &frame);
    let ids = events.iter().flat_map(|event| match event {
        Event::GuildSnapshotPart(part) => part.channels.clone(),
        _ => Vec::new(),
    });
    let ids: Vec<_> = ids.map(|channel| channel.id).collect();
    assert_eq!(ids, [1_000, 1_002, 9]);
}

fn corpus() -> Vec<(&'static str, Value)> {
    vec![
        ("MESSAGE_CREATE", message_frame()),
        ("MESSAGE_UPDATE", message_frame()),
        ("GUILD_CREATE", guild_frame(2)),
        (
            "THREAD_LIST_SYNC",
            json!({ "guild_id": "700", "threads": [{ "id": "9" }] }),
        ),
        (
            "GUILD_MEMBERS_CHUNK",
            json!({ "guild_id": "700", "members": [{ "user": { "id": "3" } }] }),
        ),
        (
            "MESSAGE_DELETE_BULK",
            json!({ "ids": ["1"], "channel_id": "800" }),
        ),
        ("MESSAGE_REACTION_ADD", talk::reaction()),
        ("TYPING_START", talk::typing()),
        (
            "THREAD_MEMBERS_UPDATE",
            json!({ "id": "800", "added_members": [{ "user_id": "3" }] }),
        ),
    ]
}

/// Replaces one value somewhere inside.
fn put(value: &mut Value, path: &[u8], odd: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = odd.clone();
        return;
    };
    let step = usize::from(*step);
    let child = match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = step % fields.len();
            fields.values_mut().nth(at)
        }
        Value::Array(list) if !list.is_empty() => {
            let at = step % list.len();
            list.get_mut(at)
        }
        _ => None,
    };
    match child {
        Some(child) => put(child, rest, odd),
        None => *value = odd.clone(),
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(-1)),
        Just(json!(1.5e300)),
        Just(json!("99999999999999999999")),
        Just(json!([[], {}, null])),
        Just(json!({ "id": null })),
        "\\PC{0,8}".prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn a_frame_with_odd_values_inside_is_read_or_refused(
        which in 0_usize..9,
        path in prop::collection::vec(any::<u8>(), 1..4),
        odd in odd_value(),
    ) {
        let (kind, mut frame) = corpus().swap_remove(which);
        put(&mut frame, &path, &odd);
        if let Ok(read) = read(kind, &frame) {
            prop_assert!(says_something(&read));
            for envelope in envelopes_of(read) {
                let event = envelope.event.clone();
                let opened = proto::envelope::Opened::decode(envelope.encode().payload).unwrap();
                prop_assert_eq!(opened.event, event);
            }
        }
    }

    #[test]
    fn a_frame_cut_short_or_changed_is_read_or_refused(
        which in 0_usize..9, at in 0_usize..3000, byte in any::<char>(),
    ) {
        let (kind, frame) = corpus().swap_remove(which);
        let text = frame.to_string();
        let cut: String = text.chars().take(at).collect();
        let changed: String = text.chars().enumerate()
            .map(|(i, c)| if i == at { byte } else { c }).collect();
        for text in [cut, changed] {
            let exclusions = Exclusions::default();
            let known = Known { guild_of: &guild_of, exclusions: &exclusions };
            if let Ok(read) = decode(kind, &text, origin(), known) {
                prop_assert!(says_something(&read));
            }
        }
    }
}
