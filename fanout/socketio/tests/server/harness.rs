//! A server on a free port with an application that records what it is told, steered by a test.
//! Dropped, a server must have given every connection back: what is still open fails the test.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use actix_codec::Framed;
use actix_http::{HttpService, Request, h1};
use actix_server::{Server as HttpServer, ServerHandle};
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Close, Config, ConnectError, ConnectRequest, DisconnectReason, Endpoint, Event,
    Frame, Handshake, Host, Refusal, Server, Socket, SocketKey, Stats,
};
use actix_web::{App, dev::AppConfig};
use futures_util::future::{FutureExt, LocalBoxFuture, pending};
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::client::Client;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the application was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Connected(String),
    Event(String, String),
    Disconnected(String, DisconnectReason),
    ConnectDropped,
}

/// What a test asks of the worker.
pub(crate) enum Order {
    Broadcast(Frame),
    CloseAll(Close, Duration),
    Stop,
}

/// The application: its events are orders, so that a test can steer it from a client.
struct Recorder {
    told: Tellable<Told>,
    sockets: RefCell<BTreeMap<SocketKey, Socket>>,
}

struct TellDropped(Tellable<Told>);

impl Drop for TellDropped {
    fn drop(&mut self) {
        self.0.tell(Told::ConnectDropped);
    }
}

impl Host for Recorder {
    type Session = (String, Option<u64>);

    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        assert!(handshake.peer.is_some());
        match handshake.headers.get("x-refuse") {
            Some(_) => Err(Refusal::new(http::StatusCode::FORBIDDEN, r#"{"no":true}"#)
                .with_header(http::header::VARY, http::HeaderValue::from_static("Origin"))),
            None => Ok(()),
        }
    }

    fn address(&self, handshake: &Handshake) -> Option<IpAddr> {
        match handshake.headers.get("x-address") {
            Some(address) => address.to_str().unwrap().parse().ok(),
            None => handshake.peer.map(|peer| peer.ip()),
        }
    }

    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<Self::Session>, ConnectError>> {
        let auth = request
            .auth
            .map_or_else(String::new, |auth| auth.get().to_owned());
        if auth.contains("never") {
            let guard = TellDropped(self.told.clone());
            return async move {
                let answer = pending().await;
                drop(guard);
                answer
            }
            .boxed_local();
        }
        let no_entry = request.handshake.headers.get("x-no-entry");
        let is_barred = no_entry.is_some_and(|who| who != "implicit" || request.is_implicit);
        let answer = if auth.contains("bad") || is_barred {
            Err(ConnectError::new("no entry").with_data(&serde_json::json!({"code": "BAD"})))
        } else {
            assert_eq!(request.id.len(), 20);
            let pid = auth.contains("pid").then(|| "private".to_owned());
            let recovery = request
                .recovery
                .filter(|recovery| recovery.pid == "private");
            let offset = recovery.and_then(|recovery| recovery.offset?.parse().ok());
            let headers = &request.handshake.headers;
            let seen = |name: &str| {
                headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let session = format!(
                "{} {:?} {:?} {:?}",
                request.namespace,
                request.query,
                seen("authorization"),
                seen("x-unkept")
            );
            Ok(Accepted {
                session: (session, offset),
                pid,
                id: offset.map(|_: u64| "restored".to_owned()),
            })
        };
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed_local()
    }

    fn on_connected(&self, socket: &Socket, (session, offset): Self::Session) {
        assert!(socket.is_connected());
        if let Some(offset) = offset {
            socket.replay((offset + 1..=offset + 3).map(missed));
        }
        self.sockets
            .borrow_mut()
            .insert(socket.key(), socket.clone());
        socket.send(&Frame::event_json("welcome", &session).unwrap());
        self.told
            .tell(Told::Connected(socket.namespace().to_owned()));
    }

    fn on_event(&self, socket: &Socket, event: Event) {
        // Borrowed during every call on a socket: a host that is called back from inside would fail here.
        let _sockets = self.sockets.borrow_mut();
        let args: Vec<&RawValue> = event.args.iter().map(AsRef::as_ref).collect();
        let text = args
            .iter()
            .map(|arg| arg.get())
            .collect::<Vec<_>>()
            .join(" ");
        self.told.tell(Told::Event(event.name.clone(), text));
        match (event.name.as_str(), event.ack) {
            ("echo", Some(ack)) => ack.send_binary(&args, &event.attachments),
            ("echo", None) => {
                socket.send(&Frame::binary_event("echo", &args, event.attachments));
            }
            ("ask", _) => {
                let question = Frame::binary_event("question", &args, event.attachments);
                actix_rt::spawn(ask(socket.clone(), question, PATIENCE));
            }
            ("ask late", _) => {
                let patience = Duration::from_millis(50);
                actix_rt::spawn(ask(socket.clone(), Frame::event("question", &[]), patience));
            }
            ("join", _) => socket.join("room").unwrap(),
            ("part", _) => socket.leave("room"),
            ("shout", _) => {
                // More than may be pending at a time, with words to this socket alone between.
                for number in 0..30 {
                    let all = Frame::event_json("all", &(number, "x".repeat(100_000))).unwrap();
                    socket.broadcast_local(Some("room"), &all);
                    socket.send(&Frame::event_json("alone", &number).unwrap());
                }
            }
            ("join many", Some(ack)) => {
                let rooms = (0..100).map(|number| socket.join(&number.to_string()));
                let joined = rooms.flatten().count();
                ack.send_json(&(joined, socket.rooms().len())).unwrap();
            }
            ("replay", _) => {
                // A hundred times what the queue holds in these tests; what is sent afterwards follows it.
                let frame = |number: u32| Frame::event_json("past", &(number, "x".repeat(10_000)));
                socket.replay((0..1_000).map(|number| frame(number).unwrap()));
                socket.send(&Frame::event("present", &[]));
            }
            ("json", Some(ack)) => ack.send_json(&serde_json::json!({"ok": true})).unwrap(),
            ("leave", _) => {
                socket.disconnect();
                socket.disconnect();
                socket.send(&Frame::event("after", &[]));
                assert!(!socket.is_connected());
            }
            ("close", _) => {
                socket.send(&Frame::event("last", &[]));
                socket.close(Close::Policy);
                socket.close(Close::TooSlow);
                socket.send(&Frame::event("after", &[]));
                assert!(!socket.is_connected());
            }
            ("panic", _) => panic!("a host that fails"),
            _ => {}
        }
    }

    fn on_disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        // Told in any case, so that a test sees a socket that ends twice.
        self.told
            .tell(Told::Disconnected(socket.namespace().to_owned(), reason));
        assert!(!socket.is_connected());
        self.sockets.borrow_mut().remove(&socket.key());
    }
}

