//! A living community for demonstrations: days of history, and conversations that go on in both guilds, with replies,
//! edits, deletes, reactions, typing, pictures, embeds and threads.
//! Seeded: the same seed speaks the same lines in the same order. It never looks at who is connected.

mod past;
mod script;
mod slots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use self::script::{Extra, FORUM_TALK, Line, Manner, TALK};
use self::slots::Filling;
use crate::channel::Kind;
use crate::message::{AttachmentDraft, Draft, Edit, Emoji, Reaction, ReferenceDraft};
use crate::object::id_of;
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::{Snowflake, unix_ms};
use crate::world::World;
use crate::world::threads::ThreadDraft;

const EMOJIS: [&str; 8] = ["👍", "❤️", "😂", "🎉", "🔥", "👀", "✨", "🙌"];
/// How long somebody takes to answer: between these many milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 800..2_000;
/// How often a message gets a reaction: one in so many.
const REACTION_ODDS: u32 = 3;
/// How many people applaud at the most.
const APPLAUSE_MAX: usize = 7;

struct Demo {
    sim: Arc<Shared>,
    rng: StdRng,
    /// Conversations not yet had in this round, by script.
    left: HashMap<&'static str, Vec<&'static str>>,
    /// Whether the conversation is where visitors arrive.
    is_at_the_door: bool,
}

/// Where a conversation is had, by whom.
struct Scene {
    channel_id: Snowflake,
    guild_id: Snowflake,
    speakers: Vec<Snowflake>,
    seed: u64,
    /// Opened by a line of the conversation.
    thread_id: Option<Snowflake>,
}

/// Writes the past of the demo, before anybody is told of the world.
pub(crate) fn write_past(world: &mut World, seed: u64) {
    past::write(world, seed);
}

