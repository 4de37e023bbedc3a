//! Plain TCP: look-up, connect, and the socket options every connection has.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Connects to the first address the name has that answers. The name is looked up anew on every call.
pub(super) async fn dial(address: &str, keepalive_ms: u64) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    prepare(&socket, keepalive_ms)?;
    Ok(socket)
}

/// No delay for small requests, and probes that find out about a peer that vanished without a word.
pub(super) fn prepare(socket: &TcpStream, keepalive_ms: u64) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if keepalive_ms > 0 {
        let idle = Duration::from_millis(keepalive_ms);
        // Three more probes at a third of the idle time each, so that silence ends after twice the idle time.
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(idle / 3);
        SockRef::from(socket).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}
