//! Access that is taken away and given back, while messages go on: how late every socket is told, on two fanouts, and
//! that nothing posted after the change is among the bytes of anybody whom it concerns.
//! A delay is counted from before the request that changes something is written to the simulator, on this process's
//! clock alone, so it holds that request's way there beside all of the simulator's frame.
//! It promises that every socket is a member of their own with a token of their own, and that whatever is late, missing
//! or leaked is a failure.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::limit;
use crate::outcome::Outcome;
use crate::percentile::percentile;
use crate::services::{Programs, Services, Size};
use crate::table::Setting;
use crate::viewer::Seat;
use act::Act;
use ledger::{Ledger, Sign, Sums};
use scene::Scene;
use witness::Order;

mod act;
mod ledger;
mod scene;
mod tape;
mod witness;

/// How late a socket may be told at the 99th percentile.
const P99_MAX_US: u32 = 1_000_000;
/// How many connect at a time.
const CONNECTING_MAX: usize = 64;
/// How long messages go on before a change, and after the last socket was told of it.
const LEAD: Duration = Duration::from_secs(1);
/// How long all may take to be told. Later is as good as never.
const TOLD_PATIENCE: Duration = Duration::from_secs(15);
/// How fanouts count sockets that they have put out of a channel, and since when each was to be out.
const METRIC: &str = "discord_stream_revocation_seconds";

/// What `load revocation` measures.
#[derive(Clone, Debug, clap::Args)]
pub struct RevocationPlan {
    /// How many sockets there are, each of a member of their own, half of them on each fanout.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(8..=15_000))]
    pub sockets: u32,
    /// How many of them are kicked, and how many log out.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub few: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rate: u32,
    /// The length of a message's text.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=4_000))]
    pub bytes: u32,
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    act: Act,
    sign: Sign,
    expected: usize,
    /// Ascending.
    delays_us: Vec<u32>,
}

/// Everything that takes part.
struct Bench {
    services: Services,
    scene: Scene,
    ledger: Arc<Ledger>,
    orders: watch::Sender<Order>,
    sockets: usize,
    few: usize,
    rows: Vec<Row>,
    tapes: Vec<(Act, Sums)>,
    failures: Vec<String>,
    /// By the fanouts' own metric: sockets that were put out, and how long that took on the average.
    own: (f64, Duration),
    #[expect(dead_code, reason = "owns the sockets, which end with it")]
    tasks: JoinSet<()>,
}

/// Takes access away and gives it back, in every way that Discord has.
///
/// # Errors
/// Something could not be started, did not answer in time, or ended early. What was late or leaked is no error here:
/// the outcome says it.
pub async fn revocation(plan: &RevocationPlan) -> anyhow::Result<Outcome> {
    ensure!(
        plan.few <= plan.sockets / 4,
        "at most a quarter of the sockets can be kicked"
    );
    limit::raise(plan.sockets)?;
    let programs = Programs::find()?;
    let setting = Setting::of_this_machine(programs.nats_version()?)?;
    let mut bench = Bench::start(plan, &programs).await?;
    for act in Act::ALL {
        bench.run(act).await?;
        bench.services.check()?;
    }
    bench.check_metric().await?;
    Ok(Outcome {
        table: table(plan, &setting, &bench)?,
        failures: bench.failures,
    })
}

impl Bench {
    async fn start(plan: &RevocationPlan, programs: &Programs) -> anyhow::Result<Self> {
        let size = Size {
            is_pair: true,
            members: plan.sockets,
        };
        let services = Services::start(programs, size).await?;
        let sockets = plan.sockets as usize;
        let scene = Scene::set(&services, sockets, plan.rate, plan.bytes).await?;
        ensure!(scene.people.len() == sockets, "everybody is there");
        let ledger = Arc::new(Ledger::new(sockets));
        let (orders, told) = watch::channel(Order::Wait);
        let doors = Arc::new(Semaphore::new(CONNECTING_MAX));
        let fanouts: Vec<_> = services.fanouts().map(|fanout| fanout.address).collect();
        let mut tasks = JoinSet::new();
        let places = scene.people.iter().zip(fanouts.iter().cycle());
        for (socket, (person, address)) in places.enumerate() {
            let seat = Seat {
                address: *address,
                token: person.token.clone(),
                channel: scene.channel.clone(),
            };
            let (ledger, doors) = (Arc::clone(&ledger), Arc::clone(&doors));
            tasks.spawn(witness::run(socket, seat, ledger, doors, told.clone()));
        }
        let mut bench = Self {
            services,
            scene,
            ledger,
            orders,
            sockets,
            few: plan.few as usize,
            rows: Vec::new(),
            tapes: Vec::new(),
            failures: Vec::new(),
            own: (0.0, Duration::ZERO),
            tasks,
        };
        bench.until_ready(0..sockets, "connected").await?;
        Ok(bench)
    }

