//! Server-Sent Events: a link that lets through what one channel's stream shows, and the body that carries it.
//!
//! The stream ends by itself after `channel_left` and after an `error` that ends the session.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_socketio::Close;
use bytes::Bytes;
use futures_util::Stream;
use proto::ChannelId;
use serde::Deserialize;
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;

use super::Place;
use super::pipe::Pipe;
use crate::frames::Frames;
use crate::hub::Hub;
use crate::session::ViewerKey;

/// A comment, which keeps proxies and the connection awake.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// Where the events of one stream go.
#[derive(Debug)]
pub struct StreamLink {
    pipe: Rc<Pipe>,
    channel: ChannelId,
}

/// What is looked at of an event to see whether it is this stream's.
#[derive(Deserialize)]
struct Named<'a> {
    id: Option<&'a str>,
    code: Option<&'a str>,
}

impl StreamLink {
    /// The link of a stream of this channel.
    pub fn new(pipe: Rc<Pipe>, channel: ChannelId) -> Rc<Self> {
        Rc::new(Self { pipe, channel })
    }

    /// Queues an event, if the stream shows it.
    pub fn send(&self, frames: &Frames) {
        if self.shows(frames) {
            self.pipe.tell(frames.stream().clone());
        }
        if is_last(frames) {
            self.end(Close::Normal);
        }
    }

    /// Queues a replay.
    pub fn replay(&self, frames: &[Frames]) {
        self.pipe
            .push_replay(frames.iter().map(|frame| frame.stream().clone()));
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> usize {
        self.pipe.queued_bytes()
    }

    /// Ends the stream after what is queued.
    pub fn end(&self, close: Close) {
        self.pipe.end(close);
    }

    /// Only what is of this channel: lists and the like are what other transports show.
    fn shows(&self, frames: &Frames) -> bool {
        match frames.name() {
            "channels_list" | "channels" | "user_info" => false,
            "channel_update" => {
                let named: Option<Named> = serde_json::from_str(frames.data().get()).ok();
                let id = named.and_then(|named| named.id?.parse().ok());
                id == Some(self.channel)
            }
            _ => true,
        }
    }
}

/// Nothing comes after this event.
fn is_last(frames: &Frames) -> bool {
    match frames.name() {
        "channel_left" => true,
        "error" => {
            let named: Option<Named> = serde_json::from_str(frames.data().get()).ok();
            let code = named.and_then(|named| named.code);
            code.is_some_and(|code| code.starts_with("AUTH_"))
        }
        _ => false,
    }
}

/// The body of a stream: what its pipe holds, comments while it holds nothing, and the viewer's end when the
/// client is gone.
#[derive(Debug)]
pub struct Body {
    pipe: Rc<Pipe>,
    hub: Rc<Hub>,
    viewer: ViewerKey,
    heartbeat: Duration,
    timer: Pin<Box<Sleep>>,
    /// What runs as long as the stream is open.
    beside: Option<AbortOnDropHandle<()>>,
    _place: Place,
}

impl Body {
    /// The body of a viewer's stream.
    pub fn new(
        pipe: Rc<Pipe>,
        hub: Rc<Hub>,
        viewer: ViewerKey,
        heartbeat: Duration,
        place: Place,
    ) -> Self {
        Self {
            pipe,
            hub,
            viewer,
            heartbeat,
            timer: Box::pin(tokio::time::sleep(heartbeat)),
            beside: None,
            _place: place,
        }
    }

    /// Lets a task end with the stream.
    #[must_use]
    pub fn beside(mut self, task: AbortOnDropHandle<()>) -> Self {
        self.beside = Some(task);
        self
    }
}

impl Stream for Body {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = self.get_mut();
        if let Poll::Ready(run) = body.pipe.poll_run(cx) {
            body.timer.as_mut().reset(Instant::now() + body.heartbeat);
            return Poll::Ready(run.map(Ok));
        }
        if body.timer.as_mut().poll(cx).is_ready() {
            body.timer.as_mut().reset(Instant::now() + body.heartbeat);
            return Poll::Ready(Some(Ok(HEARTBEAT)));
        }
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.pipe.end(Close::Normal);
        self.hub.on_disconnected(self.viewer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::json;
    use crate::transport::beats::Beats;
    use serde_json::json as value;

    fn sent(events: &[(&'static str, serde_json::Value)]) -> (usize, Option<Close>) {
        let pipe = Pipe::new(1_000_000, None, Beats::new());
        let link = StreamLink::new(pipe.clone(), ChannelId::new(7).unwrap());
        for (name, data) in events {
            link.send(&Frames::event(name, json(data).unwrap()));
        }
        let mut frames = 0;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // Several may be one run: an empty line ends each.
        while let Poll::Ready(Some(run)) = pipe.poll_run(&mut cx) {
            frames += std::str::from_utf8(&run).unwrap().matches("\n\n").count();
        }
        (frames, pipe.ending())
    }

    #[test]
    fn a_stream_shows_its_channel_alone() {
        let table = [
            ("message", value!({}), 1),
            ("user_info", value!({}), 0),
            ("channels_list", value!([]), 0),
            ("channels", value!([]), 0),
            ("channel_update", value!({ "id": "7" }), 1),
            ("channel_update", value!({ "id": "8" }), 0),
            ("error", value!({ "code": "UNAVAILABLE" }), 1),
        ];
        for (name, data, shown) in table {
            assert_eq!(
                sent(&[(name, data.clone())]),
                (shown, None),
                "{name} {data}"
            );
        }
    }

    #[test]
    fn a_stream_ends_when_its_channel_or_its_session_does() {
        for last in [
            ("channel_left", value!({ "channelId": "7" })),
            ("error", value!({ "code": "AUTH_REVOKED" })),
        ] {
            let (frames, ending) = sent(&[last, ("message", value!({}))]);
            assert_eq!((frames, ending), (1, Some(Close::Normal)));
        }
    }
}
