//! Socket.IO: the host of `actix-socketio` that a worker's hub stands behind (contract.md §1).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_socketio::{
    Accepted, ConnectError, ConnectRequest, DisconnectReason, Event, Forward, Handshake, Host,
    Protocol, Recovery, Refusal, Socket, SocketKey, Splice,
};
use actix_web::HttpResponse;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use actix_web::http::{Method, StatusCode};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::door::bearer;
use super::{Answer, Caller, Closed, Door, Link, Reply};
use crate::address::{ClientAddress, FORWARDED_FOR};
use crate::auth::AuthError;
use crate::http::refusal;
use crate::hub::Arrival;
use crate::peer::Arrived;
use crate::recovery::{Claim, Kept};
use crate::session::{Session, ViewerKey};

/// One worker's Socket.IO side.
#[derive(Debug)]
pub struct SocketIo {
    door: Rc<Door>,
    /// Bytes of one body that is passed on.
    payload_max: usize,
    viewers: RefCell<HashMap<SocketKey, ViewerKey>>,
}

/// How long a body may take that is passed on: a whole payload on a slow mobile line. Its own instance would end it with
/// its session, of which this one knows nothing.
const BODY_PATIENCE: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Auth {
    token: Option<Value>,
}

impl SocketIo {
    /// The host of a worker.
    pub fn new(door: Rc<Door>, payload_max: usize) -> Rc<Self> {
        Rc::new(Self {
            door,
            payload_max,
            viewers: RefCell::default(),
        })
    }

    /// Where a request comes from.
    fn client(&self, handshake: &Handshake) -> ClientAddress {
        let forwarded = handshake.headers.get_all(FORWARDED_FOR);
        let peer = handshake.peer.map(|peer| peer.ip());
        self.door.proxies.client(peer, forwarded)
    }

    async fn authenticate(
        &self,
        request: ConnectRequest,
    ) -> Result<Accepted<Coming>, ConnectError> {
        let token = token(&request).map_err(|error| refused(&error.into()))?;
        let handshake = &request.handshake;
        let caller = Caller {
            address: self.client(handshake),
            transport: Rc::as_ptr(handshake).addr(),
        };
        let admitted = match &request.recovery {
            Some(wanted) => self.admit_again(&token, caller, wanted).await,
            None => self.door.admit(&token, caller).await.map(Err),
        };
        let admitted = admitted.map_err(|closed| match closed {
            // Nobody asked for it: a header that is not valid there counts as none.
            Closed::Auth(_) if request.is_implicit => refused(&AuthError::Required.into()),
            closed => refused(&closed.into()),
        });
        let coming = match admitted? {
            Ok(arrival) => Coming::Back(arrival),
            Err(session) => {
                // Clients of Engine.IO 3 know nothing of it.
                let claim = match request.protocol {
                    Protocol::V4 => self.door.recovery.begin(&session.principal),
                    Protocol::V3 => None,
                };
                Coming::Anew(session, claim)
            }
        };
        Ok(coming.accepted(request.id))
    }

    /// Somebody who is back, or else the session of somebody who comes anew.
    async fn admit_again(
        &self,
        token: &str,
        caller: Caller,
        wanted: &Recovery,
    ) -> Result<Result<Arrival, Session>, Closed> {
        let Recovery { pid, offset } = wanted;
        let offset = offset.as_deref();
        let (session, found) = self.door.admit_again(token, caller, pid, offset).await?;
        let arrived = match found {
            Ok(found) => {
                let hub = &self.door.hub;
                hub.arrive(session.clone(), caller.transport, found).await
            }
            Err(why) => Err(why),
        };
        // It may have been taken back while they were brought back.
        let authority = &self.door.authority;
        let principal = authority.still(session.principal.clone())?;
        self.door
            .recovery
            .on_answered(arrived.as_ref().map(drop).map_err(|why| *why));
        Ok(arrived.map_err(|why| {
            tracing::debug!(%why, "not recovered");
            Session {
                principal,
                ..session
            }
        }))
    }
}

/// Who is let in, until their socket is there.
#[derive(Debug)]
pub enum Coming {
    /// Somebody new, and where what they join is kept.
    Anew(Session, Option<Claim>),
    /// Somebody who goes on where they were.
    Back(Arrival),
}

impl Coming {
    /// The answer to a CONNECT whose socket would have this id.
    fn accepted(self, id: String) -> Accepted<Self> {
        let (id, pid) = match &self {
            Self::Anew(_, claim) => (id, claim.as_ref().map(|claim| claim.pid.clone())),
            Self::Back(arrival) => {
                let (id, pid) = arrival.ids();
                (id, Some(pid))
            }
        };
        Accepted {
            session: self,
            pid,
            id: Some(id),
        }
    }
}

