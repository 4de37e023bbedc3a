//! The state all nodes share: topics, leaders, groups, producer ids, faults.
//!
//! A change is applied in memory, then written to the journal, then answered. Admin changes (topics, configs, leaders)
//! take turns; reads and appends do not wait for them.

mod clock;
mod configs;
mod leadership;
mod maintenance;
mod topics;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::RecordBatch;
use parking_lot::{Mutex, RwLock};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use self::clock::Clock;
use self::configs::Configs;
use self::topics::Topics;
pub(crate) use self::topics::{CreatedTopic, NewTopic, unknown_partition, unknown_topic};
use crate::acl::Authorizer;
use crate::error::Refusal;
use crate::faults::FaultPlan;
use crate::features::{Features, GROUP_VERSION, TRANSACTION_VERSION};
use crate::fetch_sessions::FetchSessions;
use crate::group::{Coordinator, GroupOptions};
use crate::journal::{Entry, Journal};
use crate::log::{AppendContext, Appended, Origin};
use crate::options::BrokerOptions;
use crate::quotas::Quotas;
use crate::security::{ScramStore, tls};
use crate::storage::{Restored, Storage};
use crate::topic::{NO_LEADER, Partition, Topic};
use crate::transaction::{TransactionCoordinator, TransactionOptions};
use crate::{Error, Result};

/// Producer ids are written down in blocks of this many; a restart skips the rest of a block.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// A node of the cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) rack: Option<String>,
    running: AtomicBool,
    /// Host and port clients are told; known once the node has listened for the first time.
    pub(crate) address: OnceLock<(String, u16)>,
    pub(crate) sessions: Mutex<FetchSessions>,
    /// Takes connections made in memory; there while the node runs.
    pub(crate) dialed: Mutex<Option<mpsc::Sender<DuplexStream>>>,
}

impl Node {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Host and port for answers.
    pub(crate) fn endpoint(&self) -> (String, i32) {
        self.address.get().map_or_else(|| (String::new(), -1), |(host, port)| (host.clone(), i32::from(*port)))
    }
}

#[derive(Debug)]
struct ProducerIds {
    next: i64,
    reserved_to: i64,
}

/// What a coordinator is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CoordinatorKind {
    Group,
    Transaction,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: BrokerOptions,
    pub(crate) id: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) coordinator: Coordinator,
    pub(crate) transactions: TransactionCoordinator,
    pub(crate) faults: FaultPlan,
    pub(crate) authorizer: Authorizer,
    pub(crate) quotas: Quotas,
    pub(crate) features: Features,
    configs: Configs,
    pub(crate) scram: ScramStore,
    /// Encrypts connections, if the listeners want that.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    topics: RwLock<Topics>,
    changes: Mutex<()>,
    producer_ids: Mutex<ProducerIds>,
    next_leader: AtomicI32,
    /// Grows whenever another node becomes the controller.
    controller_epoch: AtomicI32,
    /// Coordinators that were moved by hand.
    coordinator_moves: Mutex<HashMap<(CoordinatorKind, String), i32>>,
    random: Mutex<fastrand::Rng>,
    clock: Clock,
    /// Held by work that touches the disk.
    at_work: Arc<tokio::sync::RwLock<()>>,
    journal: Arc<Journal>,
    storage: Storage,
}

