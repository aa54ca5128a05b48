//! A host made of closures: what a namespace asks of who comes, and what it does with each event, registered one by one.
//! It promises that the events of one socket are handled one after the other, in their order, and that no more of them
//! wait than a socket's queue may hold. `live.rs` has what a connected socket is to it.

mod live;

use std::{cell::RefCell, collections::HashMap, fmt, ops::Deref, rc::Rc};

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::{
    close::DisconnectReason,
    host::{Accepted, ConnectError, ConnectRequest, Event, Handshake, Host, Refusal},
    socket::{Socket, SocketKey},
};
use live::{Admit, Admitted, Live};

/// A connected socket and what its namespace's authentication made of it. Cheap to clone.
pub struct Client<S> {
    socket: Socket,
    session: Rc<S>,
}

impl<S> Client<S> {
    /// What the authentication gave.
    pub fn session(&self) -> &S {
        &self.session
    }
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self {
            socket: self.socket.clone(),
            session: Rc::clone(&self.session),
        }
    }
}

impl<S> Deref for Client<S> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

/// The socket alone: a session may hold secrets.
impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(out)
    }
}

type Guard = Box<dyn Fn(Rc<ConnectRequest>) -> LocalBoxFuture<'static, Result<(), ConnectError>>>;
type Authentication<S> =
    Box<dyn Fn(Rc<ConnectRequest>) -> LocalBoxFuture<'static, Result<Accepted<S>, ConnectError>>>;
type Filter<S> = Box<dyn Fn(Client<S>, Event) -> LocalBoxFuture<'static, Option<Event>>>;
type Handler<S> = Box<dyn Fn(Client<S>, Event) -> LocalBoxFuture<'static, ()>>;

type OnConnected<S> = Box<dyn Fn(&Client<S>)>;
type OnDisconnected<S> = Box<dyn Fn(&Client<S>, DisconnectReason)>;
type OnHandshake = Box<dyn Fn(&Handshake) -> Result<(), Refusal>>;

/// The handlers of one namespace, whose sockets each have a session `S`.
pub struct Namespace<S> {
    guards: Vec<Guard>,
    authentication: Authentication<S>,
    filters: Vec<Filter<S>>,
    handlers: HashMap<String, Handler<S>>,
    others: Option<Handler<S>>,
    connected: Option<OnConnected<S>>,
    disconnected: Option<OnDisconnected<S>>,
}

impl<S: 'static> Namespace<S> {
    /// A namespace whose sockets are authenticated like this: a refusal is the client's `connect_error`, and the transport
    /// stays open. It is dropped when the client leaves or [`Config::connect_timeout`](crate::Config::connect_timeout)
    /// ends first.
    pub fn new<F>(authentication: F) -> Self
    where
        F: AsyncFn(Rc<ConnectRequest>) -> Result<Accepted<S>, ConnectError> + 'static,
    {
        let authentication = Rc::new(authentication);
        Self {
            guards: Vec::new(),
            authentication: Box::new(move |request| {
                let authentication = Rc::clone(&authentication);
                async move { authentication(request).await }.boxed_local()
            }),
            filters: Vec::new(),
            handlers: HashMap::new(),
            others: None,
            connected: None,
            disconnected: None,
        }
    }

    /// Asks this too before the authentication, after the guards that were added before. The first that refuses ends it.
    #[must_use]
    pub fn guard<F>(mut self, guard: F) -> Self
    where
        F: AsyncFn(Rc<ConnectRequest>) -> Result<(), ConnectError> + 'static,
    {
        let guard = Rc::new(guard);
        self.guards.push(Box::new(move |request| {
            let guard = Rc::clone(&guard);
            async move { guard(request).await }.boxed_local()
        }));
        self
    }

    /// Lets each event go through this before its handler, after the filters that were added before: as it is, changed,
    /// or not at all.
    #[must_use]
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: AsyncFn(Client<S>, Event) -> Option<Event> + 'static,
    {
        let filter = Rc::new(filter);
        self.filters.push(Box::new(move |client, event| {
            let filter = Rc::clone(&filter);
            async move { filter(client, event).await }.boxed_local()
        }));
        self
    }

    /// Handles the events of a name. The next event of the same socket waits until the handler is done; what may take
    /// long is better spawned. A handler that has begun goes on when its socket ends; events that wait are dropped.
    #[must_use]
    pub fn on<F>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: AsyncFn(Client<S>, Event) + 'static,
    {
        self.handlers.insert(name.into(), boxed(handler));
        self
    }

    /// Handles the events of all names without a handler of their own, which are ignored otherwise.
    #[must_use]
    pub fn on_others<F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(Client<S>, Event) + 'static,
    {
        self.others = Some(boxed(handler));
        self
    }

    /// Does this when a socket is connected: what is sent here is the first that the client gets.
    #[must_use]
    pub fn on_connected(mut self, connected: impl Fn(&Client<S>) + 'static) -> Self {
        self.connected = Some(Box::new(connected));
        self
    }

    /// Does this when a socket has ended, once for each that was connected.
    #[must_use]
    pub fn on_disconnected(
        mut self,
        disconnected: impl Fn(&Client<S>, DisconnectReason) + 'static,
    ) -> Self {
        self.disconnected = Some(Box::new(disconnected));
        self
    }

    async fn handle(&self, client: &Client<S>, mut event: Event) {
        for filter in &self.filters {
            match filter(client.clone(), event).await {
                Some(passed) => event = passed,
                None => return,
            }
        }
        let handler = self.handlers.get(&event.name).or(self.others.as_ref());
        if let Some(handler) = handler {
            handler(client.clone(), event).await;
        }
    }
}

