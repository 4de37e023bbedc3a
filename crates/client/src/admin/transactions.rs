//! Producers and transactions seen from outside: who writes, what hangs, how to end it.

use kanat_protocol::messages::describe_producers_request::TopicRequest;
use kanat_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kanat_protocol::messages::{
    ApiKey, DescribeProducersRequest, DescribeTransactionsRequest, InitProducerIdRequest, ListTransactionsRequest,
    ProducerId, TransactionalId, WriteTxnMarkersRequest,
};

use super::ask::{Home, Node, Repeat, text};
use super::reassignments::by_topic;
use super::{Admin, Outcomes, named, owned};
use crate::cluster::{str_bytes, topic_name};
use crate::coordinator::CoordinatorKind;
use crate::error::Result;
use crate::types::TopicPartition;

/// A producer that a partition remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// When it last wrote, milliseconds since the epoch.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that last wrote a marker for it; -1 when none did.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction in this partition, if there is one.
    pub transaction_start: Option<i64>,
}

/// A transactional id as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Transactional id.
    pub transactional_id: String,
    /// `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`, `PrepareEpochFence`.
    pub state: String,
    /// Broker that coordinates it.
    pub coordinator: i32,
    /// Producer id it has now.
    pub producer_id: i64,
    /// Epoch it has now.
    pub producer_epoch: i16,
    /// After how long the coordinator aborts a transaction, in milliseconds.
    pub timeout_ms: i32,
    /// When the transaction began, milliseconds since the epoch; `None` when none is open.
    pub started_ms: Option<i64>,
    /// Partitions written to in the open transaction, sorted.
    pub partitions: Vec<TopicPartition>,
}

/// Which transactional ids to list; empty lists and `None` do not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListTransactionsOptions {
    /// States, such as `Ongoing`.
    pub states: Vec<String>,
    /// Producer ids.
    pub producer_ids: Vec<i64>,
    /// Only transactions that have been open for longer, in milliseconds. Needs Kafka 3.8.
    pub open_for_ms: Option<i64>,
    /// Only transactional ids that match this regular expression (of Google's RE2). Needs Kafka 4.1.
    pub pattern: Option<String>,
}

/// A transactional id as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListing {
    /// Transactional id.
    pub transactional_id: String,
    /// Producer id it has now.
    pub producer_id: i64,
    /// State, as in [`TransactionDescription::state`].
    pub state: String,
    /// Broker that coordinates it.
    pub coordinator: i32,
}

/// A transaction to abort in one partition. [`Admin::describe_producers`] gives the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The partition it hangs in.
    pub partition: TopicPartition,
    /// Producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// [`ActiveProducer::coordinator_epoch`].
    pub coordinator_epoch: i32,
}

/// What fencing gave a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencedProducer {
    /// Producer id that is valid now.
    pub producer_id: i64,
    /// Epoch that is valid now: producers with an older one are fenced.
    pub producer_epoch: i16,
}

