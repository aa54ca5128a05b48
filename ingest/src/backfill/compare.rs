//! What became of the newest messages that were stored before a gap, channel by channel: of those that somebody watches
//! first, then of those in which something was said within a day. What was posted in the gap itself was read since, and
//! its changes come live.
//!
//! A channel stands still from the look at what is stored to the publication of what differs, so that no live event
//! comes between. It does not while SQL has to catch up, or Discord has to be asked again.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::envelope::Opened;
use proto::event::Message;
use proto::{ChannelId, GuildId, MessageId, Subject};
use runtime::time::now_ms;
use store::Page;
use tokio::time::{Instant, sleep, timeout};

use super::book::{Found, Place, Verdict};
use super::difference::{Present, differences};
use super::gaps::Uncompared;
use super::pages::{NoPage, Part};
use super::{Backfill, Over, Site};
use crate::backoff::Backoff;
use crate::leader::bounded;
use crate::publish::repair::{Hold, has_messages};

/// Messages of a channel that are compared, of those that were stored before the gap (decisions.md, backfill).
const MESSAGES_MAX: u32 = 100;
/// Pages that are read to meet them all: what is not shown takes places on Discord's.
const PAGES_MAX: usize = 5;
/// A channel in which something was said so long before the gap, or since, is compared.
const ACTIVE_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long SQL may take while a channel stands still.
const SQL: Duration = Duration::from_secs(2);
/// How long the broker may take.
const CALL: Duration = Duration::from_secs(5);
/// The first wait before something that failed is tried again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How the comparison of a channel ended.
enum Compared {
    Done(Found),
    /// Discord does not show it.
    Unreadable,
    /// To be tried again.
    Later(Duration),
}

