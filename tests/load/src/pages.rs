//! What a page of the history takes each database: the messages before a random cursor, in one large channel.
//! It promises that all databases hold the same messages, written by the store itself, and are read at the same
//! cursors; that every page was read before, so that none waits for a disk; and that a page which is not whole fails.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::envelope::Opened;
use proto::event::{Event, Message, User};
use proto::id::{ChannelId, GuildId, MessageId};
use store::{Batch, Position, Store};
use tempfile::TempDir;

use crate::mariadb_server::MariaDb;
use crate::outcome::{Outcome, system};
use crate::percentile::percentile;
use crate::postgres_server::Postgres;

/// What viewers ask for by default.
const PAGE: u32 = 50;

/// What half of the pages have to stay below.
const MEDIAN_MAX: Duration = Duration::from_millis(5);

/// Written in one transaction, which takes well under the store's limit of 30 s.
const BATCH: usize = 5_000;

/// As much memory as the messages take, so that warm means the same for all.
const MARIADB_SETTINGS: [&str; 2] = [
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=256M",
];
const POSTGRES_SETTINGS: [&str; 1] = ["shared_buffers=1GB"];

/// What `load pages` measures.
#[derive(Clone, Debug, clap::Args)]
pub struct PagesPlan {
    /// How many messages the channel has.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub messages: u32,
    /// How many pages are read, each at a cursor of its own.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pages: u32,
    /// The length of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub bytes: u32,
}

/// Where the store lives.
enum Home {
    Sqlite(TempDir),
    MariaDb(MariaDb),
    Postgres(Postgres),
}

/// What was measured of one database.
struct Row {
    name: String,
    filled: Duration,
    /// Ascending.
    pages_us: Vec<u32>,
}

/// Measures the three databases, one after the other.
///
/// # Errors
/// A server could not be started, a call failed, or a page was not whole.
pub async fn pages(plan: &PagesPlan) -> anyhow::Result<Outcome> {
    let first = PAGE + 1;
    let cursors = (0..plan.pages).map(|_| rand::random_range(first..=plan.messages));
    let cursors: Vec<u32> = cursors.collect();
    let mut rows = Vec::new();
    for start in [Home::sqlite, Home::mariadb, Home::postgres] {
        rows.push(measure(plan, &cursors, &start()?).await?);
    }
    let failures = rows.iter().filter_map(Row::failure).collect();
    Ok(Outcome {
        table: table(plan, &rows)?,
        failures,
    })
}

async fn measure(plan: &PagesPlan, cursors: &[u32], home: &Home) -> anyhow::Result<Row> {
    let store = Store::open(&home.url()).await?;
    let begin = Instant::now();
    fill(&store, plan).await?;
    let filled = begin.elapsed();
    home.settle();
    for cursor in cursors {
        read(&store, *cursor).await?;
    }
    let mut pages_us = Vec::new();
    for cursor in cursors {
        let took = read(&store, *cursor).await?;
        pages_us.push(u32::try_from(took.as_micros())?);
    }
    pages_us.sort_unstable();
    store.close().await;
    Ok(Row {
        name: home.name(),
        filled,
        pages_us,
    })
}

async fn fill(store: &Store, plan: &PagesPlan) -> anyhow::Result<()> {
    store.migrate().await?;
    let mut position = Position {
        generation: 1,
        sequence: 0,
    };
    store.begin_generation(position.generation).await?;
    let numbers: Vec<u32> = (1..=plan.messages).collect();
    for numbers in numbers.chunks(BATCH) {
        let mut batch = Batch::new(position);
        for number in numbers {
            batch.push(u64::from(*number), &created(*number, plan.bytes)?);
        }
        position.sequence = batch.to;
        store.apply(batch).await?;
    }
    Ok(())
}

/// A page before the message of this number: how long it took.
async fn read(store: &Store, cursor: u32) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let page = store.page(channel()?, Some(id(cursor)?), PAGE).await?;
    let took = begin.elapsed();
    let ids = page.messages.iter().map(|message| message.id);
    let due = (cursor - PAGE..cursor).map(|number| id(number).map(MessageId::get));
    let due: Vec<u64> = due.collect::<Result<_, _>>()?;
    ensure!(ids.eq(due), "the page before message {cursor} is not whole");
    ensure!(page.has_more, "nothing is before message {cursor}'s page");
    Ok(took)
}