/// An event whose offset is its last argument.
fn missed(number: u64) -> Frame {
    let raw = |value| serde_json::value::to_raw_value(&value).unwrap();
    let (number, offset) = (
        raw(number.into()),
        raw(serde_json::json!(number.to_string())),
    );
    Frame::event("missed", &[&number, &offset])
}

async fn ask(socket: Socket, question: Frame, patience: Duration) {
    let frame = match socket.ask(&question, patience).await {
        Ok(reply) => {
            let args: Vec<&RawValue> = reply.args.iter().map(AsRef::as_ref).collect();
            Frame::binary_event("answered", &args, reply.attachments)
        }
        Err(error) => Frame::event_json("unanswered", &error.to_string()).unwrap(),
    };
    socket.send(&frame);
}

/// One server of one worker.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    told: mpsc::Receiver<Told>,
    orders: UnboundedSender<Order>,
    pub(crate) running: Running,
}

pub(crate) fn quick() -> Config {
    let mut handshake_headers = Config::default().handshake_headers;
    handshake_headers.push(http::HeaderName::from_static("x-no-entry"));
    Config {
        namespaces: vec!["/".to_owned(), "/discord".to_owned()],
        handshake_headers,
        ..Config::default()
    }
}

impl TestServer {
    pub(crate) fn start(config: Config) -> Self {
        let (tellable, told) = Tellable::new();
        let (orders, order_receiver) = unbounded_channel();
        let order_receiver = Arc::new(Mutex::new(Some(order_receiver)));
        let running = Running::start(Server::new(config), 1, move |server| {
            let host = Rc::new(Recorder {
                told: tellable.clone(),
                sockets: RefCell::default(),
            });
            let endpoint = server.endpoint(Rc::clone(&host));
            let orders = order_receiver.lock().unwrap().take().expect("one worker");
            actix_rt::spawn(obey(endpoint.clone(), host, orders));
            endpoint
        });
        Self {
            address: running.address,
            stats: running.stats[0].clone(),
            told,
            orders,
            running,
        }
    }

    /// The next thing that the application was told.
    #[track_caller]
    pub(crate) fn told(&self) -> Told {
        self.told
            .recv_timeout(PATIENCE)
            .expect("the application was told nothing")
    }

    #[track_caller]
    pub(crate) fn assert_disconnected(&self, reason: DisconnectReason) {
        loop {
            match self.told() {
                Told::Disconnected(_, seen) => return assert_eq!(seen, reason),
                Told::Connected(_) | Told::Event(..) | Told::ConnectDropped => {}
            }
        }
    }

