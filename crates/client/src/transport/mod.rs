//! From an address to a byte stream: dialling, TLS, proxies.
//!
//! Without a [`Connector`] the client dials TCP itself. With one, the connector makes the stream and everything above
//! (TLS, SASL, requests) runs over it unchanged.

mod address;
mod socks5;
mod tcp;
mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) use self::address::split as split_address;
pub use self::socks5::Socks5;
pub(crate) use self::tls::late_alert;
use crate::error::{Error, Result};
use crate::options::ClientOptions;

/// A boxed future, as [`Connector::connect`] returns.
pub type BoxFuture<'a, T> = futures_core::future::BoxFuture<'a, T>;

/// A two-way byte stream; implemented for everything that can be one.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for S {}

/// A two-way byte stream of any type.
pub type BoxedTransport = Box<dyn Transport>;

/// Makes the byte stream to an address: a proxy, a tunnel, an in-process broker. Given to a client with
/// [`ClientOptions::with_connector`].
///
/// The client adds TLS and SASL on top as its options say, and bounds the call by `connect_timeout_ms`: the future may
/// be dropped at any point.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Connects to `address`: `host:port` as bootstrap lists and brokers name it, IPv6 as `[::1]:port`.
    ///
    /// # Errors
    /// Any; the text becomes the reason of [`Error::Connect`](crate::Error::Connect).
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>>;
}

/// A stream on which requests can start.
pub(crate) enum Established {
    /// Plain TCP, which splits without a lock.
    Tcp(TcpStream),
    /// Anything else.
    Boxed(BoxedTransport),
}

/// Dials an address the way the options say and encrypts the stream if they want it. The caller bounds the time.
pub(crate) async fn establish(address: &Arc<str>, options: &ClientOptions) -> Result<Established> {
    let failed = |error: io::Error| Error::Connect { address: Arc::clone(address), reason: error.to_string() };
    let tls = options.security.active_tls();
    let Some(connector) = &options.connector else {
        let socket = tcp::dial(address, options.tcp_keepalive_ms).await.map_err(failed)?;
        return match tls {
            None => Ok(Established::Tcp(socket)),
            Some(tls) => tls::wrap(address, socket, tls).await.map(Established::Boxed),
        };
    };
    let stream = connector.connect(address.to_string()).await.map_err(failed)?;
    match tls {
        None => Ok(Established::Boxed(stream)),
        Some(tls) => tls::wrap(address, stream, tls).await.map(Established::Boxed),
    }
}
