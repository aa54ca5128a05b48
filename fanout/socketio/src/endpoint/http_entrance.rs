//! Requests of long polling, as actix's app hands them over, wherever their session lives.
//! Source: <https://socket.io/docs/v4/engine-io-protocol/#http-long-polling>. It promises that a request which its
//! client gives up is noticed by its session, whose answer waits in a channel.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_LENGTH, ContentType},
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::{Endpoint, Home, handshake};
use crate::{
    connection::{Opening, PollAnswer, Post, PostBody},
    engine::payload::Body,
    host::{Forward, Refusal},
    request::{HandshakeError, Open, Purpose},
    server::Order,
};

/// The type of a body of bytes, which clients of revision 3 send.
const BINARY: &str = "application/octet-stream";

pub(super) fn routes(endpoint: Endpoint) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    move |app| {
        let path = endpoint.config().path.clone();
        let answer = move |request: HttpRequest, body: web::Payload| {
            let endpoint = endpoint.clone();
            async move { endpoint.answer(request, body).await }
        };
        if let Some(bare) = path.strip_suffix('/').filter(|bare| !bare.is_empty()) {
            app.route(bare, web::route().to(answer.clone()));
        }
        app.route(&path, web::route().to(answer));
    }
}

impl Endpoint {
    async fn answer(&self, request: HttpRequest, body: web::Payload) -> HttpResponse {
        let purpose = Purpose::of(
            request.query_string(),
            request.method(),
            false,
            self.config(),
        );
        let (sid, is_post) = match purpose {
            Err(error) => return self.refusal(error),
            Ok(Purpose::Open(open)) => return self.open_polling(&request, open).await,
            Ok(Purpose::Upgrade { .. }) => return self.refusal(HandshakeError::BadRequest),
            Ok(Purpose::Poll { sid }) => (Box::from(sid), false),
            Ok(Purpose::Post { sid }) => (Box::from(sid), true),
        };
        let worker = match self.home_of(&sid) {
            Home::Here(worker) => worker,
            Home::Nowhere => return self.refusal(HandshakeError::SessionUnknown),
            Home::Elsewhere(instance) => {
                let forward = Forward {
                    instance,
                    request,
                    body,
                };
                let forwarded = self.inner.service.forward(forward).await;
                return forwarded.unwrap_or_else(|| self.refusal(HandshakeError::SessionUnknown));
            }
        };
        if is_post {
            self.post(worker, sid, &request, body).await
        } else {
            self.poll(worker, sid).await
        }
    }

    async fn open_polling(&self, request: &HttpRequest, open: Open) -> HttpResponse {
        let head = request.head();
        let handshake = handshake(head.headers.iter(), &head.uri, head.peer_addr);
        let (handshake, place) = match self.admit(handshake) {
            Ok(admitted) => admitted,
            Err(refusal) => return refused(self.refused(refusal)),
        };
        let connection = self.open(Opening::of(open, handshake, place), Vec::new());
        let (answer, opened) = oneshot::channel();
        connection.on_poll(answer);
        self.polled(opened).await
    }

    async fn poll(&self, worker: usize, sid: Box<str>) -> HttpResponse {
        let (answer, polled) = oneshot::channel();
        // A worker that is not there drops the channel, which says so.
        self.worker().order(worker, Order::Poll(sid, answer));
        self.polled(polled).await
    }

    async fn polled(&self, answer: oneshot::Receiver<PollAnswer>) -> HttpResponse {
        match answer.await.unwrap_or(Err(HandshakeError::SessionUnknown)) {
            Ok(Body::Text(text)) => ok().content_type(ContentType::plaintext()).body(text),
            Ok(Body::Binary(bytes)) => ok().content_type(BINARY).body(bytes),
            Err(error) => self.refusal(error),
        }
    }

    async fn post(
        &self,
        worker: usize,
        sid: Box<str>,
        request: &HttpRequest,
        body: web::Payload,
    ) -> HttpResponse {
        let (mut sender, receiver) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let (claim, claimed) = oneshot::channel();
        let post = Post {
            body: receiver,
            answer,
        };
        self.worker().order(worker, Order::Post(sid, post, claim));
        let bytes_max = match claimed.await.unwrap_or(Err(HandshakeError::SessionUnknown)) {
            Ok(bytes_max) => bytes_max,
            Err(error) => return self.refusal(error),
        };
        let is_binary = request.content_type().eq_ignore_ascii_case(BINARY);
        // A body that does not come ends with its session, whose heartbeat runs on.
        let read = tokio::select! {
            read = read(request, body, bytes_max) => read,
            () = sender.closed() => return self.refusal(HandshakeError::SessionUnknown),
        };
        let body = match read {
            Ok(bytes) => PostBody::Received { bytes, is_binary },
            Err(Unread::TooBig) => PostBody::TooBig,
            Err(Unread::Broken) => return self.refusal(HandshakeError::BadRequest),
        };
        if sender.send(body).is_err() {
            return self.refusal(HandshakeError::SessionUnknown);
        }
        match answered
            .await
            .unwrap_or(Err(HandshakeError::SessionUnknown))
        {
            Ok(()) => ok().content_type("text/html").body("ok"),
            Err(error) => self.refusal(error),
        }
    }

    fn refusal(&self, error: HandshakeError) -> HttpResponse {
        refused(self.refused(error.refusal()))
    }
}

/// Why a body was not read.
enum Unread {
    TooBig,
    Broken,
}

async fn read(
    request: &HttpRequest,
    mut body: web::Payload,
    bytes_max: usize,
) -> Result<Bytes, Unread> {
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|l| l > bytes_max)) {
        return Err(Unread::TooBig);
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(Unread::TooBig);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// No cache may answer for this server.
fn ok() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

fn refused(refusal: Refusal) -> HttpResponse {
    let mut response = HttpResponse::build(refusal.status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    for header in refusal.headers {
        response.append_header(header);
    }
    response
        .content_type(ContentType::json())
        .body(refusal.body)
}
