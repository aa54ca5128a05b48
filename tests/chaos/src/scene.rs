//! A run that is going on: the stage, who posts, who watches, and the comparison at the end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::book::{Act, Book, Chronicle, Kind};
use crate::fault::{Fault, Moment};
use crate::final_check;
use crate::law::{self, Breaches, Law};
use crate::link::{Link, Way};
use crate::posts::{Author, Posts};
use crate::run::{Plan, Run};
use crate::service::Service;
use crate::stage::Stage;
use crate::tape::{Returns, Tape, Tapes};
use crate::viewer::{Transport, Viewer, Watching};

/// A run that is going on.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    book: Book,
    /// First those who are here all the time, then who is cut off and comes back while something is wrong, then who comes
    /// for the first time meanwhile.
    watching: Vec<Watching>,
    /// What the second are cut off from.
    back_door: Link,
    /// Where viewers find the fanouts.
    doors: Vec<u16>,
    posts: Option<Posts>,
    /// Channels in which people speak all the time, and who speaks in the others.
    busy: Vec<String>,
    quiet: Vec<Author>,
    counts: Counts,
    plan: Plan,
}

/// Viewers who are cut off and come back while something is wrong, and as many who come for the first time: by these
/// numbers some watch each way, and quiet channels are among theirs.
const STRANGERS: Range<usize> = 8..20;

/// They are away for so long.
const AWAY: Duration = Duration::from_millis(300);

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    leader: usize,
    identifies: u64,
    resumes: u64,
    /// What Discord has said.
    dispatched: u64,
    /// What the leading ingest has heard.
    received: u64,
}

/// How long everything may take to come once nothing is wrong any more.
const SETTLE: Duration = Duration::from_mins(1);

/// A quiet channel's message is everywhere within this time (decisions.md, the tail).
const QUIET_WITHIN: Duration = Duration::from_secs(1);

impl Scene {
    /// Starts all of it, for these faults, and waits until every viewer has its pages and people have posted for a while.
    pub(crate) async fn begin(plan: &Plan, faults: &[Fault]) -> anyhow::Result<Self> {
        let stage = Stage::start(plan.home, plan.fanouts, &plan.settings).await?;
        let busy = stage.channels(plan.busy, "busy").await?;
        let quiet = stage.channels(plan.quiet, "quiet").await?;
        let book = Book::default();
        let author = |channel: &String| Author::new(&stage.discord, channel, &book, plan.pace);
        let mut authors: Vec<Author> = busy.iter().map(author).collect();
        let quiet_authors = quiet.iter().map(author).collect();
        // Each channel has a past, which is in no page's way.
        for author in &mut authors {
            author.post().await?;
        }
        // A link costs as much as its viewers do: they have one where one is to be broken.
        let port = |fanout: &Service| match &fanout.viewers {
            Some(link) if faults.iter().any(|fault| fault.parts_viewers()) => link.port(),
            _ => fanout.port,
        };
        let doors: Vec<u16> = stage.fanouts.iter().map(port).collect();
        let mut watching = watch(&stage, &doors, 0..plan.viewers, (&busy, &quiet)).await;
        let back_door = Link::to(stage.fanouts[plan.fanouts - 1].port).await?;
        let returning = watch(&stage, &[back_door.port()], STRANGERS, (&busy, &quiet)).await;
        watching.extend(returning);
        has_pages(&watching).await.with_context(|| stage.output())?;
        let counts = counts(&stage).await?;
        let posts = Posts::begin(authors, plan.pace);
        sleep(plan.calm).await;
        Ok(Self {
            stage,
            book,
            watching,
            back_door,
            doors,
            posts: Some(posts),
            busy,
            quiet: quiet_authors,
            counts,
            plan: plan.clone(),
        })
    }

    /// Lets a fault happen, from its beginning to its end; in the middle [strangers](Self::meet) come. The moment from
    /// which viewers were to be live again, where that is bounded.
    pub(crate) async fn suffer(&mut self, fault: Fault) -> anyhow::Result<Option<Moment>> {
        let struck = Instant::now();
        let broken = fault.strike(&mut self.stage).await?;
        sleep(fault.lasts() / 2).await;
        self.meet().await?;
        sleep(fault.lasts() / 2).await;
        let mended = broken.mend(&mut self.stage).await?;
        Ok(fault.moment(&self.stage, struck, mended))
    }

    /// What is to go well while something is wrong: somebody speaks in each quiet channel, some viewers are cut off and
    /// come back, others come for the first time. They have patience: an answer may be late until everything is mended.
    pub(crate) async fn meet(&mut self) -> anyhow::Result<()> {
        self.back_door.set(Way::Cut);
        self.speak_quietly().await?;
        let quiet: Vec<String> = self
            .quiet
            .iter()
            .map(|one| one.channel().to_owned())
            .collect();
        let new = watch(&self.stage, &self.doors, STRANGERS, (&self.busy, &quiet)).await;
        self.watching.extend(new);
        sleep(AWAY).await;
        self.back_door.set(Way::Open);
        Ok(())
    }

