//! Connections through a SOCKS5 proxy (RFC 1928), with user name and password (RFC 1929) if it wants them.

use std::io;

use tokio_socks::tcp::Socks5Stream;

use super::{BoxFuture, BoxedTransport, Connector, address, tcp};
use crate::security::Secret;

/// A SOCKS5 proxy. Host names travel to it as they are: it looks them up.
#[derive(Debug, Clone)]
pub struct Socks5 {
    proxy: String,
    credentials: Option<(String, Secret)>,
    keepalive_ms: u64,
}

impl Socks5 {
    /// The proxy at `host:port`.
    pub fn new(proxy: impl Into<String>) -> Self {
        Socks5 { proxy: proxy.into(), credentials: None, keepalive_ms: 60_000 }
    }

    /// User name and password for the proxy, 1 to 255 bytes each.
    pub fn with_credentials(mut self, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.credentials = Some((username.into(), password.into()));
        self
    }

    async fn tunnel(&self, target: &str) -> io::Result<BoxedTransport> {
        let invalid = |error: crate::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let through = |reason: String| io::Error::other(format!("SOCKS5 proxy {}: {reason}", self.proxy));
        let target = address::split(target).map_err(invalid)?;
        let socket = tcp::dial(&self.proxy, self.keepalive_ms).await.map_err(|error| through(error.to_string()))?;
        let stream = match &self.credentials {
            None => Socks5Stream::connect_with_socket(socket, target).await,
            Some((username, password)) => {
                Socks5Stream::connect_with_password_and_socket(socket, target, username, password.reveal()).await
            }
        };
        stream.map(|stream| Box::new(stream) as BoxedTransport).map_err(|error| through(error.to_string()))
    }
}

impl From<&str> for Socks5 {
    fn from(proxy: &str) -> Self {
        Socks5::new(proxy)
    }
}

impl From<String> for Socks5 {
    fn from(proxy: String) -> Self {
        Socks5::new(proxy)
    }
}

impl Connector for Socks5 {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        Box::pin(async move { self.tunnel(&address).await })
    }
}
