//! Transactions: records to many partitions, and the offsets they come from, visible together or not at all.
//!
//! ```text
//! TransactionalProducer ── begin ──> Transaction ── send ──> Producer ──> partitions' leaders
//!        │                               │ commit, abort
//!        └──────── Enlistment ───────────┴────────────────> transaction coordinator
//! ```
//!
//! The producer is the usual one; its sender asks the [`Enlistment`] under which identity batches leave, and has
//! partitions enrolled with the coordinator before the first batch goes to them. Brokers with KIP-890 (transaction
//! version 2) enrol them themselves and hand out a new epoch at every end. What may happen next is decided by
//! [`state::Machine`].

mod enlistment;
mod state;
mod wire;

use std::sync::Arc;

pub(crate) use self::enlistment::Enlistment;
use self::state::Ending;
use crate::cluster::Cluster;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};
use crate::producer::{DeliveryFuture, ProduceRecord, Producer, ProducerOptions};
use crate::types::{GroupMetadata, OffsetAndMetadata, TopicPartition};

/// Options of a [`TransactionalProducer`].
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionalOptions {
    /// Name under which the coordinator knows the producer. Whoever comes with it later fences the one before.
    pub transactional_id: String,
    /// Longest time a transaction may stay open before the coordinator aborts it, in milliseconds; at most the broker's
    /// `transaction.max.timeout.ms`.
    pub transaction_timeout_ms: u32,
    /// Options of the producer underneath. It is always idempotent, with [`Acks::All`](crate::Acks::All).
    pub producer: ProducerOptions,
}

impl TransactionalOptions {
    /// Default options under this transactional id.
    pub fn new(transactional_id: impl Into<String>) -> TransactionalOptions {
        TransactionalOptions {
            transactional_id: transactional_id.into(),
            transaction_timeout_ms: 60_000,
            producer: ProducerOptions::default(),
        }
    }

    fn validate(&self) -> Result<()> {
        let invalid =
            |option: &str, reason: &str| Err(Error::InvalidOption { option: option.into(), reason: reason.into() });
        if self.transactional_id.is_empty() {
            return invalid("transactional_id", "must not be empty");
        }
        if self.transaction_timeout_ms == 0 || i32::try_from(self.transaction_timeout_ms).is_err() {
            return invalid("transaction_timeout_ms", "must be between 1 and 2147483647");
        }
        if !self.producer.idempotent {
            return invalid("idempotent", "must be on for a transactional producer");
        }
        Ok(())
    }
}

/// Sends records in transactions, one at a time. Made by
/// [`Client::transactional_producer`](crate::Client::transactional_producer).
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    enlistment: Arc<Enlistment>,
    transaction_timeout_ms: i32,
}

impl TransactionalProducer {
    /// Registers the transactional id: fences the producer that had it and ends what that one left open.
    pub(crate) async fn new(cluster: Arc<Cluster>, options: TransactionalOptions) -> Result<TransactionalProducer> {
        options.validate()?;
        let enlistment = Arc::new(Enlistment::new(Arc::clone(&cluster), &options.transactional_id));
        let producer = Producer::transactional(cluster, options.producer, Arc::clone(&enlistment))?;
        let transaction_timeout_ms = i32::try_from(options.transaction_timeout_ms).unwrap_or(i32::MAX);
        let producer = TransactionalProducer { producer, enlistment, transaction_timeout_ms };
        producer.initialise().await?;
        Ok(producer)
    }

    /// The transactional id.
    pub fn transactional_id(&self) -> &str {
        self.enlistment.id()
    }