    /// What is wrong with who was to be cut off and come back.
    fn strangers(&self) -> Option<String> {
        let strangers = self.watching.get(self.plan.viewers..)?;
        let (returning, new) = strangers.split_at_checked(STRANGERS.len())?;
        let was_cut = |one: &Watching| one.tapes.open().returns.cut > 0;
        let stayed = returning.iter().filter(|one| !was_cut(one)).count();
        let has_met = !new.is_empty();
        (has_met && stayed > 0).then(|| format!("{stayed} viewers were not cut off"))
    }

    async fn speak_quietly(&mut self) -> anyhow::Result<()> {
        for author in &mut self.quiet {
            author.post().await?;
        }
        Ok(())
    }

    /// How often Discord has counted what this fault leads to; none if it counts nothing.
    pub(crate) async fn counted(&self, fault: Fault) -> anyhow::Result<Option<u64>> {
        let Some(name) = fault.counted() else {
            return Ok(None);
        };
        Ok(self.stage.discord.stats().await?[name].as_u64())
    }

    /// Waits until every viewer hears what people say now, so that what goes wrong next finds everything whole.
    pub(crate) async fn is_live(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        let is_new = |tape: &Tape| tape.entries().last().is_some_and(|(at, _)| *at > since);
        let hears = |one: &Watching| {
            let seen = one.tapes.open();
            let busy = |(channel, _): &(&String, &Tape)| self.busy.contains(channel);
            let has_all = seen.tapes.len() == one.channels;
            has_all && seen.tapes.iter().filter(busy).all(|(_, tape)| is_new(tape))
        };
        while !self.watching.iter().all(hears) {
            anyhow::ensure!(
                since.elapsed() < SETTLE,
                "somebody hears nothing:\n{}",
                self.stage.output()
            );
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Ends it in order, and compares.
    pub(crate) async fn end(mut self, law: Law, moments: &[Moment]) -> anyhow::Result<Run> {
        sleep(self.plan.calm).await;
        has_pages(&self.watching).await?;
        let mut problems = self.stage.gaps().await?;
        problems.extend(self.stage.ended());
        problems.extend(self.strangers());
        let posts = self.posts.take().context("they post until now")?;
        let mut authors = posts.end().await?;
        // Nothing follows anywhere that could reveal what was lost.
        self.speak_quietly().await?;
        sleep(QUIET_WITHIN + Duration::from_millis(500)).await;
        for author in &mut authors {
            author.post().await?;
        }
        is_seen(&self.book, &self.watching).await;
        let mut run = Run {
            law,
            breaches: Breaches::default(),
            problems,
            acts: 0,
            entries: 0,
            returns: Returns::default(),
            live_again: Vec::new(),
            quiet: Duration::ZERO,
            output: String::new(),
        };
        {
            let book = self.book.open();
            run.acts = book.values().map(|chronicle| chronicle.acts().len()).sum();
            for (number, watching) in self.watching.iter().enumerate() {
                let seen = watching.tapes.open();
                run.problems.extend(seen.unreadable.clone());
                // Of those who are here all the time.
                if number < self.plan.viewers {
                    run.returns.add(seen.returns);
                }
                for (channel, tape) in &seen.tapes {
                    run.entries += tape.entries().len();
                    let Some(chronicle) = book.get(channel) else {
                        continue;
                    };
                    let breaches = law::check(law, chronicle, tape);
                    let who = format!("viewer {number} ({:?}) in {channel}", watching.transport);
                    run.breaches.add(&who, &breaches);
                }
            }
            self.measure(&book, moments, &mut run);
        }
        let problems = final_check::problems(&self.stage, &self.book).await;
        run.problems.extend(problems?);
        let counts = counts(&self.stage).await?;
        run.problems.extend(self.counts.problems(counts, law));
        run.output = self.stage.output();
        Ok(run)
    }

    fn measure(&self, book: &BTreeMap<String, Chronicle>, moments: &[Moment], run: &mut Run) {
        for moment in moments {
            // The first message that was posted from then on, and the last viewer who saw it.
            let creations = book.iter().flat_map(|(channel, chronicle)| {
                let acts = chronicle.acts().iter();
                acts.filter(|act| act.kind == Kind::Create && act.asked >= moment.at)
                    .map(move |act| (channel, act))
            });
            let Some((channel, first)) = creations.min_by_key(|(_, act)| act.asked) else {
                continue;
            };
            let regulars = self.watching.get(..self.plan.viewers);
            let late = lateness(regulars.unwrap_or_default(), channel, first, moment.at);
            let within = moment.within * self.plan.patience;
            if late > within {
                run.problems.push(format!(
                    "live again after {late:?}, to be within {within:?}"
                ));
            }
            run.live_again.push(late);
        }
        for author in &self.quiet {
            let Some(chronicle) = book.get(author.channel()) else {
                continue;
            };
            // The last one, when nothing is wrong any more.
            if let Some(act) = chronicle.acts().last() {
                let late = lateness(&self.watching, author.channel(), act, act.done);
                run.quiet = run.quiet.max(late);
            }
        }
        if run.quiet > QUIET_WITHIN * self.plan.patience {
            let late = run.quiet;
            run.problems
                .push(format!("a quiet channel's message came after {late:?}"));
        }
    }
}

impl Counts {
    /// What is wrong with what was counted since.
    fn problems(self, after: Self, law: Law) -> Vec<String> {
        let mut problems = Vec::new();
        if law == Law::Exact && after.identifies != self.identifies {
            let (before, after) = (self.identifies, after.identifies);
            problems.push(format!("IDENTIFY was sent: {before} before, {after} after"));
        }
        // Over one connection alone both count the same.
        let connections = |one: Self| (one.leader, one.identifies, one.resumes);
        let said = after.dispatched.saturating_sub(self.dispatched);
        let heard = after.received.saturating_sub(self.received);
        if connections(self) == connections(after) && said != heard {
            problems.push(format!("Discord said {said} things, ingest heard {heard}"));
        }
        problems
    }
}

async fn counts(stage: &Stage) -> anyhow::Result<Counts> {
    let leader = stage.leader().await?;
    let status = stage.status(&stage.ingests[leader]).await?;
    let discord = stage.discord.stats().await?;
    let count = |value: &Value| value.as_u64().context("it is counted");
    Ok(Counts {
        leader,
        identifies: count(&discord["identifies"])?,
        resumes: count(&discord["resumes"])?,
        dispatched: count(&discord["dispatched"])?,
        received: count(&status["outcomes"]["received"])?,
    })
}

/// How long after `since` the last of these viewers saw something of a channel.
fn lateness(watching: &[Watching], channel: &str, act: &Act, since: Instant) -> Duration {
    let seen = watching.iter().filter_map(|watching| {
        let seen = watching.tapes.open();
        let tape: &Tape = seen.tapes.get(channel)?;
        Some(tape.saw(act.message, act.number))
    });
    let late = seen.map(|at| at.map_or(SETTLE, |at| at.saturating_duration_since(since)));
    late.max().unwrap_or_default()
}

/// Viewers of two channels each: the busy ones by turns, every eighth viewer a quiet one beside it.
async fn watch(
    stage: &Stage,
    ports: &[u16],
    numbers: Range<usize>,
    (busy, quiet): (&[String], &[String]),
) -> Vec<Watching> {
    let tokens = &stage.tokens;
    let mut watching = Vec::new();
    for number in numbers {
        let first = busy[number % busy.len()].clone();
        // Each way to watch is among them.
        let is_quiet = number % 8 == (number / 20) % 8;
        let second = if is_quiet && !quiet.is_empty() {
            quiet[(number / 8) % quiet.len()].clone()
        } else {
            busy[(number + 1 + number / busy.len()) % busy.len()].clone()
        };
        let mut channels = vec![first, second];
        channels.dedup();
        let mut ports = ports.to_vec();
        let own = number % ports.len();
        ports.rotate_left(own);
        let viewer = Viewer {
            ports,
            token: tokens[number % tokens.len()].clone(),
            channels,
            tapes: Tapes::default(),
        };
        let transport = match number % 20 {
            0..12 => Transport::SocketIo,
            12..17 => Transport::WebSocket,
            _ => Transport::Stream,
        };
        watching.push(viewer.watch(transport));
        if number % 50 == 49 {
            // Handshakes are not what is tried here.
            sleep(Duration::from_millis(100)).await;
        }
    }
    watching
}

/// Waits until every viewer has its pages.
async fn has_pages(watching: &[Watching]) -> anyhow::Result<()> {
    let until = Instant::now() + SETTLE;
    loop {
        let missing: Vec<_> = watching
            .iter()
            .filter(|one| one.tapes.open().tapes.len() < one.channels)
            .map(|one| {
                let seen = one.tapes.open();
                (one.transport, seen.returns, seen.last_word.clone())
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let count = missing.len();
        anyhow::ensure!(
            Instant::now() < until,
            "{count} viewers get no pages, the first {:?}",
            missing.first()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until every viewer has seen the last act of its channels, as long as that may take.
async fn is_seen(book: &Book, watching: &[Watching]) {
    let until = Instant::now() + SETTLE;
    let last: BTreeMap<String, Act> = {
        let book = book.open();
        let last = book.iter().filter_map(|(channel, chronicle)| {
            let act = chronicle.acts().last()?;
            Some((channel.clone(), *act))
        });
        last.collect()
    };
    let has = |one: &Watching| {
        let seen = one.tapes.open();
        seen.tapes.iter().all(|(channel, tape)| {
            let act = last.get(channel);
            act.is_none_or(|act| tape.saw(act.message, act.number).is_some())
        })
    };
    while !watching.iter().all(has) && Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
    }
}
