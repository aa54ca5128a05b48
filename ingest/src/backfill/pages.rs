//! Pages of a channel's messages, read from Discord's API: a few at once, whoever needs them.

use std::time::Duration;

use proto::{ChannelId, GuildId};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::decode::{HistoryPage, decode_history};
use crate::exclusions::Exclusions;
use crate::rest::{Rest, RestError};

/// The most messages of one page of Discord's.
pub(super) const PAGE_MAX: usize = 100;
/// Pages that are read, or read and not published yet: what else asks Discord goes between.
const PAGES_AT_ONCE: usize = 4;
/// How long one page may take, its turn included.
const CALL: Duration = Duration::from_secs(15);
/// The first wait before a page is asked for again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Discord's code of a message that there is not
/// (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>).
const UNKNOWN_MESSAGE: u64 = 10_008;

/// Reads pages.
#[derive(Debug)]
pub(super) struct Pages {
    rest: Rest,
    exclusions: Exclusions,
    turns: Semaphore,
}

/// Which page.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The messages that follow this one.
    After(u64),
    /// Those before it, the newest of them.
    Before(u64),
}

/// A page, its place among those that are read at once, and when it was answered.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) page: HistoryPage,
    pub(super) at: Instant,
    _turn: Option<SemaphorePermit<'a>>,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPage {
    /// Discord shows none: the bot may not read it, or there is no such channel.
    Unreadable,
    /// It can't be had now; worth another try after so long.
    Later(Duration),
}

impl Read<'_> {
    /// Discord has more in this direction, as far as a page tells.
    pub(super) fn is_full(&self) -> bool {
        self.page.read >= PAGE_MAX
    }

    /// The highest id on it.
    pub(super) fn newest(&self) -> Option<u64> {
        self.page.ids.iter().copied().max()
    }
}

impl Pages {
    pub(super) fn new(rest: Rest, exclusions: Exclusions) -> Self {
        Self {
            rest,
            exclusions,
            turns: Semaphore::new(PAGES_AT_ONCE),
        }
    }

    /// Reads a page, for as long as that takes; none if Discord shows none.
    pub(super) async fn read(
        &self,
        guild: GuildId,
        channel: ChannelId,
        part: Part,
    ) -> Option<Read<'_>> {
        until_told(|| self.try_read(guild, channel, part)).await
    }

    /// Reads a page now.
    pub(super) async fn try_read(
        &self,
        guild: GuildId,
        channel: ChannelId,
        part: Part,
    ) -> Result<Read<'_>, NoPage> {
        let query = match part {
            Part::After(id) => format!("&after={id}"),
            Part::Before(id) => format!("&before={id}"),
        };
        let path = format!("/channels/{channel}/messages?limit={PAGE_MAX}{query}");
        let turn = self.turns.acquire().await.ok();
        let text = self.rest.get_text(&path, CALL).await.map_err(no_page)?;
        let page = decode_history(&text, guild, channel, &self.exclusions);
        let page = page.ok_or_else(|| {
            tracing::warn!("a page of Discord's is no list of messages");
            NoPage::Unreadable
        })?;
        Ok(Read {
            page,
            at: Instant::now(),
            _turn: turn,
        })
    }

    /// Reads anything else, for as long as that takes; none if Discord shows nothing.
    pub(super) async fn text(&self, path: &str) -> Option<String> {
        until_told(|| async move {
            let _turn = self.turns.acquire().await;
            self.rest.get_text(path, CALL).await.map_err(no_page)
        })
        .await
    }

    /// Whether Discord says that there is no such message, to somebody who could read it: then an empty page has
    /// nothing to show, and otherwise something to hide.
    pub(super) async fn is_gone(&self, channel: ChannelId, message: u64) -> Result<bool, NoPage> {
        let path = format!("/channels/{channel}/messages/{message}");
        let _turn = self.turns.acquire().await;
        match self.rest.get_text(&path, CALL).await {
            Ok(_) => Ok(false),
            Err(RestError::Missing(Some(UNKNOWN_MESSAGE))) => Ok(true),
            Err(error) => match no_page(error) {
                NoPage::Unreadable => Ok(false),
                later @ NoPage::Later(_) => Err(later),
            },
        }
    }

    /// The same, for as long as it takes.
    pub(super) async fn is_surely_gone(&self, channel: ChannelId, message: u64) -> bool {
        let is_gone = until_told(|| self.is_gone(channel, message)).await;
        is_gone.unwrap_or_default()
    }
}

/// Asks for as long as it takes; none if Discord shows nothing. Between two tries no turn is held.
async fn until_told<T, F: Future<Output = Result<T, NoPage>>>(
    mut ask: impl FnMut() -> F,
) -> Option<T> {
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    loop {
        match ask().await {
            Ok(told) => return Some(told),
            Err(NoPage::Unreadable) => return None,
            Err(NoPage::Later(wait)) => sleep(wait.max(retry.next())).await,
        }
    }
}

fn no_page(error: RestError) -> NoPage {
    match error {
        RestError::Refused(_)
        | RestError::Missing(_)
        | RestError::Malformed(_)
        | RestError::Unfitting => NoPage::Unreadable,
        RestError::Limited(wait) | RestError::Spent(wait) => NoPage::Later(wait.min(RETRY.1)),
        error => {
            tracing::debug!(%error, "messages can't be read from Discord now");
            NoPage::Later(Duration::ZERO)
        }
    }
}
