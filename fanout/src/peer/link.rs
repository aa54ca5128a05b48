//! One connection to another instance: made, prefaced, and one request asked over it.
//!
//! Each request has its own, because the instance notices by its end that the client has gone, and because a preface
//! names one client. Nothing is spawned: whoever drops the future, or the answer, has closed the connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::RequestHead;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Connection, handshake};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, DATE, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::preface;

/// A peer that is quiet for so long is asked by TCP whether it is there: one that lost its power says nothing more.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// What concerns one connection alone (RFC 9110 §7.6.1), and what hyper says anew of the body.
fn is_of_the_hop(name: &str) -> bool {
    let names = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let is_body = name == CONTENT_LENGTH || name == EXPECT;
    let is_named = names.iter().any(|other| name == other.as_str());
    is_body || is_named || matches!(name, "keep-alive" | "proxy-connection")
}

/// What this instance's own app says of every answer, also of this one.
fn is_of_the_app(name: &str) -> bool {
    name == DATE || name == VARY || name.starts_with("access-control-")
}

/// Connects, and says whose bytes come. What is sent and not acknowledged within `stall_max` ends the connection.
/// The caller bounds the time.
pub(super) async fn connect(
    address: SocketAddr,
    client: Option<SocketAddr>,
    stall_max: Duration,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A reset and not an orderly end: the peer learns at once that nobody waits any more, and no port of ours stays
    // taken for a minute (TIME_WAIT) after each poll.
    stream.set_zero_linger()?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(stall_max))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    stream.write_all(&preface::of(client)).await?;
    Ok(stream)
}

/// The head of an upgrade, as it came in: all its headers, because the connection becomes the client's own.
pub(super) fn head(head: &RequestHead) -> Vec<u8> {
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut text = format!("{} {target} HTTP/1.1\r\n", head.method).into_bytes();
    for (name, value) in head.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// A request to be passed on.
///
/// # Errors
/// Its target or its method is none of HTTP's, which actix would not have read.
pub(super) fn request(
    head: &RequestHead,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(head.method.as_str()).uri(target);
    for (name, value) in head.headers() {
        if !is_of_the_hop(name.as_str()) {
            request = request.header(name.as_str(), value.as_bytes());
        }
    }
    request.body(Full::new(body))
}

/// Asks, and gives back the answer as soon as its head is there; its body comes as the client takes it.
///
/// # Errors
/// The connection breaks, or what comes is no answer.
pub(super) async fn ask(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<HttpResponse, hyper::Error> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut connection = Box::pin(connection);
    let asking = std::pin::pin!(sender.send_request(request));
    let (response, connection) = match select(asking, &mut connection).await {
        Either::Left((response, _)) => (response?, Some(connection)),
        Either::Right((_, asking)) => (asking.await?, None),
    };
    Ok(answer(response, connection))
}

fn answer(response: Response<Incoming>, connection: Option<Pin<Box<Link>>>) -> HttpResponse {
    let (head, body) = response.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16());
    let mut answer = HttpResponse::build(status.unwrap_or(StatusCode::BAD_GATEWAY));
    for (name, value) in &head.headers {
        if is_of_the_hop(name.as_str()) || is_of_the_app(name.as_str()) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.append_header((name, value));
        }
    }
    answer.body(BoxBody::new(Rest { connection, body }))
}

type Link = Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// The rest of an answer, and the connection that it comes over until that has ended.
struct Rest {
    connection: Option<Pin<Box<Link>>>,
    body: Incoming,
}

impl MessageBody for Rest {
    type Error = hyper::Error;

    fn size(&self) -> BodySize {
        let exact = self.body.size_hint().exact();
        exact.map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            // If it broke, the body says so.
            self.connection = None;
        }
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            // Trailers are of the hop.
            match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