impl Admin {
    /// The producers that partitions remember, with their open transactions. Needs Kafka 2.8.
    ///
    /// # Errors
    /// When no leader answers until `retry_timeout_ms`.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<TopicPartition, Vec<ActiveProducer>>> {
        let ask = |node: Node, partitions: Vec<TopicPartition>| async move {
            let topic =
                |(name, indexes)| TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(indexes);
            let topics = by_topic(&partitions).into_iter().map(topic).collect();
            let request = DescribeProducersRequest::default().with_topics(topics);
            let answer = node.ask(ApiKey::DescribeProducers, &request).await?;
            let outcome = |partition: &TopicPartition| {
                let mut topics = answer.body.topics.iter().filter(|topic| topic.name.0.as_str() == &*partition.topic);
                let row = topics
                    .find_map(|topic| topic.partitions.iter().find(|row| row.partition_index == partition.partition));
                let row = answer.found(row, || partition.to_string())?;
                answer.check(|| partition.to_string(), row.error_code, row.error_message.as_ref())?;
                let producers = row.active_producers.iter().map(|row| ActiveProducer {
                    producer_id: row.producer_id.0,
                    producer_epoch: row.producer_epoch,
                    last_sequence: row.last_sequence,
                    last_timestamp: row.last_timestamp,
                    coordinator_epoch: row.coordinator_epoch,
                    transaction_start: Some(row.current_txn_start_offset).filter(|offset| *offset >= 0),
                });
                Ok(producers.collect())
            };
            Ok(partitions.iter().map(outcome).collect())
        };
        let home = |partition: &TopicPartition| Home::Leader(partition.clone());
        let outcomes = self.ask_each(partitions, Repeat::Always, home, ask).await?;
        Ok(named(partitions, outcomes))
    }

    /// State, producer and partitions of transactional ids. Needs Kafka 3.0.
    ///
    /// # Errors
    /// When no coordinator answers until `retry_timeout_ms`. One that does not exist is in the result with
    /// `TRANSACTIONAL_ID_NOT_FOUND`.
    pub async fn describe_transactions(
        &self,
        transactional_ids: &[&str],
    ) -> Result<Outcomes<String, TransactionDescription>> {
        let ids = owned(transactional_ids);
        let outcomes = self.ask_each(&ids, Repeat::Always, |id| coordinator_of(id), describe_at).await?;
        Ok(named(&ids, outcomes))
    }

    /// The transactional ids of every coordinator, sorted. Needs Kafka 3.0.
    ///
    /// # Errors
    /// The first coordinator that does not answer until `retry_timeout_ms`: a list without its ids would look whole.
    /// [`Error::Encode`](crate::Error::Encode) when a broker is too old for a filter.
    pub async fn list_transactions(&self, options: &ListTransactionsOptions) -> Result<Vec<TransactionListing>> {
        let request = ListTransactionsRequest::default()
            .with_state_filters(options.states.iter().map(|state| str_bytes(state)).collect())
            .with_producer_id_filters(options.producer_ids.iter().copied().map(ProducerId).collect())
            .with_duration_filter(options.open_for_ms.unwrap_or(-1))
            .with_transactional_id_pattern(options.pattern.as_deref().map(str_bytes));
        let ask = |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::ListTransactions, &request).await?;
                answer.check(|| "transactions".to_owned(), answer.body.error_code, None)?;
                let rows = answer.body.transaction_states.iter().map(|row| TransactionListing {
                    transactional_id: text(&row.transactional_id.0),
                    producer_id: row.producer_id.0,
                    state: text(&row.transaction_state),
                    coordinator: node.id(),
                });
                Ok(rows.collect::<Vec<_>>())
            }
        };
        let mut listed: Vec<TransactionListing> = Vec::new();
        for (_, rows) in self.ask_brokers(None, ask).await? {
            listed.extend(rows?);
        }
        listed.sort_unstable_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
        Ok(listed)
    }

    /// Aborts a transaction in one partition by writing its marker. This is for transactions whose coordinator has
    /// forgotten them; a running producer's belongs to its coordinator, see [`fence_producers`](Self::fence_producers).
    ///
    /// # Errors
    /// The leader's refusal, such as `INVALID_PRODUCER_EPOCH` or `TRANSACTION_COORDINATOR_FENCED`.
    pub async fn abort_transaction(&self, transaction: &OpenTransaction) -> Result<()> {
        let wanted = transaction.clone();
        let ask = move |node: Node| {
            let wanted = wanted.clone();
            async move {
                let partition = &wanted.partition;
                let topic = WritableTxnMarkerTopic::default()
                    .with_name(topic_name(&partition.topic))
                    .with_partition_indexes(vec![partition.partition]);
                let marker = WritableTxnMarker::default()
                    .with_producer_id(ProducerId(wanted.producer_id))
                    .with_producer_epoch(wanted.producer_epoch)
                    .with_transaction_result(false)
                    .with_topics(vec![topic])
                    .with_coordinator_epoch(wanted.coordinator_epoch);
                let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
                let answer = node.ask(ApiKey::WriteTxnMarkers, &request).await?;
                let topics = answer.body.markers.iter().flat_map(|marker| &marker.topics);
                let row = topics.flat_map(|topic| &topic.partitions).next();
                let row = answer.found(row, || partition.to_string())?;
                answer.check(|| partition.to_string(), row.error_code, None)
            }
        };
        self.ask_one(Home::Leader(transaction.partition.clone()), Repeat::UnlessUnknown, ask).await
    }

    /// Shuts out the producers of transactional ids: their open transactions are aborted, and whatever they try next
    /// fails.
    ///
    /// # Errors
    /// When no coordinator answers until `retry_timeout_ms`.
    pub async fn fence_producers(&self, transactional_ids: &[&str]) -> Result<Outcomes<String, FencedProducer>> {
        let ids = owned(transactional_ids);
        let timeout_ms = self.timeout_ms();
        let ask = |node: Node, ids: Vec<String>| async move {
            let mut outcomes = Vec::with_capacity(ids.len());
            for id in &ids {
                outcomes.push(fence_at(&node, id, timeout_ms).await);
            }
            Ok(outcomes)
        };
        let outcomes = self.ask_each(&ids, Repeat::Always, |id| coordinator_of(id), ask).await?;
        Ok(named(&ids, outcomes))
    }
}

fn coordinator_of(transactional_id: &str) -> Home {
    Home::Coordinator(CoordinatorKind::Transaction, transactional_id.to_owned())
}

async fn describe_at(node: Node, ids: Vec<String>) -> Result<Vec<Result<TransactionDescription>>> {
    let wanted = ids.iter().map(|id| TransactionalId(str_bytes(id))).collect();
    let request = DescribeTransactionsRequest::default().with_transactional_ids(wanted);
    let answer = node.ask(ApiKey::DescribeTransactions, &request).await?;
    let outcome = |id: &String| {
        let subject = || format!("transactional id {id}");
        let row = answer.body.transaction_states.iter().find(|row| row.transactional_id.0.as_str() == id);
        let row = answer.found(row, subject)?;
        answer.check(subject, row.error_code, None)?;
        let mut partitions = Vec::new();
        for topic in &row.topics {
            let named = topic.partitions.iter().map(|index| TopicPartition::new(topic.topic.0.as_str(), *index));
            partitions.extend(named);
        }
        partitions.sort_unstable();
        Ok(TransactionDescription {
            transactional_id: id.clone(),
            state: text(&row.transaction_state),
            coordinator: node.id(),
            producer_id: row.producer_id.0,
            producer_epoch: row.producer_epoch,
            timeout_ms: row.transaction_timeout_ms,
            started_ms: Some(row.transaction_start_time_ms).filter(|started| *started >= 0),
            partitions,
        })
    };
    Ok(ids.iter().map(outcome).collect())
}

async fn fence_at(node: &Node, id: &str, timeout_ms: i32) -> Result<FencedProducer> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(str_bytes(id))))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = node.ask(ApiKey::InitProducerId, &request).await?;
    answer.check(|| format!("transactional id {id}"), answer.body.error_code, None)?;
    Ok(FencedProducer { producer_id: answer.body.producer_id.0, producer_epoch: answer.body.producer_epoch })
}
