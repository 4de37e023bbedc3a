//! How connections reach a node: from its socket, or in memory through a [`Dialer`].
//!
//! One task per node accepts both kinds and serves each connection in a task of its own; stopping the node ends them
//! all.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::cluster::Cluster;
use crate::connection::{self, ConnectionError};
use crate::security::{Session, certificate_subject};
use crate::{Error, Result};

/// Pause after a failed accept (usually: no file descriptors left).
const ACCEPT_RETRY_MS: u64 = 50;
/// Bytes under way in each direction of a connection in memory.
const DIALED_BUFFER_BYTES: usize = 256 * 1024;
/// Connections in memory that wait to be accepted.
const DIALED_BACKLOG: usize = 128;
/// Port of nodes that have no socket.
const PORT_WITHOUT_SOCKET: u16 = 9092;

/// Connects to the nodes of a broker in memory. See [`BrokerHandle::dial`](crate::BrokerHandle::dial).
#[derive(Debug, Clone)]
pub struct Dialer {
    cluster: Arc<Cluster>,
}

impl Dialer {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Connects to the node with this address, `host:port`.
    ///
    /// # Errors
    /// As [`BrokerHandle::dial`](crate::BrokerHandle::dial).
    pub fn dial(&self, address: &str) -> io::Result<DuplexStream> {
        let has_address = |(host, port): &(String, u16)| {
            address.rsplit_once(':').is_some_and(|(wanted, at)| wanted == host && at.parse() == Ok(*port))
        };
        let mut nodes = self.cluster.nodes.iter();
        let node = nodes.find(|node| node.address.get().is_some_and(has_address));
        let node =
            node.ok_or_else(|| io::Error::new(io::ErrorKind::HostUnreachable, format!("no node is {address}")))?;
        let refused = |_| io::Error::new(io::ErrorKind::ConnectionRefused, format!("{address} does not listen"));
        let (ours, theirs) = duplex(DIALED_BUFFER_BYTES);
        let dialed = node.dialed.lock();
        dialed.as_ref().ok_or(()).map_err(refused)?.try_send(theirs).map_err(|_| refused(()))?;
        Ok(ours)
    }
}

/// The task that accepts for a node.
#[derive(Debug)]
pub(crate) struct RunningNode {
    stop: Arc<Notify>,
    accepting: JoinHandle<()>,
}

impl RunningNode {
    /// Ends the node's connections and waits until they are closed.
    pub(crate) async fn stop(self) {
        self.stop.notify_one();
        // A panic inside was reported where it happened.
        let _ = self.accepting.await;
    }

    /// Ends the node without waiting.
    pub(crate) fn abort(&self) {
        self.accepting.abort();
    }
}

/// Binds the listener of a node, if it shall have one, and begins to accept.
pub(crate) async fn start_node(cluster: &Arc<Cluster>, node_id: i32) -> Result<RunningNode> {
    let node = cluster.node(node_id).ok_or(Error::UnknownNode { node: node_id, last: cluster.options.nodes - 1 })?;
    let listener = if cluster.options.sockets {
        let (address, host) = listen_address(cluster, node_id)?;
        let failed = |source| Error::Listen { address: address.clone(), source };
        let listener = bind(&address).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        node.address.get_or_init(|| (host, port));
        Some(listener)
    } else {
        node.address.get_or_init(|| (format!("node-{node_id}"), PORT_WITHOUT_SOCKET));
        None
    };
    let (sender, dialed) = mpsc::channel(DIALED_BACKLOG);
    *node.dialed.lock() = Some(sender);
    let stop = Arc::new(Notify::new());
    let acceptor = Acceptor {
        node_id,
        cluster: Arc::clone(cluster),
        connections: JoinSet::new(),
        places: Arc::new(Semaphore::new(cluster.options.limits.connections_max)),
    };
    let accepting = tokio::spawn(acceptor.run(listener, dialed, Arc::clone(&stop)));
    Ok(RunningNode { stop, accepting })
}