    /// One act: join where it takes something away, record, change, wait until all are told, and look through what came.
    async fn run(&mut self, act: Act) -> anyhow::Result<()> {
        let concerned = act.concerns(self.sockets, self.few);
        self.ledger.turn();
        if act.is_taking() {
            self.order(Order::Join(concerned.clone()), "joined").await?;
            self.order(Order::Record(concerned.clone()), "recorded")
                .await?;
        }
        self.scene.post_until(sleep(LEAD)).await?;
        self.change(act, &concerned).await?;
        // Whatever is not kept from them would reach them now.
        self.scene.post().await?;
        let ledger = Arc::clone(&self.ledger);
        for sign in act.signs() {
            let seen = ledger.until_seen(concerned.clone(), *sign, TOLD_PATIENCE);
            self.scene.post_until(seen).await?;
        }
        self.scene.post_until(sleep(LEAD)).await?;
        self.rows.extend(act.signs().iter().map(|sign| Row {
            act,
            sign: *sign,
            expected: concerned.len(),
            delays_us: self.ledger.delays_us(concerned.clone(), *sign),
        }));
        if act.is_taking() {
            self.order(Order::Search(concerned), "looked through")
                .await?;
            let sums = self.ledger.sums();
            self.tapes.push((act, sums));
        }
        self.judge(act);
        Ok(())
    }

    async fn change(&mut self, act: Act, concerned: &Range<usize>) -> anyhow::Result<()> {
        if !act.is_one_by_one() {
            self.ledger.begin(concerned.clone(), self.scene.posted);
        }
        match act {
            Act::Overwrite => self.scene.set_overwrite(true).await,
            Act::OverwriteLifted => self.scene.set_overwrite(false).await,
            Act::Permission => self.scene.set_permissions(true).await,
            Act::PermissionBack => self.scene.set_permissions(false).await,
            Act::RoleDeleted => self.scene.delete_role().await,
            Act::Kick | Act::Logout => self.change_each(act, concerned).await,
        }
    }

    /// One after the other, with a message between two where one is due.
    async fn change_each(&mut self, act: Act, concerned: &Range<usize>) -> anyhow::Result<()> {
        let fanouts: Vec<_> = self.services.fanouts().map(|one| one.address).collect();
        for person in concerned.clone() {
            self.scene.post_if_due().await?;
            self.ledger.begin(person..person + 1, self.scene.posted);
            if act == Act::Kick {
                self.scene.kick(person).await?;
            } else if let Some(address) = fanouts.iter().cycle().nth(person + 1) {
                // At the fanout where the socket is not.
                let fanout = format!("http://{address}");
                self.scene.log_out(person, &fanout).await?;
            }
        }
        Ok(())
    }

    async fn order(&mut self, order: Order, what: &str) -> anyhow::Result<()> {
        let (Order::Join(sockets) | Order::Record(sockets) | Order::Search(sockets)) =
            order.clone()
        else {
            return Ok(());
        };
        self.ledger.order();
        self.orders.send_replace(order);
        self.until_ready(sockets, what).await
    }

    async fn until_ready(&mut self, sockets: Range<usize>, what: &str) -> anyhow::Result<()> {
        let wanted = sockets.len();
        // As the bench of the fanout has it: a 20th of a second for each, which is what a debug build needs.
        let patience = Duration::from_secs(30) + Duration::from_millis(50) * u32::try_from(wanted)?;
        let ready = self.ledger.until_ready(sockets, patience).await;
        let (failed, why) = self.ledger.failures();
        ensure!(
            ready == wanted,
            "{ready} of {wanted} sockets have {what} in {patience:?}, {failed} failed: {}",
            why.join("; ")
        );
        Ok(())
    }

