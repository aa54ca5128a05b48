//! The entrance: one `Upgrade` a worker thread, called by actix's upgrade service with each request and its stream.
//! It promises that a stream is handed over whole, with the bytes that actix has read already, and that nothing of
//! actix stays behind: its buffers are most of what a quiet connection would cost.

use std::{rc::Rc, sync::Arc};

use actix_codec::Framed;
use actix_http::{Request, Response, body::BodySize, h1, ws};
use actix_rt::net::TcpStream;
use bytes::Bytes;
use futures_util::SinkExt;
use http::{HeaderMap, Uri, header};
use tokio::time::{Duration, timeout};

use crate::{
    close::Close,
    config::Config,
    connection::Connection,
    driver, engine, flusher,
    host::{Handshake, Host, Refusal},
    http_error::HandshakeError,
    sid,
    stats::Stats,
    worker::Worker,
};

/// The Socket.IO server of one worker thread.
///
/// Dropped, it closes what is open with 1001.
pub struct Upgrade<H: Host> {
    host: Rc<H>,
    worker: Rc<Worker>,
}

impl<H: Host> Upgrade<H> {
    /// A server with its settings and its application.
    pub fn new(config: Config, host: Rc<H>) -> Self {
        Self {
            host,
            worker: Rc::new(Worker::new(config)),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.worker.config
    }

    /// The application.
    pub fn host(&self) -> &Rc<H> {
        &self.host
    }

    /// Whether a request is for this endpoint.
    pub fn handles(&self, request: &Request) -> bool {
        self.worker.config.is_endpoint(request.path())
    }

    /// Answers the handshake and, if it is admitted, starts the connection as a task of this thread's local set.
    /// It returns as soon as the answer is written.
    ///
    /// # Errors
    /// When the answer can't be written; there is nobody left to answer then.
    pub async fn serve(
        &self,
        request: Request,
        framed: Framed<TcpStream, h1::Codec>,
    ) -> Result<(), actix_web::Error> {
        let handshake = match self.admit(&request, framed.io_ref()) {
            Ok(handshake) => handshake,
            Err(mut refusal) => {
                self.worker.stats.on_refused();
                let more = &self.worker.config.refusal_headers;
                refusal.headers.extend(more.iter().cloned());
                return refuse(framed, refusal).await;
            }
        };
        let (stream, already_read) = switch_protocols(request, framed).await?;
        self.start(handshake, stream, already_read);
        Ok(())
    }

    /// The counters of this thread.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.worker.stats)
    }

    /// Closes every transport that is open now, yielding after every 256.
    pub async fn close_all(&self, close: Close) {
        self.worker.close_all(close, Duration::ZERO).await;
    }

    /// The same, the slices of 256 spread evenly over a duration: a drain.
    pub async fn close_all_over(&self, close: Close, over: Duration) {
        self.worker.close_all(close, over).await;
    }

    /// Waits until no transport is open.
    pub async fn closed(&self) {
        self.worker.emptied().await;
    }

    /// Everything that is looked at before the upgrade is answered.
    fn admit(&self, request: &Request, stream: &TcpStream) -> Result<Handshake, Refusal> {
        if let Some(error) = HandshakeError::of_upgrade(request) {
            return Err(error.refusal());
        }
        let mut handshake = Handshake {
            headers: copy_headers(request),
            uri: copy_uri(request.uri()),
            peer: stream.peer_addr().ok(),
        };
        self.host.on_handshake(&handshake)?;
        let kept = &self.worker.config.handshake_headers;
        let headers = handshake
            .headers
            .iter()
            .filter(|(name, _)| kept.contains(name));
        handshake.headers = headers
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(handshake)
    }

    fn start(&self, handshake: Handshake, stream: TcpStream, already_read: Vec<u8>) {
        flusher::ensure(&self.worker);
        let connection = Connection::new(&self.worker, handshake, stream);
        connection.queue(engine::open_frame(&sid::random(), &self.worker.config));
        let run = driver::run(Rc::clone(&self.host), connection, already_read);
        self.worker.tasks.spawn_local(run);
    }
}

impl<H: Host> Drop for Upgrade<H> {
    fn drop(&mut self) {
        self.worker.stop(Close::GoingAway);
    }
}

/// Answers an upgrade request with an error and ends the connection: also for requests that no [`Upgrade`] handles.
///
/// # Errors
/// When the answer can't be written.
pub async fn refuse(
    mut framed: Framed<TcpStream, h1::Codec>,
    refusal: Refusal,
) -> Result<(), actix_web::Error> {
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
    mut framed: Framed<TcpStream, h1::Codec>,
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

/// Copies, because a header of the request is a slice of its read buffer and would keep all of it.
fn copy_headers(request: &Request) -> HeaderMap {
    let copy = |value: &header::HeaderValue| header::HeaderValue::from_bytes(value.as_bytes());
    let headers = request.head().headers.iter();
    headers
        .filter_map(|(name, value)| Some((name.clone(), copy(value).ok()?)))
        .collect()
}

/// The same for the URI; a text that was a URI is one again.
fn copy_uri(uri: &Uri) -> Uri {
    uri.to_string().parse().unwrap_or_default()
}