    /// Begins a transaction. One that was dropped before its end is aborted first. So is one whose outcome is unknown,
    /// unless it turns out to be committed.
    ///
    /// # Errors
    /// [`Error::ProducerFenced`] for good once another producer has the id; else what the coordinator fails with.
    pub async fn begin(&mut self) -> Result<Transaction<'_>> {
        if self.enlistment.machine.lock().is_unended() {
            self.abort().await?;
        }
        if self.enlistment.machine.lock().needs_identity()? {
            self.initialise().await?;
        }
        self.enlistment.machine.lock().begin()?;
        Ok(Transaction { producer: self, ended: false })
    }

    async fn initialise(&self) -> Result<()> {
        let Enlistment { id, coordinator, machine, .. } = &*self.enlistment;
        let before = machine.lock().identity();
        let asked = coordinator
            .run(|connection| wire::init(connection, id, before, self.transaction_timeout_ms, coordinator))
            .await;
        match asked {
            Ok((identity, implicit)) => {
                machine.lock().initialised(identity, implicit);
                Ok(())
            }
            Err(error) => Err(machine.lock().not_initialised(&error)),
        }
    }

    async fn send_offsets(&self, offsets: &[(TopicPartition, OffsetAndMetadata)], group: &GroupMetadata) -> Result<()> {
        let Enlistment { id, coordinator, machine, .. } = &*self.enlistment;
        let (identity, implicit, needs_group) = {
            let mut machine = machine.lock();
            machine.check_open()?;
            machine.touch();
            (machine.identity(), machine.is_implicit(), machine.needs_group(&group.group_id))
        };
        let sent = async {
            if needs_group {
                let add = |connection| wire::add_group(connection, id, identity, &group.group_id, coordinator);
                coordinator.run(add).await?;
                machine.lock().group_added(&group.group_id);
            }
            let of_group = Coordinator::group(Arc::clone(coordinator.cluster()), &group.group_id);
            let commit =
                |connection| wire::commit_offsets(connection, id, identity, implicit, group, offsets, &of_group);
            of_group.run(commit).await
        };
        sent.await.map_err(|error| self.enlistment.record_failed(&error))
    }

    async fn commit(&self) -> Result<()> {
        self.enlistment.check_open()?;
        if let Err(error) = self.producer.flush().await {
            return Err(self.enlistment.record_failed(&error));
        }
        self.end(true).await
    }

    async fn abort(&self) -> Result<()> {
        self.producer.discard(&Error::TransactionAborted).await;
        self.end(false).await
    }

    async fn end(&self, commit: bool) -> Result<()> {
        let Enlistment { id, coordinator, machine, turn } = &*self.enlistment;
        let (ending, implicit) = {
            let mut machine = machine.lock();
            (machine.end(commit)?, machine.is_implicit())
        };
        let Ending::Ask(identity) = ending else { return Ok(()) };
        let ask = |connection| async move {
            let _turn = turn.lock().await;
            wire::end(connection, id, identity, commit, implicit, coordinator).await
        };
        let asked = coordinator.run(ask).await;
        match asked {
            Ok(bumped) => {
                machine.lock().ended(bumped);
                Ok(())
            }
            Err(error) => {
                let mut machine = machine.lock();
                if machine.was_not_open(commit, &error) { Ok(()) } else { Err(machine.end_failed(commit, error)) }
            }
        }
    }
}

/// An open transaction. Dropped without [`commit`](Self::commit) it is aborted, before the next one begins at the
/// latest.
#[derive(Debug)]
pub struct Transaction<'a> {
    producer: &'a TransactionalProducer,
    ended: bool,
}

impl Transaction<'_> {
    /// As [`Producer::send`], as part of the transaction.
    ///
    /// # Errors
    /// [`Error::TransactionMustAbort`] once a record of the transaction is lost, [`Error::ProducerFenced`]; else as
    /// [`Producer::send`].
    pub async fn send(&self, record: ProduceRecord<'_>) -> Result<DeliveryFuture> {
        self.producer.enlistment.check_open()?;
        self.producer.producer.send(record).await
    }

    /// Commits positions of a consumer group with the transaction: they count when its records do. Each is the next
    /// offset to read. `group` comes from the consumer that read the records; the coordinator refuses it once the
    /// group has given the partitions to somebody else (KIP-447).
    ///
    /// # Errors
    /// [`Error::TransactionMustAbort`] with what the group's coordinator answered, [`Error::ProducerFenced`].
    pub async fn send_offsets(
        &self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> Result<()> {
        if offsets.is_empty() {
            return self.producer.enlistment.check_open();
        }
        self.producer.send_offsets(offsets, group).await
    }

    /// Makes everything sent visible to readers of committed records, all at once, after waiting for its
    /// acknowledgement.
    ///
    /// # Errors
    /// [`Error::TransactionMustAbort`] if something of it is lost: nothing was committed, and nothing will be.
    /// [`Error::CommitUnknown`] if the coordinator could not be asked to the end; the next
    /// [`begin`](TransactionalProducer::begin) decides it. [`Error::ProducerFenced`].
    pub async fn commit(mut self) -> Result<()> {
        let committed = self.producer.commit().await;
        self.ended = true;
        committed
    }

    /// Takes everything back: readers of committed records never see it.
    ///
    /// # Errors
    /// [`Error::ProducerFenced`]; else what the coordinator fails with. The transaction is aborted by the next
    /// [`begin`](TransactionalProducer::begin) then.
    pub async fn abort(mut self) -> Result<()> {
        self.ended = true;
        self.producer.abort().await
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.producer.enlistment.record_failed(&Error::TransactionAborted);
        }
    }
}
