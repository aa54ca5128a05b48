//! Links of files that hold longer (`rpc.ingest.links`): Discord signs them for about a day.
//!
//! The documented way is to read the messages again, which shows them with fresh links; Discord's own clients use an
//! endpoint that is not documented, which is asked first where the operator says so (`DISCORD_REFRESH_URLS`). What
//! was had is remembered for an hour. <https://docs.discord.com/developers/reference#signed-attachment-cdn-urls>

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use broker::{Answer, Broker};
use futures_util::stream::{self, StreamExt as _};
use moka::sync::Cache;
use prost::Message as _;
use proto::event::{LinkedMessage, LinksReply, LinksRequest};
use proto::{link, subject};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::decode::decode_linked;
use crate::desk::{Desk, answer};
use crate::rest::{Rest, RestError};

/// Requests answered at once.
const REQUESTS_MAX: usize = 64;
/// Messages of one request; as many as a page has.
const MESSAGES_MAX: usize = 200;
/// Links of one call (the endpoint takes no more), and so many calls of a channel read its messages again.
const LINKS_MAX: usize = 50;
const READS_MAX: usize = 3;
/// The most messages of one page of Discord's.
const PAGE_MAX: usize = 100;
/// Channels that are read at once.
const CHANNELS_AT_ONCE: usize = 4;
/// How long one call may take: whoever asked has gone before, but what comes is remembered.
const CALL: Duration = Duration::from_secs(5);
/// For how long a signature is remembered; Discord gives the same one for as long.
const KEPT: Duration = Duration::from_hours(1);
/// So many are.
const KEPT_MAX: u64 = 100_000;

/// Refreshes links.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) rest: Rest,
    /// The endpoint is asked first.
    pub(crate) has_endpoint: bool,
    /// Signatures by the paths of their files.
    pub(crate) known: Known,
}

/// Signatures that were had. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Known(Cache<String, String>);

impl Default for Known {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(KEPT_MAX)
            .time_to_live(KEPT)
            .build();
        Self(cache)
    }
}

impl Links {
    /// Serves until told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let desk = Desk {
            broker: Arc::clone(&self.broker),
            subject: subject::RPC_LINKS,
            requests_max: REQUESTS_MAX,
        };
        desk.run(stop, |request| Arc::clone(&self).on_request(request))
            .await;
    }

    async fn on_request(self: Arc<Self>, request: Answer) {
        let Ok(asked) = LinksRequest::decode(request.payload) else {
            tracing::debug!("a request for links can't be read");
            return;
        };
        let signatures = self.refresh(asked.messages).await;
        answer(request.reply, &LinksReply { signatures });
    }

    async fn refresh(&self, mut messages: Vec<LinkedMessage>) -> BTreeMap<String, String> {
        messages.truncate(MESSAGES_MAX);
        let paths = messages.iter().flat_map(|message| &message.urls);
        let paths: BTreeSet<String> = paths
            .filter_map(|url| link::path(url).map(str::to_owned))
            .collect();
        self.retain_unknown(&mut messages);
        if self.has_endpoint && !messages.is_empty() {
            self.ask_endpoint(&messages).await;
            self.retain_unknown(&mut messages);
        }
        let mut by_channel: HashMap<u64, BTreeSet<u64>> = HashMap::new();
        for message in &messages {
            let ids = by_channel.entry(message.channel_id).or_default();
            ids.insert(message.message_id);
        }
        let reading = by_channel.iter();
        let reading = reading.map(|(channel, ids)| self.read_again(*channel, ids.clone()));
        stream::iter(reading)
            .for_each_concurrent(CHANNELS_AT_ONCE, |read| read)
            .await;
        let known = |path: String| Some((path.clone(), self.known.0.get(&path)?));
        paths.into_iter().filter_map(known).collect()
    }

    /// Drops what is known: messages stay of which a link is to be asked for still.
    fn retain_unknown(&self, messages: &mut Vec<LinkedMessage>) {
        messages.retain_mut(|message| {
            message
                .urls
                .retain(|url| link::path(url).is_some_and(|path| !self.known.0.contains_key(path)));
            !message.urls.is_empty()
        });
    }

    fn keep(&self, url: &str) {
        if let Some((path, signature)) = link::path(url).zip(link::signature(url)) {
            self.known.0.insert(path.to_owned(), signature);
        }
    }

    async fn ask_endpoint(&self, messages: &[LinkedMessage]) {
        #[derive(Deserialize)]
        struct Refreshed {
            refreshed_urls: Vec<Pair>,
        }
        #[derive(Deserialize)]
        struct Pair {
            refreshed: Option<String>,
        }
        let urls: Vec<&String> = messages.iter().flat_map(|message| &message.urls).collect();
        for urls in urls.chunks(LINKS_MAX) {
            let body = json!({ "attachment_urls": urls });
            let answered = self
                .rest
                .post_text("/attachments/refresh-urls", &body, CALL)
                .await;
            let refreshed = answered.and_then(|text| {
                serde_json::from_str::<Refreshed>(&text).map_err(RestError::Malformed)
            });
            match refreshed {
                Ok(refreshed) => {
                    let urls = refreshed.refreshed_urls.into_iter();
                    urls.filter_map(|pair| pair.refreshed)
                        .for_each(|url| self.keep(&url));
                }
                Err(error) => {
                    tracing::debug!(%error, "links can't be refreshed by the endpoint");
                    return;
                }
            }
        }
    }

    /// Reads these messages of a channel again, the newest first, many at once.
    async fn read_again(&self, channel: u64, mut wanted: BTreeSet<u64>) {
        for _ in 0..READS_MAX {
            let Some(newest) = wanted.last().copied() else {
                return;
            };
            let limit = if wanted.len() == 1 { 1 } else { PAGE_MAX };
            let path = format!(
                "/channels/{channel}/messages?limit={limit}&before={}",
                newest + 1
            );
            let read = self.rest.get_text(&path, CALL).await;
            let messages = match read {
                Ok(text) => decode_linked(&text).unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(%error, "messages can't be read again for their links");
                    return;
                }
            };
            let Some(oldest) = messages.iter().map(|message| message.id).min() else {
                return;
            };
            for mut message in messages {
                link::each_mut(&mut message, &mut |url| self.keep(url));
            }
            // What was not among them is gone.
            wanted.retain(|id| *id < oldest);
        }
    }
}
