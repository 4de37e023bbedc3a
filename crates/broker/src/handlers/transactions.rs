//! AddPartitionsToTxn, AddOffsetsToTxn and EndTxn.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kanat_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kanat_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, ProducerId,
};

use super::{Context, Handle, group_code};
use crate::cluster::CoordinatorKind;
use crate::transaction::Identity;

/// First version of AddPartitionsToTxn that names several transactions; brokers send it to each other.
const BATCHED_ADD_VERSION_MIN: i16 = 4;
/// First version of these requests whose clients know PRODUCER_FENCED.
const FENCED_VERSION_MIN: i16 = 2;
/// First version of EndTxn that belongs to transaction version 2.
const BUMPING_END_VERSION_MIN: i16 = 5;

impl Handle for AddPartitionsToTxnRequest {
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let batched = self.transactions.iter().flat_map(|transaction| &transaction.topics);
        named(self.v3_and_below_topics.iter().chain(batched))
    }

    async fn handle(self, context: &Context) -> AddPartitionsToTxnResponse {
        context.run(move |context| add_partitions(self, context)).await
    }
}

fn named<'a>(topics: impl Iterator<Item = &'a AddPartitionsToTxnTopic>) -> Vec<(String, i32)> {
    topics.flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.to_string(), *index))).collect()
}

fn add_partitions(request: AddPartitionsToTxnRequest, context: &Context) -> AddPartitionsToTxnResponse {
    if context.version >= BATCHED_ADD_VERSION_MIN {
        let results = request.transactions.iter().map(|transaction| {
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id.clone())
                .with_topic_results(add_or_verify(transaction, context))
        });
        return AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect());
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics);
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(add_or_verify(&transaction, context))
}

/// All partitions are added or none: one unknown partition spoils the request.
fn add_or_verify(transaction: &AddPartitionsToTxnTransaction, context: &Context) -> Vec<AddPartitionsToTxnTopicResult> {
    let id = &transaction.transactional_id;
    let identity = Identity { producer_id: transaction.producer_id.0, epoch: transaction.producer_epoch };
    let partitions = named(transaction.topics.iter());
    let unusable = |topic: &str, index: i32| {
        let forced = context.check_partition(topic, index).and_then(|()| context.cluster.partition(topic, index));
        forced.err().map(|refusal| refusal.code)
    };
    let checked = check_id(id, context);
    let spoiled = checked.is_ok() && partitions.iter().any(|(topic, index)| unusable(topic, *index).is_some());
    let added = match checked {
        Ok(()) if spoiled => Err(ErrorCode::OperationNotAttempted),
        Ok(()) if transaction.verify_only => Ok(()),
        Ok(()) => context.cluster.transactions.add(&context.cluster, id, identity, partitions, None),
        Err(code) => Err(code),
    };
    let code = |topic: &str, index: i32| match (spoiled, added) {
        (true, _) => Err(unusable(topic, index).unwrap_or(ErrorCode::OperationNotAttempted)),
        (false, Ok(())) if transaction.verify_only => {
            context.cluster.transactions.verify(id, identity, topic, index).map_err(abortable)
        }
        (false, added) => added,
    };
    let topics = transaction.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(group_code(code(&topic.name, *index).map_err(|code| fenced(code, context))))
        });
        let partitions = partitions.collect();
        AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(partitions)
    });
    topics.collect()
}

fn abortable(code: ErrorCode) -> ErrorCode {
    if code == ErrorCode::InvalidTxnState { ErrorCode::TransactionAbortable } else { code }
}

/// Old clients know another name for a fenced producer.
fn fenced(code: ErrorCode, context: &Context) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if context.version < FENCED_VERSION_MIN => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// Whether this node answers for a transactional id.
pub(super) fn check_id(id: &str, context: &Context) -> Result<(), ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    context.check_transaction_coordinator(id)
}

impl Handle for AddOffsetsToTxnRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Transaction, self.transactional_id.to_string()))
    }

    async fn handle(self, context: &Context) -> AddOffsetsToTxnResponse {
        context
            .run(move |context| {
                let identity = Identity { producer_id: self.producer_id.0, epoch: self.producer_epoch };
                let transactions = &context.cluster.transactions;
                let added = check_id(&self.transactional_id, context).and_then(|()| {
                    if self.group_id.is_empty() {
                        return Err(ErrorCode::InvalidGroupId);
                    }
                    context.authorize_group(&self.group_id)?;
                    let group = Some(self.group_id.as_str());
                    transactions.add(&context.cluster, &self.transactional_id, identity, Vec::new(), group)
                });
                let code = group_code(added.map_err(|code| fenced(code, context)));
                AddOffsetsToTxnResponse::default().with_error_code(code)
            })
            .await
    }
}

impl Handle for EndTxnRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Transaction, self.transactional_id.to_string()))
    }

    async fn handle(self, context: &Context) -> EndTxnResponse {
        context
            .run(move |context| {
                let identity = Identity { producer_id: self.producer_id.0, epoch: self.producer_epoch };
                let bumps = context.version >= BUMPING_END_VERSION_MIN;
                let (id, cluster) = (&self.transactional_id, &context.cluster);
                let ended = check_id(id, context)
                    .and_then(|()| cluster.transactions.end(cluster, id, identity, self.committed, bumps));
                match ended {
                    Ok(next) if bumps => EndTxnResponse::default()
                        .with_producer_id(ProducerId(next.producer_id))
                        .with_producer_epoch(next.epoch),
                    Ok(_) => EndTxnResponse::default(),
                    Err(code) => EndTxnResponse::default()
                        .with_error_code(fenced(code, context).code())
                        .with_producer_id(ProducerId(Identity::NONE.producer_id))
                        .with_producer_epoch(Identity::NONE.epoch),
                }
            })
            .await
    }
}
