//! The server that the load generator measures: one worker, one room with every socket in it.
//! `cargo run --release -p actix-socketio --example broadcast -- --port 3000`
//! The event `broadcast` has `count` events `message` sent to all in one turn; `stats` is acknowledged with the counters.

use std::{cell::OnceCell, collections::BTreeMap, net::Ipv4Addr, rc::Rc, sync::Arc};

use actix_http::HttpService;
use actix_server::Server as HttpServer;
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Ack, Config, ConnectError, ConnectRequest, DisconnectReason, Endpoint, Event, Frame,
    Handshake, Host, Refusal, Server, Socket, Stats,
};
use actix_web::{App, dev::AppConfig};
use clap::Parser;
use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

#[derive(Parser)]
struct Arguments {
    /// The port on 127.0.0.1.
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

/// What a client orders.
#[derive(Deserialize)]
struct Broadcast {
    /// How many messages.
    count: u64,
    /// The length of each.
    bytes: usize,
    /// The number that the first of them begins with.
    first: u64,
}

impl Broadcast {
    /// The messages: each its number in ten digits, and as many `x` as make up the length.
    fn frames(&self) -> impl Iterator<Item = Frame> {
        (self.first..self.first + self.count).filter_map(|number| {
            let filling = self.bytes.saturating_sub(10);
            let payload = format!("{number:010}{}", "x".repeat(filling));
            Frame::event_json("message", &payload).ok()
        })
    }
}

/// The room that everybody is in.
const ROOM: &str = "everybody";

struct Room {
    server: Server,
    stats: OnceCell<Arc<Stats>>,
}

impl Room {
    fn broadcast(&self, args: &[Box<RawValue>]) {
        let order = args.first().map(|arg| serde_json::from_str(arg.get()));
        let Some(Ok(order)) = order else { return };
        let order: Broadcast = order;
        for frame in order.frames() {
            let told = self.server.broadcast("/", Some(ROOM), &frame);
            told.expect("an order is far smaller than what may wait for a worker");
        }
    }

    fn tell_stats(&self, ack: Ack) {
        let Some(stats) = self.stats.get() else {
            return;
        };
        let closes: BTreeMap<&str, u64> = stats.closes().collect();
        let counters = json!({
            "opened": stats.opened(),
            "connections": stats.connections(),
            "sockets": stats.sockets(),
            "refused": stats.refused(),
            "events": stats.events(),
            "frames": stats.frames(),
            "bytes": stats.bytes(),
            "closes": closes,
        });
        ack.send_json(&counters)
            .expect("texts and numbers have a JSON form");
    }
}

impl Host for Room {
    type Session = ();

    fn on_handshake(&self, _: &Handshake) -> Result<(), Refusal> {
        Ok(())
    }

    fn connect(
        self: Rc<Self>,
        _: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<()>, ConnectError>> {
        ready(Ok(Accepted::new(()))).boxed_local()
    }

    fn on_connected(&self, socket: &Socket, (): ()) {
        socket.join(ROOM).expect("it is the only room");
    }

    fn on_event(&self, _: &Socket, event: Event) {
        match (event.name.as_str(), event.ack) {
            ("broadcast", _) => self.broadcast(&event.args),
            ("stats", Some(ack)) => self.tell_stats(ack),
            _ => {}
        }
    }

    fn on_disconnected(&self, _: &Socket, _: DisconnectReason) {}
}

/// The defaults: a ping every 25 s, its pong within a minute.
fn config() -> Config {
    Config {
        namespaces: vec!["/".to_owned()],
        ..Config::default()
    }
}

fn endpoint(server: &Server) -> Endpoint {
    let room = Rc::new(Room {
        server: server.clone(),
        stats: OnceCell::new(),
    });
    let endpoint = server.endpoint(Rc::clone(&room));
    room.stats.get_or_init(|| endpoint.stats());
    endpoint
}

#[actix_rt::main]
async fn main() -> std::io::Result<()> {
    let Arguments { port } = Arguments::parse();
    let server = Server::new(config());
    let address = (Ipv4Addr::LOCALHOST, port);
    let http = HttpServer::build()
        .workers(1)
        .bind("broadcast", address, move || {
            let endpoint = endpoint(&server);
            let app = App::new().configure(endpoint.routes());
            HttpService::build()
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
