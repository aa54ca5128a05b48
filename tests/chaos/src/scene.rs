//! A run that is going on: the stage, who posts, who watches, and the comparison at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::book::{Act, Book, Chronicle, Kind};
use crate::fault::{Fault, Moment};
use crate::final_check;
use crate::law::{self, Breaches, Law};
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
    watching: Vec<Watching>,
    posts: Option<Posts>,
    /// Channels in which people speak all the time, and who speaks in the others.
    busy: BTreeSet<String>,
    quiet: Vec<Author>,
    identifies: u64,
    plan: Plan,
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
        let watching = watch(&stage, &doors, plan.viewers, (&busy, &quiet)).await;
        has_pages(&watching).await.with_context(|| stage.output())?;
        let identifies = stage.discord.stats().await?["identifies"].as_u64();
        let posts = Posts::begin(authors, plan.pace);
        sleep(plan.calm).await;
        Ok(Self {
            stage,
            book,
            watching,
            posts: Some(posts),
            busy: busy.into_iter().collect(),
            quiet: quiet_authors,
            identifies: identifies.context("the simulator counts")?,
            plan: plan.clone(),
        })
    }

    /// Lets a fault happen, from its beginning to its end; in the middle somebody speaks in each quiet channel. The moment
    /// from which viewers were to be live again, where that is bounded.
    pub(crate) async fn suffer(&mut self, fault: Fault) -> anyhow::Result<Option<Moment>> {
        let struck = Instant::now();
        let broken = fault.strike(&mut self.stage).await?;
        sleep(fault.lasts() / 2).await;
        self.speak_quietly().await?;
        sleep(fault.lasts() / 2).await;
        let mended = broken.mend(&mut self.stage).await?;
        Ok(fault.moment(&self.stage, struck, mended))
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
            let busy = |(channel, _): &(&String, &Tape)| self.busy.contains(*channel);
            seen.tapes.iter().filter(busy).all(|(_, tape)| is_new(tape))
        };
        while !self.watching.iter().all(hears) {
            anyhow::ensure!(
                since.elapsed() < SETTLE,
                "somebody hears nothing:\n{}",
                self.stage.output()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it in order, and compares.
    pub(crate) async fn end(mut self, law: Law, moments: &[Moment]) -> anyhow::Result<Run> {
        sleep(self.plan.calm).await;
        let mut problems = self.stage.gaps().await?;
        problems.extend(self.stage.ended());
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
                run.returns.add(seen.returns);
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
        let identifies = self.stage.discord.stats().await?["identifies"].as_u64();
        if law == Law::Exact && identifies != Some(self.identifies) {
            let before = self.identifies;
            run.problems.push(format!(
                "IDENTIFY was sent: {before} before, {identifies:?} after"
            ));
        }
        let problems = final_check::problems(&self.stage, &self.book).await;
        run.problems.extend(problems?);
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
            let late = self.lateness(channel, first, moment.at);
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
                let late = self.lateness(author.channel(), act, act.done);
                run.quiet = run.quiet.max(late);
            }
        }
        if run.quiet > QUIET_WITHIN * self.plan.patience {
            let late = run.quiet;
            run.problems
                .push(format!("a quiet channel's message came after {late:?}"));
        }
    }

    /// How long after `since` the last viewer of a channel saw this.
    fn lateness(&self, channel: &str, act: &Act, since: Instant) -> Duration {
        let seen = self.watching.iter().filter_map(|watching| {
            let seen = watching.tapes.open();
            let tape: &Tape = seen.tapes.get(channel)?;
            Some(tape.saw(act.message, act.number))
        });
        let late = seen.map(|at| at.map_or(SETTLE, |at| at.saturating_duration_since(since)));
        late.max().unwrap_or_default()
    }
}

/// Viewers of two channels each: the busy ones by turns, every eighth viewer a quiet one beside it.
async fn watch(
    stage: &Stage,
    ports: &[u16],
    count: usize,
    (busy, quiet): (&[String], &[String]),
) -> Vec<Watching> {
    let tokens = &stage.tokens;
    let mut watching = Vec::new();
    for number in 0..count {
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
