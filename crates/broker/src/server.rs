//! Starts and stops the broker: listeners, background work, and the handle that drives it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::batch::{Batches, ControlRecord, RecordBatch};
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::{Cluster, CoordinatorKind, NewTopic, unknown_topic};
use crate::error::Refusal;
use crate::faults::FaultPlan;
use crate::listener::{Dialer, RunningNode, start_node};
use crate::log::Origin;
use crate::options::BrokerOptions;
use crate::transaction::Identity;
use crate::{Error, Result};

/// The embedded broker. See [`Broker::start`].
#[derive(Debug)]
pub struct Broker;

impl Broker {
    /// Opens the data, starts the listeners of all nodes, and returns the handle that keeps the broker running.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], [`Error::Listen`], and for a broker directory [`Error::Storage`],
    /// [`Error::DirectoryInUse`] and [`Error::Corrupt`].
    pub async fn start(options: BrokerOptions) -> Result<BrokerHandle> {
        options.validate()?;
        let cluster = if options.dir.is_none() {
            Arc::new(Cluster::open(options)?)
        } else {
            match tokio::task::spawn_blocking(move || Cluster::open(options)).await {
                Ok(opened) => Arc::new(opened?),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        };
        let mut handle = BrokerHandle {
            nodes: Mutex::new((0..cluster.options.nodes).map(|_| None).collect()),
            background: Vec::new(),
            cluster,
        };
        for node in 0..handle.cluster.options.nodes {
            handle.listen(node).await?;
        }
        let cluster = Arc::clone(&handle.cluster);
        handle.background.push(tokio::spawn(async move { cluster.coordinator.run().await }));
        let cluster = Arc::clone(&handle.cluster);
        handle.background.push(tokio::spawn(async move { cluster.transactions.run(&cluster).await }));
        handle.background.push(tokio::spawn(maintain(Arc::clone(&handle.cluster))));
        Ok(handle)
    }
}

/// A running broker. Dropping it stops the broker at once; [`BrokerHandle::stop`] also waits until it has stopped.
#[derive(Debug)]
pub struct BrokerHandle {
    cluster: Arc<Cluster>,
    nodes: Mutex<Vec<Option<RunningNode>>>,
    background: Vec<JoinHandle<()>>,
}

impl BrokerHandle {
    /// Addresses of the running nodes as clients want them: `host:port,host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let nodes = self.cluster.running_nodes().map(|node| {
            let (host, port) = node.endpoint();
            format!("{host}:{port}")
        });
        nodes.collect::<Vec<_>>().join(",")
    }

    /// Address clients are told for a node, `host:port`. It stays the same when the node stops and starts.
    ///
    /// # Errors
    /// [`Error::UnknownNode`].
    pub fn addr(&self, node: i32) -> Result<String> {
        let known = self.cluster.node(node).ok_or_else(|| self.unknown_node(node))?;
        let (host, port) = known.endpoint();
        Ok(format!("{host}:{port}"))
    }

    /// Connects to a node in memory, without a socket: `address` is the node's as metadata tells it. Nodes without a
    /// listener ([`BrokerOptions::without_sockets`]) and with one serve such connections in the same way.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] if the node is stopped or too many connections wait for it;
    /// [`io::ErrorKind::HostUnreachable`] for an address nobody has.
    pub fn dial(&self, address: &str) -> io::Result<DuplexStream> {
        self.dialer().dial(address)
    }

    /// What connects to the nodes in memory, apart from the handle: it can be cloned into a client's connector.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::new(Arc::clone(&self.cluster))
    }

    /// The fault plan, empty at first.
    #[must_use]
    pub fn faults(&self) -> FaultPlan {
        self.cluster.faults.clone()
    }

    /// Stops all nodes and waits until their connections are closed and the directory is free.
    pub async fn stop(mut self) {
        let running: Vec<RunningNode> = self.nodes.lock().iter_mut().filter_map(Option::take).collect();
        for node in running {
            node.stop().await;
        }
        for task in self.background.drain(..) {
            task.abort();
            let _ = task.await;
        }
        self.cluster.idle().await;
    }

    /// Stops one node: its listener and connections close, and its partitions move to replicas on running nodes. A
    /// partition without one has no leader until the node starts again. A stopped node is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::Storage`].
    pub async fn stop_node(&self, node: i32) -> Result<()> {
        let index = self.index(node)?;
        let running = self.nodes.lock()[index].take();
        if let Some(running) = running {
            running.stop().await;
            self.on_cluster(move |cluster| cluster.node_stopped(node)).await?;
        }
        Ok(())
    }

    /// Starts a stopped node on its old port. A running node is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::Listen`] if the port is taken by now, [`Error::Storage`].
    pub async fn start_node(&self, node: i32) -> Result<()> {
        let index = self.index(node)?;
        if self.nodes.lock()[index].is_none() {
            self.listen(node).await?;
            self.on_cluster(move |cluster| cluster.node_started(node)).await?;
        }
        Ok(())
    }

    /// Makes `node` the leader of a partition, in a new leader epoch.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`]; [`Error::UnknownNode`] if the node does not exist or does not run;
    /// [`Error::Storage`].
    pub async fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<()> {
        let topic = topic.to_owned();
        self.on_cluster(move |cluster| cluster.move_leader(&topic, partition, node)).await
    }

    /// Node that leads a partition, and the leader epoch; `None` while it has no leader.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    pub fn leader(&self, topic: &str, partition: i32) -> Result<Option<(i32, i32)>> {
        let (_, found) = self.partition(topic, partition)?;
        let (leader, epoch) = found.leader();
        Ok((leader >= 0).then_some((leader, epoch)))
    }

    /// Node that coordinates a consumer group, or `None` if no node runs.
    #[must_use]
    pub fn group_coordinator(&self, group: &str) -> Option<i32> {
        self.cluster.coordinator_of(group).map(|node| node.id)
    }

    /// Makes `node` the coordinator of a consumer group until it stops.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] if the node does not exist or does not run.
    pub fn move_group_coordinator(&self, group: &str, node: i32) -> Result<()> {
        self.cluster.move_coordinator(CoordinatorKind::Group, group, node)
    }

    /// Node that coordinates the transactions of a transactional id, or `None` if no node runs.
    #[must_use]
    pub fn transaction_coordinator(&self, transactional_id: &str) -> Option<i32> {
        self.cluster.transaction_coordinator_of(transactional_id).map(|node| node.id)
    }

    /// Makes `node` the coordinator of a transactional id until it stops.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] if the node does not exist or does not run.
    pub fn move_transaction_coordinator(&self, transactional_id: &str, node: i32) -> Result<()> {
        self.cluster.move_coordinator(CoordinatorKind::Transaction, transactional_id, node)
    }

    /// Creates a topic with `configs` given as (name, value), replicated to all nodes.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code a client would see.
    pub async fn create_topic(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        let owned = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let new = NewTopic {
            name: topic.to_owned(),
            partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: owned.collect(),
        };
        self.on_cluster(move |cluster| cluster.create_topic(&new, false)).await?;
        Ok(())
    }

    /// Appends record batches as they are, past the rules for clients: transactional batches and control batches are
    /// welcome, and sequence numbers are not checked. Base offsets and leader epochs are assigned as for a produce.
    /// Returns the base offset of each batch. For tests.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`]; [`Error::Protocol`] if the bytes are not whole batches; [`Error::Refused`] for a
    /// wrong CRC or control record. Batches before the failing one stay.
    pub async fn append_batches(&self, topic: &str, partition: i32, batches: Bytes) -> Result<Vec<i64>> {
        let mut iterator = Batches::new(batches);
        let batches = iterator.by_ref().collect::<std::result::Result<Vec<RecordBatch>, _>>()?;
        if iterator.truncated() {
            let reason = "the last batch is cut off".to_owned();
            return Err(Error::Refused { code: kanat_protocol::ErrorCode::CorruptMessage, reason });
        }
        let (topic, partition) = self.partition(topic, partition)?;
        let append = move |cluster: &Cluster| {
            let (_, epoch) = partition.leader();
            let appended = batches.iter().map(|batch| cluster.append(&topic, &partition, batch, Origin::Handle, epoch));
            appended.map(|appended| Ok::<i64, Refusal>(appended?.base_offset)).collect::<Result<Vec<i64>, _>>()
        };
        self.on_cluster(append).await
    }

    /// Appends a transaction marker of a producer, which commits or aborts its open transaction in the partition.
    /// Returns the marker's offset. For tests.
    ///
    /// # Errors
    /// As [`BrokerHandle::append_batches`].
    pub async fn append_control(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
        producer_epoch: i16,
        control: ControlRecord,
    ) -> Result<i64> {
        let (topic, partition) = (topic.to_owned(), partition);
        self.partition(&topic, partition)?;
        let identity = Identity { producer_id, epoch: producer_epoch };
        self.on_cluster(move |cluster| cluster.append_marker(&topic, partition, identity, control)).await
    }

    /// Loses the records of a partition from `offset` on (whole batches), as an unclean leader election does, and begins
    /// a new leader epoch. Returns the new log end. For tests.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Storage`].
    pub async fn truncate(&self, topic: &str, partition: i32, offset: i64) -> Result<i64> {
        let topic = topic.to_owned();
        self.on_cluster(move |cluster| cluster.truncate(&topic, partition, offset)).await
    }

    /// Deletes a topic and makes it anew, empty and with another id, but with as many partitions and the same configs.
    /// For tests.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code a client would see.
    pub async fn recreate_topic(&self, topic: &str) -> Result<()> {
        let name = topic.to_owned();
        self.on_cluster(move |cluster| {
            let known = cluster.topic(&name).ok_or_else(|| unknown_topic(&name))?;
            let new = NewTopic {
                name,
                assignments: known.partitions().iter().map(|partition| partition.leadership().replicas).collect(),
                configs: known.configs().own.clone(),
                ..NewTopic::default()
            };
            cluster.delete_topic(&known)?;
            cluster.create_topic(&new, false).map(|_| ())
        })
        .await
    }

    /// Runs retention and compaction now instead of waiting for the next turn.
    pub async fn maintain(&self) {
        self.cluster.run(Cluster::maintain).await;
    }

    /// Closes the active segment of a partition and compacts all of it, whatever its `cleanup.policy` and ratios say.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Storage`]; [`Error::Refused`] if a batch cannot be read.
    pub async fn compact(&self, topic: &str, partition: i32) -> Result<()> {
        let topic = topic.to_owned();
        self.on_cluster(move |cluster| cluster.compact_now(&topic, partition)).await
    }

    /// Log start offset, last stable offset and high watermark of a partition.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64, i64)> {
        let (_, found) = self.partition(topic, partition)?;
        let bounds = found.log.lock().bounds();
        Ok((bounds.log_start_offset, bounds.last_stable_offset, bounds.high_watermark))
    }

    fn partition(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(Arc<crate::topic::Topic>, Arc<crate::topic::Partition>)> {
        let unknown = |_| Error::UnknownPartition { topic: topic.to_owned(), partition };
        self.cluster.partition(topic, partition).map_err(unknown)
    }

    async fn on_cluster<T, E>(
        &self,
        work: impl FnOnce(&Cluster) -> std::result::Result<T, E> + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        self.cluster.run(work).await.map_err(Into::into)
    }

    fn unknown_node(&self, node: i32) -> Error {
        Error::UnknownNode { node, last: self.cluster.options.nodes - 1 }
    }

    fn index(&self, node: i32) -> Result<usize> {
        self.cluster.node(node).ok_or_else(|| self.unknown_node(node))?;
        usize::try_from(node).map_err(|_| self.unknown_node(node))
    }

    /// Lets a node listen and accept.
    async fn listen(&self, node_id: i32) -> Result<()> {
        let index = self.index(node_id)?;
        let running = start_node(&self.cluster, node_id).await?;
        self.nodes.lock()[index] = Some(running);
        Ok(())
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
        for node in self.nodes.lock().iter().flatten() {
            node.abort();
        }
    }
}

async fn maintain(cluster: Arc<Cluster>) {
    let mut turns = interval(Duration::from_millis(cluster.options.maintenance_interval_ms));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        cluster.run(Cluster::maintain).await;
    }
}
