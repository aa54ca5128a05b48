//! A server on a free port with an application that records what it is told, steered by a test.
//! Dropped, a server must have given every connection back: what is still open fails the test.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use actix_codec::Framed;
use actix_http::{HttpService, Request, h1};
use actix_server::{Server, ServerHandle};
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Close, Config, ConnectError, ConnectRequest, DisconnectReason, Event, Frame,
    Handshake, Host, Refusal, Socket, SocketKey, Stats, Upgrade, refuse, routes,
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
    DropUpgrade,
}

/// The application: its events are orders, so that a test can steer it from a client.
struct Recorder {
    told: mpsc::Sender<Told>,
    sockets: RefCell<BTreeMap<SocketKey, Socket>>,
}

impl Recorder {
    fn tell(&self, told: Told) {
        // A test that has seen enough has dropped its receiver.
        drop(self.told.send(told));
    }
}

struct TellDropped(mpsc::Sender<Told>);

impl Drop for TellDropped {
    fn drop(&mut self) {
        drop(self.0.send(Told::ConnectDropped));
    }
}

impl Host for Recorder {
    type Session = String;

    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        assert!(handshake.peer.is_some());
        match handshake.headers.get("x-refuse") {
            Some(_) => Err(Refusal::new(http::StatusCode::FORBIDDEN, r#"{"no":true}"#)
                .with_header(http::header::VARY, http::HeaderValue::from_static("Origin"))),
            None => Ok(()),
        }
    }

    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<String>, ConnectError>> {
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
        let answer = if auth.contains("bad") {
            Err(ConnectError::new("no entry").with_data(&serde_json::json!({"code": "BAD"})))
        } else {
            let pid = auth.contains("pid").then(|| "private".to_owned());
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
                session,
                pid,
                id: None,
            })
        };
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed_local()
    }

    fn on_connected(&self, socket: &Socket, session: String) {
        assert!(socket.is_connected());
        self.sockets
            .borrow_mut()
            .insert(socket.key(), socket.clone());
        socket.send(&Frame::event_json("welcome", &session).unwrap());
        self.tell(Told::Connected(socket.namespace().to_owned()));
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
        self.tell(Told::Event(event.name.clone(), text));
        match (event.name.as_str(), event.ack) {
            ("echo", Some(ack)) => ack.send(&args),
            ("echo", None) => socket.send(&Frame::event("echo", &args)),
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
        self.tell(Told::Disconnected(socket.namespace().to_owned(), reason));
        assert!(!socket.is_connected());
        self.sockets.borrow_mut().remove(&socket.key());
    }
}

/// One server of one worker.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    told: mpsc::Receiver<Told>,
    orders: UnboundedSender<Order>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn quick() -> Config {
    Config {
        namespaces: vec!["/".to_owned(), "/discord".to_owned()],
        ..Config::default()
    }
}

impl TestServer {
    pub(crate) fn start(config: Config) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (told_sender, told) = mpsc::channel();
        let (orders, order_receiver) = unbounded_channel();
        let order_receiver = Arc::new(Mutex::new(Some(order_receiver)));
        let (ready_sender, ready) = mpsc::channel();
        let (handle_sender, handles) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let server = Server::build()
                    .workers(1)
                    .disable_signals()
                    .shutdown_timeout(1)
                    .listen("test", listener, move || {
                        let host = Rc::new(Recorder {
                            told: told_sender.clone(),
                            sockets: RefCell::default(),
                        });
                        let upgrade = Rc::new(Upgrade::new(config.clone(), host));
                        let orders = order_receiver.lock().unwrap().take().expect("one worker");
                        ready_sender.send(upgrade.stats()).unwrap();
                        let slot = Rc::new(RefCell::new(Some(upgrade)));
                        actix_rt::spawn(obey(Rc::clone(&slot), orders));
                        service(slot, &config)
                    })
                    .unwrap()
                    .run();
                handle_sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Self {
            address,
            stats: ready.recv_timeout(PATIENCE).unwrap(),
            told,
            orders,
            handle: handles.recv_timeout(PATIENCE).unwrap(),
            thread: Some(thread),
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

impl Drop for TestServer {
    fn drop(&mut self) {
        // The worker drops its upgrade, which closes what a test has left open; then it must be empty.
        drop(self.orders.send(Order::DropUpgrade));
        let deadline = Instant::now() + PATIENCE;
        while self.stats.connections() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self.handle.stop(false));
        let joined = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(joined, Some(Ok(()))), "the server's thread failed");
            assert_eq!(self.stats.connections(), 0, "a connection leaked");
            assert_eq!(self.stats.sockets(), 0, "a socket leaked");
            let closed: u64 = self.stats.closes().map(|(_, count)| count).sum();
            assert_eq!(self.stats.opened(), closed, "a transport has no outcome");
        }
    }
}

type Shared = Rc<RefCell<Option<Rc<Upgrade<Recorder>>>>>;

async fn obey(upgrade: Shared, mut orders: UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        let found = upgrade.borrow().clone();
        match (order, found) {
            (Order::Broadcast(frame), Some(found)) => {
                for socket in found.host().sockets.borrow().values() {
                    socket.send(&frame);
                }
            }
            (Order::CloseAll(close, over), Some(found)) => {
                if over.is_zero() {
                    found.close_all(close).await;
                } else {
                    found.close_all_over(close, over).await;
                }
                found.closed().await;
            }
            (Order::DropUpgrade, found) => {
                drop(found);
                upgrade.take();
            }
            (_, None) => {}
        }
    }
}

fn service(
    upgrade: Shared,
    config: &Config,
) -> impl actix_service::ServiceFactory<
    actix_rt::net::TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> + use<> {
    let app = App::new().configure(routes(config));
    HttpService::build()
        .upgrade(fn_service(
            move |(request, framed): (Request, Framed<actix_rt::net::TcpStream, h1::Codec>)| {
                let upgrade = upgrade.borrow().clone();
                async move {
                    if let Some(upgrade) = upgrade.filter(|upgrade| upgrade.handles(&request)) {
                        return upgrade.serve(request, framed).await;
                    }
                    refuse(framed, Refusal::new(http::StatusCode::NOT_FOUND, "{}")).await
                }
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
