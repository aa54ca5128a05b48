//! WebSocket handshakes, as actix's upgrade service hands them over with their streams.
//! It promises that a stream is handed over whole, with the bytes that actix has read already, and that nothing of
//! actix stays behind: its buffers are most of what a quiet connection would cost.

use std::rc::Rc;

use actix_codec::Framed;
use actix_http::{Request, Response, body::BodySize, h1, ws};
use actix_rt::net::TcpStream;
use bytes::Bytes;
use futures_util::SinkExt;
use http::{StatusCode, header};
use tokio::{
    sync::oneshot,
    time::{Duration, sleep, timeout},
};

use super::{Endpoint, Home, handshake};
use crate::{
    connection::Opening,
    host::{Handshake, Refusal, Splice},
    probe,
    request::{HandshakeError, Open, Purpose},
    server::Order,
};

type Connecting = Framed<TcpStream, h1::Codec>;

impl Endpoint {
    /// Answers a WebSocket handshake and, if it is admitted, starts the connection as a task of this thread's local set,
    /// or hands it to the worker or the instance on which its session lives. It returns as soon as the answer is written.
    ///
    /// # Errors
    /// When the answer can't be written; there is nobody left to answer then.
    pub async fn serve(
        &self,
        request: Request,
        framed: Connecting,
    ) -> Result<(), actix_web::Error> {
        let query = request.uri().query().unwrap_or_default();
        let purpose = Purpose::of(query, request.method(), true, self.config());
        let is_handshake = ws::verify_handshake(request.head()).is_ok();
        let refusal = match purpose {
            Err(error) => error,
            Ok(_) if !is_handshake => HandshakeError::BadRequest,
            Ok(Purpose::Open(open)) => return self.open_websocket(request, framed, open).await,
            Ok(Purpose::Upgrade { sid }) => {
                let sid = sid.into();
                return self.serve_upgrade(request, framed, sid).await;
            }
            Ok(Purpose::Poll { .. } | Purpose::Post { .. }) => HandshakeError::BadRequest,
        };
        refuse(framed, self.refused(refusal.refusal())).await
    }

    /// The same where nothing beside this endpoint is upgraded to: any other path is answered with 404.
    ///
    /// # Errors
    /// As [`Endpoint::serve`].
    pub async fn serve_alone(
        &self,
        request: Request,
        framed: Connecting,
    ) -> Result<(), actix_web::Error> {
        if self.handles(&request) {
            return self.serve(request, framed).await;
        }
        refuse(framed, Refusal::new(StatusCode::NOT_FOUND, "{}")).await
    }

    async fn open_websocket(
        &self,
        request: Request,
        framed: Connecting,
        open: Open,
    ) -> Result<(), actix_web::Error> {
        let (handshake, place) = match self.admit(handshake_of(&request)) {
            Ok(admitted) => admitted,
            Err(refusal) => return refuse(framed, self.refused(refusal)).await,
        };
        let (stream, already_read) = switch_protocols(request, framed).await?;
        sleep(OPENING_PAUSE).await;
        let mut opening = Opening::of(open, handshake, place);
        opening.stream = Some(stream);
        self.open(opening, already_read);
        Ok(())
    }

    /// A WebSocket for a session that polls.
    async fn serve_upgrade(
        &self,
        request: Request,
        framed: Connecting,
        sid: Box<str>,
    ) -> Result<(), actix_web::Error> {
        if let Err(refusal) = self.inner.service.on_handshake(&handshake_of(&request)) {
            return refuse(framed, self.refused(refusal)).await;
        }
        let unknown = || self.refused(HandshakeError::SessionUnknown.refusal());
        let home = match self.home_of(&sid) {
            Home::Here(worker) => worker,
            Home::Nowhere => return refuse(framed, unknown()).await,
            Home::Elsewhere(instance) => {
                let splice = Splice {
                    instance,
                    request,
                    framed,
                };
                let spliced = self.inner.service.splice(splice).await;
                return match spliced {
                    Ok(()) => Ok(()),
                    Err(splice) => refuse(splice.framed, unknown()).await,
                };
            }
        };
        let (found, is_found) = oneshot::channel();
        let is_asked = self.worker().order(home, Order::Find(sid.clone(), found));
        if !is_asked || is_found.await.is_err() {
            return refuse(framed, unknown()).await;
        }
        let (stream, already_read) = switch_protocols(request, framed).await?;
        if let Some(connection) = self.worker().find(&sid) {
            let worker = Rc::clone(self.worker());
            let probing = probe::run(worker, Some(connection), stream, already_read);
            self.worker().tasks.spawn_local(probing);
            return Ok(());
        }
        // A stream belongs to the thread that waits for it.
        let order = Order::Upgrade(sid, stream.into_std()?, already_read);
        self.worker().order(home, order);
        Ok(())
    }
}

/// What a host looks at of an upgrade request.
fn handshake_of(request: &Request) -> Handshake {
    let head = request.head();
    handshake(head.headers.iter(), &head.uri, request.peer_addr())
}

/// Answers an upgrade request with an error and ends the connection: also for requests that no [`Endpoint`] handles.
///
/// # Errors
/// When the answer can't be written.
pub async fn refuse(mut framed: Connecting, refusal: Refusal) -> Result<(), actix_web::Error> {
    let mut response = Response::build(refusal.status);
    response.insert_header((header::CONTENT_TYPE, "application/json"));
    for header in refusal.headers {
        response.append_header(header);
    }
    let head = response.force_close().finish().drop_body();
    let length = BodySize::Sized(refusal.body.len() as u64);
    let body = Bytes::from(refusal.body);
    let answer = async {
        framed.feed(h1::Message::Item((head, length))).await?;
        if !body.is_empty() {
            framed.feed(h1::Message::Chunk(Some(body))).await?;
        }
        framed.send(h1::Message::Chunk(None)).await
    };
    within_answer_timeout(answer).await
}

/// Writes the 101 and takes the stream out of actix's hands, with what it has read beyond the request: also for a
/// plain WebSocket beside this endpoint. Whether the request is a handshake is the caller's to check.
///
/// # Errors
/// When the answer can't be written.
pub async fn switch_protocols(
    request: Request,
    mut framed: Connecting,
) -> Result<(TcpStream, Vec<u8>), actix_web::Error> {
    let response = ws::handshake_response(request.head()).finish();
    // The request's headers are slices of actix's read buffer, which lives until the last of them is gone.
    drop(request);
    let head = h1::Message::Item((response.drop_body(), BodySize::Stream));
    within_answer_timeout(framed.send(head)).await?;
    let parts = framed.into_parts();
    parts.io.set_nodelay(true)?;
    Ok((parts.io, parts.read_buf.to_vec()))
}

/// Between the answer to a handshake and the open packet. A client may begin to listen for messages only when it knows
/// that the WebSocket is open, as the tests of the protocol's revision 3 do: where both come with one read, the package
/// `ws` of Node has told it of the second before.
const OPENING_PAUSE: Duration = Duration::from_millis(2);

/// An answer of some hundred bytes fits into any send buffer; a client that leaves it there this long is gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

async fn within_answer_timeout(
    answer: impl Future<Output = std::io::Result<()>>,
) -> Result<(), actix_web::Error> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(written) => Ok(written?),
        Err(elapsed) => Err(std::io::Error::from(elapsed).into()),
    }
}
