//! The state all nodes share: topics, leaders, groups, producer ids, faults.
//!
//! A change is applied in memory, then written to the journal, then answered. Admin changes (topics, configs, leaders)
//! take turns; reads and appends do not wait for them.

mod clock;
mod maintenance;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::RecordBatch;
use kanat_protocol::messages::Uuid;
use parking_lot::{Mutex, RwLock};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use self::clock::Clock;
use crate::acl::Authorizer;
use crate::error::Refusal;
use crate::faults::FaultPlan;
use crate::fetch_sessions::FetchSessions;
use crate::group::{ConsumerOptions, Coordinator, GroupOptions, TopicView};
use crate::journal::{Entry, Journal, PartitionEntry};
use crate::log::{AppendContext, Appended, Origin};
use crate::options::BrokerOptions;
use crate::quotas::Quotas;
use crate::security::{ScramStore, tls};
use crate::storage::{Restored, Storage};
use crate::topic::{NO_LEADER, Partition, Topic, TopicConfigs, check_name};
use crate::topic_config::{self, LogConfig};
use crate::transaction::{TransactionCoordinator, TransactionOptions};
use crate::{Error, Result};

/// Producer ids are written down in blocks of this many; a restart skips the rest of a block.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// A node of the cluster.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
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

/// A topic to be made.
#[derive(Debug, Default)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// -1 takes the default.
    pub(crate) partitions: i32,
    /// -1 takes one replica per node.
    pub(crate) replication_factor: i16,
    /// Replicas of each partition; empty lets the broker choose.
    pub(crate) assignments: Vec<Vec<i32>>,
    pub(crate) configs: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    partitions: usize,
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
    pub(crate) scram: ScramStore,
    /// Encrypts connections, if the listeners want that.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    topics: RwLock<Topics>,
    changes: Mutex<()>,
    producer_ids: Mutex<ProducerIds>,
    next_leader: AtomicI32,
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
        let group_options = GroupOptions {
            initial_rebalance_delay_ms: options.group_initial_rebalance_delay_ms,
            session_timeout_ms_min: options.group_session_timeout_ms_min,
            session_timeout_ms_max: options.group_session_timeout_ms_max,
            members_max: options.limits.group_members_max,
        };
        let mut random = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let consumer_options = ConsumerOptions {
            session_timeout_ms: options.consumer_group_session_timeout_ms,
            heartbeat_interval_ms: options.consumer_group_heartbeat_interval_ms,
            members_max: options.limits.group_members_max,
        };
        for (user, password) in &options.security.scram_users {
            scram.add_configured(user, password, &mut random);
        }
        let groups_max = options.limits.groups_max;
        let journaled = Arc::clone(&journal);
        let coordinator = Coordinator::new(group_options, groups_max, journaled, random.fork(), consumer_options);
        for ((group, topic, partition), committed) in restored.offsets {
            coordinator.restore(&group, &topic, partition, committed);
        }
        for ((group, producer_id, topic, partition), committed) in restored.pending {
            coordinator.restore_pending(&group, producer_id, (&topic, partition), committed);
        }
        let transaction_options = TransactionOptions {
            timeout_ms_max: options.transaction_timeout_ms_max,
            bumps: options.transaction_version >= 2,
            marker_delay_ms: options.transaction_marker_delay_ms,
            ids_max: options.limits.transactional_ids_max,
        };
        let id = restored.cluster_id.clone().unwrap_or_else(|| format!("kanat-{:016x}", random.u64(..)));
        let mut node = |id| Node {
            id,
            running: AtomicBool::new(true),
            address: OnceLock::new(),
            sessions: Mutex::new(FetchSessions::new(&options.limits, random.fork())),
            dialed: Mutex::new(None),
        };
        let cluster = Self {
            id,
            nodes: (0..options.nodes).map(&mut node).collect(),
            coordinator,
            transactions: TransactionCoordinator::new(transaction_options, restored.transactions),
            faults: FaultPlan::new(options.seed.unwrap_or(0)),
            authorizer: Authorizer::new(options.super_users.clone()),
            quotas: Quotas::default(),
            scram,
            tls,
            topics: RwLock::default(),
            changes: Mutex::new(()),
            producer_ids: Mutex::new(ProducerIds {
                next: restored.next_producer_id,
                reserved_to: restored.next_producer_id,
            }),
            next_leader: AtomicI32::new(0),
            coordinator_moves: Mutex::default(),
            clock: Clock::start(options.clock_start_ms),
            random: Mutex::new(random),
            at_work: Arc::default(),
            journal,
            storage,
            options,
        };
        for topic in restored.topics {
            cluster.restore_topic(topic);
        }
        if restored.cluster_id.is_none() {
            let entry = Entry::Cluster { id: cluster.id.clone() };
            cluster.journal.append(&[entry]).map_err(|error| cluster.storage_error(error))?;
        }
        Ok(cluster)
    }

    fn restore_topic(&self, topic: crate::storage::RestoredTopic) {
        let configs = self.resolve_configs(topic.configs);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, (mut entry, log)) in (0..).zip(topic.partitions) {
            // The directory may come from a cluster with more nodes.
            entry.replicas.retain(|replica| self.node(*replica).is_some());
            if entry.replicas.is_empty() {
                entry.replicas.push(0);
            }
            if !entry.replicas.contains(&entry.leader) {
                entry.leader = entry.replicas[0];
                entry.epoch += 1;
            }
            partitions.push(Arc::new(Partition::new(index, log, entry)));
        }
        self.insert_topic(Topic::new(&topic.name, topic.id, configs, partitions));
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

    /// Marks a node as down and hands its partitions to replicas that run.
    pub(crate) fn node_stopped(&self, id: i32) -> Result<()> {
        let _turn = self.changes.lock();
        let Some(node) = self.node(id) else { return Ok(()) };
        node.running.store(false, Ordering::Release);
        *node.sessions.lock() = FetchSessions::new(&self.options.limits, self.random.lock().fork());
        let entries = self.elect(|leadership| leadership.leader == id);
        self.journal.append(&entries).map_err(|error| self.storage_error(error))
    }

    /// Marks a node as up; partitions without a leader get it if it is a replica.
    pub(crate) fn node_started(&self, id: i32) -> Result<()> {
        let _turn = self.changes.lock();
        let Some(node) = self.node(id) else { return Ok(()) };
        node.running.store(true, Ordering::Release);
        let entries = self.elect(|leadership| leadership.leader == NO_LEADER && leadership.replicas.contains(&id));
        self.journal.append(&entries).map_err(|error| self.storage_error(error))
    }

    /// Gives every partition that `needs` it a leader among its running replicas.
    fn elect(&self, needs: impl Fn(&PartitionEntry) -> bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for topic in self.topics() {
            for partition in topic.partitions().iter() {
                let leadership = partition.leadership();
                if !needs(&leadership) {
                    continue;
                }
                let runs = |replica: &&i32| self.node(**replica).is_some_and(Node::is_running);
                let leader = leadership.replicas.iter().find(runs).copied().unwrap_or(NO_LEADER);
                let entry = partition.set_leader(leader);
                entries.push(Entry::Leader { topic: topic.id, partition: partition.index, entry });
            }
        }
        entries
    }

    /// Makes `node` the leader of a partition.
    pub(crate) fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<()> {
        if !self.node(node).is_some_and(Node::is_running) {
            return Err(Error::UnknownNode { node, last: self.options.nodes - 1 });
        }
        let _turn = self.changes.lock();
        let unknown = || Error::UnknownPartition { topic: topic.to_owned(), partition };
        let topic = self.topic(topic).ok_or_else(unknown)?;
        let target = topic.partition(partition).ok_or_else(unknown)?;
        let entry = target.set_leader(node);
        let moved = Entry::Leader { topic: topic.id, partition, entry };
        self.journal.append(&[moved]).map_err(|error| self.storage_error(error))
    }

    /// Elects a leader of a partition: its first replica, or if `preferred` is false any that runs when it has none.
    pub(crate) fn elect_leader(&self, topic: &Topic, partition: &Partition, preferred: bool) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let leadership = partition.leadership();
        let runs = |replica: &&i32| self.node(**replica).is_some_and(Node::is_running);
        let first = leadership.replicas.first().copied().unwrap_or(NO_LEADER);
        let done = if preferred { leadership.leader == first } else { leadership.leader != NO_LEADER };
        if done {
            return Err(Refusal::new(ErrorCode::ElectionNotNeeded, "the partition has that leader"));
        }
        let eligible = if preferred { leadership.replicas.first() } else { leadership.replicas.iter().find(runs) };
        let Some(leader) = eligible.filter(runs).copied() else {
            let code = match preferred {
                true => ErrorCode::PreferredLeaderNotAvailable,
                false => ErrorCode::EligibleLeadersNotAvailable,
            };
            return Err(Refusal::new(code, "no such replica runs"));
        };
        let entry = partition.set_leader(leader);
        self.journal_entries(&[Entry::Leader { topic: topic.id, partition: partition.index, entry }])
    }

    /// Gives a partition other replicas. A leader that is not among them loses the partition to the first that runs.
    pub(crate) fn reassign(&self, topic: &Topic, partition: &Partition, replicas: &[i32]) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let assigned = self.assigned(replicas)?;
        let runs = |replica: &&i32| self.node(**replica).is_some_and(Node::is_running);
        let leader = assigned.replicas.iter().find(runs).copied().unwrap_or(NO_LEADER);
        let entry = partition.set_replicas(assigned.replicas, leader);
        self.journal_entries(&[Entry::Leader { topic: topic.id, partition: partition.index, entry }])
    }

    /// Loses the records of a partition from `offset` on, as an unclean election does, and begins a new leader epoch.
    pub(crate) fn truncate(&self, topic: &str, partition: i32, offset: i64) -> Result<i64> {
        let _turn = self.changes.lock();
        let unknown = |_| Error::UnknownPartition { topic: topic.to_owned(), partition };
        let (topic, target) = self.partition(topic, partition).map_err(unknown)?;
        let storage = |error| self.storage_error(error);
        let producers_max = self.options.limits.producers_per_partition_max;
        let end_offset = {
            let mut log = target.log.lock();
            log.truncate(offset, producers_max).map_err(storage)?;
            log.bounds().high_watermark
        };
        let entry = target.set_leader(target.leader().0);
        let moved = Entry::Leader { topic: topic.id, partition, entry };
        self.journal.append(&[moved]).map_err(storage)?;
        Ok(end_offset)
    }

    // Topics

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().by_name.get(name).map(Arc::clone)
    }

    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics.read().by_id.get(&id).map(Arc::clone)
    }

    /// All topics by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().by_name.values().map(Arc::clone).collect()
    }

    /// Topics consumers may subscribe to.
    pub(crate) fn topic_view(&self) -> TopicView {
        let topics = self.topics.read();
        let visible = topics.by_name.iter().filter(|(_, topic)| !topic.is_internal());
        let count = |topic: &Topic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        visible.map(|(name, topic)| (name.to_string(), (topic.id, count(topic)))).collect()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Result<(Arc<Topic>, Arc<Partition>), Refusal> {
        let topic = self.topic(topic).ok_or_else(|| unknown_partition(topic, partition))?;
        let found = topic.partition(partition).ok_or_else(|| unknown_partition(&topic.name, partition))?;
        Ok((topic, found))
    }

    fn insert_topic(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut topics = self.topics.write();
        topics.partitions += topic.partitions().len();
        topics.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topics.by_id.insert(topic.id, Arc::clone(&topic));
        topic
    }

    /// Makes a topic, or only checks whether it could be made. Returns its leaderships by partition, and the topic.
    pub(crate) fn create_topic(&self, new: &NewTopic, validate_only: bool) -> Result<CreatedTopic, Refusal> {
        let _turn = self.changes.lock();
        check_name(&new.name)?;
        if self.topic(&new.name).is_some() {
            let reason = format!("topic {} already exists", new.name);
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, reason));
        }
        for (name, value) in &new.configs {
            topic_config::check(name, value).map_err(|reason| Refusal::new(ErrorCode::InvalidConfig, reason))?;
        }
        let leaderships = self.assign(new)?;
        self.check_room(leaderships.len())?;
        let configs = self.resolve_configs(new.configs.clone());
        let id = Uuid::from_u128(self.random.lock().u128(1 << 64..));
        if validate_only {
            return Ok(CreatedTopic { id: Uuid::nil(), leaderships, configs: Arc::new(configs) });
        }
        let partitions = self.make_partitions(id, 0, leaderships.clone()).map_err(|error| Refusal::storage(&error))?;
        let topic = self.insert_topic(Topic::new(&new.name, id, configs, partitions));
        self.journal.append(&[topic.entry()]).map_err(|error| Refusal::storage(&error))?;
        Ok(CreatedTopic { id, leaderships, configs: topic.configs() })
    }

    fn check_room(&self, partitions: usize) -> Result<(), Refusal> {
        let partitions_max = self.options.limits.partitions_max;
        if self.topics.read().partitions + partitions > partitions_max {
            let reason = format!("the broker holds at most partitions_max = {partitions_max} partitions");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
        }
        Ok(())
    }

    fn make_partitions(
        &self,
        topic: Uuid,
        first: i32,
        leaderships: Vec<PartitionEntry>,
    ) -> io::Result<Vec<Arc<Partition>>> {
        let numbered = (first..).zip(leaderships);
        numbered
            .map(|(index, leadership)| {
                let log = self.storage.create_log(topic, index)?;
                Ok(Arc::new(Partition::new(index, log, leadership)))
            })
            .collect()
    }

    fn assign(&self, new: &NewTopic) -> Result<Vec<PartitionEntry>, Refusal> {
        if !new.assignments.is_empty() {
            return new.assignments.iter().map(|replicas| self.assigned(replicas)).collect();
        }
        let partitions = match new.partitions {
            -1 => self.options.default_partitions,
            partitions if partitions >= 1 => partitions,
            _ => return Err(Refusal::new(ErrorCode::InvalidPartitions, "a topic has at least one partition")),
        };
        let replicas = match i32::from(new.replication_factor) {
            -1 => self.options.nodes,
            factor if (1..=self.options.nodes).contains(&factor) => factor,
            factor => {
                let reason = format!("replication factor {factor} with {} nodes", self.options.nodes);
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, reason));
            }
        };
        if usize::try_from(partitions).map_or(true, |partitions| partitions > self.options.limits.partitions_max) {
            self.check_room(usize::MAX / 2)?;
        }
        Ok((0..partitions).map(|_| self.next_leadership(replicas)).collect())
    }

    /// Leaders go round robin over the nodes; the next nodes are the other replicas.
    fn next_leadership(&self, replicas: i32) -> PartitionEntry {
        let nodes = self.options.nodes;
        let first = self.next_leader.fetch_add(1, Ordering::Relaxed).rem_euclid(nodes);
        let replicas: Vec<i32> = (0..replicas).map(|step| (first + step) % nodes).collect();
        let leader = replicas.iter().copied().find(|replica| self.node(*replica).is_some_and(Node::is_running));
        PartitionEntry { leader: leader.unwrap_or(NO_LEADER), epoch: 0, replicas }
    }

    fn assigned(&self, replicas: &[i32]) -> Result<PartitionEntry, Refusal> {
        let known = |replica: &i32| self.node(*replica).is_some();
        match replicas.first() {
            Some(leader) if replicas.iter().all(known) => {
                Ok(PartitionEntry { leader: *leader, epoch: 0, replicas: replicas.to_vec() })
            }
            _ => Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, format!("replicas {replicas:?} are not nodes"))),
        }
    }

    /// Deletes a topic with its offsets in all groups.
    pub(crate) fn delete_topic(&self, topic: &Topic) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        {
            let mut topics = self.topics.write();
            let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, "the topic is gone already");
            topics.by_id.remove(&topic.id).ok_or_else(unknown)?;
            topics.by_name.remove(&topic.name);
            topics.partitions -= topic.partitions().len();
        }
        let storage = |error| Refusal::storage(&error);
        self.journal.append(&[Entry::TopicDeleted { id: topic.id }]).map_err(storage)?;
        self.coordinator.forget_topic(&topic.name).map_err(storage)?;
        self.storage.delete_topic(topic.id).map_err(storage)?;
        for partition in topic.partitions().iter() {
            partition.wake();
        }
        Ok(())
    }

    /// Grows a topic to `count` partitions.
    pub(crate) fn add_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let topic = self.topic(name).ok_or_else(|| unknown_topic(name))?;
        let partitions = topic.partitions();
        let present = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        if count <= present {
            let reason = format!("topic {name} has {present} partitions already");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
        }
        self.check_room(usize::try_from(count - present).unwrap_or(usize::MAX))?;
        let leaderships: Vec<PartitionEntry> = match assignments {
            Some(assigned) if assigned.len() as i64 == i64::from(count - present) => {
                assigned.iter().map(|replicas| self.assigned(replicas)).collect::<Result<_, _>>()?
            }
            Some(_) => {
                let reason = "there must be one assignment per new partition";
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, reason));
            }
            None => {
                let replicas = partitions.first().map_or(1, |partition| partition.leadership().replicas.len());
                let replicas = i32::try_from(replicas).unwrap_or(1);
                (present..count).map(|_| self.next_leadership(replicas)).collect()
            }
        };
        if validate_only {
            return Ok(());
        }
        let storage = |error| Refusal::storage(&error);
        let added = self.make_partitions(topic.id, present, leaderships).map_err(storage)?;
        self.topics.write().partitions += added.len();
        topic.add_partitions(added);
        self.journal.append(&[topic.entry()]).map_err(storage)
    }

    /// Replaces the configs of a topic by what `change` makes of them.
    pub(crate) fn change_configs(
        &self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let topic = self.topic(name).ok_or_else(|| unknown_topic(name))?;
        let mut own = topic.configs().own.clone();
        change(&mut own)?;
        for (name, value) in &own {
            topic_config::check(name, value).map_err(|reason| Refusal::new(ErrorCode::InvalidConfig, reason))?;
        }
        if validate_only {
            return Ok(());
        }
        topic.set_configs(self.resolve_configs(own));
        self.journal.append(&[topic.entry()]).map_err(|error| Refusal::storage(&error))
    }

    fn resolve_configs(&self, own: BTreeMap<String, String>) -> TopicConfigs {
        let log = LogConfig::new(&own, &self.options.topic_defaults);
        TopicConfigs { own, log }
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

/// What CreateTopics tells of a topic.
#[derive(Debug)]
pub(crate) struct CreatedTopic {
    pub(crate) id: Uuid,
    pub(crate) leaderships: Vec<PartitionEntry>,
    pub(crate) configs: Arc<TopicConfigs>,
}

pub(crate) fn unknown_topic(topic: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {topic} does not exist"))
}

pub(crate) fn unknown_partition(topic: &str, partition: i32) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {topic} has no partition {partition}"))
}
