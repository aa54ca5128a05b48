//! A chat of one room, on `ws://127.0.0.1:3000/socket.io/`: `cargo run -p actix-socketio --example chat`.

use std::rc::Rc;

use actix_cors::Cors;
use actix_http::HttpService;
use actix_server::Server as HttpServer;
use actix_service::{fn_service, map_config};
use actix_socketio::{
    Accepted, Config, ConnectError, ConnectRequest, Frame, Handlers, Namespace, Server,
};
use actix_web::{App, dev::AppConfig};
use serde::Deserialize;

/// What clients send with their CONNECT: `io(url, { auth: { name: "Ada" } })`.
#[derive(Deserialize)]
struct User {
    name: String,
}

async fn authenticate(request: Rc<ConnectRequest>) -> Result<Accepted<User>, ConnectError> {
    let auth = request.auth.as_ref();
    let user = auth.and_then(|auth| serde_json::from_str::<User>(auth.get()).ok());
    user.map(Accepted::new)
        .ok_or_else(|| ConnectError::new("who are you?"))
}

/// The handlers of one worker: `socket.emit("say", text)` tells everybody `said`, and is acknowledged.
fn chat(server: Server) -> Handlers {
    let chat = Namespace::new(authenticate)
        .on_connected(|client| tracing::info!("{} is here", client.session().name))
        .on("say", async move |client, event| {
            let name = serde_json::value::to_raw_value(&client.session().name);
            if let (Ok(name), [text, ..]) = (name, &*event.args) {
                let said = Frame::event("said", &[&name, text]);
                let told = server.broadcast("/", None, &said).is_ok();
                if let Some(ack) = event.ack {
                    ack.send_json(&told).expect("a boolean has a JSON form");
                }
            }
        })
        .on_disconnected(|client, _| tracing::info!("{} is gone", client.session().name));
    Handlers::new().namespace("/", chat)
}

#[actix_rt::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let server = Server::new(Config {
        namespaces: vec!["/".to_owned()],
        ..Config::default()
    });
    // One of these runs on each worker thread.
    let service = move || {
        let endpoint = server.endpoint(Rc::new(chat(server.clone())));
        let app = App::new()
            .wrap(Cors::permissive())
            .configure(endpoint.routes());
        HttpService::build()
            .h1_allow_half_closed(false)
            .upgrade(fn_service(move |(request, framed)| {
                let endpoint = endpoint.clone();
                async move { endpoint.serve_alone(request, framed).await }
            }))
            .finish(map_config(app, |()| AppConfig::default()))
            .tcp()
    };
    HttpServer::build()
        .bind("chat", ("127.0.0.1", port.unwrap_or(3000)), service)?
        .run()
        .await
}
