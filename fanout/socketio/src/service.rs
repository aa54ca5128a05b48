//! What an endpoint serves, behind one object: an application of Socket.IO or of Engine.IO alone.

use std::{net::IpAddr, rc::Rc};

use actix_web::HttpResponse;
use futures_util::future::{FutureExt, LocalBoxFuture, ready};

use crate::{
    bare::{Bare, EngineHost},
    connection::Connection,
    driver,
    host::{Forward, Handshake, Host, Refusal, Splice},
    namespaces::Namespaces,
};

/// An application as the endpoint sees it.
pub(crate) trait Service {
    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal>;

    fn address(&self, handshake: &Handshake) -> Option<IpAddr>;

    /// Runs a session to its end, as a task of its worker.
    fn start(&self, connection: Rc<Connection>, already_read: Vec<u8>);

    fn forward(&self, request: Forward) -> LocalBoxFuture<'static, Option<HttpResponse>>;

    fn splice(&self, request: Splice) -> LocalBoxFuture<'static, Result<(), Splice>>;
}

pub(crate) struct SocketIo<H>(pub(crate) Rc<H>);

impl<H: Host> Service for SocketIo<H> {
    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        self.0.on_handshake(handshake)
    }

    fn address(&self, handshake: &Handshake) -> Option<IpAddr> {
        self.0.address(handshake)
    }

    fn start(&self, connection: Rc<Connection>, already_read: Vec<u8>) {
        let namespaces = Namespaces::new(Rc::clone(&self.0), Rc::clone(&connection));
        let tasks = connection.worker().tasks.clone();
        tasks.spawn_local(driver::run(namespaces, connection, already_read));
    }

    fn forward(&self, request: Forward) -> LocalBoxFuture<'static, Option<HttpResponse>> {
        Rc::clone(&self.0).forward(request)
    }

    fn splice(&self, request: Splice) -> LocalBoxFuture<'static, Result<(), Splice>> {
        Rc::clone(&self.0).splice(request)
    }
}

pub(crate) struct EngineIo<E>(pub(crate) Rc<E>);

impl<E: EngineHost> Service for EngineIo<E> {
    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        self.0.on_handshake(handshake)
    }

    fn address(&self, handshake: &Handshake) -> Option<IpAddr> {
        handshake.peer.map(|peer| peer.ip())
    }

    fn start(&self, connection: Rc<Connection>, already_read: Vec<u8>) {
        let bare = Bare::new(Rc::clone(&self.0), Rc::clone(&connection));
        let tasks = connection.worker().tasks.clone();
        tasks.spawn_local(driver::run(bare, connection, already_read));
    }

    fn forward(&self, _: Forward) -> LocalBoxFuture<'static, Option<HttpResponse>> {
        ready(None).boxed_local()
    }

    fn splice(&self, request: Splice) -> LocalBoxFuture<'static, Result<(), Splice>> {
        ready(Err(request)).boxed_local()
    }
}