fn created(number: u32, bytes: u32) -> anyhow::Result<Opened> {
    let user = User {
        id: 1 + u64::from(number % 100),
        username: format!("user{}", number % 100),
        ..User::default()
    };
    let guild = GuildId::new(1).context("an id")?;
    let id = id(number)?;
    let message = Message {
        id: id.get(),
        channel_id: channel()?.get(),
        guild_id: guild.get(),
        author: Some(user),
        content: "x".repeat(bytes as usize),
        timestamp_ms: id.created_ms().cast_signed(),
        ..Message::default()
    };
    Ok(Opened {
        guild,
        channel: Some(channel()?),
        received_ms: message.timestamp_ms,
        event: Event::MessageCreated(message),
    })
}

fn channel() -> anyhow::Result<ChannelId> {
    ChannelId::new(2).context("an id")
}

/// A message every second: an id has its milliseconds above 22 bits.
fn id(number: u32) -> anyhow::Result<MessageId> {
    MessageId::new((u64::from(number) * 1_000) << 22).context("an id")
}

impl Home {
    fn sqlite() -> anyhow::Result<Self> {
        Ok(Self::Sqlite(
            tempfile::tempdir().context("a temporary folder")?,
        ))
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of three")]
    fn mariadb() -> anyhow::Result<Self> {
        Ok(Self::MariaDb(MariaDb::start_with(&MARIADB_SETTINGS)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of three")]
    fn postgres() -> anyhow::Result<Self> {
        Ok(Self::Postgres(Postgres::start_with(&POSTGRES_SETTINGS)))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => {
                format!("sqlite://{}", folder.path().join("store.db").display())
            }
            Self::MariaDb(server) => server.url("store"),
            Self::Postgres(server) => server.url("store"),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Sqlite(_) => "SQLite".to_owned(),
            Self::MariaDb(server) => version("MariaDB", &server.ask("SELECT VERSION()")),
            Self::Postgres(server) => {
                version("PostgreSQL", &server.ask("store", "SHOW server_version"))
            }
        }
    }

    /// What a server would come to do by itself: look at the rows that are new.
    fn settle(&self) {
        match self {
            Self::Sqlite(_) => {}
            Self::MariaDb(server) => server.run("ANALYZE TABLE store.messages"),
            Self::Postgres(server) => server.run("store", "VACUUM ANALYZE messages"),
        }
    }
}

/// The number alone: `15.18 (Debian 15.18-0+deb12u1)`, `10.11.14-MariaDB-0+deb12u2`.
fn version(name: &str, told: &str) -> String {
    let number = told.split([' ', '-']).next().unwrap_or_default();
    format!("{name} {number}")
}

impl Row {
    fn page_ms(&self, percent: u32) -> f64 {
        let us = percentile(&self.pages_us, percent).unwrap_or_default();
        f64::from(us) / 1e3
    }

    fn failure(&self) -> Option<String> {
        let (median, most) = (self.page_ms(50), MEDIAN_MAX.as_secs_f64() * 1e3);
        (median >= most).then(|| {
            format!(
                "half of {}'s pages take {median:.2} ms or more, not below {most}",
                self.name
            )
        })
    }
}

fn table(plan: &PagesPlan, rows: &[Row]) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "{}, all on the same cores", system())?;
    writeln!(
        out,
        "pages of {PAGE} at {} random cursors in a channel of {} messages of {} bytes, one after the other, warm\n",
        plan.pages, plan.messages, plan.bytes
    )?;
    write!(
        out,
        "{:<20}{:>8}{:>8}{:>8}{:>16}",
        "a page, ms", "p50", "p99", "max", "filled in, s"
    )?;
    for row in rows {
        write!(
            out,
            "\n{:<20}{:>8.2}{:>8.2}{:>8.2}{:>16.0}",
            row.name,
            row.page_ms(50),
            row.page_ms(99),
            row.page_ms(100),
            row.filled.as_secs_f64()
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(us: u32) -> Row {
        Row {
            name: version("PostgreSQL", "15.18 (Debian 15.18-0+deb12u1)"),
            filled: Duration::from_millis(61_400),
            pages_us: vec![us, us, us * 2],
        }
    }

    #[test]
    fn the_table_has_one_form() {
        let plan = PagesPlan {
            messages: 1_000_000,
            pages: 3,
            bytes: 200,
        };
        let expected = "\
a page, ms               p50     p99     max    filled in, s
PostgreSQL 15.18        0.45    0.90    0.90              61";
        let table = table(&plan, &[row(450)]).unwrap();
        assert!(table.ends_with(expected), "{table}");
    }

    #[test]
    fn a_median_that_is_not_below_its_bound_is_a_failure() {
        assert_eq!(row(4_999).failure(), None);
        let said = row(5_000).failure().unwrap();
        assert_eq!(
            said,
            "half of PostgreSQL 15.18's pages take 5.00 ms or more, not below 5"
        );
    }
}
