//! Links of files that hold: Discord signs them for about a day, and messages are shown for longer.
//!
//! Links that are about to run out are asked of ingest, many at once; what it does not know in a second stays as it
//! is (decisions.md, "Attachment links").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use moka::sync::Cache;
use prost::Message as _;
use proto::event::{LinkedMessage, LinksReply, LinksRequest, Message};
use proto::{link, subject};
use runtime::time::now_ms;

/// A link that runs out within this time is refreshed (decisions.md).
const AHEAD_MS: i64 = 10 * 60 * 1_000;

/// How long a page waits for its links.
const PATIENCE: Duration = Duration::from_secs(1);

/// Messages of one question.
const MESSAGES_MAX: usize = 50;

/// Signatures that are remembered, by the paths of their files: some 200 bytes each.
const KNOWN_MAX: u64 = 50_000;

/// For so long nobody is asked again about a file that ingest could not say anything of.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// The links of an instance. Clones share them.
#[derive(Debug, Clone)]
pub struct Links {
    broker: Arc<dyn Broker>,
    known: Cache<String, String>,
    unknown: Cache<String, ()>,
}

impl Links {
    /// None known yet.
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        let unknown = Cache::builder()
            .max_capacity(KNOWN_MAX)
            .time_to_live(UNKNOWN_FOR)
            .build();
        Self {
            broker,
            known: Cache::new(KNOWN_MAX),
            unknown,
        }
    }

    /// Refreshes the links of these messages that run out soon, as far as that can be done in a second. When the
    /// first of all of them runs out then, in milliseconds since 1970.
    pub async fn refresh<'m>(
        &self,
        messages: impl Iterator<Item = &'m mut Message>,
    ) -> Option<i64> {
        let now_ms = now_ms();
        let mut soonest = None;
        let mut due = Vec::new();
        for message in messages {
            let mut paths = BTreeMap::new();
            link::each_mut(message, &mut |url| match link::expires_ms(url) {
                Some(expires_ms) if expires_ms < now_ms + AHEAD_MS => {
                    let path = link::path(url).unwrap_or_default();
                    paths.entry(path.to_owned()).or_insert_with(|| url.clone());
                }
                Some(expires_ms) => sooner(&mut soonest, expires_ms),
                None => {}
            });
            if !paths.is_empty() {
                due.push((message, paths));
            }
        }
        if due.is_empty() {
            return soonest;
        }
        let asked = due.iter().filter_map(|(message, paths)| {
            let urls = paths
                .iter()
                .filter(|(path, _)| self.is_to_ask(path, now_ms));
            let urls: Vec<_> = urls.map(|(_, url)| url.clone()).collect();
            (!urls.is_empty()).then_some(LinkedMessage {
                channel_id: message.channel_id,
                message_id: message.id,
                urls,
            })
        });
        self.ask(asked.collect()).await;
        for (message, _) in due {
            link::each_mut(message, &mut |url| {
                self.sign(url);
                if let Some(expires_ms) = link::expires_ms(url) {
                    sooner(&mut soonest, expires_ms);
                }
            });
        }
        soonest
    }

    fn is_to_ask(&self, path: &str, now_ms: i64) -> bool {
        let known = self.known.get(path);
        let until_ms = known.and_then(|signature| link::expiry_of(&signature));
        let holds = until_ms.is_some_and(|until_ms| until_ms >= now_ms + AHEAD_MS);
        !holds && !self.unknown.contains_key(path)
    }

    /// Gives a link the signature that is known of its file, if that holds longer.
    fn sign(&self, url: &mut String) {
        let signature = link::path(url).and_then(|path| self.known.get(path));
        let Some(signature) = signature else {
            return;
        };
        if link::expiry_of(&signature) > link::expires_ms(url) {
            *url = link::signed(url, &signature);
        }
    }

    async fn ask(&self, messages: Vec<LinkedMessage>) {
        let questions = messages.chunks(MESSAGES_MAX);
        let asked = questions.map(|messages| self.ask_some(messages));
        futures_util::future::join_all(asked).await;
    }

    async fn ask_some(&self, messages: &[LinkedMessage]) {
        let request = LinksRequest {
            messages: messages.to_vec(),
        };
        let payload = Bytes::from(request.encode_to_vec());
        let answer = self.broker.request(subject::RPC_LINKS, payload, PATIENCE);
        let answer = answer.await;
        let answer =
            answer.inspect_err(|error| tracing::debug!(%error, "links can't be refreshed"));
        let reply = answer.ok().and_then(|bytes| LinksReply::decode(bytes).ok());
        let reply = reply.unwrap_or_default();
        let paths = messages.iter().flat_map(|message| &message.urls);
        let paths: BTreeSet<&str> = paths.filter_map(|url| link::path(url)).collect();
        for path in paths {
            match reply.signatures.get(path) {
                Some(signature) => self.known.insert(path.to_owned(), signature.clone()),
                None => self.unknown.insert(path.to_owned(), ()),
            }
        }
    }
}

fn sooner(soonest: &mut Option<i64>, expires_ms: i64) {
    *soonest = Some(soonest.map_or(expires_ms, |known: i64| known.min(expires_ms)));
}
