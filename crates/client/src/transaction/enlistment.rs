//! What the producer's sender and the transactions share: whether records may go, under which identity, and which
//! partitions the coordinator knows of.

use std::sync::Arc;

use parking_lot::Mutex;

use super::state::Machine;
use super::wire;
use crate::cluster::Cluster;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};
use crate::produce::Identity;
use crate::types::TopicPartition;

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Enlistment {
    pub(super) id: Arc<str>,
    pub(super) coordinator: Coordinator,
    pub(super) machine: Mutex<Machine>,
    /// One question about the transaction at a time: partitions added behind its end would open another one.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Enlistment {
    pub(super) fn new(cluster: Arc<Cluster>, id: &str) -> Enlistment {
        let id: Arc<str> = id.into();
        Enlistment {
            coordinator: Coordinator::transaction(cluster, &id),
            machine: Mutex::new(Machine::new(Arc::clone(&id))),
            id,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The transactional id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The identity of the open transaction; `None` when nothing may be sent.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.machine.lock().sending_identity()
    }

    /// Whether the coordinator notices partitions by itself, which is what the newest produce requests ask it to do.
    pub(crate) fn is_implicit(&self) -> bool {
        self.machine.lock().is_implicit()
    }

    /// Whether records are taken now.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.machine.lock().check_open()
    }

    /// Whether a batch may go to a partition; if not, [`enrol`](Self::enrol) it first.
    pub(crate) fn may_send(&self, partition: &TopicPartition) -> bool {
        self.machine.lock().may_send(partition)
    }

    /// Tells the coordinator that the transaction writes to these partitions.
    ///
    /// # Errors
    /// What the coordinator answers; the transaction must be aborted then.
    pub(crate) async fn enrol(&self, partitions: &[TopicPartition]) -> Result<()> {
        let identity = {
            let mut machine = self.machine.lock();
            machine.check_open()?;
            machine.touch();
            machine.identity()
        };
        let add = |connection| async move {
            let _turn = self.turn.lock().await;
            // The end may have come between two attempts.
            self.check_open()?;
            wire::add_partitions(connection, &self.id, identity, partitions, &self.coordinator).await
        };
        let added = self.coordinator.run(add).await;
        let mut machine = self.machine.lock();
        // The transaction may be over by now; what became of its partitions says nothing of the one after it.
        if machine.sending_identity() != Some(identity) {
            return Ok(());
        }
        added?;
        machine.enrolled(partitions.iter().cloned());
        Ok(())
    }

    /// A record of the transaction is lost. Returns what the others are told.
    pub(crate) fn record_failed(&self, error: &Error) -> Error {
        let mut machine = self.machine.lock();
        machine.failed(error);
        machine.check_open().err().unwrap_or_else(|| error.clone())
    }
}