impl Cluster {
    /// Opens the cluster the options describe, with what its directory holds.
    pub(crate) fn open(options: BrokerOptions) -> Result<Self> {
        let (storage, journal, restored) = match &options.dir {
            None => (Storage::in_memory(), Journal::in_memory(), Restored::default()),
            Some(dir) => Storage::open(dir, options.limits.producers_per_partition_max)?,
        };
        let journal = Arc::new(journal);
        let tls = tls::server_config(&options.security)?;
        let scram = ScramStore::new(restored.scram_users, Arc::clone(&journal));
        let mut random = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        for (user, password) in &options.security.scram_users {
            scram.add_configured(user, password, &mut random);
        }
        let coordinator = group_coordinator(&options, &journal, random.fork());
        for ((group, topic, partition), committed) in restored.offsets {
            coordinator.restore(&group, &topic, partition, committed);
        }
        for ((group, producer_id, topic, partition), committed) in restored.pending {
            coordinator.restore_pending(&group, producer_id, (&topic, partition), committed);
        }
        let configured = [(GROUP_VERSION, options.group_version), (TRANSACTION_VERSION, options.transaction_version)];
        let id = restored.cluster_id.clone().unwrap_or_else(|| format!("kanat-{:016x}", random.u64(..)));
        let rack = |id| usize::try_from(id).ok().and_then(|index| options.racks.get(index)).cloned();
        let mut node = |id| Node {
            id,
            rack: rack(id),
            running: AtomicBool::new(true),
            address: OnceLock::new(),
            sessions: Mutex::new(FetchSessions::new(&options.limits, random.fork())),
            dialed: Mutex::new(None),
        };
        let cluster = Self {
            id,
            nodes: (0..options.nodes).map(&mut node).collect(),
            coordinator,
            transactions: TransactionCoordinator::new(transaction_options(&options), restored.transactions),
            faults: FaultPlan::new(options.seed.unwrap_or(0)),
            authorizer: Authorizer::new(options.super_users.clone(), restored.acls, Arc::clone(&journal)),
            quotas: Quotas::new(restored.quotas, Arc::clone(&journal)),
            features: Features::new(configured, &restored.features, Arc::clone(&journal)),
            configs: Configs::new(&options.topic_defaults, &restored.configs),
            scram,
            tls,
            topics: RwLock::default(),
            changes: Mutex::new(()),
            producer_ids: Mutex::new(ProducerIds {
                next: restored.next_producer_id,
                reserved_to: restored.next_producer_id,
            }),
            next_leader: AtomicI32::new(0),
            controller_epoch: AtomicI32::new(1),
            coordinator_moves: Mutex::default(),
            clock: Clock::start(options.clock_start_ms),
            random: Mutex::new(random),
            at_work: Arc::default(),
            journal,
            storage,
            options,
        };
        for (group, stored) in restored.consumer_groups {
            cluster.coordinator.restore_consumer(&group, stored, &cluster.group_options(&group));
        }
        for topic in restored.topics {
            cluster.restore_topic(topic);
        }
        if restored.cluster_id.is_none() {
            let entry = Entry::Cluster { id: cluster.id.clone() };
            cluster.journal.append(&[entry]).map_err(|error| cluster.storage_error(error))?;
        }
        Ok(cluster)
    }

    fn storage_error(&self, error: io::Error) -> Error {
        Error::storage(self.options.dir.clone().unwrap_or_default(), error)
    }

    /// A random number, from the seed if there is one.
    pub(crate) fn random_u128(&self) -> u128 {
        self.random.lock().u128(..)
    }

