//! ListTransactions, DescribeTransactions, DescribeProducers and WriteTxnMarkers.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::ControlRecord;
use kanat_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kanat_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kanat_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kanat_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kanat_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kanat_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, StrBytes, TopicName, TransactionalId,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::transactions::check_id;
use super::{Context, Handle, message, text};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};
use crate::pattern::Pattern;
use crate::transaction::{Identity, OFFSETS_TOPIC, State, Transaction, offsets_partition};

impl Handle for ListTransactionsRequest {
    async fn handle(self, context: &Context) -> ListTransactionsResponse {
        if let Err(refusal) = context.check_request() {
            return ListTransactionsResponse::default().with_error_code(refusal.code.code());
        }
        let pattern = self.transactional_id_pattern.as_ref().filter(|pattern| !pattern.is_empty());
        let pattern = match pattern.map(|pattern| Pattern::new(pattern)).transpose() {
            Ok(pattern) => pattern,
            Err(refusal) => return ListTransactionsResponse::default().with_error_code(refusal.code.code()),
        };
        let known = |name: &StrBytes| State::from_name(name).is_some();
        let (known, unknown): (Vec<_>, Vec<_>) = self.state_filters.into_iter().partition(known);
        let only_unknown = known.is_empty() && !unknown.is_empty();
        let listed = context.cluster.transactions.list().into_iter().filter(|(id, transaction, open_ms)| {
            let state = transaction.state.as_str();
            let producer_id = ProducerId(transaction.identity.producer_id);
            !only_unknown
                && context.check_transaction_coordinator(id).is_ok()
                && (known.is_empty() || known.iter().any(|wanted| wanted.as_str() == state))
                && (self.producer_id_filters.is_empty() || self.producer_id_filters.contains(&producer_id))
                && (!is_open(transaction) || i64::try_from(*open_ms).unwrap_or(i64::MAX) > self.duration_filter)
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        });
        let states = listed.map(|(id, transaction, _)| {
            ListedTransaction::default()
                .with_transactional_id(TransactionalId(text(id)))
                .with_producer_id(ProducerId(transaction.identity.producer_id))
                .with_transaction_state(text(transaction.state.as_str()))
        });
        let states = states.collect();
        ListTransactionsResponse::default().with_unknown_state_filters(unknown).with_transaction_states(states)
    }
}

fn is_open(transaction: &Transaction) -> bool {
    matches!(transaction.state, State::Ongoing | State::PrepareCommit | State::PrepareAbort)
}

impl Handle for DescribeTransactionsRequest {
    async fn handle(self, context: &Context) -> DescribeTransactionsResponse {
        let states = self.transactional_ids.into_iter().map(|id| describe(id, context));
        DescribeTransactionsResponse::default().with_transaction_states(states.collect())
    }
}

fn describe(id: TransactionalId, context: &Context) -> TransactionState {
    let found = check_id(&id, context)
        .and_then(|()| context.cluster.transactions.describe(&id).ok_or(ErrorCode::TransactionalIdNotFound));
    let described = TransactionState::default().with_transactional_id(id);
    let (transaction, open_ms) = match found {
        Ok(found) => found,
        Err(code) => return described.with_error_code(code.code()),
    };
    let mut topics = BTreeMap::<String, Vec<i32>>::new();
    for (topic, partition) in &transaction.partitions {
        topics.entry(topic.clone()).or_default().push(*partition);
    }
    for group in &transaction.groups {
        topics.entry(OFFSETS_TOPIC.to_owned()).or_default().push(offsets_partition(group));
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| TopicData::default().with_topic(TopicName(text(topic))).with_partitions(partitions));
    let begun_ms = context.cluster.now_ms().saturating_sub(i64::try_from(open_ms).unwrap_or(i64::MAX));
    described
        .with_transaction_state(text(transaction.state.as_str()))
        .with_transaction_timeout_ms(i32::try_from(transaction.timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(if is_open(&transaction) { begun_ms } else { -1 })
        .with_producer_id(ProducerId(transaction.identity.producer_id))
        .with_producer_epoch(transaction.identity.epoch)
        .with_topics(topics.collect())
}

impl Handle for DescribeProducersRequest {
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter();
        topics.flat_map(|topic| topic.partition_indexes.iter().map(|index| (topic.name.to_string(), *index))).collect()
    }

    async fn handle(self, context: &Context) -> DescribeProducersResponse {
        let topics = self.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| {
                let producers = producers(&topic.name, *index, context);
                PartitionResponse::default()
                    .with_partition_index(*index)
                    .with_error_code(wire_code(&producers))
                    .with_error_message(message(&producers))
                    .with_active_producers(producers.unwrap_or_default())
            });
            let partitions = partitions.collect();
            TopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    }
}

fn producers(topic: &str, index: i32, context: &Context) -> Result<Vec<ProducerState>, Refusal> {
    context.check_partition(topic, index)?;
    let (_, partition) = context.cluster.partition(topic, index)?;
    partition.check_leader(context.node_id, -1)?;
    let active = partition.log.lock().active_producers();
    let producers = active.into_iter().map(|active| {
        ProducerState::default()
            .with_producer_id(ProducerId(active.summary.producer_id))
            .with_producer_epoch(i32::from(active.summary.epoch))
            .with_last_sequence(active.summary.last_sequence)
            .with_last_timestamp(active.summary.last_timestamp_ms)
            .with_coordinator_epoch(active.summary.coordinator_epoch)
            .with_current_txn_start_offset(active.open_offset.unwrap_or(-1))
    });
    Ok(producers.collect())
}

impl Handle for WriteTxnMarkersRequest {
    async fn handle(self, context: &Context) -> WriteTxnMarkersResponse {
        context
            .run(move |context| {
                let markers = self.markers.iter().map(|marker| write(marker, context));
                WriteTxnMarkersResponse::default().with_markers(markers.collect())
            })
            .await
    }
}

fn write(marker: &WritableTxnMarker, context: &Context) -> WritableTxnMarkerResult {
    let identity = Identity { producer_id: marker.producer_id.0, epoch: marker.producer_epoch };
    let coordinator_epoch = marker.coordinator_epoch;
    let control = match marker.transaction_result {
        true => ControlRecord::Commit { coordinator_epoch },
        false => ControlRecord::Abort { coordinator_epoch },
    };
    let append = |topic: &str, index: i32| {
        context.check_cluster(operation::CLUSTER_ACTION)?;
        context.check_partition(topic, index)?;
        context.cluster.partition(topic, index)?.1.check_leader(context.node_id, -1)?;
        context.cluster.append_marker(topic, index, identity, control)
    };
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let code = wire_code(&append(&topic.name, *index));
            WritableTxnMarkerPartitionResult::default().with_partition_index(*index).with_error_code(code)
        });
        let partitions = partitions.collect();
        WritableTxnMarkerTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics.collect())
}
