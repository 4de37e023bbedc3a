//! Options of the broker: what it listens on, where it keeps its data, and the bound of everything it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::features::{GROUP_VERSION, TRANSACTION_VERSION};
use crate::security::ListenerSecurity;
use crate::{Error, Result};

/// Most nodes one broker process plays.
pub const NODES_MAX: i32 = 9;

/// What [`Broker::start`](crate::Broker::start) needs to know. [`Default`] is one node in memory on a free port of
/// 127.0.0.1 that creates topics on first use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerOptions {
    /// Address of node 0, `host:port`. Port 0 takes a free one. With a fixed port node *n* listens on port + *n*.
    pub listen: String,
    /// Host that answers name to clients; `None` names the host of `listen`.
    pub advertised_host: Option<String>,
    /// Listen on sockets. Without, clients come in through [`BrokerHandle::dial`](crate::BrokerHandle::dial) only, and
    /// the nodes are called `node-0:9092`, `node-1:9092` and so on.
    pub sockets: bool,
    /// TLS and SASL of the listeners, and of connections in memory.
    pub security: ListenerSecurity,
    /// Number of nodes, each with its own port, all in this process: 1 to [`NODES_MAX`].
    pub nodes: i32,
    /// Rack of each node, the first that of node 0; nodes beyond the list are in none. Consumers that name a rack are
    /// then sent to a replica in it, as with Kafka's `RackAwareReplicaSelector` (KIP-392), and replicas that do not lead
    /// answer their fetches.
    pub racks: Vec<String>,
    /// Folder that keeps topics, offsets and producer state across restarts. `None` keeps everything in memory.
    pub dir: Option<PathBuf>,
    /// Create a topic when a client asks for its metadata (and allows it).
    pub auto_create_topics: bool,
    /// Partitions of a topic that does not say how many, at least 1.
    pub default_partitions: i32,
    /// Topic configs (`retention.ms`, ...) for topics that do not set them.
    pub topic_defaults: BTreeMap<String, String>,
    /// First wait of an empty consumer group for more members, ms.
    pub group_initial_rebalance_delay_ms: u64,
    /// Shortest session timeout a group member may ask for, ms.
    pub group_session_timeout_ms_min: u64,
    /// Longest session timeout a group member may ask for, ms.
    pub group_session_timeout_ms_max: u64,
    /// Principals (`User:NAME`) that may do everything, which also turns on the authorizer: others then may do what ACLs
    /// allow. `None` lets everybody do everything.
    pub super_users: Option<BTreeSet<String>>,
    /// Level of the feature `transaction.version` until UpdateFeatures changes it: 2 lets clients use the second transaction protocol (KIP-890), 0 and 1
    /// keep them to the first.
    pub transaction_version: i16,
    /// Longest transaction timeout a producer may ask for, ms.
    pub transaction_timeout_ms_max: u64,
    /// Time between the end of a transaction and its markers, ms. With 0 they are written before EndTxn is answered.
    pub transaction_marker_delay_ms: u64,
    /// Time after which a silent member of a KIP-848 group is taken out, ms.
    pub consumer_group_session_timeout_ms: u64,
    /// Time between the heartbeats of a member of a KIP-848 group, ms.
    pub consumer_group_heartbeat_interval_ms: i32,
    /// Level of the feature `group.version` until UpdateFeatures changes it: 1 lets clients use the consumer group protocol of KIP-848, 0 does not.
    pub group_version: i16,
    /// Pause between two runs of retention and compaction, ms.
    pub maintenance_interval_ms: u64,
    /// Seed of everything random (ids of topics, members and fetch sessions); `None` takes one that never comes again.
    pub seed: Option<u64>,
    /// Time at the start for timestamps, ms since 1970, from where they go on with the clock of the runtime; `None`
    /// uses the machine's clock.
    pub clock_start_ms: Option<i64>,
    /// Bounds of memory, connections and counts.
    pub limits: Limits,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            advertised_host: None,
            sockets: true,
            security: ListenerSecurity::default(),
            nodes: 1,
            racks: Vec::new(),
            dir: None,
            auto_create_topics: true,
            default_partitions: 1,
            topic_defaults: BTreeMap::new(),
            group_initial_rebalance_delay_ms: 0,
            group_session_timeout_ms_min: 100,
            group_session_timeout_ms_max: 1_800_000,
            super_users: None,
            transaction_version: TRANSACTION_VERSION.level_max,
            transaction_timeout_ms_max: 900_000,
            transaction_marker_delay_ms: 0,
            consumer_group_session_timeout_ms: 45_000,
            consumer_group_heartbeat_interval_ms: 5_000,
            group_version: GROUP_VERSION.level_max,
            maintenance_interval_ms: 5_000,
            seed: None,
            clock_start_ms: None,
            limits: Limits::default(),
        }
    }
}

