//! Socket.IO packets of one connection: connecting, leaving, events.
//! It promises that a namespace has at most one CONNECT under way, so that these are bounded by the namespaces, and
//! that nothing reaches the host for a namespace that is not connected.

use std::rc::Rc;

use serde_json::value::RawValue;

use crate::{
    close::{DisconnectReason, Ending},
    connection::Slot,
    host::{Accepted, ConnectError, ConnectRequest, Event, Host},
    packet::{EventArray, Packet, PacketError},
    sid,
    socket::{Ack, Socket},
    websocket::Violation,
};

use super::{Driver, Pending};

/// The reference server's words.
const INVALID_NAMESPACE: &str = "Invalid namespace";

impl From<PacketError> for Ending {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Binary => Violation::Binary.into(),
            PacketError::Type | PacketError::AckId | PacketError::Payload => {
                DisconnectReason::ProtocolError.into()
            }
        }
    }
}

/// A packet that its sender may not send now.
fn out_of_order() -> Result<(), Ending> {
    Err(DisconnectReason::ProtocolError.into())
}

impl<H: Host> Driver<H> {
    /// Handles the content of one Engine.IO message.
    pub(super) fn on_message(&mut self, message: &str) -> Result<(), Ending> {
        match Packet::parse(message)? {
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
            } => self.on_event(namespace, ack, array),
            // This server asks for none, so that none is awaited.
            Packet::Ack { namespace, .. } => match self.find(namespace) {
                Some((_, Slot::Connected(_) | Slot::Dismissed)) => Ok(()),
                _ => out_of_order(),
            },
            Packet::ConnectError { .. } => out_of_order(),
        }
    }

    fn find(&self, namespace: &str) -> Option<(usize, Slot)> {
        let place = self.connection.worker().config.namespace_index(namespace)?;
        Some((place, self.connection.slot(place)))
    }

    fn on_connect(
        &mut self,
        namespace: &str,
        query: Option<&str>,
        payload: Option<&RawValue>,
    ) -> Result<(), Ending> {
        let place = match self.find(namespace) {
            Some((place, Slot::Vacant | Slot::Dismissed)) => place,
            Some((_, Slot::Pending | Slot::Connected(_))) => return out_of_order(),
            None => {
                self.refuse(namespace, ConnectError::new(INVALID_NAMESPACE));
                return Ok(());
            }
        };
        self.connection.set_slot(place, Slot::Pending);
        let id = sid::random();
        let answer = Rc::clone(&self.host).connect(ConnectRequest {
            namespace: namespace.to_owned(),
            query: query.map(str::to_owned),
            auth: payload.map(ToOwned::to_owned),
            id: id.as_ref().to_owned(),
            recovery: payload.and_then(|auth| serde_json::from_str(auth.get()).ok()),
            handshake: Rc::clone(self.connection.handshake()),
        });
        self.pending.push(Pending { place, id, answer });
        Ok(())
    }

    /// The host has decided on a CONNECT.
    pub(super) fn on_answer(
        &mut self,
        place: usize,
        id: Box<str>,
        answer: Result<Accepted<H::Session>, ConnectError>,
    ) -> Result<(), Ending> {
        self.connection.set_slot(place, Slot::Vacant);
        let connection = Rc::clone(&self.connection);
        let namespace = connection.namespace(place);
        match answer {
            Err(error) => self.refuse(namespace, error),
            Ok(Accepted {
                session,
                pid,
                id: former,
            }) => {
                let id = former.map_or(id, String::into_boxed_str);
                let socket = Socket::new(id, place, Rc::clone(&connection));
                connection.set_slot(place, Slot::Connected(socket.clone()));
                connection.worker().stats.on_connected();
                self.connect_by = None;
                let payload = connect_payload(socket.id(), pid.as_deref());
                connection.queue_packet(&Packet::Connect {
                    namespace,
                    query: None,
                    payload: Some(&payload),
                });
                self.host.on_connected(&socket, session);
            }
        }
        self.settle()
    }

    /// Answers a CONNECT with `CONNECT_ERROR`.
    fn refuse(&self, namespace: &str, error: ConnectError) {
        #[derive(serde::Serialize)]
        struct Payload {
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Box<RawValue>>,
        }
        let payload = serde_json::value::to_raw_value(&Payload {
            message: error.message,
            data: error.data,
        })
        .expect("a text and JSON have a JSON form");
        self.connection.queue_packet(&Packet::ConnectError {
            namespace,
            payload: &payload,
        });
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
    ) -> Result<(), Ending> {
        let EventArray { name, args } = EventArray::parse(array)?;
        match self.find(namespace) {
            Some((_, Slot::Connected(socket))) => {
                self.connection.worker().stats.on_event();
                let ack = ack.map(|id| Ack::new(socket.clone(), id));
                self.host.on_event(&socket, Event { name, args, ack });
                Ok(())
            }
            Some((_, Slot::Dismissed)) => Ok(()),
            Some((_, Slot::Vacant | Slot::Pending)) | None => out_of_order(),
        }
    }
}

/// What a client learns when it is connected.
fn connect_payload(sid: &str, pid: Option<&str>) -> Box<RawValue> {
    #[derive(serde::Serialize)]
    struct Payload<'a> {
        sid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<&'a str>,
    }
    serde_json::value::to_raw_value(&Payload { sid, pid }).expect("texts have a JSON form")
}