impl Backfill {
    /// Compares what the sessions leave to be compared, for as long as it is run.
    pub(super) async fn compare(&self) {
        let mut moves = self.parts.gaps.moves();
        loop {
            moves.borrow_and_update();
            let due = self.parts.gaps.uncompared();
            if due.is_empty() && moves.changed().await.is_err() {
                return std::future::pending().await;
            }
            for uncompared in due {
                if self.compare_guilds(&uncompared).await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    async fn compare_guilds(&self, uncompared: &Uncompared) -> Result<(), Over> {
        let place = Place {
            shard: uncompared.shard,
            epoch: uncompared.epoch,
        };
        if let Some(since_ms) = uncompared.since_ms {
            let book = &self.parts.book;
            book.open(place, Some(since_ms), uncompared.began_ms);
        }
        let from_ms = uncompared.since_ms.unwrap_or_else(now_ms);
        let mut done = HashSet::new();
        loop {
            let is_whole = self.viewers.is_whole(Instant::now());
            let mut channels = FuturesUnordered::new();
            for (guild, channel, is_watched) in self.channels(&uncompared.guilds).await {
                if !done.contains(&channel)
                    && (is_watched || self.is_active(channel, from_ms - ACTIVE_MS).await)
                {
                    done.insert(channel);
                    let site = Site {
                        place,
                        guild,
                        channel,
                    };
                    channels.push(self.compare_channel(site));
                }
            }
            while let Some(compared) = channels.next().await {
                compared?;
            }
            if is_whole {
                break;
            }
            // Only now is it known who watches.
            self.viewers.whole().await;
        }
        if self.parts.gaps.on_compared(uncompared) && self.parts.book.close(place) {
            tracing::error!("a gap of the gateway's could not be repaired; see /api/status");
        }
        Ok(())
    }

    /// The channels of these guilds, those that somebody watches first, once SQL knows all that the stream does.
    async fn channels(&self, guilds: &[GuildId]) -> Vec<(GuildId, ChannelId, bool)> {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let directory = loop {
            self.caught_up().await;
            match self.parts.store.directory().await {
                Ok(directory) => break directory,
                Err(error) => tracing::debug!(%error, "SQL does not say which channels there are"),
            }
            sleep(retry.next()).await;
        };
        let watched = self.viewers.channels(Instant::now());
        let mut channels = Vec::new();
        for directory in directory.guilds {
            let guild = GuildId::new(directory.guild.id);
            let Some(guild) = guild.filter(|guild| guilds.contains(guild)) else {
                continue;
            };
            let ids = directory.channels.iter().filter(|one| has_messages(one));
            let ids = ids.filter_map(|one| ChannelId::new(one.id));
            channels.extend(ids.map(|channel| (guild, channel, watched.contains(&channel))));
        }
        channels.sort_by_key(|(_, _, is_watched)| !is_watched);
        channels
    }

    /// Whether something was said in a channel since then: anything that the stream still has, or a message.
    async fn is_active(&self, channel: ChannelId, since_ms: i64) -> bool {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let last = loop {
            let last = self.parts.broker.last_of(Subject::Channel(channel));
            match bounded(CALL, last).await {
                Ok(last) => break last,
                Err(error) => tracing::debug!(%error, "the stream can't be asked for a channel"),
            }
            sleep(retry.next()).await;
        };
        let opened = last.and_then(|last| Opened::decode(last.payload).ok());
        if opened.is_some_and(|opened| opened.received_ms >= since_ms) {
            return true;
        }
        // Without SQL nobody can say, and it is looked at.
        let page = self.page(channel, None, 1).await;
        page.is_none_or(|page| {
            let newest = page.messages.last();
            newest.is_some_and(|newest| newest.timestamp_ms >= since_ms)
        })
    }

    async fn compare_channel(&self, site: Site) -> Result<(), Over> {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let Place { shard, epoch } = site.place;
        while self.parts.gaps.is_current(shard, epoch) {
            self.caught_up().await;
            let compared = {
                let _turn = self.turns.acquire().await;
                let standing = self.hold(site.guild, site.channel).await?;
                let compared = self.compare_standing(site, standing.hold).await?;
                self.release(standing.hold).await?;
                compared
            };
            match compared {
                Compared::Done(found) => {
                    self.parts.book.on_found(site.place, found);
                    return Ok(());
                }
                Compared::Unreadable => {
                    let book = &self.parts.book;
                    book.on_channel(site.place, site.channel, Verdict::Unrepaired);
                    tracing::warn!(channel = %site.channel, "a channel's older messages can't be compared with Discord's");
                    return Ok(());
                }
                Compared::Later(wait) => sleep(wait.max(retry.next())).await,
            }
        }
        Ok(())
    }

    /// Compares a channel that stands still.
    async fn compare_standing(&self, site: Site, hold: Hold) -> Result<Compared, Over> {
        let later = Compared::Later(Duration::ZERO);
        if timeout(SQL, self.caught_up()).await.is_err() {
            return Ok(later);
        }
        let newest = self.parts.gaps.newest_before(site.place, site.channel);
        let before = newest.and_then(|newest| MessageId::new(newest.saturating_add(1)));
        let Some(page) = self.page(site.channel, before, MESSAGES_MAX).await else {
            return Ok(later);
        };
        if page.messages.is_empty() {
            return Ok(Compared::Done(Found::default()));
        }
        let (present, read_at) = match self.present(site, &page.messages).await {
            Ok(present) => present,
            Err(NoPage::Unreadable) => return Ok(Compared::Unreadable),
            Err(NoPage::Later(wait)) => return Ok(Compared::Later(wait)),
        };
        let found = differences(site.place.epoch, &page.messages, &present);
        self.publish(site, hold, found.events, read_at).await?;
        Ok(Compared::Done(found.found))
    }

    /// What Discord has of these messages.
    async fn present(&self, site: Site, stored: &[Message]) -> Result<(Present, Instant), NoPage> {
        let mut ids = stored.iter().map(|message| message.id);
        let oldest = ids.next().unwrap_or_default();
        let newest = ids.next_back().unwrap_or(oldest);
        let mut present = Present::default();
        let mut read_at = Instant::now();
        let mut part = Part::Before(newest.saturating_add(1));
        for _ in 0..PAGES_MAX {
            let read = self.pages.try_read(site.guild, site.channel, part).await?;
            read_at = read.at;
            let is_full = read.is_full();
            let Some(from) = read.page.oldest else {
                present.from = 0;
                break;
            };
            present.ids.extend(read.page.ids);
            let messages = read.page.messages.into_iter();
            present
                .messages
                .extend(messages.map(|(message, _)| (message.id, message)));
            present.from = if is_full { from } else { 0 };
            if !is_full || from <= oldest {
                break;
            }
            part = Part::Before(from);
        }
        // Nothing is what Discord says to who may not read the history.
        if present.ids.is_empty() && !self.pages.is_gone(site.channel, newest).await? {
            return Err(NoPage::Unreadable);
        }
        Ok((present, read_at))
    }

    async fn page(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Option<Page> {
        let page = timeout(SQL, self.parts.store.page(channel, before, limit)).await;
        match page {
            Ok(Ok(page)) => Some(page),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a channel's messages can't be read from SQL");
                None
            }
            Err(_) => None,
        }
    }

    /// Waits until SQL has all that the stream has now.
    async fn caught_up(&self) {
        let acknowledged = *self.parts.acknowledged.borrow();
        let mut archived = self.parts.archived.clone();
        if archived.wait_for(|to| *to >= acknowledged).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
