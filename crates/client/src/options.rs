//! Options of a [`Client`](crate::Client): every bound of the connections, the metadata and the retries, with its unit
//! in its name.

use std::sync::Arc;
use std::time::Duration;

use kanat_telemetry::{ClientMetrics, Metrics};

use crate::error::{Error, Result};
use crate::security::Security;
use crate::transport::{Connector, Socks5};

/// How long to wait between attempts: decorrelated jitter between `initial_ms` and `max_ms`.
///
/// Each wait is drawn between `initial_ms` and `base` times the wait before, so that clients which failed together do
/// not come back together.
#[derive(Debug, Clone, PartialEq)]
pub struct BackoffOptions {
    /// Shortest wait, in milliseconds. At least 1.
    pub initial_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
    /// Growth of the upper end of the draw from one wait to the next. At least 1.
    pub base: f64,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        BackoffOptions { initial_ms: 20, max_ms: 1_000, base: 3.0 }
    }
}

/// Options of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Addresses (`host:port`, IPv6 as `[::1]:port`) tried until one answers. More than one lets the client start while
    /// a broker is down, and find the cluster again when every broker it knew is gone.
    pub bootstrap: Vec<String>,
    /// Name the broker sees in its request log and quotas.
    pub client_id: String,
    /// Longest wait for one connection: name look-up, TCP connect, TLS, version negotiation and SASL, in
    /// milliseconds.
    pub connect_timeout_ms: u64,
    /// Wait before the next bootstrap address is tried beside the ones still connecting, in milliseconds.
    pub bootstrap_stagger_ms: u64,
    /// Longest wait for the answer of one request, in milliseconds. A fetch that may wait at the broker gets its own
    /// wait on top. A connection that misses it is closed.
    pub request_timeout_ms: u64,
    /// Longest time an operation is retried (leader moves, reconnects, a coordinator that loads), in milliseconds.
    pub retry_timeout_ms: u64,
    /// Largest response accepted, in bytes; checked before anything is allocated.
    pub frame_bytes_max: usize,
    /// Largest size one batch may decompress to in [`PartitionClient`](crate::PartitionClient), in bytes.
    pub decompressed_bytes_max: usize,
    /// Requests on one connection that wait for their answer; the next one waits for a place.
    pub in_flight_requests_max: usize,
    /// Age after which cached metadata is asked again, in milliseconds.
    pub metadata_max_age_ms: u64,
    /// Waits between retries and reconnects.
    pub backoff: BackoffOptions,
    /// Silence on a TCP connection after which the system probes the other side, in milliseconds; 0 never does. A
    /// connection that stays silent twice as long ends.
    pub tcp_keepalive_ms: u64,
    /// Longest silence a broker can ask for by throttling, in milliseconds. Requests to it wait that long before they
    /// are sent.
    pub throttle_ms_max: u64,
    /// Time without a request after which a connection is not used again, in milliseconds; a new one is made when it is
    /// needed. Below the brokers' `connections.max.idle.ms` (10 minutes by default), so that no request meets a
    /// connection about to be closed.
    pub connections_max_idle_ms: u64,
    /// What is counted, and where; `None` counts nothing.
    pub metrics: Option<Metrics>,
    /// TLS and SASL of every connection.
    pub security: Security,
    /// Makes the byte streams instead of plain TCP.
    pub connector: Option<Arc<dyn Connector>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            bootstrap: Vec::new(),
            client_id: "kanat".to_owned(),
            connect_timeout_ms: 10_000,
            bootstrap_stagger_ms: 50,
            request_timeout_ms: 30_000,
            retry_timeout_ms: 60_000,
            frame_bytes_max: 128 * 1024 * 1024,
            decompressed_bytes_max: 256 * 1024 * 1024,
            in_flight_requests_max: 64,
            metadata_max_age_ms: 300_000,
            backoff: BackoffOptions::default(),
            tcp_keepalive_ms: 60_000,
            throttle_ms_max: 60_000,
            connections_max_idle_ms: 540_000,
            metrics: None,
            security: Security::default(),
            connector: None,
        }
    }
}

impl ClientOptions {
    /// Default options with these bootstrap addresses; a string may hold several separated by commas.
    pub fn new<S: AsRef<str>>(bootstrap: impl IntoIterator<Item = S>) -> Self {
        let bootstrap = bootstrap
            .into_iter()
            .flat_map(|item| item.as_ref().split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>())
            .filter(|address| !address.is_empty())
            .collect();
        ClientOptions { bootstrap, ..ClientOptions::default() }
    }