/// Talks until the simulator stops.
pub(crate) async fn run(sim: Arc<Shared>, seed: u64) {
    let stopping = sim.stopping().clone();
    let demo = Demo {
        sim,
        rng: StdRng::seed_from_u64(seed),
        left: HashMap::new(),
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
            let Some((mut scene, script)) = self.gather() else {
                self.pause().await;
                continue;
            };
            let conversation = self.next_conversation(script);
            if let Err(refusal) = self.converse(&mut scene, conversation).await {
                // A test may have deleted the channel or a message under our feet.
                tracing::debug!(%refusal, "a conversation broke off");
                self.pause().await;
            }
        }
    }

    fn next_conversation(&mut self, script: &'static str) -> &'static str {
        let left = self.left.entry(script).or_default();
        if left.is_empty() {
            left.extend(script::conversations(script));
            left.shuffle(&mut self.rng);
        }
        left.pop().unwrap_or_default()
    }

    /// A channel that exists now, with three who may speak there. Every other conversation is in the topmost channel:
    /// whoever opens a page on this lands there.
    fn gather(&mut self) -> Option<(Scene, &'static str)> {
        let state = self.sim.state();
        let world = &state.world;
        let script_of = |name: &str| {
            let mut talk = TALK.iter();
            talk.find(|(channel, _)| *channel == name)
                .map(|(_, script)| *script)
        };
        let forum = |id: Snowflake| {
            world
                .channel(id)
                .is_ok_and(|channel| channel.kind.is_forum())
        };
        let mut places: Vec<(Snowflake, &'static str)> = Vec::new();
        for channel in world.places() {
            let is_post = channel.parent_id.is_some_and(forum) && channel.thread.is_some();
            let script = script_of(&channel.name).filter(|_| channel.thread.is_none());
            let script = script.or(is_post.then_some(FORUM_TALK));
            // News is rare.
            let is_rare = channel.kind == Kind::ANNOUNCEMENT && !self.rng.random_ratio(1, 8);
            places.extend(
                script
                    .filter(|_| !is_rare)
                    .map(|script| (channel.id, script)),
            );
        }
        self.is_at_the_door = !self.is_at_the_door;
        let is_text = |id: Snowflake| {
            world
                .channel(id)
                .is_ok_and(|channel| channel.kind == Kind::TEXT)
        };
        let topmost = places
            .iter()
            .filter(|(id, _)| is_text(*id))
            .min_by_key(|(id, _)| {
                let channel = world.channel(*id).ok();
                channel.map(|channel| (channel.guild_id, channel.position))
            });
        let anywhere = places.choose(&mut self.rng);
        let (channel_id, script) = *topmost.filter(|_| self.is_at_the_door).or(anywhere)?;
        let speakers = world.speakers(channel_id);
        let scene = Scene {
            channel_id,
            guild_id: world.channel(channel_id).ok()?.guild_id,
            speakers: speakers.sample(&mut self.rng, 3).copied().collect(),
            seed: self.rng.random(),
            thread_id: None,
        };
        (!scene.speakers.is_empty()).then_some((scene, script))
    }

    async fn converse(&mut self, scene: &mut Scene, conversation: &str) -> Result<(), Refusal> {
        let mut above: HashMap<bool, Snowflake> = HashMap::new();
        let speakers = scene.speakers.clone();
        for (text, speaker) in conversation.lines().zip(speakers.into_iter().cycle()) {
            let line = script::parse(text);
            let is_inside = line.is_in_thread && scene.thread_id.is_some();
            let place = scene
                .thread_id
                .filter(|_| is_inside)
                .unwrap_or(scene.channel_id);
            self.sim.change(|world| world.type_in(place, speaker))?;
            self.pause().await;
            let answered = above.get(&is_inside).copied();
            let answered = answered.filter(|_| line.manner == Manner::Answers);
            let id = self.say(scene, place, speaker, &line, answered)?;
            if self.follow_up(scene, place, id, &line).await? {
                above.insert(is_inside, id);
                self.applaud(scene, place, id, &line)?;
            }
        }
        Ok(())
    }

    fn say(
        &self,
        scene: &Scene,
        place: Snowflake,
        author_id: Snowflake,
        line: &Line<'_>,
        answered: Option<Snowflake>,
    ) -> Result<Snowflake, Refusal> {
        let message_reference = answered.map(|message_id| ReferenceDraft {
            message_id,
            channel_id: None,
            kind: 0,
        });
        let posted = self.sim.change(|world: &mut World| {
            let mut draft = Draft {
                content: Some(scene.fill(world, line.text)),
                author_id: Some(author_id),
                message_reference,
                ..Draft::default()
            };
            for extra in &line.extras {
                match extra {
                    Extra::Image(name) => draft.attachments.push(image(name)),
                    Extra::Embed { title, text, link } => {
                        draft
                            .embeds
                            .push(embed(world.files.base(), title, text, link));
                    }
                    Extra::Thread(_) | Extra::Applause => {}
                }
            }
            world.post(place, draft)
        })?;
        id_of(&posted).ok_or(Refusal::UnknownMessage)
    }

    /// What happens to a message after it was said; whether it is still there then.
    async fn follow_up(
        &mut self,
        scene: &mut Scene,
        place: Snowflake,
        id: Snowflake,
        line: &Line<'_>,
    ) -> Result<bool, Refusal> {
        match line.manner {
            Manner::Corrects(text) => {
                self.pause().await;
                self.sim.change(|world| {
                    let edit = Edit {
                        content: Some(scene.fill(world, text)),
                        ..Edit::default()
                    };
                    world.edit(place, id, edit)
                })?;
            }
            Manner::TakesBack => {
                self.pause().await;
                self.sim.change(|world| world.delete(place, id))?;
                return Ok(false);
            }
            Manner::Says | Manner::Answers => {}
        }
        for extra in &line.extras {
            if let Extra::Thread(title) = extra {
                let draft = ThreadDraft::named(title, scene.speakers.first().copied());
                let thread = self
                    .sim
                    .change(|world| world.start_thread(place, Some(id), draft))?;
                scene.thread_id = id_of(&thread);
            }
        }
        Ok(true)
    }

    fn applaud(
        &mut self,
        scene: &Scene,
        place: Snowflake,
        id: Snowflake,
        line: &Line<'_>,
    ) -> Result<(), Refusal> {
        let mut reactions = Vec::new();
        if line.extras.contains(&Extra::Applause) {
            let all = self.sim.state().world.speakers(place);
            reactions = applause(&all, &mut self.rng);
        } else if self.rng.random_ratio(1, REACTION_ODDS) {
            let emoji = EMOJIS
                .choose(&mut self.rng)
                .map(|emoji| Emoji::parse(emoji));
            let user_id = scene.speakers.choose(&mut self.rng);
            reactions.extend(emoji.zip(user_id).map(|(emoji, id)| Reaction {
                emoji,
                user_ids: vec![*id],
            }));
        }
        self.sim.change(|world| {
            for Reaction { emoji, user_ids } in &reactions {
                for user_id in user_ids {
                    world.react(place, id, emoji, *user_id)?;
                }
            }
            Ok(())
        })
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(self.rng.random_range(PAUSE_MS));
        tokio::time::sleep(pause).await;
    }
}

impl Scene {
    fn fill(&self, world: &World, text: &str) -> String {
        let filling = Filling {
            world,
            guild_id: self.guild_id,
            seed: self.seed,
            at: unix_ms() / 1_000,
        };
        filling.fill(text)
    }
}

/// Reactions of several people with several emojis.
fn applause(people: &[Snowflake], rng: &mut StdRng) -> Vec<Reaction> {
    let mut reactions = Vec::new();
    for emoji in EMOJIS.sample(rng, 3) {
        let count = rng.random_range(1..=APPLAUSE_MAX);
        reactions.push(Reaction {
            emoji: Emoji::parse(emoji),
            user_ids: people.sample(rng, count).copied().collect(),
        });
    }
    reactions
}

/// A picture that is drawn when somebody looks at it.
fn image(name: &str) -> AttachmentDraft {
    let (width, height) = crate::cdn::DRAWN;
    AttachmentDraft {
        filename: name.to_owned(),
        size: 48_000 + name.len() as u64 * 1_013,
        content_type: Some("image/png".to_owned()),
        width: Some(u64::from(width)),
        height: Some(u64::from(height)),
        description: Some(name.trim_end_matches(".png").replace('-', " ")),
        ..AttachmentDraft::default()
    }
}

/// A link preview, its picture drawn as well.
fn embed(base: &str, title: &str, text: &str, link: &str) -> Map<String, Value> {
    let name: String = title.chars().filter(char::is_ascii_alphanumeric).collect();
    let picture = format!("{base}/pictures/{name}.png");
    let fields = [
        ("type", json!("rich")),
        ("title", json!(title)),
        ("description", json!(text)),
        ("url", json!(link)),
        ("color", json!(0x00E6_7E22)),
        (
            "thumbnail",
            json!({ "url": picture, "width": 640, "height": 400 }),
        ),
        (
            "fields",
            json!([{ "name": "Shared by", "value": "the workshop", "inline": true }]),
        ),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
