//! Socket.IO: the host of `actix-socketio` that a worker's hub stands behind (contract.md §1).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix_socketio::{
    Accepted, ConnectError, ConnectRequest, DisconnectReason, Event, Handshake, Host, Refusal,
    Socket, SocketKey,
};
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use futures_util::future::LocalBoxFuture;
use runtime::time::now_ms;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Link, Reply};
use crate::auth::{AuthError, Keys, Principal};
use crate::hub::Hub;
use crate::origin::Origins;
use crate::session::{Session, ViewerKey};

/// One worker's Socket.IO side.
#[derive(Debug)]
pub struct SocketIo {
    hub: Rc<Hub>,
    keys: Keys,
    origins: Origins,
    viewers: RefCell<HashMap<SocketKey, ViewerKey>>,
}

#[derive(Deserialize)]
struct Auth {
    token: Option<Value>,
}

impl SocketIo {
    /// The host of a worker.
    pub fn new(hub: Rc<Hub>, keys: Keys, origins: Origins) -> Rc<Self> {
        Rc::new(Self {
            hub,
            keys,
            origins,
            viewers: RefCell::default(),
        })
    }

    async fn authenticate(&self, request: ConnectRequest) -> Result<Session, ConnectError> {
        let token = token(&request).map_err(refused)?;
        let principal =
            Principal::of_token(&self.keys, &token, now_ms() / 1000).map_err(refused)?;
        self.hub.begun().await;
        let is_resolved = self.hub.resolve(&principal.grant).await;
        Ok(Session {
            principal,
            is_unresolved: !is_resolved,
        })
    }
}

impl Host for SocketIo {
    type Session = Session;

    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        if self.origins.admits(&handshake.headers) {
            return Ok(());
        }
        let body = json!({
            "error": "Forbidden",
            "message": "Origin not allowed",
            "timestamp": runtime::time::now_iso(),
        });
        Err(Refusal::new(StatusCode::FORBIDDEN, body.to_string()))
    }

    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<Session>, ConnectError>> {
        Box::pin(async move { self.authenticate(request).await.map(Accepted::new) })
    }

    fn on_connected(&self, socket: &Socket, session: Session) {
        let key = self
            .hub
            .on_connected(session, Link::SocketIo(socket.clone()));
        self.viewers.borrow_mut().insert(socket.key(), key);
    }

    fn on_event(&self, socket: &Socket, event: Event) {
        let Some(key) = self.viewers.borrow().get(&socket.key()).copied() else {
            return;
        };
        let reply = Reply::new(Link::SocketIo(socket.clone()), event.ack, &event.name);
        let payload = event.args.first().map(AsRef::as_ref);
        self.hub.on_event(key, &event.name, payload, reply);
    }

    fn on_disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        tracing::debug!(reason = reason.label(), "a socket has ended");
        if let Some(key) = self.viewers.borrow_mut().remove(&socket.key()) {
            self.hub.on_disconnected(key);
        }
    }
}

/// The payload's token, or else the bearer of the handshake.
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
    let header = request.handshake.headers.get(AUTHORIZATION);
    let header = header
        .and_then(|value| value.to_str().ok())
        .ok_or(AuthError::Required)?;
    let (scheme, token) = header.split_once(' ').ok_or(AuthError::Required)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Required);
    }
    Ok(token.trim().to_owned())
}

fn refused(error: AuthError) -> ConnectError {
    connect_error(&error.to_string(), error.code())
}

fn connect_error(message: &str, code: &str) -> ConnectError {
    ConnectError::new(message).with_data(&json!({ "code": code }))
}