    /// Sets [`client_id`](Self::client_id).
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets [`connect_timeout_ms`](Self::connect_timeout_ms).
    pub fn with_connect_timeout_ms(mut self, connect_timeout_ms: u64) -> Self {
        self.connect_timeout_ms = connect_timeout_ms;
        self
    }

    /// Sets [`request_timeout_ms`](Self::request_timeout_ms).
    pub fn with_request_timeout_ms(mut self, request_timeout_ms: u64) -> Self {
        self.request_timeout_ms = request_timeout_ms;
        self
    }

    /// Sets [`retry_timeout_ms`](Self::retry_timeout_ms).
    pub fn with_retry_timeout_ms(mut self, retry_timeout_ms: u64) -> Self {
        self.retry_timeout_ms = retry_timeout_ms;
        self
    }

    /// Sets [`frame_bytes_max`](Self::frame_bytes_max).
    pub fn with_frame_bytes_max(mut self, frame_bytes_max: usize) -> Self {
        self.frame_bytes_max = frame_bytes_max;
        self
    }

    /// Sets [`metadata_max_age_ms`](Self::metadata_max_age_ms).
    pub fn with_metadata_max_age_ms(mut self, metadata_max_age_ms: u64) -> Self {
        self.metadata_max_age_ms = metadata_max_age_ms;
        self
    }

    /// Sets [`backoff`](Self::backoff).
    pub fn with_backoff(mut self, backoff: BackoffOptions) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets [`tcp_keepalive_ms`](Self::tcp_keepalive_ms).
    pub fn with_tcp_keepalive_ms(mut self, tcp_keepalive_ms: u64) -> Self {
        self.tcp_keepalive_ms = tcp_keepalive_ms;
        self
    }

    /// Counts requests, bytes, latencies, errors and buffers in `metrics`, under this client's id.
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sets [`throttle_ms_max`](Self::throttle_ms_max).
    pub fn with_throttle_ms_max(mut self, throttle_ms_max: u64) -> Self {
        self.throttle_ms_max = throttle_ms_max;
        self
    }

    /// Sets [`connections_max_idle_ms`](Self::connections_max_idle_ms).
    pub fn with_connections_max_idle_ms(mut self, connections_max_idle_ms: u64) -> Self {
        self.connections_max_idle_ms = connections_max_idle_ms;
        self
    }

    /// Sets [`connector`](Self::connector): every connection is dialled through it.
    pub fn with_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Connects through a SOCKS5 proxy: an address `host:port`, or a [`Socks5`] with user name and password. Sets
    /// [`connector`](Self::connector).
    pub fn with_socks5(self, proxy: impl Into<Socks5>) -> Self {
        self.with_connector(Arc::new(proxy.into()))
    }

    /// Sets [`security`](Self::security).
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Checks what no type can: empty lists, zero bounds.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |option: &'static str, reason: &str| {
            Err(Error::InvalidOption { option: option.into(), reason: reason.to_owned() })
        };
        if self.bootstrap.is_empty() {
            return invalid("bootstrap", "needs at least one host:port");
        }
        if self.connect_timeout_ms == 0 || self.request_timeout_ms == 0 {
            return invalid("connect_timeout_ms, request_timeout_ms", "must be above 0");
        }
        if self.in_flight_requests_max == 0 {
            return invalid("in_flight_requests_max", "must be above 0");
        }
        if self.frame_bytes_max < 1024 || i32::try_from(self.frame_bytes_max).is_err() {
            return invalid("frame_bytes_max", "must be between 1024 and 2147483647");
        }
        if self.backoff.initial_ms == 0 || self.backoff.base < 1.0 || self.backoff.max_ms < self.backoff.initial_ms {
            return invalid("backoff", "needs 1 <= initial_ms <= max_ms and base >= 1");
        }
        self.security.validate()
    }

    pub(crate) fn metrics(&self) -> Option<ClientMetrics> {
        self.metrics.as_ref().map(|metrics| metrics.client(&self.client_id))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn retry_timeout(&self) -> Duration {
        Duration::from_millis(self.retry_timeout_ms)
    }
}