/// Where a node listens, and the host clients are told.
fn listen_address(cluster: &Cluster, node_id: i32) -> Result<(String, String)> {
    let options = &cluster.options;
    let invalid = |reason: &str| Error::InvalidOption { option: "listen", reason: reason.to_owned() };
    let (host, port) = options.listen.rsplit_once(':').ok_or_else(|| invalid("must be host:port"))?;
    let port: u16 = port.parse().map_err(|_| invalid("the port must be a number from 0 to 65535"))?;
    let advertised = options.advertised_host.clone().unwrap_or_else(|| host.to_owned());
    let known = cluster.node(node_id).and_then(|node| node.address.get());
    let port = match (known, port) {
        (Some((_, port)), _) => *port,
        (None, 0) => 0,
        (None, port) => u16::try_from(node_id)
            .ok()
            .and_then(|step| port.checked_add(step))
            .ok_or_else(|| invalid("the ports of all nodes must be at most 65535"))?,
    };
    Ok((format!("{host}:{port}"), advertised))
}

async fn bind(address: &str) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = lookup_host(address).await?.collect();
    TcpListener::bind(&addresses[..]).await
}

struct Acceptor {
    node_id: i32,
    cluster: Arc<Cluster>,
    connections: JoinSet<()>,
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// Accepts connections until told to stop, then closes them all.
    async fn run(mut self, listener: Option<TcpListener>, mut dialed: mpsc::Receiver<DuplexStream>, stop: Arc<Notify>) {
        loop {
            // Always in this order: a run must not depend on chance.
            tokio::select! {
                biased;
                () = stop.notified() => break,
                Some(_) = self.connections.join_next() => {}
                Some(stream) = dialed.recv() => {
                    let peer = SocketAddr::from(([127, 0, 0, 1], 0));
                    let served = serve_stream(stream, peer, self.node_id, Arc::clone(&self.cluster));
                    self.spawn(peer, served);
                }
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((stream, peer)) => {
                        let served = serve_socket(stream, peer, self.node_id, Arc::clone(&self.cluster));
                        self.spawn(peer, served);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                    }
                },
            }
        }
        drop((listener, dialed));
        self.connections.shutdown().await;
    }

    fn spawn(
        &mut self,
        peer: SocketAddr,
        served: impl Future<Output = std::result::Result<(), ConnectionError>> + Send + 'static,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(%peer, "closing a connection: connections_max is reached");
            return;
        };
        self.connections.spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(%peer, %error, "a connection ended");
            }
            drop(place);
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

async fn serve_socket(
    stream: TcpStream,
    peer: SocketAddr,
    node_id: i32,
    cluster: Arc<Cluster>,
) -> std::result::Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    if cluster.tls.is_some() {
        return serve_stream(stream, peer, node_id, cluster).await;
    }
    let (read, write) = stream.into_split();
    let session = Session::new(cluster.options.security.uses_sasl(), None);
    connection::serve(read, write, peer, node_id, cluster, session).await
}

/// Serves a stream of any kind, encrypted if the listeners want that.
async fn serve_stream<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: S,
    peer: SocketAddr,
    node_id: i32,
    cluster: Arc<Cluster>,
) -> std::result::Result<(), ConnectionError> {
    let uses_sasl = cluster.options.security.uses_sasl();
    let Some(config) = &cluster.tls else {
        let (read, write) = tokio::io::split(stream);
        return connection::serve(read, write, peer, node_id, cluster, Session::new(uses_sasl, None)).await;
    };
    let idle = Duration::from_millis(cluster.options.limits.connection_idle_ms_max);
    let encrypted = tokio::time::timeout(idle, TlsAcceptor::from(Arc::clone(config)).accept(stream))
        .await
        .map_err(|_| ConnectionError::Idle)??;
    let certificate = encrypted.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let session = Session::new(uses_sasl, certificate.and_then(|certificate| certificate_subject(certificate)));
    let (read, write) = tokio::io::split(encrypted);
    connection::serve(read, write, peer, node_id, Arc::clone(&cluster), session).await
}
