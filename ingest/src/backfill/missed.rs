//! The messages of one channel that were posted while nobody listened, published in their order before anything newer.
//!
//! Read page by page from the newest that is known, so that no more than a page is held. A flood is cut: beyond
//! [`MESSAGES_MAX`] the newest alone are published, and the gap counts as not repaired.

use proto::event::{Event, Message};
use proto::{Identity, MessageId};
use runtime::time::now_ms;
use tokio::time::Instant;

use super::book::{Found, Verdict};
use super::pages::{Part, Read};
use super::{Backfill, Over, Site};
use crate::outcome::Outcomes;
use crate::publish::repair::Hold;
use crate::retention::oldest_kept_ms;

/// Messages of a channel that are made good: a hundred pages, some two minutes of one channel's limit at Discord.
const MESSAGES_MAX: usize = 10_000;
/// Messages beyond that: the newest ones, which are what a viewer sees.
const NEWEST_MAX: usize = 500;

/// What is published of a channel, and how far.
struct Progress {
    /// All up to this one are published, or are none that is shown.
    after: u64,
    last: u64,
    published: usize,
    /// Messages that are shown and that the stream has not taken, or that nobody may be told of for want of the roles.
    lost: usize,
}

impl Backfill {
    /// Publishes what Discord has between two messages, the later of them included. No verdict where Discord does not
    /// let the bot into the channel.
    pub(super) async fn publish_missed(
        &self,
        site: Site,
        hold: Hold,
        (known, last): (u64, u64),
    ) -> Result<Option<(Verdict, Found)>, Over> {
        let oldest_ms = oldest_kept_ms(self.parts.retention_days, now_ms());
        let oldest = MessageId::lowest_at(oldest_ms).saturating_sub(1);
        let mut progress = Progress {
            after: known.max(oldest),
            last,
            published: 0,
            lost: 0,
        };
        let Some(is_whole) = self.publish_pages(site, hold, &mut progress).await? else {
            return Ok(None);
        };
        let found = Found {
            messages: progress.published as u64,
            ..Found::default()
        };
        let verdict = if is_whole && progress.lost == 0 {
            Verdict::Repaired
        } else {
            Verdict::Unrepaired
        };
        Ok(Some((verdict, found)))
    }

    /// True if nothing is missing then, as far as Discord shows it; none if it shows nothing from the beginning.
    async fn publish_pages(
        &self,
        site: Site,
        hold: Hold,
        progress: &mut Progress,
    ) -> Result<Option<bool>, Over> {
        let mut is_first = true;
        while progress.after < progress.last {
            if progress.published >= MESSAGES_MAX {
                self.publish_newest(site, hold, progress).await?;
                return Ok(Some(false));
            }
            let part = Part::After(progress.after);
            let Some(read) = self.pages.read(site.guild, site.channel, part).await else {
                return Ok((!is_first).then_some(false));
            };
            let Some(newest) = read.newest() else {
                // Its turn is wanted for the next question.
                drop(read);
                // Nothing is what Discord says to who may not read the history, and where the last was deleted.
                let is_shown =
                    !is_first || self.pages.is_surely_gone(site.channel, progress.last).await;
                return Ok(Some(is_shown));
            };
            is_first = false;
            let is_end = !read.is_full() || newest <= progress.after;
            self.publish_page(site, hold, read, progress).await?;
            progress.after = progress.after.max(newest);
            if is_end {
                break;
            }
        }
        Ok(Some(true))
    }

    async fn publish_page(
        &self,
        site: Site,
        hold: Hold,
        read: Read<'_>,
        progress: &mut Progress,
    ) -> Result<(), Over> {
        let range = progress.after + 1..=progress.last;
        let missed = read.page.ids.iter().filter(|id| range.contains(*id));
        let missed = missed.count();
        let (at, shown) = (read.at, shown(&read, &range, &self.parts.outcomes));
        // REST names no roles: whether an author has one that is left out can't be told, and then nothing is shown.
        if self.parts.exclusions.leaves_out_roles(None) {
            progress.lost += missed - shown.len();
        }
        self.publish_creations(site, hold, shown, at, progress)
            .await
    }

    async fn publish_creations(
        &self,
        site: Site,
        hold: Hold,
        mut messages: Vec<Message>,
        read_at: Instant,
        progress: &mut Progress,
    ) -> Result<(), Over> {
        messages.sort_unstable_by_key(|message| message.id);
        let count = messages.len();
        let creation = |message: Message| {
            let id = MessageId::new(message.id)?;
            Some((Identity::Create(id), Event::MessageCreated(message)))
        };
        let events = messages.into_iter().filter_map(creation).collect();
        let stored = self.publish(site, hold, events, read_at).await?;
        progress.published += stored;
        progress.lost += count - stored;
        Ok(())
    }

    /// The newest messages of a flood, below which others stay missing.
    async fn publish_newest(
        &self,
        site: Site,
        hold: Hold,
        progress: &mut Progress,
    ) -> Result<(), Over> {
        let range = progress.after + 1..=progress.last;
        let mut before = progress.last.saturating_add(1);
        let mut newest = Vec::new();
        let mut read_at = Instant::now();
        while newest.len() < NEWEST_MAX && before > *range.start() {
            let part = Part::Before(before);
            let Some(read) = self.pages.read(site.guild, site.channel, part).await else {
                break;
            };
            // A change of reactions that comes soon after is read again, whichever page its message is on.
            read_at = read.at;
            let Some(oldest) = read.page.oldest else {
                break;
            };
            newest.extend(shown(&read, &range, &self.parts.outcomes));
            if !read.is_full() || oldest >= before {
                break;
            }
            before = oldest;
        }
        self.publish_creations(site, hold, newest, read_at, progress)
            .await
    }
}

/// The messages of a page that are shown and lie in a range.
fn shown(
    read: &Read<'_>,
    range: &std::ops::RangeInclusive<u64>,
    outcomes: &Outcomes,
) -> Vec<Message> {
    let messages = read.page.messages.iter();
    let messages = messages.filter(|(message, _)| range.contains(&message.id));
    messages
        .map(|(message, placeholders)| {
            outcomes.on_placeholders(placeholders);
            message.clone()
        })
        .collect()
}
