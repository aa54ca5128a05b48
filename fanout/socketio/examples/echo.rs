//! The server that the protocol's conformance tests speak to: `/` and `/custom`, greeting, echo and acknowledgement.
//! `cargo run -p actix-socketio --example echo -- --port 3000 --mode socket`
//! It shows how the parts are composed, and that an application is one `Host`.

use std::{net::Ipv4Addr, rc::Rc, time::Duration};

use actix_codec::Framed;
use actix_http::{HttpService, Request, h1};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Config, ConnectError, ConnectRequest, DisconnectReason, Event, Frame, Handshake,
    Host, Refusal, Socket, Upgrade, refuse, routes,
};
use actix_web::{App, dev::AppConfig};
use clap::{Parser, ValueEnum};
use futures_util::future::{FutureExt, LocalBoxFuture, ready};
use http::StatusCode;
use serde_json::value::RawValue;

#[derive(Parser)]
struct Arguments {
    /// The port on 127.0.0.1.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Which of the protocols is served.
    #[arg(long, value_enum, default_value_t = Mode::Socket)]
    mode: Mode,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Socket.IO.
    Socket,
}

struct Echo;

impl Host for Echo {
    type Session = Box<RawValue>;

    fn on_handshake(&self, _: &Handshake) -> Result<(), Refusal> {
        Ok(())
    }

    fn connect(
        self: Rc<Self>,
        request: ConnectRequest,
    ) -> LocalBoxFuture<'static, Result<Accepted<Self::Session>, ConnectError>> {
        let empty = || serde_json::from_str("{}").expect("an empty object is JSON");
        ready(Ok(Accepted::new(request.auth.unwrap_or_else(empty)))).boxed_local()
    }

    fn on_connected(&self, socket: &Socket, auth: Self::Session) {
        socket.send(&Frame::event("auth", &[&auth]));
    }

    fn on_event(&self, socket: &Socket, event: Event) {
        let args: Vec<&RawValue> = event.args.iter().map(AsRef::as_ref).collect();
        match (event.name.as_str(), event.ack) {
            ("message", _) => socket.send(&Frame::event("message-back", &args)),
            ("message-with-ack", Some(ack)) => ack.send(&args),
            _ => {}
        }
    }

    fn on_disconnected(&self, _: &Socket, _: DisconnectReason) {}
}

fn config(mode: Mode) -> Config {
    match mode {
        // The tests wait for pings and for closed transports: short times keep them quick.
        Mode::Socket => Config {
            namespaces: vec!["/".to_owned(), "/custom".to_owned()],
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            connect_timeout: Duration::from_secs(1),
            max_payload: 1_000_000,
            ..Config::default()
        },
    }
}

#[actix_rt::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let config = config(arguments.mode);
    let server =
        Server::build().bind("echo", (Ipv4Addr::LOCALHOST, arguments.port), move || {
            let upgrade = Rc::new(Upgrade::new(config.clone(), Rc::new(Echo)));
            let app = App::new().configure(routes(&config));
            HttpService::build()
                .upgrade(fn_service(
                    move |(request, framed): (Request, Framed<TcpStream, h1::Codec>)| {
                        let upgrade = Rc::clone(&upgrade);
                        async move {
                            if !upgrade.handles(&request) {
                                return refuse(framed, Refusal::new(StatusCode::NOT_FOUND, "{}"))
                                    .await;
                            }
                            upgrade.serve(request, framed).await
                        }
                    },
                ))
                .finish(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
    server.run().await
}
