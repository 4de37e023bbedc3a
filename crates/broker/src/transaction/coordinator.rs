//! All transactional ids of the cluster: finds the transaction, lets its state machine decide, and keeps the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::state::{End, Identity, Init, InitRequest, Transaction};
use crate::cluster::Cluster;
use crate::features::TRANSACTION_VERSION;
use crate::journal::Entry;

/// First `transaction.version` whose transactions each begin a new epoch.
const BUMPING_LEVEL_MIN: i16 = 2;
/// Pause before markers are tried again that found a partition without a leader.
const MARKER_RETRY_MS: u64 = 20;

/// Bounds and habits of the coordinator.
#[derive(Debug, Clone)]
pub(crate) struct TransactionOptions {
    /// Longest timeout a producer may ask for.
    pub(crate) timeout_ms_max: u64,
    /// Time between the end of a transaction and its markers.
    pub(crate) marker_delay_ms: u64,
    pub(crate) ids_max: usize,
}

/// How a partition or group becomes part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddPolicy {
    /// By being written to (transaction version 2).
    Implicit,
    /// By an earlier request of the producer.
    Verify,
}

#[derive(Debug)]
struct Slot {
    transaction: Transaction,
    markers_due_ms: u64,
}

impl Slot {
    fn next_due_ms(&self) -> Option<u64> {
        let markers_due_ms = self.transaction.markers().map(|_| self.markers_due_ms);
        self.transaction.deadline_ms().or(markers_due_ms)
    }
}

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct TransactionCoordinator {
    options: TransactionOptions,
    /// Zero of the milliseconds the state machines see.
    started: Instant,
    by_id: Mutex<BTreeMap<String, Arc<Mutex<Slot>>>>,
    /// A deadline may have moved.
    changed: Notify,
}