    /// Whether the application was told nothing more until now.
    pub(crate) fn is_quiet(&self) -> bool {
        self.told.try_recv().is_err()
    }

    pub(crate) fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the worker is gone");
    }

    /// Waits until no transport is open.
    pub(crate) async fn until_empty(&self) {
        eventually("every transport is closed", || {
            self.stats.connections() == 0
        })
        .await;
    }

    pub(crate) fn closes(&self, label: &str) -> u64 {
        self.stats
            .closes()
            .find(|(known, _)| *known == label)
            .unwrap()
            .1
    }

    pub(crate) async fn client(&self) -> Client {
        Client::open(self.address, &[]).await
    }

    /// A client whose namespace is connected.
    pub(crate) async fn connected(&self, namespace: &str) -> Client {
        let mut client = self.client().await;
        client.connect(namespace).await;
        client
    }
}

/// Where an application writes what it is told, from whichever worker.
pub(crate) struct Tellable<T>(mpsc::Sender<T>);

impl<T> Tellable<T> {
    pub(crate) fn new() -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    pub(crate) fn tell(&self, told: T) {
        // A test that has seen enough has dropped its receiver.
        drop(self.0.send(told));
    }
}

impl<T> Clone for Tellable<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A server's threads. Dropped, they must have given every connection back.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) server: Server,
    stop: Arc<tokio::sync::Notify>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(
        server: Server,
        workers: usize,
        endpoint: impl Fn(&Server) -> Endpoint + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (ready_sender, ready) = mpsc::channel();
        let (handle_sender, handles) = mpsc::channel();
        let (own, stop) = (server.clone(), Arc::new(tokio::sync::Notify::new()));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let http = HttpServer::build()
                    .workers(workers)
                    .disable_signals()
                    .shutdown_timeout(1)
                    .listen("test", listener, move || {
                        let endpoint = endpoint(&server);
                        ready_sender.send(endpoint.stats()).unwrap();
                        let (stopped, stopping) = (stopped.clone(), endpoint.clone());
                        actix_rt::spawn(async move {
                            stopped.notified().await;
                            stopping.stop();
                        });
                        service(endpoint)
                    })
                    .unwrap()
                    .run();
                handle_sender.send(http.handle()).unwrap();
                http.await.unwrap();
            });
        });
        let stats = (0..workers).map(|_| ready.recv_timeout(PATIENCE).unwrap());
        Self {
            address,
            stats: stats.collect(),
            server: own,
            stop,
            handle: handles.recv_timeout(PATIENCE).unwrap(),
            thread: Some(thread),
        }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.stats.iter().map(|stats| stats.connections()).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Every worker closes what a test has left open; then it must be empty.
        let deadline = Instant::now() + PATIENCE;
        while self.connections() > 0 && Instant::now() < deadline {
            self.stop.notify_waiters();
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self.handle.stop(false));
        let joined = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(joined, Some(Ok(()))), "the server's thread failed");
            assert_eq!(self.server.connections(), 0, "a place leaked");
            for stats in &self.stats {
                assert_eq!(stats.connections(), 0, "a connection leaked");
                assert_eq!(stats.sockets(), 0, "a socket leaked");
                assert_eq!(stats.polling(), 0, "a session that polls leaked");
                let closed: u64 = stats.closes().map(|(_, count)| count).sum();
                assert_eq!(stats.opened(), closed, "a transport has no outcome");
            }
        }
    }
}

async fn obey(endpoint: Endpoint, host: Rc<Recorder>, mut orders: UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Broadcast(frame) => {
                for socket in host.sockets.borrow().values() {
                    socket.send(&frame);
                }
            }
            Order::CloseAll(close, over) => {
                if over.is_zero() {
                    endpoint.close_all(close).await;
                } else {
                    endpoint.close_all_over(close, over).await;
                }
                endpoint.closed().await;
            }
            Order::Stop => endpoint.stop(),
        }
    }
}

fn service(
    endpoint: Endpoint,
) -> impl actix_service::ServiceFactory<
    actix_rt::net::TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> + use<> {
    let app = App::new().configure(endpoint.routes());
    HttpService::build()
        .h1_allow_half_closed(false)
        .upgrade(fn_service(
            move |(request, framed): (Request, Framed<actix_rt::net::TcpStream, h1::Codec>)| {
                let endpoint = endpoint.clone();
                async move { endpoint.serve_alone(request, framed).await }
            },
        ))
        .finish(map_config(app, |()| AppConfig::default()))
        .tcp()
}

/// Looks again and again until it is true.
pub(crate) async fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
