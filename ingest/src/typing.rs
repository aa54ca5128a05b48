//! Who types, told to whoever listens now: never stored, never waited for, and the first thing to be left out.
//!
//! Knows a channel's rate and whether the broker keeps up; everything that is not told is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use bytes::Bytes;
use prost::Message as _;
use proto::event::Typing;
use proto::{ChannelId, subject};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::leader::bounded;
use crate::outcome::{Outcome, Outcomes, Skip};

/// Notices a channel and second: more people than fit under a conversation.
const CHANNEL_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1);
/// Channels whose rate is remembered; beyond that the quiet ones are forgotten.
const CHANNELS_MAX: usize = 4_096;
/// Notices that wait for the broker; one more is not told.
const WAITING_MAX: usize = 256;
/// How long one notice may take.
const CALL: Duration = Duration::from_millis(500);

const UNHEARD: Outcome = Outcome::Skipped(Skip::Unheard);

/// Takes notices without waiting.
#[derive(Debug)]
pub(crate) struct Typist {
    notices: mpsc::Sender<(String, Bytes)>,
    is_connected: watch::Receiver<bool>,
    windows: HashMap<u64, (Instant, u32)>,
}

/// Tells them.
#[derive(Debug)]
pub(crate) struct Teller {
    broker: Arc<dyn Broker>,
    outcomes: Outcomes,
    notices: mpsc::Receiver<(String, Bytes)>,
}

/// Both sides.
pub(crate) fn new(broker: &Arc<dyn Broker>, outcomes: Outcomes) -> (Typist, Teller) {
    let (sender, notices) = mpsc::channel(WAITING_MAX);
    let typist = Typist {
        notices: sender,
        is_connected: broker.is_connected(),
        windows: HashMap::new(),
    };
    let teller = Teller {
        broker: Arc::clone(broker),
        outcomes,
        notices,
    };
    (typist, teller)
}

impl Typist {
    /// Tells a notice, or not.
    pub(crate) fn tell(&mut self, typing: &Typing, now: Instant) -> Outcome {
        let Some(channel) = ChannelId::new(typing.channel_id) else {
            return UNHEARD;
        };
        if !*self.is_connected.borrow() || !self.is_within_rate(typing.channel_id, now) {
            return UNHEARD;
        }
        let notice = (subject::ephemeral(channel), typing.encode_to_vec().into());
        match self.notices.try_send(notice) {
            Ok(()) => Outcome::Told,
            Err(_) => UNHEARD,
        }
    }

    fn is_within_rate(&mut self, channel: u64, now: Instant) -> bool {
        let is_over = |since: Instant| now.duration_since(since) >= WINDOW;
        if self.windows.len() >= CHANNELS_MAX {
            self.windows.retain(|_, (since, _)| !is_over(*since));
        }
        let (since, count) = self.windows.entry(channel).or_insert((now, 0));
        if is_over(*since) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= CHANNEL_MAX
    }
}

impl Teller {
    /// Tells until nobody has anything to say any more.
    pub(crate) async fn run(mut self) {
        while let Some((subject, payload)) = self.notices.recv().await {
            if let Err(error) = bounded(CALL, self.broker.notify(&subject, payload)).await {
                tracing::debug!(%error, "a notice could not be told");
                self.outcomes.on_untold();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typing(channel_id: u64) -> Typing {
        Typing {
            guild_id: 1,
            channel_id,
            user: None,
            nick: None,
        }
    }

    fn typist(
        is_connected: watch::Receiver<bool>,
        waiting: usize,
    ) -> (Typist, mpsc::Receiver<(String, Bytes)>) {
        let (notices, receiver) = mpsc::channel(waiting);
        let typist = Typist {
            notices,
            is_connected,
            windows: HashMap::new(),
        };
        (typist, receiver)
    }

    #[test]
    fn a_channel_has_its_rate_and_the_next_second_another() {
        let (_sender, is_connected) = watch::channel(true);
        let (mut typist, mut told) = typist(is_connected, 100);
        let now = Instant::now();
        for _ in 0..20 {
            typist.tell(&typing(5), now);
        }
        assert_eq!(typist.tell(&typing(6), now), Outcome::Told);
        assert_eq!(typist.tell(&typing(5), now), UNHEARD);
        assert_eq!(typist.tell(&typing(5), now + WINDOW), Outcome::Told);
        let mut subjects = Vec::new();
        while let Ok((subject, _)) = told.try_recv() {
            subjects.push(subject);
        }
        assert_eq!(subjects.len(), 7);
        assert_eq!(subjects[5], "ephemeral.discord.v1.6");
    }

    #[test]
    fn nobody_waits_for_a_broker_that_is_away_or_behind() {
        let (sender, is_connected) = watch::channel(false);
        let (mut typist, _told) = typist(is_connected, 1);
        let now = Instant::now();
        assert_eq!(typist.tell(&typing(1), now), UNHEARD);
        sender.send_replace(true);
        assert_eq!(typist.tell(&typing(2), now), Outcome::Told);
        assert_eq!(typist.tell(&typing(3), now), UNHEARD, "behind");
    }
}
