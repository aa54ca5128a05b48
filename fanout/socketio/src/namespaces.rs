//! Socket.IO inside one session: connecting, leaving, events, acknowledgements.
//! It promises that a namespace has at most one CONNECT under way, so that these are bounded by the namespaces, and
//! that nothing reaches the host for a namespace that is not connected. Clients of revision 4 (Engine.IO 3) are put into
//! `/` without asking, and hear of refusals as plain texts.

mod attachments;

use std::{
    panic::AssertUnwindSafe,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::{Duration, Instant};

use self::attachments::Partial;
use crate::{
    application::Application,
    close::{Close, DisconnectReason, Ending},
    connection::{Connection, Slot},
    engine::{Message, Protocol},
    host::{Accepted, ConnectError, ConnectRequest, Event, Host, Recovery, Reply},
    packet::{EventArray, Packet, PacketError, ack_args},
    sid,
    socket::{Ack, Socket},
};

/// The reference server's words.
const INVALID_NAMESPACE: &str = "Invalid namespace";

/// What a client is told whose CONNECT the host has not decided on in time.
const TIMEOUT: &str = "Timeout";

/// How much longer a refusal of `/` is held back while the host still looks at another CONNECT.
const HOLD_ON: Duration = Duration::from_secs(1);

impl From<PacketError> for Ending {
    fn from(_: PacketError) -> Self {
        DisconnectReason::ProtocolError.into()
    }
}

/// A packet that its sender may not send now.
fn out_of_order() -> Result<(), Ending> {
    Err(DisconnectReason::ProtocolError.into())
}

/// A CONNECT that the host is looking at.
struct Pending<S> {
    place: usize,
    id: Box<str>,
    is_implicit: bool,
    /// No answer by then is a refusal.
    by: Instant,
    answer: LocalBoxFuture<'static, Result<Accepted<S>, ConnectError>>,
}

/// The namespaces of one session.
pub(crate) struct Namespaces<H: Host> {
    host: Rc<H>,
    connection: Rc<Connection>,
    pending: Vec<Pending<H::Session>>,
    /// While no namespace is connected.
    connect_by: Option<Instant>,
    /// The refusal of `/` that is told to a client of Engine.IO 3 at this moment if nothing else is connected.
    held: Option<(Instant, String)>,
    /// A packet whose attachments have not all come.
    partial: Option<Box<Partial>>,
}

impl<H: Host> Namespaces<H> {
    pub(crate) fn new(host: Rc<H>, connection: Rc<Connection>) -> Self {
        Self {
            host,
            connection,
            pending: Vec::new(),
            connect_by: None,
            held: None,
            partial: None,
        }
    }

    fn find(&self, namespace: &str) -> Option<(usize, Slot)> {
        let config = self.connection.worker().config();
        let place = config.namespace_index(namespace)?;
        Some((place, self.connection.slot(place)))
    }

    /// Handles a whole packet.
    fn on_packet(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>) -> Result<(), Ending> {
        match packet {
            Packet::Connect {
                namespace,
                query,
                payload,
            } => self.on_connect(namespace, query, payload),
            Packet::Disconnect { namespace } => self.on_disconnect(namespace),
            Packet::Event {
                namespace,
                ack,
                array,
                ..
            } => self.on_event(namespace, ack, array, attachments),
            Packet::Ack {
                namespace,
                id,
                array,
                ..
            } => match self.find(namespace) {
                // Nobody waits for it, as the reference server finds too.
                Some((_, Slot::Connected(socket))) if !socket.waits_for(id) => Ok(()),
                Some((_, Slot::Connected(socket))) => {
                    let args = ack_args(array)?;
                    socket.on_reply(id, Reply { args, attachments });
                    Ok(())
                }
                Some((_, Slot::Dismissed)) => Ok(()),
                _ => out_of_order(),
            },
            Packet::ConnectError { .. } => out_of_order(),
        }
    }

    fn on_connect(
        &mut self,
        namespace: &str,
        query: Option<&str>,
        payload: Option<&RawValue>,
    ) -> Result<(), Ending> {
        let is_v3 = self.connection.protocol() == Protocol::V3;
        match self.find(namespace) {
            Some((place, Slot::Vacant | Slot::Dismissed)) => {
                self.begin(place, query, payload, false);
                Ok(())
            }
            // It was put there without asking.
            Some((_, Slot::Pending | Slot::Connected(_))) if is_v3 && namespace == "/" => Ok(()),
            Some((_, Slot::Pending | Slot::Connected(_))) => out_of_order(),
            None => {
                self.refuse(namespace, ConnectError::new(INVALID_NAMESPACE));
                Ok(())
            }
        }
    }

    /// Asks the host.
    fn begin(
        &mut self,
        place: usize,
        query: Option<&str>,
        payload: Option<&RawValue>,
        is_implicit: bool,
    ) {
        self.connection.set_slot(place, Slot::Pending);
        let id = sid::random();
        let answer = Rc::clone(&self.host).connect(ConnectRequest {
            namespace: self.connection.namespace(place).to_owned(),
            id: id.to_string(),
            protocol: self.connection.protocol(),
            is_implicit,
            query: query.map(str::to_owned),
            recovery: payload.and_then(Recovery::of),
            auth: payload.map(ToOwned::to_owned),
            handshake: Rc::clone(self.connection.handshake()),
        });
        let timeout = self.connection.worker().config().connect_timeout;
        self.pending.push(Pending {
            place,
            id,
            is_implicit,
            by: Instant::now() + timeout,
            answer,
        });
    }

    /// The host has decided on a CONNECT.
    fn on_answer(
        &mut self,
        pending: &Pending<H::Session>,
        answer: Result<Accepted<H::Session>, ConnectError>,
    ) {
        let place = pending.place;
        self.connection.set_slot(place, Slot::Vacant);
        let connection = Rc::clone(&self.connection);
        match answer {
            Err(error) if pending.is_implicit => self.refuse_implicit(error),
            Err(error) => self.refuse(connection.namespace(place), error),
            Ok(accepted) => {
                let id = accepted.id.map_or_else(|| pending.id.clone(), Into::into);
                let socket = Socket::new(id, place, Rc::clone(&connection));
                connection.set_slot(place, Slot::Connected(socket.clone()));
                connection.worker().stats.on_connected();
                socket.enter(None);
                self.connect_by = None;
                self.held = None;
                let payload = match connection.protocol() {
                    Protocol::V4 => Some(connect_payload(socket.id(), accepted.pid.as_deref())),
                    Protocol::V3 => None,
                };
                connection.queue_packet(&Packet::Connect {
                    namespace: connection.namespace(place),
                    query: None,
                    payload: payload.as_deref(),
                });
                self.host.on_connected(&socket, accepted.session);
            }
        }
    }

    /// Answers a CONNECT with `CONNECT_ERROR`.
    fn refuse(&self, namespace: &str, error: ConnectError) {
        #[derive(Serialize)]
        struct Payload {
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Box<RawValue>>,
        }
        let ConnectError { message, data } = error;
        let payload = match self.connection.protocol() {
            Protocol::V4 => to_raw_value(&Payload { message, data }),
            Protocol::V3 => to_raw_value(&message),
        };
        self.connection.queue_packet(&Packet::ConnectError {
            namespace,
            payload: &payload.expect("a text and JSON have a JSON form"),
        });
    }

    /// The client did not ask for `/`: it may be about to ask for another namespace, on which an error for `/` would
    /// show as well.
    fn refuse_implicit(&mut self, error: ConnectError) {
        match self.connection.worker().config().implicit_grace {
            None => self.refuse("/", error),
            Some(_) if self.connection.has_connected() => {}
            Some(grace) => self.held = Some((Instant::now() + grace, error.message)),
        }
    }

    fn on_held(&mut self, now: Instant) -> Result<(), Ending> {
        let Some((at, _)) = &mut self.held else {
            return Ok(());
        };
        if *at > now {
            return Ok(());
        }
        if !self.pending.is_empty() {
            *at = now + HOLD_ON;
            return Ok(());
        }
        let message = self.held.take().map(|(_, message)| message);
        self.refuse("/", ConnectError::new(message.unwrap_or_default()));
        Err(DisconnectReason::Closed(Close::Policy).into())
    }

    fn on_disconnect(&mut self, namespace: &str) -> Result<(), Ending> {
        match self.find(namespace) {
            Some((place, Slot::Connected(_))) => {
                self.connection.dismiss(place, DisconnectReason::ClientLeft);
                Ok(())
            }
            Some((place, Slot::Pending)) => {
                self.pending.retain(|pending| pending.place != place);
                self.connection.set_slot(place, Slot::Vacant);
                Ok(())
            }
            Some((_, Slot::Dismissed)) => Ok(()),
            Some((_, Slot::Vacant)) | None => out_of_order(),
        }
    }

    fn on_event(
        &mut self,
        namespace: &str,
        ack: Option<u64>,
        array: &RawValue,
        attachments: Vec<Bytes>,
    ) -> Result<(), Ending> {
        let EventArray { name, args } = EventArray::parse(array)?;
        match self.find(namespace) {
            Some((_, Slot::Connected(socket))) => {
                self.connection.worker().stats.on_event();
                let event = Event {
                    name,
                    args,
                    attachments,
                    ack: ack.map(|id| Ack::new(socket.clone(), id)),
                };
                self.host.on_event(&socket, event);
                Ok(())
            }
            Some((_, Slot::Dismissed)) => Ok(()),
            Some((_, Slot::Vacant | Slot::Pending)) | None => out_of_order(),
        }
    }
}

impl<H: Host> Application for Namespaces<H> {
    fn on_open(&mut self) {
        let timeout = self.connection.worker().config().connect_timeout;
        self.connect_by = Some(Instant::now() + timeout);
        let is_v3 = self.connection.protocol() == Protocol::V3;
        if let Some((place, _)) = self.find("/").filter(|_| is_v3) {
            self.begin(place, None, None, true);
        }
    }

    fn on_message(&mut self, message: Message<'_>) -> Result<(), Ending> {
        match message {
            Message::Text(text) => self.on_text(text),
            Message::Binary(bytes) => self.on_attachment(bytes),
        }
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        for index in 0..self.pending.len() {
            let Some(pending) = self.pending.get_mut(index) else {
                break;
            };
            if let Poll::Ready(answer) = pending.answer.as_mut().poll(cx) {
                let pending = self.pending.swap_remove(index);
                self.on_answer(&pending, answer);
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    fn deadline(&self) -> Option<Instant> {
        let held = self.held.as_ref().map(|(at, _)| *at);
        let pending = self.pending.iter().map(|pending| pending.by);
        [self.connect_by, held]
            .into_iter()
            .flatten()
            .chain(pending)
            .min()
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Ending> {
        self.on_held(now)?;
        if self.connect_by.is_some_and(|by| by <= now) {
            return Err(DisconnectReason::ConnectTimeout.into());
        }
        while let Some(late) = self.pending.iter().position(|pending| pending.by <= now) {
            let late = self.pending.swap_remove(late);
            self.on_answer(&late, Err(ConnectError::new(TIMEOUT)));
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Ending> {
        while let Some((socket, reason)) = self.connection.take_departed() {
            self.host.on_disconnected(&socket, reason);
        }
        if self.connect_by.is_none() && !self.connection.has_connected() {
            let timeout = self.connection.worker().config().connect_timeout;
            self.connect_by = Some(Instant::now() + timeout);
        }
        Ok(())
    }

    fn on_end(&mut self, reason: DisconnectReason) {
        self.pending.clear();
        self.connection.dismiss_all(reason);
        while let Some((socket, reason)) = self.connection.take_departed() {
            // One socket's host that fails must not keep the others' from being told.
            let told = AssertUnwindSafe(|| self.host.on_disconnected(&socket, reason));
            if std::panic::catch_unwind(told).is_err() {
                tracing::error!("the host panicked when it was told of a socket's end");
            }
        }
    }
}

/// What a client learns when it is connected.
fn connect_payload(sid: &str, pid: Option<&str>) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Payload<'a> {
        sid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<&'a str>,
    }
    to_raw_value(&Payload { sid, pid }).expect("texts have a JSON form")
}
