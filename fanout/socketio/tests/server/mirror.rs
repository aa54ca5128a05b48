//! A bare Engine.IO server that echoes each message, with the heartbeat of the protocols' conformance tests.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use actix_socketio::{
    Close, Config, DisconnectReason, EngineHost, EngineSession, Handshake, Message, Refusal, Server,
};
use tokio_tungstenite::tungstenite;

use crate::{
    client::Client,
    harness::{Running, Tellable},
    http::Polling,
};

/// What the application was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Opened,
    Closed(DisconnectReason),
}

struct Mirror(Tellable<Told>);

impl EngineHost for Mirror {
    fn on_handshake(&self, handshake: &Handshake) -> Result<(), Refusal> {
        assert!(handshake.peer.is_some());
        match handshake.headers.get("x-refuse") {
            Some(_) => Err(Refusal::new(http::StatusCode::FORBIDDEN, r#"{"no":true}"#)),
            None => Ok(()),
        }
    }

    fn on_open(&self, _: &EngineSession) {
        self.0.tell(Told::Opened);
    }

    fn on_message(&self, session: &EngineSession, message: Message<'_>) {
        match message {
            Message::Text("close") => session.close(Close::Normal),
            Message::Text("go away") => session.close(Close::GoingAway),
            message => session.send(message),
        }
    }

    fn on_close(&self, session: &EngineSession, reason: DisconnectReason) {
        assert!(!session.is_open());
        self.0.tell(Told::Closed(reason));
    }
}

/// The server.
pub(crate) struct MirrorServer {
    pub(crate) running: Running,
    told: std::sync::mpsc::Receiver<Told>,
}

/// The path of a bare server.
pub(crate) const PATH: &str = "/engine.io/";

/// The settings of the conformance tests.
pub(crate) fn conformance() -> Config {
    Config {
        path: PATH.to_owned(),
        namespaces: Vec::new(),
        allow_eio3: true,
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        max_payload: 1_000_000,
        ..Config::default()
    }
}

impl MirrorServer {
    pub(crate) fn start() -> Self {
        Self::start_with(conformance(), 1)
    }

    pub(crate) fn start_with(config: Config, workers: usize) -> Self {
        let (tellable, told) = Tellable::new();
        let running = Running::start(Server::new(config), workers, move |server| {
            server.engine_endpoint(Rc::new(Mirror(tellable.clone())))
        });
        Self { running, told }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// A session of a revision that polls.
    pub(crate) async fn polling(&self, revision: u8) -> Polling {
        Polling::open(self.address(), PATH, &format!("EIO={revision}")).await
    }

    /// A session of a revision over a WebSocket, its open packet read.
    pub(crate) async fn websocket(&self, revision: u8) -> Client {
        let target = format!("{PATH}?EIO={revision}&transport=websocket");
        let mut client = self.try_websocket(&target).await.unwrap();
        let open = client.text().await;
        assert!(open.starts_with(r#"0{"sid":""#), "{open}");
        client
    }

    pub(crate) async fn try_websocket(&self, target: &str) -> Result<Client, tungstenite::Error> {
        Client::try_open(self.address(), target, &[]).await
    }

    /// Reads what the application was told until a session has ended.
    #[track_caller]
    pub(crate) fn assert_closed(&self, reason: DisconnectReason) {
        loop {
            let told = self.told.recv_timeout(crate::harness::PATIENCE);
            match told.expect("the application was told nothing") {
                Told::Opened => {}
                Told::Closed(seen) => return assert_eq!(seen, reason),
            }
        }
    }
}
