//! A listening socket of the service.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Connections that may wait to be accepted: a crowd that comes back after a restart waits here.
const BACKLOG: i32 = 4_096;

/// A peer who acknowledges nothing of what was sent for so long is gone: the default of `SOCKET_PING_TIMEOUT`.
const STALL_MAX: Duration = Duration::from_mins(1);

/// Listens; 0 is any free port.
pub(super) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    // Inherited by every connection: an answer that streams to a peer who takes nothing ends by itself.
    socket.set_tcp_user_timeout(Some(STALL_MAX))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