impl<S> fmt::Debug for Namespace<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Namespace")
            .field("events", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}

fn boxed<S: 'static>(handler: impl AsyncFn(Client<S>, Event) + 'static) -> Handler<S> {
    let handler = Rc::new(handler);
    Box::new(move |client, event| {
        let handler = Rc::clone(&handler);
        async move { handler(client, event).await }.boxed_local()
    })
}

/// A [`Host`] made of the handlers of each namespace, on one worker thread.
///
/// It is enough for most applications; one that passes sessions between instances, or wants every event without a
/// detour, is a [`Host`] itself. A handler that panics closes the transport that it was called for, and no other.
#[derive(Default)]
pub struct Handlers {
    namespaces: HashMap<String, Box<dyn Gate>>,
    handshake: Option<OnHandshake>,
    live: RefCell<HashMap<SocketKey, Rc<dyn Live>>>,
}

impl Handlers {
    /// No handlers yet: every CONNECT is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a namespace, which has to be one of [`Config::namespaces`](crate::Config::namespaces).
    #[must_use]
    pub fn namespace<S: 'static>(
        mut self,
        name: impl Into<String>,
        namespace: Namespace<S>,
    ) -> Self {
        let namespace = Rc::new(namespace);
        self.namespaces.insert(name.into(), Box::new(namespace));
        self
    }

    /// Looks at each handshake (origin, address) before it is answered.
    #[must_use]
    pub fn on_handshake(
        mut self,
        handshake: impl Fn(&Handshake) -> Result<(), Refusal> + 'static,
    ) -> Self {
        self.handshake = Some(Box::new(handshake));
        self
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Handlers")
            .field("namespaces", &self.namespaces.keys())
            .finish_non_exhaustive()
    }
}

/// Who has passed the authentication of some namespace, until the socket is there.
pub struct Coming(Box<dyn Admit>);

impl fmt::Debug for Coming {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Coming").finish_non_exhaustive()
    }
}

type Answer = Result<Accepted<Coming>, ConnectError>;

/// A namespace, whatever its sessions are.
trait Gate {
    fn connect(&self, request: ConnectRequest) -> LocalBoxFuture<'static, Answer>;
}

impl<S: 'static> Gate for Rc<Namespace<S>> {
    fn connect(&self, request: ConnectRequest) -> LocalBoxFuture<'static, Answer> {
        let namespace = Rc::clone(self);
        async move {
            let request = Rc::new(request);
            for guard in &namespace.guards {
                guard(Rc::clone(&request)).await?;
            }
            let accepted = (namespace.authentication)(request).await?;
            Ok(Accepted {
                session: Coming(Box::new(Admitted {
                    namespace,
                    session: accepted.session,
                })),
                pid: accepted.pid,
                id: accepted.id,
            })
        }
        .boxed_local()
    }
}

impl Host for Handlers {
    type Session = Coming;

    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        self.handshake
            .as_ref()
            .map_or(Ok(()), |look| look(handshake))
    }

    fn connect(self: Rc<Self>, request: ConnectRequest) -> LocalBoxFuture<'static, Answer> {
        match self.namespaces.get(&request.namespace) {
            Some(gate) => gate.connect(request),
            None => async { Err(ConnectError::new("Invalid namespace")) }.boxed_local(),
        }
    }

    fn on_connected(&self, socket: &Socket, Coming(admitted): Coming) {
        let live = admitted.live(socket);
        self.live
            .borrow_mut()
            .insert(socket.key(), Rc::clone(&live));
        live.on_connected();
    }

    fn on_event(&self, socket: &Socket, event: Event) {
        let live = self.live.borrow().get(&socket.key()).cloned();
        if let Some(live) = live {
            live.on_event(event);
        }
    }

    fn on_disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        let live = self.live.borrow_mut().remove(&socket.key());
        if let Some(live) = live {
            live.on_disconnected(reason);
        }
    }
}
