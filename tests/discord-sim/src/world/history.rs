//! What was said before the simulator started: a script a channel, given ids and times of the recent past.
//! A script is a text file, one message a line: `username | content | reactions`; a leading `>` answers the line above,
//! `\n` is a line break, reactions are emojis with a count (`👍3 🎉1`).

use serde_json::{Map, Value};

use super::World;
use crate::channel::{Channel, Kind, Thread};
use crate::message::{Emoji, Message, Reaction, Reference};
use crate::snowflake::Snowflake;

/// Channel by name, script, and how many minutes lie between its lines.
const SCRIPTS: [(&str, &str, u64); 9] = [
    (
        "announcements",
        include_str!("history/announcements.txt"),
        1_500,
    ),
    ("general", include_str!("history/general.txt"), 11),
    (
        "show-and-tell",
        include_str!("history/show-and-tell.txt"),
        37,
    ),
    ("help", include_str!("history/help.txt"), 19),
    ("crew-room", include_str!("history/crew-room.txt"), 45),
    ("off-topic", include_str!("history/off-topic.txt"), 14),
    ("tools", include_str!("history/tools.txt"), 53),
    ("lounge", include_str!("history/lounge.txt"), 23),
    ("now-reading", include_str!("history/now-reading.txt"), 61),
];

/// Posts of the forum: title and script.
const POSTS: [(&str, &str); 2] = [
    (
        "A tool library for the neighbourhood",
        include_str!("history/idea-tool-library.txt"),
    ),
    (
        "Repair café, every second Saturday",
        include_str!("history/idea-repair-cafe.txt"),
    ),
];

const MINUTE_MS: u64 = 60_000;

/// One line of a script.
struct Line<'a> {
    username: &'a str,
    content: String,
    answers: bool,
    reactions: Vec<(&'a str, usize)>,
}

/// Writes the past of every channel, ending a little before `now_ms`.
pub(super) fn write(world: &mut World, now_ms: u64) {
    for (salt, (name, script, minutes)) in (1..).zip(SCRIPTS) {
        let channel = world.channels.values().find(|channel| channel.name == name);
        if let Some(id) = channel.map(|channel| channel.id) {
            tell(world, id, script, now_ms, minutes * MINUTE_MS, salt);
        }
    }
    let forum = world
        .channels
        .values()
        .find(|channel| channel.kind == Kind::FORUM)
        .cloned();
    if let Some(forum) = forum {
        for (salt, (title, script)) in (20..).zip(POSTS) {
            open_post(world, &forum, title, script, now_ms, salt);
        }
    }
}

fn open_post(
    world: &mut World,
    forum: &Channel,
    title: &str,
    script: &str,
    now_ms: u64,
    salt: u64,
) {
    // A post's id is fixed, like a channel's, so that a test may name it.
    let id = Snowflake::at(forum.id.unix_ms() + 500_000_000, 1 + 2 * salt);
    let owner_id = parse(script)
        .next()
        .and_then(|line| world.by_username(line.username));
    let Some(owner_id) = owner_id else {
        return;
    };
    let mut post = Channel::new(id, forum.guild_id, Kind::PUBLIC_THREAD, title);
    post.parent_id = Some(forum.id);
    post.thread = Some(Thread {
        owner_id,
        archived: false,
        locked: false,
        archive_changed_ms: now_ms - MINUTE_MS,
        auto_archive_minutes: 10_080,
        message_count: 0,
        member_ids: [owner_id].into(),
    });
    world.channels.insert(id, post);
    if let Some(forum) = world.channels.get_mut(&forum.id) {
        forum.last_message_id = Some(id);
    }
    tell(world, id, script, now_ms, 40 * MINUTE_MS, salt);
}

fn tell(
    world: &mut World,
    channel_id: Snowflake,
    script: &str,
    now_ms: u64,
    step_ms: u64,
    salt: u64,
) {
    let Some(channel) = world.channels.get(&channel_id) else {
        return;
    };
    let (guild_id, is_post) = (channel.guild_id, channel.thread.is_some());
    let humans = world.humans_of(guild_id);
    let lines: Vec<_> = parse(script).collect();
    let mut above = None;
    for (index, line) in (0_u64..).zip(&lines) {
        let lines_left = lines.len() as u64 - index;
        // A community does not talk by the clock: each line is off by some seconds of its own.
        let jitter_ms = (index * 7_919 + salt * 104_729) % (step_ms / 2);
        let id = if index == 0 && is_post {
            // A post and its first message have one id.
            channel_id
        } else {
            Snowflake::at(now_ms - lines_left * step_ms + jitter_ms, salt)
        };
        let Some(author_id) = world.by_username(line.username) else {
            continue;
        };
        let reference = above.filter(|_| line.answers);
        let reactions = line.reactions.iter().map(|(emoji, count)| Reaction {
            emoji: Emoji::parse(emoji),
            user_ids: humans.iter().copied().take(*count).collect(),
        });
        world.keep(Message {
            id,
            channel_id,
            guild_id,
            author_id,
            content: line.content.clone(),
            edited_ms: None,
            embeds: Vec::<Value>::new(),
            attachments: Vec::new(),
            reactions: reactions.collect(),
            reference,
            snapshot: None,
            pinned_ms: None,
            flags: 0,
            webhook: None,
            extras: Map::new(),
        });
        above = Some(Reference {
            channel_id,
            message_id: id,
            is_forward: false,
        });
    }
}

fn parse(script: &str) -> impl Iterator<Item = Line<'_>> {
    script.lines().filter_map(|line| {
        let answers = line.starts_with('>');
        let mut parts = line.trim_start_matches('>').split(" | ");
        let username = parts.next()?.trim();
        let content = parts.next()?.trim().replace("\\n", "\n");
        let reactions = parts
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|reaction| {
                let digit = reaction.find(|letter: char| letter.is_ascii_digit())?;
                let (emoji, count) = reaction.split_at(digit);
                Some((emoji, count.parse().ok()?))
            });
        Some(Line {
            username,
            content,
            answers,
            reactions: reactions.collect(),
        })
    })
}

impl World {
    fn by_username(&self, username: &str) -> Option<Snowflake> {
        let mut users = self.users.values();
        users
            .find(|user| user.username == username)
            .map(|user| user.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_author_a_text_and_perhaps_reactions() {
        let lines: Vec<_> = parse("aya | hello\\nthere | 👍3 🎉1\n>kofi | hi").collect();
        let [first, second] = lines.as_slice() else {
            panic!("two lines")
        };
        assert_eq!(
            (first.username, first.content.as_str(), first.answers),
            ("aya", "hello\nthere", false)
        );
        assert_eq!(first.reactions, [("👍", 3), ("🎉", 1)]);
        assert_eq!((second.username, second.answers), ("kofi", true));
    }

    #[test]
    fn every_line_of_every_script_is_said_by_somebody_known() {
        let world = World::found(0, "http://sim");
        for script in SCRIPTS
            .map(|(_, script, _)| script)
            .iter()
            .chain(&POSTS.map(|(_, script)| script))
        {
            assert_eq!(parse(script).count(), script.lines().count());
            for line in parse(script) {
                assert!(
                    world.by_username(line.username).is_some(),
                    "{}",
                    line.username
                );
            }
        }
    }
}
