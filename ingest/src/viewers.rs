//! Which channels somebody watches, as the fanouts say it to each other (`viewers.discord.v1`): for what is looked at
//! first, never for who may see what. A fanout that is silent is forgotten.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use broker::Broker;
use parking_lot::Mutex;
use prost::Message as _;
use proto::event::Viewers as Said;
use proto::{ChannelId, subject};
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Backoff;
use crate::leader::bounded;

/// A fanout says all its counts every 10 s: whoever has listened for longer has heard of all.
const WHOLE: Duration = Duration::from_secs(12);
/// A fanout that was silent for three times as long is gone.
const SILENT: Duration = Duration::from_secs(30);
/// How long the broker may take to subscribe.
const CALL: Duration = Duration::from_secs(5);
/// The first wait before the subject is listened to again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Who watches what.
#[derive(Debug)]
pub(crate) struct Viewers {
    begun: Instant,
    fanouts: Mutex<HashMap<String, Fanout>>,
}

#[derive(Debug)]
struct Fanout {
    channels: HashSet<u64>,
    heard: Instant,
}

impl Default for Viewers {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            fanouts: Mutex::default(),
        }
    }
}

impl Viewers {
    /// Listens for as long as it is run.
    pub(crate) async fn listen(&self, broker: &dyn Broker) {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        loop {
            match bounded(CALL, broker.notices(subject::VIEWERS)).await {
                Ok(mut notices) => {
                    retry.reset();
                    while let Some(notice) = notices.next().await {
                        if let Ok(said) = Said::decode(notice.payload) {
                            self.on_said(said, Instant::now());
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "nobody says who watches"),
            }
            sleep(retry.next()).await;
        }
    }

    /// The channels that somebody watches.
    pub(crate) fn channels(&self, now: Instant) -> HashSet<ChannelId> {
        let mut fanouts = self.fanouts.lock();
        fanouts.retain(|_, fanout| now.duration_since(fanout.heard) < SILENT);
        let channels = fanouts.values().flat_map(|fanout| &fanout.channels);
        channels.filter_map(|id| ChannelId::new(*id)).collect()
    }

    /// Whether every fanout has been heard by now.
    pub(crate) fn is_whole(&self, now: Instant) -> bool {
        now >= self.begun + WHOLE
    }

    /// Waits until every fanout has been heard.
    pub(crate) async fn whole(&self) {
        sleep_until(self.begun + WHOLE).await;
    }

    fn on_said(&self, said: Said, now: Instant) {
        let mut fanouts = self.fanouts.lock();
        if said.leaving {
            fanouts.remove(&said.instance);
            return;
        }
        let fanout = fanouts.entry(said.instance).or_insert_with(|| Fanout {
            channels: HashSet::new(),
            heard: now,
        });
        fanout.heard = now;
        if said.whole {
            fanout.channels.clear();
        }
        for one in said.channels {
            if one.count > 0 {
                fanout.channels.insert(one.channel_id);
            } else {
                fanout.channels.remove(&one.channel_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::event::ChannelViewers;

    use super::*;

    fn said(instance: &str, counts: &[(u64, u32)]) -> Said {
        let channel = |(channel_id, count): &(u64, u32)| ChannelViewers {
            channel_id: *channel_id,
            count: *count,
        };
        Said {
            instance: instance.into(),
            channels: counts.iter().map(channel).collect(),
            ..Said::default()
        }
    }

    #[test]
    fn a_channel_is_watched_while_any_fanout_that_speaks_says_so() {
        let viewers = Viewers::default();
        let now = Instant::now();
        let watched = |at| {
            let channels = viewers.channels(at).into_iter();
            let mut ids: Vec<_> = channels.map(ChannelId::get).collect();
            ids.sort_unstable();
            ids
        };
        viewers.on_said(said("a", &[(1, 2), (2, 1)]), now);
        viewers.on_said(said("b", &[(2, 5), (3, 1)]), now);
        assert_eq!(watched(now), [1, 2, 3]);
        viewers.on_said(said("a", &[(1, 0)]), now);
        assert_eq!(watched(now), [2, 3]);
        let whole = Said {
            whole: true,
            ..said("b", &[(4, 1)])
        };
        viewers.on_said(whole, now + SILENT / 2);
        assert_eq!(watched(now), [2, 4]);
        assert_eq!(watched(now + SILENT), [4], "the other is silent");
        let leaving = Said {
            leaving: true,
            ..said("b", &[])
        };
        viewers.on_said(leaving, now);
        assert_eq!(watched(now), [0; 0]);
        assert!(!viewers.is_whole(now) && viewers.is_whole(now + WHOLE));
    }
}