impl Host for SocketIo {
    type Session = Coming;

    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        let peer = handshake.peer.map(|peer| peer.ip());
        if self.door.origins.admits(peer, &handshake.headers) {
            return Ok(());
        }
        let text = "Origin not allowed";
        Err(refusal::of(StatusCode::FORBIDDEN, text, Some("FORBIDDEN")))
    }

    fn address(&self, handshake: &Handshake) -> Option<IpAddr> {
        match self.client(handshake) {
            ClientAddress::Known(address) => Some(address),
            ClientAddress::Unknown => None,
        }
    }

    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<Coming>, ConnectError>> {
        Box::pin(async move { self.authenticate(request).await })
    }

    fn on_connected(&self, socket: &Socket, coming: Coming) {
        let (hub, link) = (&self.door.hub, Link::SocketIo(socket.clone()));
        let key = match coming {
            Coming::Back(arrival) => hub.on_recovered(arrival, &link),
            Coming::Anew(session, claim) => {
                let key = hub.on_connected(session, link);
                if let Some(claim) = claim {
                    hub.keep_as(key, Kept::new(claim, socket.id().to_owned()));
                }
                key
            }
        };
        self.viewers.borrow_mut().insert(socket.key(), key);
    }

    fn on_event(&self, socket: &Socket, event: Event) {
        let Some(key) = self.viewers.borrow().get(&socket.key()).copied() else {
            return;
        };
        let ack = event.ack.map(Answer::SocketIo);
        let reply = Reply::new(Link::SocketIo(socket.clone()), ack, &event.name);
        let payload = event.args.first().map(AsRef::as_ref);
        self.door.hub.on_event(key, &event.name, payload, reply);
    }

    fn forward(self: Rc<Self>, forward: Forward) -> LocalBoxFuture<'static, Option<HttpResponse>> {
        Box::pin(async move { self.passed_on(forward).await })
    }

    fn splice(self: Rc<Self>, splice: Splice) -> LocalBoxFuture<'static, Result<(), Splice>> {
        Box::pin(async move {
            let arrived = Arrived::upgrade(&splice.request);
            match self.door.peers.reach(&splice.instance, arrived).await {
                Ok(reached) => {
                    // Nothing of actix stays behind: its buffers are more than the splice itself needs.
                    let parts = splice.framed.into_parts();
                    let already_read = parts.read_buf;
                    actix_rt::spawn(async move { reached.run(&already_read, parts.io).await });
                    Ok(())
                }
                Err(error) => {
                    tracing::debug!(%error, "an upgrade was not passed on");
                    Err(splice)
                }
            }
        })
    }

    fn on_disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        tracing::debug!(reason = reason.label(), "a socket has ended");
        if let Some(key) = self.viewers.borrow_mut().remove(&socket.key()) {
            if is_final(reason) {
                self.door.hub.end_session(key);
            }
            self.door.hub.on_disconnected(key);
        }
    }
}

impl SocketIo {
    /// The answer of the instance on which a session lives. Its client's body is read here, within this one's bound.
    async fn passed_on(&self, forward: Forward) -> Option<HttpResponse> {
        let Forward {
            instance,
            request,
            body,
        } = forward;
        let arrived = Arrived::request(&request);
        // Nothing of a body is read for whom nobody knows, and no more than there is room for.
        let announced = request.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes_max = match request.method() {
            &Method::POST => announced.unwrap_or(self.payload_max).min(self.payload_max),
            _ => 0,
        };
        let peers = &self.door.peers;
        let room = peers.room_for(&instance, &arrived, bytes_max).await;
        let _room = room
            .inspect_err(|error| tracing::debug!(%error, "a request was not passed on"))
            .ok()?;
        let reading = timeout(BODY_PATIENCE, body.to_bytes_limited(bytes_max));
        let body = reading.await.ok()?.ok()?.ok()?;
        let answer = peers.forward(&instance, arrived, body).await;
        let answer =
            answer.inspect_err(|error| tracing::debug!(%error, "a poll was not passed on"));
        answer.ok()
    }
}

/// Who leaves, or is put out, does not come back to this; whose transport ends may.
fn is_final(reason: DisconnectReason) -> bool {
    matches!(
        reason,
        DisconnectReason::ClientLeft | DisconnectReason::ServerLeft
    )
}

/// The payload's token, or that of the packet's own query, which clients of version 2 send in its place, or else the
/// bearer of the handshake.
fn token(request: &ConnectRequest) -> Result<String, AuthError> {
    let auth = request
        .auth
        .as_ref()
        .and_then(|auth| serde_json::from_str::<Auth>(auth.get()).ok());
    match auth.and_then(|auth| auth.token) {
        Some(Value::String(token)) if !token.is_empty() => return Ok(token),
        Some(Value::String(_) | Value::Null) | None => {}
        Some(_) => return Err(AuthError::Invalid),
    }
    let query = request.query.as_deref().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let queried = pairs.find_map(|(name, value)| (name == "token").then_some(value));
    if let Some(token) = queried.filter(|token| !token.is_empty()) {
        return Ok(token.into_owned());
    }
    bearer(request.handshake.headers.get(AUTHORIZATION)).ok_or(AuthError::Required)
}

/// A row of the contract's table.
fn refused(refusal: &crate::request::Refusal) -> ConnectError {
    let mut data = json!({ "code": refusal.code });
    if let (Some(seconds), Some(object)) = (refusal.retry_after, data.as_object_mut()) {
        object.insert("retryAfter".into(), seconds.into());
    }
    ConnectError::new(refusal.text).with_data(&data)
}
