//! Metrics of the Kafka client, counted once per request or batch and never per record.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper ends of the latency buckets in seconds.
const LATENCY_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabels {
    client_id: String,
    broker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    client_id: String,
    broker: String,
    api: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    client_id: String,
    broker: String,
    api: String,
    error: String,
}

type Seconds = Counter<f64, AtomicU64>;
type LatencyFamily = Family<ApiLabels, Histogram, fn() -> Histogram>;

/// Every metric of all clients of a registry.
#[derive(Debug, Clone)]
pub(crate) struct Families {
    requests: Family<ApiLabels, Counter>,
    latency: LatencyFamily,
    errors: Family<ErrorLabels, Counter>,
    in_flight: Family<BrokerLabels, Gauge>,
    bytes_sent: Family<BrokerLabels, Counter>,
    bytes_received: Family<BrokerLabels, Counter>,
    throttled: Family<BrokerLabels, Seconds>,
    connections: Family<BrokerLabels, Counter>,
    connection_failures: Family<BrokerLabels, Counter>,
    metadata_refreshes: Family<ClientLabels, Counter>,
    bootstraps: Family<ClientLabels, Counter>,
    buffers: Buffers,
}

impl Default for Families {
    fn default() -> Self {
        Families {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            errors: Family::default(),
            in_flight: Family::default(),
            bytes_sent: Family::default(),
            bytes_received: Family::default(),
            throttled: Family::default(),
            connections: Family::default(),
            connection_failures: Family::default(),
            metadata_refreshes: Family::default(),
            bootstraps: Family::default(),
            buffers: Buffers::default(),
        }
    }
}

impl Families {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests sent", self.requests.clone());
        let latency = "Time from sending a request to its answer";
        registry.register_with_unit("request_duration", latency, Unit::Seconds, self.latency.clone());
        registry.register("errors", "Requests that failed, and error codes brokers answered", self.errors.clone());
        registry.register("requests_in_flight", "Requests that wait for their answer", self.in_flight.clone());
        let sent = "Bytes of requests queued to the socket";
        registry.register_with_unit("sent", sent, Unit::Bytes, self.bytes_sent.clone());
        registry.register_with_unit("received", "Bytes of answers", Unit::Bytes, self.bytes_received.clone());
        let throttled = "Time brokers asked the client to keep silent";
        registry.register_with_unit("throttle", throttled, Unit::Seconds, self.throttled.clone());
        registry.register("connections", "Connections made, the first and every one after", self.connections.clone());
        let failures = "Connections that could not be made";
        registry.register("connection_failures", failures, self.connection_failures.clone());
        let refreshes = "Answers to questions for metadata";
        registry.register("metadata_refreshes", refreshes, self.metadata_refreshes.clone());
        let bootstraps = "Times the cluster was looked for at the bootstrap addresses";
        registry.register("bootstraps", bootstraps, self.bootstraps.clone());
        registry.register_collector(Box::new(self.buffers.clone()));
    }
}

/// A buffer whose fill is looked at when the metrics are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// Records a producer holds until they are acknowledged.
    Producer,
    /// Batches a consumer fetched ahead.
    Consumer,
}

impl Buffer {
    fn name(self) -> &'static str {
        match self {
            Buffer::Producer => "producer",
            Buffer::Consumer => "consumer",
        }
    }
}

/// Asks for the bytes in a buffer; `None` once the buffer is gone.
type Fill = Box<dyn Fn() -> Option<u64> + Send + Sync>;

struct Watched {
    client_id: Arc<str>,
    buffer: Buffer,
    fill: Fill,
}

/// The buffers of all clients. Nothing is counted while they are used.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Watched>>>);

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffers").field(&self.0.lock().len()).finish()
    }
}

