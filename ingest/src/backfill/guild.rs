//! A guild whose snapshot has come: its channels are repaired, each by itself, and then the snapshot is settled.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::{ChannelId, GuildId, MessageId};

use super::book::{Found, Place, Verdict};
use super::{Backfill, Over, Site};
use crate::decode::decode_threads;
use crate::publish::repair::{Repair, Snapshot, Suspect};

impl Backfill {
    /// Repairs all channels of a guild.
    pub(super) async fn repair_guild(&self, snapshot: Snapshot) {
        if self.try_repair_guild(snapshot).await.is_err() {
            tracing::debug!("a guild is left to the next term to repair");
        }
    }

    async fn try_repair_guild(&self, snapshot: Snapshot) -> Result<(), Over> {
        let Snapshot {
            guild, dispatch, ..
        } = snapshot;
        let place = Place {
            shard: dispatch.shard,
            epoch: dispatch.epoch,
        };
        let since_ms = self.parts.gaps.since(dispatch, guild);
        let mut suspects = snapshot.suspects;
        if snapshot.is_threadless && since_ms.is_some() {
            suspects.extend(self.threads(guild).await?);
        }
        let repair = |suspect: Suspect| {
            let channel = suspect.channel;
            let site = Site {
                place,
                guild,
                channel,
            };
            self.repair_channel(site, suspect, since_ms, snapshot.received_ms)
        };
        let mut channels: FuturesUnordered<_> = suspects.into_iter().map(repair).collect();
        while let Some(repaired) = channels.next().await {
            repaired?;
        }
        self.parts.gaps.on_repaired(dispatch, guild);
        self.ask(Repair::Done(snapshot.number)).await
    }

    /// The active threads, of a server whose snapshots do not name them. Nobody let them stand still until now: what
    /// was said since the snapshot comes before what was missed.
    async fn threads(&self, guild: GuildId) -> Result<Vec<Suspect>, Over> {
        let path = format!("/guilds/{guild}/threads/active");
        let text = self.pages.text(&path).await;
        let threads = text.and_then(|text| decode_threads(&text, &self.parts.exclusions));
        if threads.is_none() {
            tracing::warn!("Discord does not say which threads are active; they are not repaired");
        }
        let mut suspects = Vec::new();
        for thread in threads.unwrap_or_default() {
            let channel = ChannelId::new(thread.id);
            let Some((channel, last)) = channel.zip(thread.last_message_id) else {
                continue;
            };
            let standing = self.hold(guild, channel).await?;
            self.parts.gaps.on_gap(channel);
            suspects.push(Suspect {
                channel,
                last,
                newest: standing.newest,
                hold: standing.hold,
            });
        }
        Ok(suspects)
    }

    /// Repairs one channel and lets it go on. `since_ms`: what is older was heard.
    async fn repair_channel(
        &self,
        site: Site,
        suspect: Suspect,
        since_ms: Option<i64>,
        began_ms: i64,
    ) -> Result<(), Over> {
        let Suspect {
            channel,
            last,
            hold,
            ..
        } = suspect;
        let stored = match suspect.newest {
            Some(newest) => Some(newest),
            None => self.newest_stored(channel, last).await,
        };
        let known = stored.or_else(|| since_ms.map(MessageId::lowest_at));
        if let Some(known) = known.filter(|known| *known < last) {
            self.parts.gaps.on_known(site.place, channel, known);
            let published = self.publish_missed(site, hold, (known, last)).await?;
            // A snapshot names channels that the bot does not see as well: of those nothing was ever shown.
            let refused = || stored.map(|_| (Verdict::Unrepaired, Found::default()));
            if let Some((verdict, found)) = published.or_else(refused) {
                let book = &self.parts.book;
                book.open(site.place, since_ms, began_ms);
                book.on_channel(site.place, channel, verdict);
                book.on_found(site.place, found);
                if verdict == Verdict::Unrepaired {
                    tracing::warn!(%channel, "messages of a gap can't be had from Discord");
                }
            }
        }
        self.parts.gaps.on_verdict(channel, known);
        self.release(hold).await
    }
}
