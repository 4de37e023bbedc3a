//! The metrics of kanat: one registry, rendered as Prometheus text.
//!
//! [`Metrics`] is made once and given to whatever shall be measured; clones share it. What is measured gets handles from
//! it ([`ClientMetrics`]), which count with atomics and never wait. [`Metrics::render`] writes the text a scrape wants.
//!
//! ```
//! let metrics = kanat_telemetry::Metrics::new();
//! metrics.client("reader").metadata_refreshed();
//! assert!(metrics.render().contains("kanat_client_metadata_refreshes_total{client_id=\"reader\"} 1"));
//! ```

mod client;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::client::Families;
pub use self::client::{Buffer, ClientMetrics, ConnectionMetrics, PendingRequest};

/// The metrics of a process. Clones share everything.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    client: Families,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// A registry that knows every metric of kanat; each appears once something is counted.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("kanat");
        let client = Families::default();
        client.register(registry.sub_registry_with_prefix("client"));
        Metrics { registry: Arc::new(Mutex::new(registry)), client }
    }

    /// The handle of one client. Clients with the same id count into the same metrics.
    pub fn client(&self, client_id: &str) -> ClientMetrics {
        ClientMetrics::new(self.client.clone(), client_id)
    }

    /// Everything as OpenMetrics text, which Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Only writing to the string could fail, and that cannot.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}
