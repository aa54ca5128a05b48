//! Reactions, typing, and what the operator leaves out.

use super::*;

pub(super) fn reaction() -> Value {
    json!({ "user_id": "30", "channel_id": "800", "message_id": "900", "guild_id": "700",
        "emoji": { "id": "5", "name": "cat", "animated": true }, "burst": true, "type": 1,
        "member": { "user": { "id": "30" }, "roles": [] } })
}

pub(super) fn typing() -> Value {
    json!({ "channel_id": "800", "guild_id": "700", "user_id": "30", "timestamp": 0,
        "member": { "user": { "id": "30", "username": "ada" }, "nick": "Countess", "roles": ["40"] } })
}

#[test]
fn reactions_of_each_kind_are_changes_of_one_message() {
    let changes = ["ADD", "REMOVE", "REMOVE_EMOJI", "REMOVE_ALL"].map(|kind| {
        let kind = format!("MESSAGE_REACTION_{kind}");
        let Ok(Decoded::Reaction(reacted)) = read(&kind, &reaction()) else {
            panic!("{kind}: a change");
        };
        assert_eq!((reacted.key.0.get(), reacted.key.1.get()), (CHANNEL, 900));
        assert_eq!(reacted.guild.get(), GUILD);
        reacted.change
    });
    let [
        Change::Added(emoji),
        Change::Removed(_),
        Change::EmojiCleared(_),
        Change::Cleared,
    ] = changes
    else {
        panic!("{changes:?}");
    };
    assert_eq!(
        (emoji.name.as_str(), emoji.id, emoji.animated),
        ("cat", Some(5), true)
    );
    let mut odd = reaction();
    odd["emoji"] = json!(null);
    assert_eq!(skipped("MESSAGE_REACTION_ADD", &odd), MALFORMED);
    let mut unplaced = reaction();
    unplaced["guild_id"] = json!(null);
    assert!(matches!(
        read("MESSAGE_REACTION_ADD", &unplaced),
        Ok(Decoded::Reaction(_))
    ));
    unplaced["channel_id"] = json!("801");
    assert_eq!(
        skipped("MESSAGE_REACTION_ADD", &unplaced),
        Outcome::Skipped(Skip::Unplaced)
    );
}

#[test]
fn an_edit_says_nothing_of_reactions_and_a_creation_says_what_it_has() {
    let Event::MessageUpdated(message) = events("MESSAGE_UPDATE", &message_frame()).remove(0)
    else {
        panic!("an update");
    };
    assert!(message.reactions.is_empty());
    let Event::MessageCreated(message) = events("MESSAGE_CREATE", &message_frame()).remove(0)
    else {
        panic!("a creation");
    };
    assert_eq!(message.reactions[0].count, 2);
}

#[test]
fn who_types_is_named_and_what_is_over_is_not_told() {
    let Ok(Decoded::Typing(told)) = read("TYPING_START", &typing()) else {
        panic!("a notice");
    };
    assert_eq!((told.channel_id, told.guild_id), (CHANNEL, GUILD));
    assert_eq!(
        (told.user.unwrap().id, told.nick.as_deref()),
        (30, Some("Countess"))
    );
    let mut stale = typing();
    stale["timestamp"] = json!(-11);
    assert_eq!(
        skipped("TYPING_START", &stale),
        Outcome::Skipped(Skip::Stale)
    );
    let mut nameless = typing();
    nameless["member"] = json!(null);
    assert_eq!(
        skipped("TYPING_START", &nameless),
        Outcome::Skipped(Skip::Empty)
    );
}