impl TransactionCoordinator {
    /// A coordinator of the transactions a directory held. Open ones get their whole timeout again.
    pub(crate) fn new(options: TransactionOptions, restored: BTreeMap<String, Transaction>) -> Self {
        let slot = |transaction| Arc::new(Mutex::new(Slot { transaction, markers_due_ms: 0 }));
        let by_id = restored.into_iter().map(|(id, transaction)| (id, slot(transaction))).collect();
        Self { options, started: Instant::now(), by_id: Mutex::new(by_id), changed: Notify::new() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn slot(&self, id: &str) -> Result<Arc<Mutex<Slot>>, ErrorCode> {
        self.by_id.lock().get(id).map(Arc::clone).ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    /// InitProducerId of a transactional producer.
    pub(crate) fn init(
        &self,
        cluster: &Cluster,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, ErrorCode> {
        let timeout_ms = u64::try_from(timeout_ms).ok();
        let in_range = |timeout_ms: &u64| (1..=self.options.timeout_ms_max).contains(timeout_ms);
        let timeout_ms = timeout_ms.filter(in_range).ok_or(ErrorCode::InvalidTransactionTimeout)?;
        let fresh_id = fresh_id(cluster)?;
        let slot = {
            let mut by_id = self.by_id.lock();
            if by_id.len() >= self.options.ids_max && !by_id.contains_key(id) {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            let fresh = || Arc::new(Mutex::new(Slot { transaction: Transaction::new(), markers_due_ms: 0 }));
            Arc::clone(by_id.entry(id.to_owned()).or_insert_with(fresh))
        };
        let mut slot = slot.lock();
        let request = InitRequest { timeout_ms, expected, fresh_id };
        match slot.transaction.init(request, bumps(cluster))? {
            Init::Ready(identity) => {
                write_down(cluster, id, &slot.transaction)?;
                Ok(identity)
            }
            Init::Aborting => {
                self.on_prepared(cluster, id, &mut slot)?;
                Err(ErrorCode::ConcurrentTransactions)
            }
        }
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn.
    pub(crate) fn add(
        &self,
        cluster: &Cluster,
        id: &str,
        identity: Identity,
        partitions: Vec<(String, i32)>,
        group: Option<&str>,
    ) -> Result<(), ErrorCode> {
        self.add_locked(cluster, id, identity, partitions, group, &mut self.slot(id)?.lock())
    }

    fn add_locked(
        &self,
        cluster: &Cluster,
        id: &str,
        identity: Identity,
        partitions: impl IntoIterator<Item = (String, i32)>,
        group: Option<&str>,
        slot: &mut MutexGuard<'_, Slot>,
    ) -> Result<(), ErrorCode> {
        if slot.transaction.add(self.now_ms(), identity, partitions, group)? {
            write_down(cluster, id, &slot.transaction)?;
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Whether a partition is part of the open transaction, as brokers ask each other.
    pub(crate) fn verify(&self, id: &str, identity: Identity, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.slot(id)?.lock().transaction.verify(identity, topic, partition)
    }

    /// Runs `append` for a batch of the transaction, which cannot end meanwhile.
    pub(crate) fn with_partition<T>(
        &self,
        cluster: &Cluster,
        id: &str,
        identity: Identity,
        policy: AddPolicy,
        partition: (&str, i32),
        append: impl FnOnce() -> T,
    ) -> Result<T, ErrorCode> {
        let slot = self.slot(id)?;
        let mut slot = slot.lock();
        match policy {
            AddPolicy::Implicit => {
                let partition = (partition.0.to_owned(), partition.1);
                self.add_locked(cluster, id, identity, [partition], None, &mut slot)?;
            }
            AddPolicy::Verify => slot.transaction.verify(identity, partition.0, partition.1)?,
        }
        Ok(append())
    }

    /// Runs `commit` for offsets of the transaction, which cannot end meanwhile.
    pub(crate) fn with_group<T>(
        &self,
        cluster: &Cluster,
        id: &str,
        identity: Identity,
        policy: AddPolicy,
        group: &str,
        commit: impl FnOnce() -> T,
    ) -> Result<T, ErrorCode> {
        let slot = self.slot(id)?;
        let mut slot = slot.lock();
        match policy {
            AddPolicy::Implicit => self.add_locked(cluster, id, identity, [], Some(group), &mut slot)?,
            AddPolicy::Verify => slot.transaction.verify_group(identity, group)?,
        }
        Ok(commit())
    }

    /// EndTxn. `bumps` is true for a client of transaction version 2. Returns the identity for the next transaction.
    pub(crate) fn end(
        &self,
        cluster: &Cluster,
        id: &str,
        identity: Identity,
        commit: bool,
        bumps: bool,
    ) -> Result<Identity, ErrorCode> {
        let slot = self.slot(id)?;
        let mut slot = slot.lock();
        let fresh_id = if bumps && identity.epoch == i16::MAX - 1 { fresh_id(cluster)? } else { -1 };
        match slot.transaction.end(identity, commit, bumps, fresh_id)? {
            End::Done(identity) => Ok(identity),
            End::Prepared(identity) => {
                self.on_prepared(cluster, id, &mut slot)?;
                Ok(identity)
            }
        }
    }

    fn on_prepared(&self, cluster: &Cluster, id: &str, slot: &mut Slot) -> Result<(), ErrorCode> {
        write_down(cluster, id, &slot.transaction)?;
        slot.markers_due_ms = self.now_ms().saturating_add(self.options.marker_delay_ms);
        if self.options.marker_delay_ms == 0 {
            self.write_markers(cluster, id, slot);
        }
        self.changed.notify_one();
        Ok(())
    }

    fn write_markers(&self, cluster: &Cluster, id: &str, slot: &mut Slot) {
        let written = cluster.write_markers(&mut slot.transaction);
        if let Err(refusal) = written.and_then(|done| {
            if done {
                slot.transaction.complete();
            } else {
                slot.markers_due_ms = self.now_ms() + MARKER_RETRY_MS;
            }
            cluster.journal_entries(&[entry(id, &slot.transaction)])
        }) {
            slot.markers_due_ms = self.now_ms() + MARKER_RETRY_MS;
            tracing::warn!(transactional_id = id, reason = refusal.reason, "markers could not be written");
        }
    }

    /// Writes markers and aborts transactions when it is time, until the broker stops.
    pub(crate) async fn run(&self, cluster: &Arc<Cluster>) {
        loop {
            let changed = self.changed.notified();
            let next = self.next_due_ms();
            if next.is_some_and(|due_ms| due_ms <= self.now_ms()) {
                cluster.run(|cluster| cluster.transactions.tick(cluster)).await;
                continue;
            }
            match next {
                None => changed.await,
                Some(deadline_ms) => {
                    let deadline = self.started + Duration::from_millis(deadline_ms);
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(deadline) => {}
                    }
                }
            }
        }
    }

    fn next_due_ms(&self) -> Option<u64> {
        let by_id = self.by_id.lock();
        by_id.values().filter_map(|slot| slot.lock().next_due_ms()).min()
    }

    fn tick(&self, cluster: &Cluster) {
        let slots: Vec<_> = self.by_id.lock().iter().map(|(id, slot)| (id.clone(), Arc::clone(slot))).collect();
        for (id, slot) in slots {
            let mut slot = slot.lock();
            let now_ms = self.now_ms();
            if slot.transaction.markers().is_some() && slot.markers_due_ms <= now_ms {
                self.write_markers(cluster, &id, &mut slot);
            }
            if slot.transaction.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
                self.abort(cluster, &id, &mut slot);
            }
        }
    }

    fn abort(&self, cluster: &Cluster, id: &str, slot: &mut Slot) {
        let aborted = fresh_id(cluster).and_then(|fresh_id| {
            slot.transaction.fence(bumps(cluster), fresh_id);
            self.on_prepared(cluster, id, slot)
        });
        if let Err(code) = aborted {
            tracing::warn!(transactional_id = id, %code, "a transaction could not be aborted in time");
        }
    }

    /// All transactional ids with their transactions and how long those have been open, ms.
    pub(crate) fn list(&self) -> Vec<(String, Transaction, u64)> {
        let slots: Vec<_> = self.by_id.lock().iter().map(|(id, slot)| (id.clone(), Arc::clone(slot))).collect();
        let now_ms = self.now_ms();
        let described = slots.into_iter().map(|(id, slot)| {
            let transaction = slot.lock().transaction.clone();
            let open_ms = now_ms.saturating_sub(transaction.begun_ms);
            (id, transaction, open_ms)
        });
        described.collect()
    }

    /// One transaction, and how long it has been open, ms.
    pub(crate) fn describe(&self, id: &str) -> Option<(Transaction, u64)> {
        let transaction = self.slot(id).ok()?.lock().transaction.clone();
        let open_ms = self.now_ms().saturating_sub(transaction.begun_ms);
        Some((transaction, open_ms))
    }

    /// All transactions, for a new journal.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        self.list().iter().map(|(id, transaction, _)| entry(id, transaction)).collect()
    }
}

/// Whether the broker's own aborts raise the epoch: from transaction version 2 on.
fn bumps(cluster: &Cluster) -> bool {
    cluster.features.level(TRANSACTION_VERSION) >= BUMPING_LEVEL_MIN
}

fn fresh_id(cluster: &Cluster) -> Result<i64, ErrorCode> {
    cluster.allocate_producer_id().map_err(|refusal| refusal.code)
}

fn write_down(cluster: &Cluster, id: &str, transaction: &Transaction) -> Result<(), ErrorCode> {
    cluster.journal_entries(&[entry(id, transaction)]).map_err(|refusal| refusal.code)
}

fn entry(id: &str, transaction: &Transaction) -> Entry {
    Entry::Transaction { id: id.to_owned(), transaction: transaction.clone() }
}