impl Collector for Buffers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut fills: Vec<((Arc<str>, &'static str), u64)> = Vec::new();
        self.0.lock().retain(|watched| {
            let Some(bytes) = (watched.fill)() else { return false };
            let name = (Arc::clone(&watched.client_id), watched.buffer.name());
            match fills.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += bytes,
                None => fills.push((name, bytes)),
            }
            true
        });
        let help = "Bytes of records that wait in buffers of the client";
        let gauge = ConstGauge::new(0i64);
        let mut family = encoder.encode_descriptor("buffered", help, Some(&Unit::Bytes), gauge.metric_type())?;
        for ((client_id, buffer), bytes) in fills {
            let labels = [("client_id", client_id.to_string()), ("buffer", buffer.to_owned())];
            let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The metrics of one client.
#[derive(Debug, Clone)]
pub struct ClientMetrics {
    families: Families,
    client_id: Arc<str>,
}

impl ClientMetrics {
    pub(crate) fn new(families: Families, client_id: &str) -> ClientMetrics {
        ClientMetrics { families, client_id: client_id.into() }
    }

    fn client_labels(&self) -> ClientLabels {
        ClientLabels { client_id: self.client_id.to_string() }
    }

    fn broker_labels(&self, broker: &str) -> BrokerLabels {
        BrokerLabels { client_id: self.client_id.to_string(), broker: broker.to_owned() }
    }

    /// A connection to a broker (`host:port`) was made: its handle.
    pub fn connected(&self, broker: &str) -> ConnectionMetrics {
        let labels = self.broker_labels(broker);
        let families = &self.families;
        families.connections.get_or_create(&labels).inc();
        ConnectionMetrics {
            in_flight: families.in_flight.get_or_create_owned(&labels),
            bytes_sent: families.bytes_sent.get_or_create_owned(&labels),
            bytes_received: families.bytes_received.get_or_create_owned(&labels),
            throttled: families.throttled.get_or_create_owned(&labels),
            families: families.clone(),
            labels,
            apis: Arc::default(),
        }
    }

    /// A connection to a broker (`host:port`) could not be made.
    pub fn connection_failed(&self, broker: &str) {
        self.families.connection_failures.get_or_create(&self.broker_labels(broker)).inc();
    }

    /// A broker answered a question for metadata.
    pub fn metadata_refreshed(&self) {
        self.families.metadata_refreshes.get_or_create(&self.client_labels()).inc();
    }

    /// The bootstrap addresses were asked for the cluster.
    pub fn bootstrapped(&self) {
        self.families.bootstraps.get_or_create(&self.client_labels()).inc();
    }

    /// Watches a buffer: `fill` is called when the metrics are rendered and returns its bytes, or `None` once the buffer
    /// is gone. Several buffers of one kind add up.
    pub fn watch_buffer(&self, buffer: Buffer, fill: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        let watched = Watched { client_id: Arc::clone(&self.client_id), buffer, fill: Box::new(fill) };
        self.families.buffers.0.lock().push(watched);
    }
}

/// The metrics of one API on one connection.
#[derive(Debug)]
struct ApiMetrics {
    requests: Counter,
    latency: Histogram,
}

/// The metrics of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics {
    families: Families,
    labels: BrokerLabels,
    in_flight: Gauge,
    bytes_sent: Counter,
    bytes_received: Counter,
    throttled: Seconds,
    /// Handles by API key, to spare the lookup by labels.
    apis: Arc<Mutex<HashMap<i16, Arc<ApiMetrics>>>>,
}

impl ConnectionMetrics {
    fn api_labels(&self, name: &dyn fmt::Debug) -> ApiLabels {
        let BrokerLabels { client_id, broker } = self.labels.clone();
        ApiLabels { client_id, broker, api: format!("{name:?}") }
    }

    /// A request of the API with this key and name is about to be sent. The handle counts it as under way until it is
    /// dropped.
    pub fn request(&self, api: i16, name: &dyn fmt::Debug) -> PendingRequest {
        let known = self.apis.lock().get(&api).cloned();
        let metrics = known.unwrap_or_else(|| {
            let labels = self.api_labels(name);
            let requests = self.families.requests.get_or_create_owned(&labels);
            let latency = self.families.latency.get_or_create_owned(&labels);
            let metrics = Arc::new(ApiMetrics { requests, latency });
            self.apis.lock().insert(api, Arc::clone(&metrics));
            metrics
        });
        metrics.requests.inc();
        self.in_flight.inc();
        let (in_flight, received) = (self.in_flight.clone(), self.bytes_received.clone());
        PendingRequest { metrics, in_flight, received, started: Instant::now() }
    }

    /// Bytes of a request were queued to the socket.
    pub fn sent(&self, bytes: usize) {
        self.bytes_sent.inc_by(bytes as u64);
    }

    /// A request failed, or its answer carried an error code. `error` is the name of the code or of the failure.
    pub fn error(&self, api: &dyn fmt::Debug, error: &str) {
        let ApiLabels { client_id, broker, api } = self.api_labels(api);
        self.families.errors.get_or_create(&ErrorLabels { client_id, broker, api, error: error.to_owned() }).inc();
    }

    /// The broker asked for silence.
    pub fn throttled(&self, silence: Duration) {
        self.throttled.inc_by(silence.as_secs_f64());
    }
}

/// A request under way.
#[derive(Debug)]
pub struct PendingRequest {
    metrics: Arc<ApiMetrics>,
    in_flight: Gauge,
    received: Counter,
    started: Instant,
}

impl PendingRequest {
    /// The answer came, of this many bytes.
    pub fn answered(self, bytes: usize) {
        self.metrics.latency.observe(self.started.elapsed().as_secs_f64());
        self.received.inc_by(bytes as u64);
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Buffer, Metrics};

    #[derive(Debug)]
    struct Metadata;

    #[test]
    fn a_request_is_under_way_until_it_is_answered() {
        let metrics = Metrics::new();
        let connection = metrics.client("c").connected("b:1");
        let request = connection.request(3, &Metadata);
        connection.sent(100);
        assert!(metrics.render().contains("kanat_client_requests_in_flight{client_id=\"c\",broker=\"b:1\"} 1"));
        request.answered(40);
        connection.error(&Metadata, "REQUEST_TIMED_OUT");
        let text = metrics.render();
        for line in [
            "kanat_client_requests_in_flight{client_id=\"c\",broker=\"b:1\"} 0",
            "kanat_client_requests_total{client_id=\"c\",broker=\"b:1\",api=\"Metadata\"} 1",
            "kanat_client_sent_bytes_total{client_id=\"c\",broker=\"b:1\"} 100",
            "kanat_client_received_bytes_total{client_id=\"c\",broker=\"b:1\"} 40",
            "error=\"REQUEST_TIMED_OUT\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn buffers_of_one_kind_add_up_and_leave_when_they_are_gone() {
        let metrics = Metrics::new();
        let client = metrics.client("c");
        let kept = std::sync::Arc::new(7u64);
        let weak = std::sync::Arc::downgrade(&kept);
        client.watch_buffer(Buffer::Producer, || Some(5));
        client.watch_buffer(Buffer::Producer, move || weak.upgrade().map(|bytes| *bytes));
        let line = |bytes| format!("kanat_client_buffered_bytes{{client_id=\"c\",buffer=\"producer\"}} {bytes}");
        assert!(metrics.render().contains(&line(12)), "{}", metrics.render());
        drop(kept);
        assert!(metrics.render().contains(&line(5)));
    }
}