#[test]
fn messages_and_typing_of_excluded_authors_are_skipped() {
    let of = |roles: &[u64], users: &[u64], bots| ExclusionRules {
        bots,
        roles: roles.iter().copied().collect(),
        users: users.iter().copied().collect(),
        ..ExclusionRules::default()
    };
    let excluded = |rules: ExclusionRules, kind, data: &Value| {
        matches!(
            under(rules, kind, data),
            Err(Outcome::Skipped(Skip::Excluded))
        )
    };
    for kind in ["MESSAGE_CREATE", "MESSAGE_UPDATE"] {
        let frame = message_frame();
        assert!(excluded(of(&[40], &[], false), kind, &frame));
        assert!(excluded(of(&[], &[30], false), kind, &frame));
        assert!(!excluded(of(&[41], &[31], true), kind, &frame));
        let mut of_bot = frame.clone();
        of_bot["author"]["bot"] = json!(true);
        assert!(excluded(of(&[], &[], true), kind, &of_bot));
        let mut of_webhook = frame.clone();
        of_webhook["webhook_id"] = json!("3");
        of_webhook["member"] = json!(null);
        assert!(excluded(of(&[], &[], true), kind, &of_webhook));
        assert!(
            !excluded(of(&[40], &[], false), kind, &of_webhook),
            "it has no roles"
        );
        let mut unsaid = frame.clone();
        unsaid["member"] = json!(null);
        assert!(
            excluded(of(&[40], &[], false), kind, &unsaid),
            "nobody knows its roles"
        );
    }
    assert!(excluded(of(&[40], &[], false), "TYPING_START", &typing()));
    assert!(excluded(of(&[], &[30], false), "TYPING_START", &typing()));
    assert!(!excluded(of(&[41], &[], true), "TYPING_START", &typing()));
}

#[test]
fn a_reply_does_not_quote_an_excluded_author() {
    let rules = ExclusionRules {
        users: [31].into(),
        ..ExclusionRules::default()
    };
    let decoded = under(rules, "MESSAGE_CREATE", &message_frame()).unwrap();
    let Event::MessageCreated(message) = envelopes_of(decoded).remove(0).event else {
        panic!("a creation");
    };
    let reply = message.reply.unwrap();
    assert_eq!(
        (reply.message_id, reply.author, reply.content),
        (899, None, None)
    );
    assert!(
        !String::from_utf8(message.raw.to_vec())
            .unwrap()
            .contains("first")
    );
}

#[test]
fn a_reply_does_not_quote_whose_roles_are_unknown_where_roles_are_excluded() {
    let rules = ExclusionRules {
        roles: [5].into(),
        ..ExclusionRules::default()
    };
    let mut frame = message_frame();
    frame["member"] = serde_json::json!({ "roles": [] });
    let decoded = under(rules, "MESSAGE_CREATE", &frame).unwrap();
    let Event::MessageCreated(message) = envelopes_of(decoded).remove(0).event else {
        panic!("a creation");
    };
    let reply = message.reply.unwrap();
    assert_eq!((reply.author, reply.content), (None, None));
}

#[test]
fn a_reply_quotes_nothing_of_another_channel_but_where_a_thread_began() {
    for (kind, quoted) in [(19, false), (0, false), (21, true)] {
        let mut frame = message_frame();
        frame["type"] = kind.into();
        frame["message_reference"]["channel_id"] = "801".into();
        let decoded = under(ExclusionRules::default(), "MESSAGE_CREATE", &frame).unwrap();
        let Event::MessageCreated(message) = envelopes_of(decoded).remove(0).event else {
            panic!("a creation");
        };
        let reply = message.reply.unwrap();
        assert_eq!(reply.content.is_some(), quoted, "{kind}");
        assert_eq!(reply.author.is_some(), quoted, "{kind}");
    }
}

fn of_channels(channels: &[u64]) -> ExclusionRules {
    ExclusionRules {
        channels: channels.iter().copied().collect(),
        ..ExclusionRules::default()
    }
}

#[test]
fn nothing_of_an_excluded_channel_is_published() {
    for (kind, data) in [
        ("MESSAGE_CREATE", message_frame()),
        ("MESSAGE_REACTION_ADD", reaction()),
        ("TYPING_START", typing()),
        ("MESSAGE_DELETE", json!({ "id": "1", "channel_id": "800" })),
    ] {
        let outcome = under(of_channels(&[CHANNEL]), kind, &data).unwrap_err();
        assert_eq!(outcome, Outcome::Skipped(Skip::Excluded), "{kind}");
    }
}

