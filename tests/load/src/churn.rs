//! Whether clients that come and go leave anything behind: memory, files, threads or connections of our server.
//! It promises a steady rate of arrivals, each of which joins, stays a moment and leaves in one of the ways that
//! clients leave, and that growth is a failure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::cores::Cores;
use crate::crowd;
use crate::limit;
use crate::link::{Link, LinkError};
use crate::outcome::{Outcome, machine};
use crate::packet::Namespace;
use crate::peer::{Peer, Server};
use crate::polling::Polling;
use crate::services::http;
use crate::stage::{Burst, Stage, Stats};
use crate::usage::{Memory, files, threads};

const MINUTE: Duration = Duration::from_mins(1);
/// How long a client stays: long enough that some are always there, and some of them get a message.
const STAY: Duration = Duration::from_secs(1);
/// How long a client that says goodbye waits for the server to close the connection. The server's own bound is 3 s.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(5);
/// After the last one has left: what the server does later than this, it does too late.
const CALM: Duration = Duration::from_secs(5);
/// Who is cut between two polls has no connection that breaks: only the server's heartbeat notices, which is a ping after
/// 25 s and its pong within a minute. Nothing may be left then.
const HEARTBEAT: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two messages to whoever is there.
const MESSAGE_EVERY: Duration = Duration::from_secs(1);
const MESSAGE: Burst = Burst {
    count: 1,
    bytes: 400,
};
/// An allocator's unrest: pages that it took for a busier moment. A leak of 30 bytes a client is more in 5 minutes.
const RSS_UNREST_KIB: u64 = 1024;

/// What `load churn` does.
#[derive(Clone, Debug, clap::Args)]
pub struct ChurnPlan {
    /// How many clients come and go in a minute.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub per_minute: u32,
    /// How long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub minutes: u32,
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    WebSocket,
    Polling,
    /// Polling, and then a WebSocket.
    Upgrade,
}

impl Transport {
    /// The mix, by turns: every transport that the server has.
    const MIX: [Self; 3] = [Self::WebSocket, Self::Polling, Self::Upgrade];
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It leaves the namespace and closes the connection, or the session that polls.
    Disconnect,
    /// It closes the WebSocket, or the session that polls, and waits for the server to agree.
    Close,
    /// It is gone without a word.
    Cut,
}

impl Leave {
    const MIX: [Self; 3] = [Self::Disconnect, Self::Close, Self::Cut];
}

/// Every transport with every way to leave, by turns.
fn mix() -> impl Iterator<Item = (Transport, Leave)> {
    let pairs = |transport| Leave::MIX.map(|leave| (transport, leave));
    let all: Vec<_> = Transport::MIX.into_iter().flat_map(pairs).collect();
    all.into_iter().cycle()
}

/// What the server has at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    rss_kib: u64,
    files: usize,
    threads: usize,
}

impl Holding {
    fn of(process: u32) -> anyhow::Result<Self> {
        Ok(Self {
            rss_kib: Memory::of(process)?.rss_kib,
            files: files(process)?,
            threads: threads(process)?,
        })
    }
}

/// A whole run.
#[derive(Clone, Debug)]
struct History {
    before: Holding,
    minutes: Vec<Holding>,
    after: Holding,
    stats: Stats,
    gone: u64,
    reasons: Vec<String>,
}

/// Runs the churn.
///
/// # Errors
/// The server could not be started, or ended. Clients that failed and growth are no error here: the outcome says so.
pub async fn churn(plan: &ChurnPlan) -> anyhow::Result<Outcome> {
    // A second's clients, and as many again that are just leaving.
    limit::raise(plan.per_minute / 30)?;
    let peer = Peer::find(Server::Ours, &PathBuf::new())?;
    let mut stage = Stage::start(&peer, 0, Cores::take()?).await?;
    let mut history = History {
        before: Holding::of(stage.process())?,
        minutes: Vec::new(),
        after: Holding::of(stage.process())?,
        stats: stage.stats().await?,
        gone: 0,
        reasons: Vec::new(),
    };
    let http = http().http1_only().build().context("no HTTP client")?;
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for minute in 0..plan.minutes {
        let begins = began + MINUTE * minute;
        one_minute(plan, &http, &mut stage, &mut clients, begins).await?;
        history.minutes.push(Holding::of(stage.process())?);
        while let Some(client) = clients.try_join_next() {
            history.note(client.context("a client panicked")?);
        }
    }
    while let Some(client) = clients.join_next().await {
        history.note(client.context("a client panicked")?);
    }
    stage.rest(CALM).await?;
    let noticed_by = Instant::now() + HEARTBEAT;
    while stage.stats().await?.connections > 1 && Instant::now() < noticed_by {
        stage.rest(LOOK_EVERY).await?;
    }
    stage.settle().await?;
    history.after = Holding::of(stage.process())?;
    history.stats = stage.stats().await?;
    Ok(Outcome {
        table: history.table(plan)?,
        failures: history.failures(plan),
    })
}