    /// Time for timestamps, ms since the epoch. Timers never use it.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Runs work that may touch the disk where it does not hold up the runtime.
    pub(crate) async fn run<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        if !self.storage.is_on_disk() {
            return work(self);
        }
        let cluster = Arc::clone(self);
        let at_work = Arc::clone(&self.at_work).read_owned().await;
        let work = move || {
            let result = work(&cluster);
            drop(cluster);
            drop(at_work);
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Comes back when nothing that [`Cluster::run`] began still runs, even if nobody waits for it any more.
    pub(crate) async fn idle(&self) {
        drop(self.at_work.write().await);
    }

    // Nodes

    pub(crate) fn node(&self, id: i32) -> Option<&Node> {
        usize::try_from(id).ok().and_then(|index| self.nodes.get(index))
    }

    pub(crate) fn running_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Node that answers for the cluster as a whole.
    pub(crate) fn controller(&self) -> i32 {
        self.running_nodes().next().map_or(NO_LEADER, |node| node.id)
    }

    /// Term of the controller.
    pub(crate) fn controller_epoch(&self) -> i32 {
        self.controller_epoch.load(Ordering::Relaxed)
    }

    /// Changes of the cluster written down so far.
    pub(crate) fn metadata_offset(&self) -> i64 {
        self.journal.entries()
    }

    /// Node that coordinates `group`.
    pub(crate) fn coordinator_of(&self, group: &str) -> Option<&Node> {
        self.coordinator_for(CoordinatorKind::Group, group)
    }

    /// Node that coordinates the transactions of `id`.
    pub(crate) fn transaction_coordinator_of(&self, id: &str) -> Option<&Node> {
        self.coordinator_for(CoordinatorKind::Transaction, id)
    }

    /// Makes `node` coordinate a group or transactional id, until it stops.
    pub(crate) fn move_coordinator(&self, kind: CoordinatorKind, key: &str, node: i32) -> Result<()> {
        if !self.node(node).is_some_and(Node::is_running) {
            return Err(Error::UnknownNode { node, last: self.options.nodes - 1 });
        }
        self.coordinator_moves.lock().insert((kind, key.to_owned()), node);
        Ok(())
    }

    fn coordinator_for(&self, kind: CoordinatorKind, key: &str) -> Option<&Node> {
        let moved = self.coordinator_moves.lock().get(&(kind, key.to_owned())).copied();
        if let Some(node) = moved.and_then(|id| self.node(id)).filter(|node| node.is_running()) {
            return Some(node);
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.nodes.len() as u64;
        let first = usize::try_from(hasher.finish() % count).ok()?;
        let (before, after) = self.nodes.split_at(first);
        after.iter().chain(before).find(|node| node.is_running())
    }

    // Records

    /// Appends one batch to a partition and wakes who waits for it.
    pub(crate) fn append(
        &self,
        topic: &Topic,
        partition: &Partition,
        batch: &RecordBatch,
        origin: Origin,
        leader_epoch: i32,
    ) -> Result<Appended, Refusal> {
        let configs = topic.configs();
        let context = AppendContext {
            origin,
            config: &configs.log,
            leader_epoch,
            now_ms: self.now_ms(),
            producers_max: self.options.limits.producers_per_partition_max,
            decompressed_bytes_max: self.options.limits.decompressed_bytes_max,
        };
        let appended = partition.log.lock().append(batch, &context)?;
        partition.wake();
        Ok(appended)
    }

    /// Moves the log start of a partition; -1 stands for the high watermark. Returns the new log start.
    pub(crate) fn delete_records(&self, topic: &Topic, partition: &Partition, offset: i64) -> Result<i64, Refusal> {
        let log_start_offset = {
            let mut log = partition.log.lock();
            let bounds = log.bounds();
            let offset = if offset == -1 { bounds.high_watermark } else { offset };
            if offset < 0 || offset > bounds.high_watermark {
                let reason = format!("offset {offset} is above the high watermark {}", bounds.high_watermark);
                return Err(Refusal::new(ErrorCode::OffsetOutOfRange, reason));
            }
            log.advance_log_start(offset).map_err(|error| Refusal::storage(&error))?;
            log.bounds().log_start_offset
        };
        let entry = Entry::LogStart { topic: topic.id, partition: partition.index, offset: log_start_offset };
        self.journal.append(&[entry]).map_err(|error| Refusal::storage(&error))?;
        Ok(log_start_offset)
    }

    /// Writes entries down.
    pub(crate) fn journal_entries(&self, entries: &[Entry]) -> Result<(), Refusal> {
        self.journal.append(entries).map_err(|error| Refusal::storage(&error))
    }

    /// A producer id nobody had before.
    pub(crate) fn allocate_producer_id(&self) -> Result<i64, Refusal> {
        let mut ids = self.producer_ids.lock();
        if ids.next == ids.reserved_to {
            ids.reserved_to += PRODUCER_ID_BLOCK;
            let entry = Entry::ProducerIds { next: ids.reserved_to };
            self.journal.append(&[entry]).map_err(|error| Refusal::storage(&error))?;
        }
        let id = ids.next;
        ids.next += 1;
        Ok(id)
    }
}

fn group_coordinator(options: &BrokerOptions, journal: &Arc<Journal>, random: fastrand::Rng) -> Coordinator {
    let group_options = GroupOptions {
        initial_rebalance_delay_ms: options.group_initial_rebalance_delay_ms,
        session_timeout_ms_min: options.group_session_timeout_ms_min,
        session_timeout_ms_max: options.group_session_timeout_ms_max,
        members_max: options.limits.group_members_max,
    };
    Coordinator::new(group_options, options.limits.groups_max, Arc::clone(journal), random)
}

fn transaction_options(options: &BrokerOptions) -> TransactionOptions {
    TransactionOptions {
        timeout_ms_max: options.transaction_timeout_ms_max,
        marker_delay_ms: options.transaction_marker_delay_ms,
        ids_max: options.limits.transactional_ids_max,
    }
}
