//! Messages that were posted before anybody listened (`rpc.ingest.history`): read from Discord once a channel, when
//! somebody looks at it for the first time, and put into SQL below everything that the stream says.
//!
//! Only messages that were there when the session began, and of before the gap if it began behind one: later ones come
//! through the stream, in their order, and are nobody else's to bring. At most `HISTORY_BACKFILL` a channel, none older than history is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Answer, Broker};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use parking_lot::Mutex;
use prost::Message as _;
use proto::event::{HistoryReply, HistoryRequest, Message};
use proto::{ChannelId, GuildId, MessageId, subject};
use runtime::time::now_ms;
use store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::backfill::Gaps;
use crate::decode::decode_history;
use crate::desk::{Desk, answer};
use crate::exclusions::Exclusions;
use crate::leader::Tenure;
use crate::outcome::Outcomes;
use crate::places::Places;
use crate::rest::{Rest, RestError};
use crate::retention::oldest_kept_ms;

/// Requests answered at once.
const REQUESTS_MAX: usize = 1_024;
/// Channels that are read at once: what else asks Discord goes between.
const CHANNELS_AT_ONCE: usize = 4;
/// The most messages of one page of Discord's.
const PAGE_MAX: u32 = 100;
/// How long one page may take, its turn included.
const CALL: Duration = Duration::from_secs(15);

/// Fills channels.
#[derive(Debug)]
pub(crate) struct History {
    parts: Parts,
    under_way: Mutex<HashMap<ChannelId, Filling>>,
    turns: Semaphore,
}

/// What it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Store,
    pub(crate) rest: Rest,
    pub(crate) places: Places,
    pub(crate) exclusions: Exclusions,
    pub(crate) gaps: Gaps,
    pub(crate) tenure: Tenure,
    pub(crate) outcomes: Outcomes,
    /// Messages a channel (`HISTORY_BACKFILL`).
    pub(crate) messages_max: u32,
    /// Days that messages are kept; 0 for ever.
    pub(crate) retention_days: u32,
}

/// What Discord says of a channel.
enum Found {
    Messages(Vec<Message>),
    /// The bot may not read it now, or everything was deleted: a later term may ask again.
    Nothing,
}

type Filling = Shared<BoxFuture<'static, Option<u32>>>;

impl History {
    /// Nothing filled yet.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            under_way: Mutex::default(),
            turns: Semaphore::new(CHANNELS_AT_ONCE),
        })
    }

    /// Serves until told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let desk = Desk {
            broker: Arc::clone(&self.parts.broker),
            subject: subject::RPC_HISTORY,
            requests_max: REQUESTS_MAX,
        };
        desk.run(stop, |request| Arc::clone(&self).on_request(request))
            .await;
        // A filling that nobody waits for any more holds this desk.
        self.under_way.lock().clear();
    }

    async fn on_request(self: Arc<Self>, request: Answer) {
        let asked = HistoryRequest::decode(request.payload).ok();
        let channel = asked.and_then(|asked| ChannelId::new(asked.channel_id));
        let Some(channel) = channel else {
            tracing::debug!("a request for history can't be read");
            return;
        };
        let filled = self.filling(channel).await;
        let reply = HistoryReply {
            filled: filled.is_some(),
            messages: filled.unwrap_or_default(),
        };
        answer(request.reply, &reply);
    }

    /// Fills a channel, once however many ask.
    fn filling(self: &Arc<Self>, channel: ChannelId) -> Filling {
        let mut under_way = self.under_way.lock();
        if let Some(filling) = under_way.get(&channel) {
            return filling.clone();
        }
        let desk = Arc::clone(self);
        let filling = async move {
            let filled = desk.fill(channel).await;
            desk.under_way.lock().remove(&channel);
            filled
        };
        let filling = filling.boxed().shared();
        under_way.insert(channel, filling.clone());
        filling
    }

    /// How many messages were put into SQL; none if that can't be done now.
    async fn fill(&self, channel: ChannelId) -> Option<u32> {
        let Parts { store, tenure, .. } = &self.parts;
        let is_filled = store.is_filled(channel).await;
        let is_filled = is_filled.inspect_err(
            |error| tracing::debug!(%error, "nobody can say whether a channel is filled"),
        );
        if is_filled.ok()? || self.parts.messages_max == 0 {
            return Some(0);
        }
        let guild = self.parts.places.guild_of(channel)?;
        let floor = self.parts.gaps.floor(channel).await;
        let _turn = self.turns.acquire().await.ok()?;
        let Found::Messages(messages) = self.read(guild, channel, floor).await? else {
            return Some(0);
        };
        if !tenure.is_valid() {
            return None;
        }
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let written = store.fill(guild, channel, &messages, now_ms()).await;
        written
            .inspect_err(|error| tracing::warn!(%error, "a channel's history can't be stored"))
            .ok()?;
        tracing::info!(
            messages = count,
            "a channel's history was read from Discord"
        );
        Some(count)
    }

    /// The newest messages of before the session, as many as are wanted, none above the floor; none if Discord can't be
    /// asked now.
    async fn read(&self, guild: GuildId, channel: ChannelId, floor: Option<u64>) -> Option<Found> {
        let Some(newest) = self.newest(guild, channel).await? else {
            return Some(Found::Messages(Vec::new()));
        };
        let newest = floor.unwrap_or(u64::MAX).min(newest);
        let oldest_ms = oldest_kept_ms(self.parts.retention_days, now_ms());
        let mut messages = Vec::new();
        let mut before = newest.saturating_add(1);
        let mut left = self.parts.messages_max;
        while left > 0 {
            let limit = left.min(PAGE_MAX);
            let path = format!("/channels/{channel}/messages?limit={limit}&before={before}");
            let text = match self.parts.rest.get_text(&path, CALL).await {
                Ok(text) => text,
                Err(RestError::Refused(_) | RestError::Missing(_)) => return Some(Found::Nothing),
                Err(error) => {
                    tracing::debug!(%error, "a channel's history can't be read from Discord");
                    return None;
                }
            };
            let page = decode_history(&text, guild, channel, &self.parts.exclusions)?;
            left -= limit;
            let is_short = page.read < limit as usize;
            let Some(oldest) = page.oldest else {
                // Of a channel that has a message, nothing is what Discord says to who may not read the history.
                let is_unread = before > newest;
                return Some(if is_unread {
                    Found::Nothing
                } else {
                    Found::Messages(messages)
                });
            };
            let is_last = is_short || created_ms(oldest) < oldest_ms;
            before = oldest;
            for (message, placeholders) in page.messages {
                if created_ms(message.id) >= oldest_ms {
                    self.parts.outcomes.on_placeholders(&placeholders);
                    messages.push(message);
                }
            }
            if is_last {
                break;
            }
        }
        Some(Found::Messages(messages))
    }

    /// The channel's newest message when the session began; the inner none: it has no message, the outer: nobody
    /// can say.
    async fn newest(&self, guild: GuildId, channel: ChannelId) -> Option<Option<u64>> {
        let known = self.parts.store.channel(guild, channel).await;
        let known = known.inspect_err(|error| tracing::debug!(%error, "a channel can't be read"));
        Some(known.ok()??.last_message_id)
    }
}

fn created_ms(id: u64) -> i64 {
    let ms = MessageId::new(id).map(MessageId::created_ms);
    ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or_default()
}