#[test]
fn a_snapshot_leaves_out_an_excluded_category_with_all_below_it() {
    let mut frame = guild_frame(3);
    frame["channels"][0]["parent_id"] = json!("1002");
    let decoded = under(of_channels(&[1_002]), "GUILD_CREATE", &frame).unwrap();
    let Decoded::Channels(envelopes, learned) = decoded else {
        panic!("a snapshot");
    };
    // The thread 9 lies below the channel 1000, which lies below the category.
    let seen = [(1_000, true), (1_001, false), (1_002, true), (9, true)];
    assert_eq!(
        (learned.seen.as_slice(), learned.unreadable),
        (seen.as_slice(), 0)
    );
    let Event::GuildSnapshotBegin(begin) = &envelopes[0].event else {
        panic!("a beginning");
    };
    assert_eq!(begin.channels, 1);
}

#[test]
fn a_channel_that_moves_below_an_excluded_category_is_gone_and_comes_back() {
    let moved = |parent: &str| json!({ "id": "800", "guild_id": "700", "type": 0, "parent_id": parent, "permission_overwrites": [] });
    let of = |parent: &str| {
        let decoded = under(of_channels(&[10]), "CHANNEL_UPDATE", &moved(parent));
        let Ok(Decoded::Channels(envelopes, learned)) = decoded else {
            panic!("a channel");
        };
        (envelopes[0].event.name(), learned.seen)
    };
    assert_eq!(of("10"), ("channel_deleted", vec![(CHANNEL, true)]));
    assert_eq!(of("11"), ("channel_upserted", vec![(CHANNEL, false)]));
    let fresh = json!({ "id": "801", "guild_id": "700", "type": 0, "parent_id": "10", "permission_overwrites": [] });
    let decoded = under(of_channels(&[10]), "CHANNEL_CREATE", &fresh).unwrap();
    assert!(envelopes_of(decoded).is_empty(), "nobody ever saw it");
}

/// Who was erased is nowhere: not as an author, not in others' quotes, not while they type.
#[test]
fn who_was_erased_is_left_out_and_a_webhook_of_their_id_is_not() {
    let exclusions = Exclusions::default();
    exclusions.set_erased([30, 31].into_iter());
    let known = Known {
        guild_of: &guild_of,
        exclusions: &exclusions,
    };
    let read = |kind: &str, data: &Value| decode(kind, &data.to_string(), origin(), known);
    let excluded = Outcome::Skipped(Skip::Excluded);
    let mut frame = message_frame();
    assert_eq!(read("MESSAGE_CREATE", &frame).unwrap_err(), excluded);
    assert_eq!(read("MESSAGE_UPDATE", &frame).unwrap_err(), excluded);
    let typing = json!({
        "channel_id": "800", "guild_id": "700", "user_id": "31", "timestamp": 0,
        "member": { "user": { "id": "31", "username": "bob" }, "roles": [] },
    });
    assert_eq!(read("TYPING_START", &typing).unwrap_err(), excluded);
    frame["author"]["id"] = json!("32");
    let reply = |frame: &Value| {
        let envelopes = envelopes_of(read("MESSAGE_CREATE", frame).unwrap());
        let Event::MessageCreated(message) = &envelopes[0].event else {
            panic!("a creation");
        };
        message.reply.clone().unwrap()
    };
    let answered = reply(&frame);
    assert_eq!((answered.author, answered.content), (None, None));
    frame["referenced_message"]["webhook_id"] = json!("31");
    assert_eq!(reply(&frame).content.as_deref(), Some("first"));
    frame["author"]["id"] = json!("30");
    frame["webhook_id"] = json!("30");
    assert!(read("MESSAGE_CREATE", &frame).is_ok());
}