/// Lets a minute's clients in, each when it is due.
async fn one_minute(
    plan: &ChurnPlan,
    http: &reqwest::Client,
    stage: &mut Stage,
    clients: &mut JoinSet<Result<(), LinkError>>,
    begins: Instant,
) -> anyhow::Result<()> {
    let mut next_message = begins;
    let mut mix = mix();
    for number in 0..plan.per_minute {
        stage
            .rest_until(begins + MINUTE * number / plan.per_minute)
            .await?;
        if let Some((transport, leave)) = mix.next() {
            clients.spawn(visit(http.clone(), stage.address(), transport, leave));
        }
        if Instant::now() >= next_message {
            stage.order(MESSAGE, Instant::now()).await?;
            next_message += MESSAGE_EVERY;
        }
    }
    stage.rest_until(begins + MINUTE).await
}

/// A client's whole life.
async fn visit(
    http: reqwest::Client,
    address: SocketAddr,
    transport: Transport,
    leave: Leave,
) -> Result<(), LinkError> {
    if transport == Transport::WebSocket {
        return stay(crowd::join(address).await?, leave).await;
    }
    let polling = timeout(crowd::JOIN_PATIENCE, Polling::join(&http, address)).await;
    let polling = polling.unwrap_or(Err(LinkError::Slow))?;
    if transport == Transport::Upgrade {
        let upgrade = Link::take_over(address, Namespace::Root, polling.sid());
        let upgrade = timeout(crowd::JOIN_PATIENCE, upgrade).await;
        return stay(upgrade.unwrap_or(Err(LinkError::Slow))?, leave).await;
    }
    let mut reading = pin!(polling.read_on());
    if let Ok(ended) = timeout(STAY, &mut reading).await {
        return Err(ended);
    }
    match leave {
        Leave::Disconnect => polling.send(&["41", "1"]).await?,
        Leave::Close => polling.send(&["1"]).await?,
        Leave::Cut => return Ok(()),
    }
    // The poll that is under way ends, and the next one finds nothing.
    match timeout(GOODBYE_PATIENCE, reading).await {
        Ok(LinkError::Http(_)) => Ok(()),
        Ok(error) => Err(error),
        Err(_) => Err(LinkError::Slow),
    }
}

/// The life of a client with a WebSocket, once it is in the room.
async fn stay(mut link: Link, leave: Leave) -> Result<(), LinkError> {
    if let Ok(ended) = timeout(STAY, read_on(&mut link)).await {
        return Err(ended);
    }
    match leave {
        Leave::Disconnect => link.send("41").await,
        Leave::Close => say_goodbye(&mut link).await,
        Leave::Cut => Ok(()),
    }
}

/// Reads until the connection ends.
async fn read_on(link: &mut Link) -> LinkError {
    loop {
        let read = match link.take_packets(|_, _| {}) {
            Ok(()) => link.read().await,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            return error;
        }
    }
}

async fn say_goodbye(link: &mut Link) -> Result<(), LinkError> {
    link.send_close().await?;
    match timeout(GOODBYE_PATIENCE, read_on(link)).await {
        Ok(LinkError::Closed(_) | LinkError::Cut) => Ok(()),
        Ok(error) => Err(error),
        Err(_) => Err(LinkError::Slow),
    }
}

impl History {
    fn note(&mut self, visit: Result<(), LinkError>) {
        match visit {
            Ok(()) => self.gone += 1,
            Err(error) => self.reasons.push(error.to_string()),
        }
    }