    /// Says what went wrong with this act.
    fn judge(&mut self, act: Act) {
        let title = act.title();
        for row in self.rows.iter().filter(|row| row.act == act) {
            let (told, sign) = (row.delays_us.len(), row.sign.title());
            if told < row.expected {
                let missing = row.expected - told;
                let failure = format!("{title}: {missing} sockets never got {sign}");
                self.failures.push(failure);
            }
            if percentile(&row.delays_us, 99).is_none_or(|p99| p99 > P99_MAX_US) {
                let failure = format!("{title}: {sign} came later than 1 s at p99");
                self.failures.push(failure);
            }
        }
        let sums = self.tapes.iter().find(|(of, _)| *of == act);
        let Some((_, sums)) = sums.filter(|_| act.is_taking()) else {
            return;
        };
        let leaked = if act.is_ordered() { sums.leaked } else { 0 };
        let before = self.failures.len();
        for (count, what) in [
            (leaked, "messages of after the change were seen"),
            (sums.outside, "frames came to sockets that were out"),
            (sums.torn, "tapes end within a frame"),
        ] {
            if count > 0 {
                self.failures.push(format!("{title}: {count} {what}"));
            }
        }
        if self.failures.len() > before {
            self.failures.extend(self.ledger.failures().1);
        }
    }

    /// What fanouts say of themselves agrees with what sockets have seen.
    async fn check_metric(&mut self) -> anyhow::Result<()> {
        let (mut counted, mut seconds) = (0.0, 0.0);
        for fanout in self.services.fanouts() {
            let http = &self.services.http;
            counted += fanout.metric(http, &format!("{METRIC}_count")).await?;
            seconds += fanout.metric(http, &format!("{METRIC}_sum")).await?;
        }
        self.own = (counted, Duration::from_secs_f64(seconds / counted.max(1.0)));
        let left = self.rows.iter().filter(|row| row.sign == Sign::Left);
        let expected: usize = left.map(|row| row.delays_us.len()).sum();
        if (counted - f64::from(u32::try_from(expected)?)).abs() > 0.5 {
            let failure = format!("{METRIC} has {counted} sockets, and {expected} were put out");
            self.failures.push(failure);
        }
        Ok(())
    }
}

fn table(plan: &RevocationPlan, setting: &Setting, bench: &Bench) -> anyhow::Result<String> {
    let mut out = setting.head("two fanouts");
    writeln!(
        out,
        "{} sockets of as many members, {} messages of {} bytes a second",
        plan.sockets, plan.rate, plan.bytes
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<34}{:<15}{:>8}{:>9}{:>9}{:>9}{:>9}",
        "delay in ms", "told by", "sockets", "p50", "p90", "p99", "max"
    )?;
    for row in &bench.rows {
        write!(out, "{:<34}{:<15}", row.act.title(), row.sign.title())?;
        write!(out, "{:>8}", row.delays_us.len())?;
        for percent in [50, 90, 99, 100] {
            let us = percentile(&row.delays_us, percent).unwrap_or(u32::MAX);
            write!(out, "{:>9.1}", f64::from(us) / 1e3)?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{:<34}{:>10}{:>12}{:>10}{:>12}{:>8}{:>9}",
        "bytes that came", "bytes", "frames", "tapes", "before", "after", "outside"
    )?;
    for (act, sums) in &bench.tapes {
        let Sums {
            tapes,
            bytes,
            frames,
            before,
            leaked,
            outside,
            ..
        } = sums;
        writeln!(
            out,
            "{:<34}{bytes:>10}{frames:>12}{tapes:>10}{before:>12}{leaked:>8}{outside:>9}",
            act.title()
        )?;
    }
    let (count, mean) = bench.own;
    writeln!(
        out,
        "\nof these, by {METRIC}: {count} sockets, {:.1} ms on the average",
        mean.as_secs_f64() * 1e3
    )?;
    writeln!(out)?;
    write!(
        out,
        "delay: from before the request to the simulator is written until the socket's bytes are read.\n\
         before, after: messages posted before the change, and after it. outside: frames after channel_left or\n\
         DISCONNECT that are neither a list nor a ping. A logout is told aside of the stream: messages that are posted\n\
         while it is under way may still come, and are not counted as leaked."
    )?;
    Ok(out)
}