/// Bounds of what clients can make the broker hold.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Largest request frame, bytes without the length prefix. A longer one closes the connection.
    pub frame_bytes_max: usize,
    /// Open connections per node. One more is closed at once.
    pub connections_max: usize,
    /// Requests of one connection that are read ahead of the one being answered.
    pub in_flight_max: usize,
    /// A connection without a complete request for this long is closed, ms.
    pub connection_idle_ms_max: u64,
    /// Largest sum of record bytes in one fetch answer, whatever the client asks for. One batch is always sent.
    pub fetch_bytes_max: usize,
    /// Fetch sessions kept per node; the least recently used makes room.
    pub fetch_sessions_max: usize,
    /// Partitions of one fetch session.
    pub fetch_session_partitions_max: usize,
    /// Partitions of all topics together.
    pub partitions_max: usize,
    /// Consumer groups.
    pub groups_max: usize,
    /// Members of one consumer group.
    pub group_members_max: usize,
    /// Transactional ids.
    pub transactional_ids_max: usize,
    /// Metadata string of one committed offset, bytes.
    pub offset_metadata_bytes_max: usize,
    /// Idempotent producers remembered per partition; the longest silent one makes room.
    pub producers_per_partition_max: usize,
    /// Bytes one batch may decompress to where the broker looks inside (compaction, timestamp search).
    pub decompressed_bytes_max: usize,
    /// Bytes of keys one compaction pass holds; a pass that needs more stops early and goes on in the next.
    pub compaction_keys_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 100 * 1024 * 1024,
            connections_max: 1_000,
            in_flight_max: 16,
            connection_idle_ms_max: 600_000,
            fetch_bytes_max: 55 * 1024 * 1024,
            fetch_sessions_max: 1_000,
            fetch_session_partitions_max: 100_000,
            partitions_max: 100_000,
            groups_max: 10_000,
            group_members_max: 1_000,
            transactional_ids_max: 10_000,
            offset_metadata_bytes_max: 4_096,
            producers_per_partition_max: 10_000,
            decompressed_bytes_max: 128 * 1024 * 1024,
            compaction_keys_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl BrokerOptions {
    /// Listens on `address` (`host:port`).
    #[must_use]
    pub fn with_listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Wants TLS or SASL of clients.
    #[must_use]
    pub fn with_security(mut self, security: ListenerSecurity) -> Self {
        self.security = security;
        self
    }

    /// Opens no socket: clients come in through [`BrokerHandle::dial`](crate::BrokerHandle::dial).
    #[must_use]
    pub fn without_sockets(mut self) -> Self {
        self.sockets = false;
        self
    }

    /// Draws everything random from `seed`. Without sockets and directory, on a current-thread runtime with a paused
    /// clock, the same requests then get the same answers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lets timestamps begin at `start_ms` (since 1970) and go on with the clock of the runtime.
    #[must_use]
    pub fn with_clock_start_ms(mut self, start_ms: i64) -> Self {
        self.clock_start_ms = Some(start_ms);
        self
    }

    /// Keeps the data in `dir`, which is made if it does not exist.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Plays `nodes` nodes.
    #[must_use]
    pub fn with_nodes(mut self, nodes: i32) -> Self {
        self.nodes = nodes;
        self
    }

    /// Puts node *n* into the *n*th of these racks.
    #[must_use]
    pub fn with_racks<S: Into<String>>(mut self, racks: impl IntoIterator<Item = S>) -> Self {
        self.racks = racks.into_iter().map(Into::into).collect();
        self
    }

    /// Gives new topics `partitions` partitions when nobody says how many.
    #[must_use]
    pub fn with_default_partitions(mut self, partitions: i32) -> Self {
        self.default_partitions = partitions;
        self
    }

    /// Allows or forbids topics that come into being when a client names them.
    #[must_use]
    pub fn with_auto_create_topics(mut self, allowed: bool) -> Self {
        self.auto_create_topics = allowed;
        self
    }

    /// Sets a topic config for topics that do not set it themselves.
    #[must_use]
    pub fn with_topic_default(mut self, config: impl Into<String>, value: impl Into<String>) -> Self {
        self.topic_defaults.insert(config.into(), value.into());
        self
    }

    /// Replaces the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Waits `delay_ms` for more members when the first one joins an empty group.
    #[must_use]
    pub fn with_group_initial_rebalance_delay_ms(mut self, delay_ms: u64) -> Self {
        self.group_initial_rebalance_delay_ms = delay_ms;
        self
    }

    /// Turns on the authorizer: only `super_users` (`User:NAME`) and whom ACLs allow may do anything. Clients that do not
    /// authenticate are `User:ANONYMOUS`.
    #[must_use]
    pub fn with_authorizer<S: Into<String>>(mut self, super_users: impl IntoIterator<Item = S>) -> Self {
        self.super_users = Some(super_users.into_iter().map(Into::into).collect());
        self
    }

    /// Offers `transaction.version` at this level: 2 for the second transaction protocol, 0 or 1 for the first.
    #[must_use]
    pub fn with_transaction_version(mut self, level: i16) -> Self {
        self.transaction_version = level;
        self
    }

    /// Writes the markers of a transaction `delay_ms` after its end was answered.
    #[must_use]
    pub fn with_transaction_marker_delay_ms(mut self, delay_ms: u64) -> Self {
        self.transaction_marker_delay_ms = delay_ms;
        self
    }

    /// Offers `group.version` at this level: 1 for KIP-848, 0 for the classic protocol only.
    #[must_use]
    pub fn with_group_version(mut self, level: i16) -> Self {
        self.group_version = level;
        self
    }

    /// Has members of KIP-848 groups send a heartbeat every `heartbeat_interval_ms`, and takes them out after
    /// `session_timeout_ms` of silence.
    #[must_use]
    pub fn with_consumer_group_times(mut self, heartbeat_interval_ms: i32, session_timeout_ms: u64) -> Self {
        self.consumer_group_heartbeat_interval_ms = heartbeat_interval_ms;
        self.consumer_group_session_timeout_ms = session_timeout_ms;
        self
    }

    /// Runs retention and compaction every `interval_ms`.
    #[must_use]
    pub fn with_maintenance_interval_ms(mut self, interval_ms: u64) -> Self {
        self.maintenance_interval_ms = interval_ms;
        self
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the field.
    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |option, reason: &str| Err(Error::InvalidOption { option, reason: reason.to_owned() });
        if !(1..=NODES_MAX).contains(&self.nodes) {
            return Err(Error::InvalidOption { option: "nodes", reason: format!("must be 1 to {NODES_MAX}") });
        }
        if i32::try_from(self.racks.len()).map_or(true, |racks| racks > self.nodes) {
            return refuse("racks", "must not be more than there are nodes");
        }
        if self.default_partitions < 1 {
            return refuse("default_partitions", "must be at least 1");
        }
        if !(0..=TRANSACTION_VERSION.level_max).contains(&self.transaction_version) {
            return refuse("transaction_version", "must be 0 to 2");
        }
        if !(0..=GROUP_VERSION.level_max).contains(&self.group_version) {
            return refuse("group_version", "must be 0 or 1");
        }
        if self.maintenance_interval_ms == 0 {
            return refuse("maintenance_interval_ms", "must be at least 1");
        }
        if self.limits.in_flight_max == 0 || self.limits.connections_max == 0 {
            return refuse("limits", "in_flight_max and connections_max must be at least 1");
        }
        for (name, value) in &self.topic_defaults {
            crate::topic_config::check(name, value)
                .map_err(|reason| Error::InvalidOption { option: "topic_defaults", reason })?;
        }
        Ok(())
    }
}