    fn failures(&self, plan: &ChurnPlan) -> Vec<String> {
        let mut failures = Vec::new();
        let clients = u64::from(plan.per_minute) * u64::from(plan.minutes);
        if self.gone != clients {
            let first = self.reasons.first().map_or("", String::as_str);
            failures.push(format!(
                "{} of {clients} clients failed: {first}",
                clients - self.gone
            ));
        }
        if let [first, .., last] = self.minutes.as_slice() {
            if last.rss_kib > first.rss_kib + RSS_UNREST_KIB {
                let more = last.rss_kib - first.rss_kib;
                failures.push(format!("RSS grew by {more} KiB after the first minute"));
            }
            if last.threads > first.threads {
                failures.push(format!("{} threads became {}", first.threads, last.threads));
            }
        }
        if self.after.files > self.before.files {
            let (before, after) = (self.before.files, self.after.files);
            failures.push(format!("{before} open files became {after}"));
        }
        // The control socket.
        let (connections, sockets) = (self.stats.connections, self.stats.sockets);
        if (connections, sockets) != (1, 1) {
            failures.push(format!(
                "{connections} connections and {sockets} sockets are left of one"
            ));
        }
        failures
    }

    fn table(&self, plan: &ChurnPlan) -> anyhow::Result<String> {
        let mut out = String::new();
        writeln!(out, "{}", machine())?;
        writeln!(
            out,
            "{} clients a minute for {} minutes, each {} s in the room; {} came and went, {} failed\n",
            plan.per_minute,
            plan.minutes,
            STAY.as_secs(),
            self.gone,
            self.reasons.len()
        )?;
        writeln!(
            out,
            "{:<12}{:>10}{:>10}{:>10}",
            "", "RSS, KiB", "files", "threads"
        )?;
        let minutes = (1..).map(|minute: u32| format!("minute {minute}"));
        let rows = [("before".to_owned(), self.before)].into_iter();
        let rows = rows.chain(minutes.zip(self.minutes.iter().copied()));
        for (name, holding) in rows.chain([("after".to_owned(), self.after)]) {
            let Holding {
                rss_kib,
                files,
                threads,
            } = holding;
            writeln!(out, "{name:<12}{rss_kib:>10}{files:>10}{threads:>10}")?;
        }
        let closes = &self.stats.closes;
        let closes: Vec<String> = closes
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        write!(out, "\nclosed, by reason: {}", closes.join(", "))?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: ChurnPlan = ChurnPlan {
        per_minute: 50,
        minutes: 2,
    };

    fn holding(rss_kib: u64, files: usize, threads: usize) -> Holding {
        Holding {
            rss_kib,
            files,
            threads,
        }
    }

    fn history(last: Holding, after: Holding) -> History {
        History {
            before: holding(5_000, 20, 3),
            minutes: vec![holding(6_000, 180, 3), last],
            after,
            stats: Stats {
                connections: 1,
                sockets: 1,
                closes: [("transport_closed".to_owned(), 100)].into(),
            },
            gone: 100,
            reasons: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_left_nothing_behind_is_good() {
        let history = history(holding(6_900, 190, 3), holding(6_900, 20, 3));
        assert_eq!(history.failures(&PLAN), Vec::<String>::new());
        let table = history.table(&PLAN).unwrap();
        for line in [
            "before            5000        20         3\n",
            "minute 2          6900       190         3\n",
            "after             6900        20         3\n",
            "closed, by reason: transport_closed 100",
        ] {
            assert!(table.contains(line), "{line}{table}");
        }
    }

    #[test]
    fn whatever_grew_is_a_sentence() {
        let mut history = history(holding(7_100, 180, 4), holding(7_100, 21, 4));
        history.gone = 99;
        history.reasons.push("the connection was cut".to_owned());
        history.stats.sockets = 2;
        let said = [
            "1 of 100 clients failed: the connection was cut",
            "RSS grew by 1100 KiB after the first minute",
            "3 threads became 4",
            "20 open files became 21",
            "1 connections and 2 sockets are left of one",
        ];
        assert_eq!(history.failures(&PLAN), said);
    }
}
