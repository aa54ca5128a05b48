//! What the simulator can do to a gateway connection from outside: give it an order, or cut it.
//! A cut is a TCP reset, as a crashed peer or a middlebox sends it: no close frame, no FIN, unsent bytes thrown away.

use std::any::Any;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use socket2::{SockRef, Socket};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many orders a connection may have waiting; a further one cuts it, for it has stopped to listen.
const ORDERS_MAX: usize = 16;

/// What a fault makes a connection do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Op 7.
    Reconnect,
    /// Op 9.
    InvalidSession { is_resumable: bool },
    /// A close frame with this code.
    Close(u16),
    /// Send no dispatches until then.
    Mute(Instant),
    /// Answer no heartbeats until then.
    Zombie(Instant),
}

/// A connection's own end of its line.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) connection: u64,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) cut: CancellationToken,
}

#[derive(Debug)]
struct Line {
    /// Whose session it carries, once it does.
    shard: Option<u64>,
    orders: mpsc::Sender<Order>,
    cut: CancellationToken,
    socket: Option<Arc<Socket>>,
}

/// The lines of all open gateway connections.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<u64, Line>,
    next: u64,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn register(&mut self, socket: Option<Arc<Socket>>) -> Registration {
        let connection = self.next;
        self.next += 1;
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let cut = CancellationToken::new();
        self.lines.insert(
            connection,
            Line {
                shard: None,
                orders: sender,
                cut: cut.clone(),
                socket,
            },
        );
        Registration {
            connection,
            orders,
            cut,
        }
    }

    pub(crate) fn unregister(&mut self, connection: u64) {
        self.lines.remove(&connection);
    }

    /// A connection carries a session of this shard.
    pub(crate) fn on_session(&mut self, connection: u64, shard: u64) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.shard = Some(shard);
        }
    }

    /// Gives every connection the same order, or every one of this shard.
    pub(crate) fn order(&self, order: Order, shard: Option<u64>) {
        for line in self.of(shard) {
            if line.orders.try_send(order).is_err() {
                line.cut();
            }
        }
    }

    /// Resets every connection, or every one of this shard.
    pub(crate) fn cut(&self, shard: Option<u64>) {
        self.of(shard).for_each(Line::cut);
    }

    fn of(&self, shard: Option<u64>) -> impl Iterator<Item = &Line> {
        let lines = self.lines.values();
        lines.filter(move |line| shard.is_none() || line.shard == shard)
    }
}

impl Line {
    fn cut(&self) {
        if let Some(socket) = &self.socket {
            reset_on_close(socket);
        }
        self.cut.cancel();
    }
}

/// Keeps a second handle on an accepted socket, for a later reset. Called by the server for each connection.
pub(crate) fn remember_socket(io: &dyn Any, extensions: &mut Extensions) {
    let Some(stream) = io.downcast_ref::<TcpStream>() else {
        return;
    };
    match SockRef::from(stream).try_clone() {
        Ok(socket) => {
            extensions.insert(Arc::new(socket));
        }
        Err(error) => tracing::warn!(%error, "this connection can't be reset"),
    }
}

/// The socket remembered for a request's connection.
pub(crate) fn socket_of(request: &HttpRequest) -> Option<Arc<Socket>> {
    request.conn_data::<Arc<Socket>>().map(Arc::clone)
}

/// An answer that never comes: the connection is reset instead.
pub(crate) fn refuse(request: &HttpRequest) -> HttpResponse {
    if let Some(socket) = socket_of(request) {
        reset_on_close(&socket);
    }
    let cut = CancellationToken::new();
    cut.cancel();
    HttpResponse::Ok().body(CutBody::new(BoxBody::new(()), cut))
}

fn reset_on_close(socket: &Socket) {
    if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
        tracing::warn!(%error, "the connection will be closed, not reset");
    }
}

/// A response body that fails as soon as its line is cut, which makes the server drop the connection where it stands.
pub(crate) struct CutBody {
    inner: BoxBody,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CutBody {
    pub(crate) fn new(inner: BoxBody, cut: CancellationToken) -> Self {
        Self {
            inner,
            cut: Box::pin(cut.cancelled_owned()),
        }
    }
}

/// The reason that the server sees for a cut.
#[derive(Debug, thiserror::Error)]
#[error("the line was cut on purpose")]
pub(crate) struct Cut;

impl MessageBody for CutBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Cut.into())));
        }
        Pin::new(&mut self.inner).poll_next(cx).map_err(Into::into)
    }
}
