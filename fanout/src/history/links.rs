//! Links of files that hold: Discord signs them for about a day, and messages are shown for longer.
//!
//! Links that are about to run out are asked of ingest, many at once; what it does not know in a second stays as it
//! is (decisions.md, "Attachment links").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use moka::sync::Cache;
use proto::event::{LinkedMessage, LinksReply, LinksRequest, Message};
use proto::{link, subject};
use runtime::time::now_ms;

use crate::upstream;

/// A link that runs out within this time is refreshed (decisions.md, "Attachment links").
pub const AHEAD_MS: i64 = 10 * 60 * 1_000;

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

    /// Asks for the links of these messages that run out soon and are not known to hold longer, for a second at most;
    /// true if anything had to be asked. [`Self::sign`] gives them to messages: to those that are read after this,
    /// where what was read before may be deleted meanwhile.
    pub async fn learn(&self, messages: impl Iterator<Item = &mut Message>) -> bool {
        let due_ms = now_ms() + AHEAD_MS;
        let asked: Vec<_> = messages
            .filter_map(|message| self.question(message, due_ms))
            .collect();
        let questions = asked.chunks(MESSAGES_MAX);
        let questions = questions.map(|messages| self.ask(messages));
        futures_util::future::join_all(questions).await;
        !asked.is_empty()
    }

    /// Gives the links of these messages what is known of their files. When the first of all of them runs out then,
    /// in milliseconds since 1970.
    pub fn sign<'m>(&self, messages: impl Iterator<Item = &'m mut Message>) -> Option<i64> {
        let mut soonest: Option<i64> = None;
        for message in messages {
            link::each_mut(message, &mut |url| {
                let known = link::path(url).and_then(|path| self.known.get(path));
                let holds_longer = |known: &String| link::expiry_of(known) > link::expires_ms(url);
                if let Some(signature) = known.filter(holds_longer) {
                    *url = link::signed(url, &signature);
                }
                let until_ms = [soonest, link::expires_ms(url)];
                soonest = until_ms.into_iter().flatten().min();
            });
        }
        soonest
    }

    /// What is to be asked of a message; none where its links hold.
    fn question(&self, message: &mut Message, due_ms: i64) -> Option<LinkedMessage> {
        let mut urls = BTreeMap::new();
        link::each_mut(message, &mut |url| {
            let is_due = link::expires_ms(url).is_some_and(|expires_ms| expires_ms < due_ms);
            if let Some(path) = link::path(url).filter(|_| is_due)
                && self.is_to_ask(path, due_ms)
            {
                urls.insert(path.to_owned(), url.clone());
            }
        });
        (!urls.is_empty()).then(|| LinkedMessage {
            channel_id: message.channel_id,
            message_id: message.id,
            urls: urls.into_values().collect(),
        })
    }

    fn is_to_ask(&self, path: &str, due_ms: i64) -> bool {
        let known = self.known.get(path);
        let until_ms = known.and_then(|signature| link::expiry_of(&signature));
        let holds = until_ms.is_some_and(|until_ms| until_ms >= due_ms);
        !holds && !self.unknown.contains_key(path)
    }

    async fn ask(&self, messages: &[LinkedMessage]) {
        let request = LinksRequest {
            messages: messages.to_vec(),
        };
        let reply = upstream::ask(&*self.broker, subject::RPC_LINKS, &request, PATIENCE);
        let reply: LinksReply = reply.await.unwrap_or_default();
        let urls = messages.iter().flat_map(|message| &message.urls);
        for path in urls.filter_map(|url| link::path(url)) {
            match reply.signatures.get(path) {
                Some(signature) => self.known.insert(path.to_owned(), signature.clone()),
                None => self.unknown.insert(path.to_owned(), ()),
            }
        }
    }
}
