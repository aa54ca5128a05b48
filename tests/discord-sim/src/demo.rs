//! A living community for demonstrations: short conversations in both guilds, with replies, edits, deletes and reactions.
//! Seeded: the same seed speaks the same lines in the same order. It never looks at who is connected.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::channel::Kind;
use crate::message::{Draft, Edit, Emoji, ReferenceDraft};
use crate::object::id_of;
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::World;

/// Conversations: one a paragraph, one line a message. A leading `>` answers the line above, `~` is corrected a moment
/// later to what follows its ` => `, `-` is taken back.
const SCRIPT: &str = include_str!("demo.txt");
const EMOJIS: [&str; 8] = ["👍", "❤️", "😂", "🎉", "🔥", "👀", "✨", "🙌"];
/// How long somebody takes to answer: between these many milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 800..2_000;
/// How often a message gets a reaction: one in so many.
const REACTION_ODDS: u32 = 3;

struct Demo {
    sim: Arc<Shared>,
    rng: StdRng,
    /// Conversations not yet had in this round.
    left: Vec<&'static str>,
    /// Whether the conversation is where visitors arrive.
    is_at_the_door: bool,
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Says(&'a str),
    Answers(&'a str),
    Corrects(&'a str, &'a str),
    TakesBack(&'a str),
}

/// Talks until the simulator stops.
pub(crate) async fn run(sim: Arc<Shared>, seed: u64) {
    let stopping = sim.stopping().clone();
    let demo = Demo {
        sim,
        rng: StdRng::seed_from_u64(seed),
        left: Vec::new(),
        is_at_the_door: false,
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = demo.talk() => {}
    }
}

impl Demo {
    async fn talk(mut self) {
        loop {
            let Some(conversation) = self.next_conversation() else {
                return;
            };
            let Some((channel_id, speakers)) = self.gather() else {
                self.pause().await;
                continue;
            };
            if let Err(refusal) = self.converse(channel_id, &speakers, conversation).await {
                // A test may have deleted the channel or a message under our feet.
                tracing::debug!(%refusal, "a conversation broke off");
                self.pause().await;
            }
        }
    }

    fn next_conversation(&mut self) -> Option<&'static str> {
        if self.left.is_empty() {
            self.left = SCRIPT.split("\n\n").collect();
            self.left.shuffle(&mut self.rng);
        }
        self.left.pop()
    }

    /// A public text channel that exists now, and three of its guild's members. Every other conversation is in
    /// the topmost channel: whoever opens a page on this lands there.
    fn gather(&mut self) -> Option<(Snowflake, Vec<Snowflake>)> {
        let state = self.sim.state();
        let world = &state.world;
        let channels: Vec<_> = world
            .guild_ids()
            .into_iter()
            .flat_map(|guild| world.channels_of(guild))
            .filter(|channel| channel.kind == Kind::TEXT && channel.overwrites.is_empty())
            .collect();
        self.is_at_the_door = !self.is_at_the_door;
        let topmost = channels
            .iter()
            .min_by_key(|channel| (channel.guild_id, channel.position));
        let anywhere = channels.choose(&mut self.rng);
        let channel = topmost.filter(|_| self.is_at_the_door).or(anywhere)?;
        let humans = world.humans_of(channel.guild_id);
        let speakers: Vec<_> = humans.sample(&mut self.rng, 3).copied().collect();
        (!speakers.is_empty()).then_some((channel.id, speakers))
    }

    async fn converse(
        &mut self,
        channel_id: Snowflake,
        speakers: &[Snowflake],
        conversation: &str,
    ) -> Result<(), Refusal> {
        let mut above = None;
        for (text, speaker) in conversation.lines().zip(speakers.iter().copied().cycle()) {
            self.sim
                .change(|world| world.type_in(channel_id, speaker))?;
            self.pause().await;
            let line = parse(text);
            let (first, answers) = match line {
                Line::Says(text) | Line::Corrects(text, _) | Line::TakesBack(text) => (text, None),
                Line::Answers(text) => (text, above),
            };
            let id = self.say(channel_id, speaker, first, answers)?;
            match line {
                Line::Corrects(_, text) => {
                    self.pause().await;
                    let edit = Edit {
                        content: Some(text.to_owned()),
                        ..Edit::default()
                    };
                    self.sim.change(|world| world.edit(channel_id, id, edit))?;
                }
                Line::TakesBack(_) => {
                    self.pause().await;
                    self.sim.change(|world| world.delete(channel_id, id))?;
                    continue;
                }
                Line::Says(_) | Line::Answers(_) => {}
            }
            above = Some(id);
            self.applaud(channel_id, id, speakers)?;
        }
        Ok(())
    }

    fn say(
        &self,
        channel_id: Snowflake,
        author_id: Snowflake,
        text: &str,
        answers: Option<Snowflake>,
    ) -> Result<Snowflake, Refusal> {
        let message_reference = answers.map(|message_id| ReferenceDraft {
            message_id,
            channel_id: None,
            kind: 0,
        });
        let draft = Draft {
            content: Some(text.replace("\\n", "\n")),
            author_id: Some(author_id),
            message_reference,
            ..Draft::default()
        };
        let posted = self
            .sim
            .change(|world: &mut World| world.post(channel_id, draft))?;
        id_of(&posted).ok_or(Refusal::UnknownMessage)
    }

    fn applaud(
        &mut self,
        channel_id: Snowflake,
        id: Snowflake,
        speakers: &[Snowflake],
    ) -> Result<(), Refusal> {
        if !self.rng.random_ratio(1, REACTION_ODDS) {
            return Ok(());
        }
        let (Some(emoji), Some(user)) =
            (EMOJIS.choose(&mut self.rng), speakers.choose(&mut self.rng))
        else {
            return Ok(());
        };
        self.sim
            .change(|world| world.react(channel_id, id, &Emoji::parse(emoji), *user))
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.rng.random_range(PAUSE_MS));
        tokio::time::sleep(pause).await;
    }
}

fn parse(text: &str) -> Line<'_> {
    if let Some(text) = text.strip_prefix('>') {
        return Line::Answers(text);
    }
    if let Some(text) = text.strip_prefix('-') {
        return Line::TakesBack(text);
    }
    match text
        .strip_prefix('~')
        .and_then(|text| text.split_once(" => "))
    {
        Some((wrong, right)) => Line::Corrects(wrong, right),
        None => Line::Says(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_answers_corrects_or_takes_back() {
        assert_eq!(parse("hello"), Line::Says("hello"));
        assert_eq!(parse(">hi"), Line::Answers("hi"));
        assert_eq!(parse("~teh => the"), Line::Corrects("teh", "the"));
        assert_eq!(parse("-oops"), Line::TakesBack("oops"));
    }

    #[test]
    fn no_line_of_the_script_is_empty_or_half_a_correction() {
        for line in SCRIPT.split("\n\n").flat_map(str::lines) {
            assert!(
                line.trim_start_matches(['>', '-', '~']).len() > 1,
                "{line:?}"
            );
            assert_eq!(line.starts_with('~'), line.contains(" => "), "{line:?}");
        }
    }
}
