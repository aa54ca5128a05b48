//! The past of the demo's communities: some days of conversations in every channel, written at once and told to nobody.
//! It ends where the founding history begins, so that a page reads on without a seam.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::script::{self, Extra, Line, Manner, TALK};
use super::slots::Filling;
use super::{EMOJIS, applause, embed, image};
use crate::channel::Kind;
use crate::message::{Emoji, Message, Reaction, Reference};
use crate::snowflake::Snowflake;
use crate::world::World;

/// How many messages a channel has from before the start.
const MESSAGES: [(&str, usize); 9] = [
    ("general", 560),
    ("off-topic", 180),
    ("help", 150),
    ("show-and-tell", 120),
    ("tools", 90),
    ("lounge", 160),
    ("now-reading", 90),
    ("crew-room", 40),
    ("announcements", 8),
];
const MINUTE_MS: u64 = 60_000;
/// How long somebody takes to answer, and how long a channel is quiet between conversations.
const ANSWER_MS: std::ops::Range<u64> = 20_000..200_000;
const QUIET_MS: std::ops::Range<u64> = 12 * MINUTE_MS..90 * MINUTE_MS;
/// Announcements are days apart.
const ANNOUNCED_EVERY_MS: u64 = 26 * 60 * MINUTE_MS;
/// One message in so many has reactions though nobody asked for applause.
const REACTION_ODDS: u32 = 5;

/// A message before it has a time.
struct Said<'a> {
    line: Line<'a>,
    author_id: Snowflake,
    seed: u64,
    /// How long before the next message of the channel.
    gap_ms: u64,
}

/// Writes the past of every channel that has a script.
pub(super) fn write(world: &mut World, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x9A57);
    for (salt, (name, script)) in (64_u64..).zip(TALK) {
        let wanted = MESSAGES.iter().find(|(channel, _)| *channel == name);
        let place = world.places().find(|channel| channel.name == name);
        let (Some((_, count)), Some(place)) = (wanted, place) else {
            continue;
        };
        let (channel_id, kind) = (place.id, place.kind);
        let said = converse(world, channel_id, kind, script, *count, &mut rng);
        keep(world, channel_id, &said, salt, &mut rng);
    }
}

/// Conversation after conversation, until there are enough.
fn converse<'a>(
    world: &World,
    channel_id: Snowflake,
    kind: Kind,
    script: &'a str,
    count: usize,
    rng: &mut StdRng,
) -> Vec<Said<'a>> {
    let speakers = world.speakers(channel_id);
    let mut talks: Vec<_> = script::conversations(script).collect();
    let mut said = Vec::new();
    while said.len() < count && !talks.is_empty() && !speakers.is_empty() {
        talks.shuffle(rng);
        for talk in &talks {
            let (cast, seed): (Vec<_>, u64) =
                (speakers.sample(rng, 3).copied().collect(), rng.random());
            let lines = talk.lines().map(script::parse);
            // What was taken back is not there, and a thread is a channel of its own.
            let lines = lines.filter(|line| line.manner != Manner::TakesBack && !line.is_in_thread);
            for (line, author_id) in lines.zip(cast.into_iter().cycle()) {
                let gap_ms = rng.random_range(ANSWER_MS);
                said.push(Said {
                    line,
                    author_id,
                    seed,
                    gap_ms,
                });
            }
            if let Some(last) = said.last_mut() {
                last.gap_ms = if kind == Kind::ANNOUNCEMENT {
                    ANNOUNCED_EVERY_MS
                } else {
                    rng.random_range(QUIET_MS)
                };
            }
            if said.len() >= count {
                break;
            }
        }
    }
    said
}

/// Gives the messages their times, the last one just before what the channel has already.
fn keep(world: &mut World, channel_id: Snowflake, said: &[Said<'_>], salt: u64, rng: &mut StdRng) {
    let Some(end_ms) = world.beginning_of(channel_id) else {
        return;
    };
    let length_ms: u64 = said.iter().map(|said| said.gap_ms).sum();
    let mut at_ms = end_ms - length_ms;
    let mut above = None;
    for said in said {
        let id = Snowflake::at(at_ms, salt);
        at_ms += said.gap_ms;
        let Some(message) = message(world, channel_id, id, said, above, rng) else {
            continue;
        };
        world.keep(message);
        above = Some(Reference {
            channel_id,
            message_id: id,
            is_forward: false,
        });
    }
}

fn message(
    world: &mut World,
    channel_id: Snowflake,
    id: Snowflake,
    said: &Said<'_>,
    above: Option<Reference>,
    rng: &mut StdRng,
) -> Option<Message> {
    let guild_id = world.channel(channel_id).ok()?.guild_id;
    let filling = Filling {
        world,
        guild_id,
        seed: said.seed,
        at: id.unix_ms() / 1_000,
    };
    let line = &said.line;
    let (content, edited_ms) = match line.manner {
        Manner::Corrects(right) => (filling.fill(right), Some(id.unix_ms() + MINUTE_MS)),
        Manner::Says | Manner::Answers | Manner::TakesBack => (filling.fill(line.text), None),
    };
    let (mut embeds, mut files, mut reactions) = (Vec::new(), Vec::new(), Vec::new());
    let speakers = world.speakers(channel_id);
    if rng.random_ratio(1, REACTION_ODDS) {
        let count = rng.random_range(1..=4);
        reactions.push(Reaction {
            emoji: Emoji::parse(EMOJIS.choose(rng)?),
            user_ids: speakers.sample(rng, count).copied().collect(),
        });
    }
    for extra in &line.extras {
        match extra {
            Extra::Image(name) => files.push(image(name)),
            Extra::Embed { title, text, link } => {
                embeds.push(json!(embed(world.files.base(), title, text, link)));
            }
            Extra::Applause => reactions = applause(&speakers, rng),
            Extra::Thread(_) => {}
        }
    }
    let attachments = world.files.attach(id, files, Vec::new()).ok()?;
    Some(Message {
        id,
        channel_id,
        guild_id,
        author_id: said.author_id,
        content,
        edited_ms,
        embeds,
        attachments,
        reactions,
        reference: above.filter(|_| line.manner == Manner::Answers),
        snapshot: None,
        pinned_ms: None,
        flags: 0,
        webhook: None,
        extras: serde_json::Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_channel_has_more_than_five_hundred_messages_over_days() {
        let mut world = World::found(0, "http://sim");
        write(&mut world, 1);
        let general = world.places().find(|channel| channel.name == "general");
        let id = general.unwrap().id;
        let kept = world.kept(id);
        assert!(kept.len() > 500, "{}", kept.len());
        let times: Vec<_> = kept.iter().map(|message| message.id.unix_ms()).collect();
        let days = (times.last().unwrap() - times.first().unwrap()) / (24 * 60 * MINUTE_MS);
        assert!((3..60).contains(&days), "{days} days");
        let are_filled = |message: &&&Message| {
            !message.content.contains("[aya]") && !message.content.contains("{n}")
        };
        assert_eq!(kept.iter().filter(are_filled).count(), kept.len());
        assert!(kept.iter().any(|message| message.reference.is_some()));
        assert!(kept.iter().any(|message| message.edited_ms.is_some()));
        assert!(kept.iter().any(|message| !message.attachments.is_empty()));
        assert!(kept.iter().any(|message| !message.reactions.is_empty()));
        assert_eq!(
            world.channel(id).unwrap().last_message_id,
            Some(kept.last().unwrap().id)
        );
    }
}
