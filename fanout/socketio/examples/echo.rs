//! The servers that the protocols' conformance tests speak to.
//! `cargo run -p actix-socketio --example echo -- --port 3000 --mode socket --ping-interval 300 --ping-timeout 200`
//! It shows what an application of each protocol looks like; `chat.rs` is the smaller example.
//!
//! Mode `engine` is a bare Engine.IO server at `/engine.io/` that echoes each message. Mode `socket` is a Socket.IO server
//! at `/socket.io/` with the namespaces `/` and `/custom`: it emits `auth` with the CONNECT payload, answers `message` by
//! emitting `message-back` and `message-with-ack` by acknowledging, each with the same arguments. Beyond the conformance
//! tests `ask` makes it emit `question`, whose acknowledgement it emits as `answered`; `bye` makes it disconnect the
//! socket, and `drop` close the transport.

use std::{net::Ipv4Addr, rc::Rc, time::Duration};

use actix_cors::Cors;
use actix_http::HttpService;
use actix_server::Server as HttpServer;
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Close, Config, ConnectRequest, EngineHost, EngineSession, Frame, Handlers, Message,
    Namespace, Server,
};
use actix_web::{App, dev::AppConfig};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

#[derive(Clone, Parser)]
struct Arguments {
    /// The port on 127.0.0.1.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Which of the protocols is served.
    #[arg(long, value_enum, default_value_t = Mode::Socket)]
    mode: Mode,
    /// Milliseconds between two pings.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// Milliseconds until a silent client is gone.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// Milliseconds that a client may take to connect to a namespace.
    #[arg(long, default_value_t = 45_000)]
    connect_timeout: u64,
    /// Bytes of one message.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// Whether clients of Engine.IO 3 are let in.
    #[arg(long)]
    eio3: bool,
    /// Threads that serve. The conformance tests send requests at the same moment and expect them to be seen in that
    /// order, which one thread alone can promise.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A bare Engine.IO server.
    Engine,
    /// Socket.IO.
    Socket,
}

/// The bare server's application.
struct Mirror;

impl EngineHost for Mirror {
    fn on_message(&self, session: &EngineSession, message: Message<'_>) {
        session.send(message);
    }
}

/// Between the answer to a CONNECT and `auth`. The conformance tests listen for it only when they have the answer, and
/// what comes with one read they would miss.
const AUTH_PAUSE: Duration = Duration::from_millis(5);

/// The Socket.IO server's application: the same in both namespaces.
fn echo() -> Handlers {
    Handlers::new()
        .namespace("/", namespace())
        .namespace("/custom", namespace())
}

fn namespace() -> Namespace<Box<RawValue>> {
    Namespace::new(async |request| Ok(Accepted::new(payload(&request))))
        .on_connected(|client| {
            let client = client.clone();
            actix_rt::spawn(async move {
                actix_rt::time::sleep(AUTH_PAUSE).await;
                client.send(&Frame::event("auth", &[client.session()]));
            });
        })
        .on("message", async |client, event| {
            client.send(&repeated("message-back", &event.args, event.attachments));
        })
        .on("message-with-ack", async |_, event| {
            if let Some(ack) = event.ack {
                ack.send_binary(&borrowed(&event.args), &event.attachments);
            }
        })
        .on("ask", async |client, event| {
            let question = repeated("question", &event.args, event.attachments);
            // Spawned: the client may well emit something else before it answers.
            actix_rt::spawn(async move {
                if let Ok(reply) = client.ask(&question, Duration::from_secs(10)).await {
                    client.send(&repeated("answered", &reply.args, reply.attachments));
                }
            });
        })
        .on("bye", async |client, _| client.disconnect())
        .on("drop", async |client, _| client.close(Close::Normal))
}

/// What the client sent with its CONNECT. Clients of version 2 have the query of their packet for that.
fn payload(request: &ConnectRequest) -> Box<RawValue> {
    if let Some(auth) = &request.auth {
        return auth.clone();
    }
    let query = request.query.as_deref().unwrap_or_default();
    let pairs: Map<String, Value> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    to_raw_value(&pairs).expect("texts have a JSON form")
}

fn repeated(name: &str, args: &[Box<RawValue>], attachments: Vec<Bytes>) -> Frame {
    Frame::binary_event(name, &borrowed(args), attachments)
}

fn borrowed(args: &[Box<RawValue>]) -> Vec<&RawValue> {
    args.iter().map(AsRef::as_ref).collect()
}

fn config(arguments: &Arguments) -> Config {
    let (path, namespaces) = match arguments.mode {
        Mode::Engine => ("/engine.io/", vec![]),
        Mode::Socket => ("/socket.io/", vec!["/".to_owned(), "/custom".to_owned()]),
    };
    Config {
        path: path.to_owned(),
        namespaces,
        allow_eio3: arguments.eio3,
        ping_interval: Duration::from_millis(arguments.ping_interval),
        ping_timeout: Duration::from_millis(arguments.ping_timeout),
        connect_timeout: Duration::from_millis(arguments.connect_timeout),
        max_payload: arguments.max_payload,
        ..Config::default()
    }
}

#[actix_rt::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let server = Server::new(config(&arguments));
    let address = (Ipv4Addr::LOCALHOST, arguments.port);
    let http = HttpServer::build()
        .workers(arguments.workers)
        .bind("echo", address, move || {
            let endpoint = match arguments.mode {
                Mode::Engine => server.engine_endpoint(Rc::new(Mirror)),
                Mode::Socket => server.endpoint(Rc::new(echo())),
            };
            let app = App::new()
                .wrap(Cors::permissive())
                .configure(endpoint.routes());
            HttpService::build()
                // A client that gives up a poll closes its connection: only so the session can notice.
                .h1_allow_half_closed(false)
                .upgrade(fn_service(move |(request, framed)| {
                    let endpoint = endpoint.clone();
                    async move { endpoint.serve_alone(request, framed).await }
                }))
                .finish(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
    http.run().await
}
