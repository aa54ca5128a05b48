//! Who types where: heard from ingest, and told to the workers whose viewers watch the channel.
//!
//! Never stored, never repeated: a worker that is too busy to hear of it in time misses it.

use std::sync::Arc;

use broker::{Broker, Notice};
use prost::Message as _;
use proto::event::Typing;
use proto::{ChannelId, subject};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::frames::{Frames, json};
use crate::instance::Instance;
use crate::notices;

/// What may wait for a worker: some seconds of typing in a busy guild. A worker that falls further behind
/// misses the oldest, which nobody types any more.
const WAITING_MAX: usize = 256;

/// Somebody types in a channel.
#[derive(Debug, Clone)]
pub struct Typed {
    /// Where.
    pub channel: ChannelId,
    /// `typing_start`.
    pub frames: Frames,
}

/// From the one listener to the workers.
#[derive(Debug)]
pub struct TypingBoard(broadcast::Sender<Typed>);

impl Default for TypingBoard {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }
}

impl TypingBoard {
    /// A worker listens.
    pub fn subscribe(&self) -> broadcast::Receiver<Typed> {
        self.0.subscribe()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TypingStart<'a> {
    channel_id: String,
    user_id: String,
    username: &'a str,
}

/// Listens until told to stop.
pub async fn run(broker: Arc<dyn Broker>, instance: Arc<Instance>, stop: CancellationToken) {
    notices::listen(broker, subject::EPHEMERAL, stop, |notice| {
        on_notice(&instance, &notice);
    })
    .await;
}

fn on_notice(instance: &Instance, notice: &Notice) {
    // The subject names the channel: what nobody here watches is not even decoded.
    let channel = notice.subject.rsplit('.').next();
    let Some(channel) = channel.and_then(|id| id.parse().ok()) else {
        return;
    };
    if !instance.is_watched(channel) {
        return;
    }
    let Some(typed) = read(channel, notice) else {
        tracing::debug!("a notice of typing can't be read");
        return;
    };
    if instance.typing.0.send(typed).is_err() {
        tracing::trace!("no worker listens");
    }
}

fn read(channel: ChannelId, notice: &Notice) -> Option<Typed> {
    let typing = Typing::decode(notice.payload.clone()).ok()?;
    let user = typing.user.as_ref()?;
    let start = TypingStart {
        channel_id: channel.to_string(),
        user_id: user.id.to_string(),
        username: typing
            .nick
            .as_deref()
            .or(user.display_name.as_deref())
            .unwrap_or(&user.username),
    };
    let frames = Frames::event("typing_start", json(&start)?);
    Some(Typed { channel, frames })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::event::User;
    use serde_json::{Value, json};

    fn told(nick: Option<&str>, display_name: Option<&str>) -> Value {
        let typing = Typing {
            guild_id: 1,
            channel_id: 7,
            user: Some(User {
                id: u64::MAX >> 1,
                username: "plain".into(),
                display_name: display_name.map(str::to_owned),
                ..User::default()
            }),
            nick: nick.map(str::to_owned),
        };
        let channel = ChannelId::new(7).unwrap();
        let notice = Notice {
            subject: subject::ephemeral(channel),
            payload: typing.encode_to_vec().into(),
        };
        let typed = read(channel, &notice).unwrap();
        let (name, data) = (typed.frames.name(), typed.frames.data());
        assert_eq!(name, "typing_start");
        serde_json::from_str(data.get()).unwrap()
    }

    #[test]
    fn somebody_types_under_the_name_that_the_guild_shows() {
        let table = [
            (Some("nick"), Some("global"), "nick"),
            (None, Some("global"), "global"),
            (None, None, "plain"),
        ];
        for (nick, display_name, name) in table {
            let expected =
                json!({ "channelId": "7", "userId": "9223372036854775807", "username": name });
            assert_eq!(told(nick, display_name), expected);
        }
    }

    #[test]
    fn who_types_without_a_name_or_in_noise_is_not_told() {
        let channel = ChannelId::new(7).unwrap();
        for payload in [Typing::default().encode_to_vec(), b"\xff\xff".to_vec()] {
            let notice = Notice {
                subject: subject::ephemeral(channel),
                payload: payload.into(),
            };
            assert!(read(channel, &notice).is_none());
        }
    }
}
