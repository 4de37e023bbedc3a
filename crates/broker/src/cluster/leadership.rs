//! Who leads and keeps copies of what, as nodes come and go and administrators ask.

use std::sync::atomic::Ordering;

use kanat_protocol::ErrorCode;

use super::{Cluster, Node};
use crate::error::Refusal;
use crate::fetch_sessions::FetchSessions;
use crate::journal::{Entry, PartitionEntry};
use crate::topic::{NO_LEADER, Partition, Topic};
use crate::{Error, Result};

impl Cluster {
    /// Marks a node as down and hands its partitions to replicas that run.
    pub(crate) fn node_stopped(&self, id: i32) -> Result<()> {
        let _turn = self.changes.lock();
        let Some(node) = self.node(id) else { return Ok(()) };
        self.set_running(node, false);
        *node.sessions.lock() = FetchSessions::new(&self.options.limits, self.random.lock().fork());
        let entries = self.elect(|leadership| leadership.leader == id);
        self.journal.append(&entries).map_err(|error| self.storage_error(error))
    }

    /// Marks a node as up; partitions without a leader get it if it is a replica.
    pub(crate) fn node_started(&self, id: i32) -> Result<()> {
        let _turn = self.changes.lock();
        let Some(node) = self.node(id) else { return Ok(()) };
        self.set_running(node, true);
        let entries = self.elect(|leadership| leadership.leader == NO_LEADER && leadership.replicas.contains(&id));
        self.journal.append(&entries).map_err(|error| self.storage_error(error))
    }

    fn set_running(&self, node: &Node, running: bool) {
        let before = self.controller();
        node.running.store(running, Ordering::Release);
        if self.controller() != before {
            self.controller_epoch.fetch_add(1, Ordering::Relaxed);
        }
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

    /// Whether replicas that do not lead answer consumers.
    pub(crate) fn reads_from_followers(&self) -> bool {
        !self.options.racks.is_empty()
    }

    /// The replica that a consumer in `rack` had better read from than from `leader` (KIP-392).
    pub(crate) fn closest_replica(&self, leadership: &PartitionEntry, rack: &str) -> Option<i32> {
        let near =
            |id: &i32| self.node(*id).is_some_and(|node| node.is_running() && node.rack.as_deref() == Some(rack));
        if near(&leadership.leader) {
            return None;
        }
        leadership.replicas.iter().copied().find(near)
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

    /// Leaders go round robin over the nodes; the next nodes are the other replicas.
    pub(super) fn next_leadership(&self, replicas: i32) -> PartitionEntry {
        let nodes = self.options.nodes;
        let first = self.next_leader.fetch_add(1, Ordering::Relaxed).rem_euclid(nodes);
        let replicas: Vec<i32> = (0..replicas).map(|step| (first + step) % nodes).collect();
        let leader = replicas.iter().copied().find(|replica| self.node(*replica).is_some_and(Node::is_running));
        PartitionEntry { leader: leader.unwrap_or(NO_LEADER), epoch: 0, replicas }
    }

    pub(super) fn assigned(&self, replicas: &[i32]) -> Result<PartitionEntry, Refusal> {
        let known = |replica: &i32| self.node(*replica).is_some();
        let is_repeated = |(at, replica): (usize, &i32)| replicas[..at].contains(replica);
        match replicas.first() {
            Some(_) if replicas.iter().enumerate().any(is_repeated) => {
                Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, format!("replicas {replicas:?} repeat a node")))
            }
            Some(leader) if replicas.iter().all(known) => {
                Ok(PartitionEntry { leader: *leader, epoch: 0, replicas: replicas.to_vec() })
            }
            _ => Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, format!("replicas {replicas:?} are not nodes"))),
        }
    }
}
