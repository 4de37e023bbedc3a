//! Transactions over the wire: markers, the last stable offset, fencing, timeouts, offsets, both protocol versions.

use std::time::Duration;

use crate::common::*;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::compression::Compression;
use kanat_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kanat_protocol::messages::describe_producers_request::TopicRequest;
use kanat_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kanat_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kanat_protocol::messages::*;

const ID: &str = "writer";
/// Isolation level of a read_committed fetch.
const COMMITTED: i8 = 1;

async fn start_with(change: impl FnOnce(BrokerOptions) -> BrokerOptions) -> (BrokerHandle, Client) {
    let broker =
        Broker::start(change(BrokerOptions::default().without_sockets().with_seed(3))).await.expect("broker starts");
    broker.create_topic("t", 2, &[]).await.expect("topic is made");
    let client = Client::dial(&broker, 0);
    (broker, client)
}

/// A producer as the tests play it.
#[derive(Clone, Copy)]
struct Writer {
    id: ProducerId,
    epoch: i16,
    sequence: i32,
    /// Second transaction protocol.
    v2: bool,
}

fn id() -> TransactionalId {
    TransactionalId(text(ID))
}

async fn try_init(client: &mut Client, timeout_ms: i32, expected: Option<(ProducerId, i16)>) -> InitProducerIdResponse {
    let (producer_id, epoch) = expected.unwrap_or((ProducerId(-1), -1));
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id()))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(producer_id)
        .with_producer_epoch(epoch);
    client.call(5, &request).await
}

async fn init(client: &mut Client, v2: bool) -> Writer {
    let response = try_init(client, 60_000, None).await;
    assert_eq!(error(response.error_code), None);
    Writer { id: response.producer_id, epoch: response.producer_epoch, sequence: 0, v2 }
}

impl Writer {
    async fn write(&mut self, client: &mut Client, partition: i32, value: &str) -> Option<ErrorCode> {
        let options = producer(self.id.0, self.epoch, self.sequence, true);
        let batch = batch(options, Compression::NONE, &[(None, Some(value))]);
        let request = produce_request("t", partition, batch).with_transactional_id(Some(id()));
        let mut response = client.call(if self.v2 { 12 } else { 11 }, &request).await;
        let code = error(response.responses.remove(0).partition_responses.remove(0).error_code);
        if code.is_none() {
            self.sequence += 1;
        }
        code
    }

    async fn add(&self, client: &mut Client, topic: &str, partitions: &[i32]) -> Vec<Option<ErrorCode>> {
        let topic = AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_producer_id(self.id)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let mut response = client.call(3, &request).await;
        let results = response.results_by_topic_v3_and_below.remove(0).results_by_partition;
        results.iter().map(|result| error(result.partition_error_code)).collect()
    }

    async fn end(&mut self, client: &mut Client, commit: bool) -> Option<ErrorCode> {
        let request = EndTxnRequest::default()
            .with_transactional_id(id())
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        let response = client.call(if self.v2 { 5 } else { 4 }, &request).await;
        if self.v2 && response.error_code == 0 {
            (self.id, self.epoch, self.sequence) = (response.producer_id, response.producer_epoch, 0);
        }
        error(response.error_code)
    }

    async fn commit_offset(&self, client: &mut Client, group: &str, offset: i64) -> Option<ErrorCode> {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let response = client.call(if self.v2 { 5 } else { 3 }, &request).await;
        error(response.topics[0].partitions[0].error_code)
    }
}

/// Values a read_committed consumer keeps, as the client side filters them.
async fn committed(client: &mut Client, partition: i32) -> Vec<String> {
    let data = client.fetch("t", partition, 0, COMMITTED).await;
    let aborted = data.aborted_transactions.expect("aborted ones are listed");
    let mut kept = Vec::new();
    let mut open: Vec<i64> = Vec::new();
    for batch in kanat_protocol::batch::Batches::new(data.records.expect("there are records")) {
        let batch = batch.expect("batch is valid");
        let header = *batch.header();
        let starts = aborted.iter().filter(|aborted| aborted.first_offset == header.base_offset);
        open.extend(starts.map(|aborted| aborted.producer_id.0));
        if header.attributes.is_control() {
            open.retain(|producer_id| *producer_id != header.producer_id);
        } else if !open.contains(&header.producer_id) {
            let (records, _) = decode(batch.bytes().clone());
            kept.extend(records.into_iter().map(|(_, _, value)| value));
        }
    }
    kept
}

async fn offset_of(client: &mut Client, group: &str, stable: bool) -> (Option<ErrorCode>, i64) {
    let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(stable);
    let response = client.call(8, &request).await;
    let partition = &response.groups[0].topics[0].partitions[0];
    (error(partition.error_code), partition.committed_offset)
}

#[tokio::test(start_paused = true)]
async fn both_protocols_commit_and_abort() {
    for v2 in [true, false] {
        let (broker, mut client) = start_with(|options| options).await;
        let mut writer = init(&mut client, v2).await;
        for (value, commit) in [("a", true), ("b", false), ("c", true)] {
            if !v2 {
                assert_eq!(writer.add(&mut client, "t", &[0, 1]).await, [None, None]);
            }
            for partition in [0, 1] {
                assert_eq!(writer.write(&mut client, partition, value).await, None);
                writer.sequence -= 1;
            }
            writer.sequence += 1;
            assert_eq!(writer.end(&mut client, commit).await, None);
        }
        assert_eq!(writer.epoch, if v2 { 3 } else { 0 });
        for partition in [0, 1] {
            assert_eq!(committed(&mut client, partition).await, ["a", "c"]);
            assert_eq!(broker.offsets("t", partition).unwrap(), (0, 6, 6), "three records and three markers");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn open_transactions_hold_the_last_stable_offset() {
    let (broker, mut client) = start_with(|options| options.with_transaction_marker_delay_ms(50)).await;
    let mut writer = init(&mut client, true).await;
    client.produce_values("t", 0, &["before"]).await;
    assert_eq!(writer.write(&mut client, 0, "a").await, None);
    client.produce_values("t", 0, &["after"]).await;
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 1, 3));
    assert_eq!(committed(&mut client, 0).await, ["before"]);
    assert_eq!(writer.end(&mut client, true).await, None);
    // The markers are under way.
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 1, 3));
    assert_eq!(writer.write(&mut client, 0, "b").await, Some(ErrorCode::ConcurrentTransactions));
    let busy = try_init(&mut client, 60_000, None).await;
    assert_eq!(error(busy.error_code), Some(ErrorCode::ConcurrentTransactions));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 4, 4));
    assert_eq!(committed(&mut client, 0).await, ["before", "a", "after"]);
    assert_eq!(writer.write(&mut client, 0, "b").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_newer_producer_takes_over() {
    for v2 in [true, false] {
        let (_broker, mut client) = start_with(|options| options).await;
        let mut old = init(&mut client, v2).await;
        old.add(&mut client, "t", &[0]).await;
        assert_eq!(old.write(&mut client, 0, "lost").await, None);
        let busy = try_init(&mut client, 60_000, None).await;
        assert_eq!(error(busy.error_code), Some(ErrorCode::ConcurrentTransactions), "the open one is aborted first");
        let mut new = init(&mut client, v2).await;
        assert_eq!(new.id, old.id);
        assert_eq!(old.write(&mut client, 0, "late").await, Some(ErrorCode::InvalidProducerEpoch));
        assert_eq!(old.add(&mut client, "t", &[0]).await, [Some(ErrorCode::ProducerFenced)]);
        assert_eq!(old.end(&mut client, true).await, Some(ErrorCode::ProducerFenced));
        new.add(&mut client, "t", &[0]).await;
        assert_eq!(new.write(&mut client, 0, "kept").await, None);
        assert_eq!(new.end(&mut client, true).await, None);
        assert_eq!(committed(&mut client, 0).await, ["kept"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_time_is_up_is_aborted() {
    let (broker, mut client) = start_with(|options| options).await;
    let refused = try_init(&mut client, 900_001, None).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::InvalidTransactionTimeout));
    let mut writer = init(&mut client, true).await;
    assert_eq!(writer.write(&mut client, 0, "slow").await, None);
    tokio::time::sleep(Duration::from_millis(60_100)).await;
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 2, 2));
    assert_eq!(writer.write(&mut client, 0, "late").await, Some(ErrorCode::InvalidProducerEpoch));
    assert_eq!(writer.end(&mut client, true).await, Some(ErrorCode::ProducerFenced));
    assert!(committed(&mut client, 0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_protocol_wants_partitions_added() {
    let (_broker, mut client) = start_with(|options| options).await;
    let mut writer = init(&mut client, false).await;
    assert_eq!(writer.write(&mut client, 0, "x").await, Some(ErrorCode::TransactionAbortable));
    let spoiled = writer.add(&mut client, "t", &[0, 9]).await;
    assert_eq!(spoiled, [Some(ErrorCode::OperationNotAttempted), Some(ErrorCode::UnknownTopicOrPartition)]);
    assert_eq!(writer.end(&mut client, true).await, Some(ErrorCode::InvalidTxnState));
    assert_eq!(writer.add(&mut client, "t", &[0]).await, [None]);
    assert_eq!(writer.write(&mut client, 1, "x").await, Some(ErrorCode::TransactionAbortable));
    assert_eq!(writer.write(&mut client, 0, "x").await, None);
    let plain = batch(producer(writer.id.0, writer.epoch, 1, false), Compression::NONE, &[(None, Some("y"))]);
    assert_eq!(error(client.produce("t", 0, plain).await.error_code), Some(ErrorCode::InvalidTxnState));
}

#[tokio::test(start_paused = true)]
async fn offsets_count_when_their_transaction_commits() {
    let (_broker, mut client) = start_with(|options| options).await;
    let mut writer = init(&mut client, true).await;
    assert_eq!(writer.commit_offset(&mut client, "g", 7).await, None);
    assert_eq!(offset_of(&mut client, "g", false).await, (None, -1));
    assert_eq!(offset_of(&mut client, "g", true).await, (Some(ErrorCode::UnstableOffsetCommit), -1));
    let stale = writer;
    assert_eq!(writer.end(&mut client, true).await, None);
    assert_eq!(offset_of(&mut client, "g", true).await, (None, 7));
    assert_eq!(writer.commit_offset(&mut client, "g", 9).await, None);
    assert_eq!(writer.end(&mut client, false).await, None);
    assert_eq!(offset_of(&mut client, "g", true).await, (None, 7));
    assert_eq!(stale.commit_offset(&mut client, "g", 9).await, Some(ErrorCode::InvalidProducerEpoch));
    let first = Writer { v2: false, ..writer };
    assert_eq!(first.commit_offset(&mut client, "g", 9).await, Some(ErrorCode::InvalidTxnState));
    let add = AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_group_id(GroupId(text("g")));
    let add = add.with_producer_id(writer.id).with_producer_epoch(writer.epoch);
    assert_eq!(client.call(4, &add).await.error_code, 0);
    assert_eq!(first.commit_offset(&mut client, "g", 9).await, None);
}

#[tokio::test(start_paused = true)]
async fn markers_wait_for_a_leader() {
    let (broker, _) = start_with(|options| options.with_nodes(2)).await;
    let coordinator = broker.transaction_coordinator(ID).unwrap();
    let mut client = Client::dial(&broker, coordinator);
    let other = 1 - coordinator;
    let assignment =
        create_topics_request::CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(other)]);
    let topic = create_topics_request::CreatableTopic::default().with_name(name("single"));
    let topic = topic.with_num_partitions(-1).with_replication_factor(-1).with_assignments(vec![assignment]);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
    let mut writer = init(&mut client, false).await;
    assert_eq!(writer.add(&mut client, "single", &[0]).await, [None]);
    broker.stop_node(other).await.unwrap();
    assert_eq!(writer.end(&mut client, true).await, None);
    assert_eq!(writer.add(&mut client, "t", &[0]).await, [Some(ErrorCode::ConcurrentTransactions)]);
    broker.start_node(other).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(broker.offsets("single", 0).unwrap().2, 1, "the marker is there");
    assert_eq!(writer.add(&mut client, "t", &[0]).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn transactions_and_producers_are_described() {
    let (_broker, mut client) = start_with(|options| options).await;
    let mut writer = init(&mut client, true).await;
    assert_eq!(writer.write(&mut client, 1, "x").await, None);
    writer.commit_offset(&mut client, "g", 1).await;
    let listed = client.call(1, &ListTransactionsRequest::default().with_duration_filter(1_000)).await;
    assert!(listed.transaction_states.is_empty(), "no transaction is that old");
    let listed =
        client.call(2, &ListTransactionsRequest::default().with_transactional_id_pattern(Some(text("w.*")))).await;
    assert_eq!(&*listed.transaction_states[0].transaction_state, "Ongoing");
    let unknown = ListTransactionsRequest::default().with_state_filters(vec![text("Confused")]);
    let unknown = client.call(0, &unknown).await;
    assert_eq!((unknown.unknown_state_filters.len(), unknown.transaction_states.len()), (1, 0));
    let ids = vec![id(), TransactionalId(text("nobody"))];
    let described = client.call(0, &DescribeTransactionsRequest::default().with_transactional_ids(ids)).await;
    let state = &described.transaction_states[0];
    assert_eq!((state.producer_id, state.producer_epoch, state.transaction_timeout_ms), (writer.id, 0, 60_000));
    let topics: Vec<_> = state.topics.iter().map(|topic| (topic.topic.to_string(), topic.partitions.clone())).collect();
    // Java: Math.abs("g".hashCode()) % 50.
    assert_eq!(topics, [("__consumer_offsets".to_owned(), vec![103 % 50]), ("t".to_owned(), vec![1])]);
    let nobody = &described.transaction_states[1];
    assert_eq!(error(nobody.error_code), Some(ErrorCode::TransactionalIdNotFound));
    let topic = TopicRequest::default().with_name(name("t")).with_partition_indexes(vec![1]);
    let producers = client.call(0, &DescribeProducersRequest::default().with_topics(vec![topic])).await;
    let active = &producers.topics[0].partitions[0].active_producers[0];
    assert_eq!((active.producer_id, active.last_sequence, active.current_txn_start_offset), (writer.id, 0, 0));
}

#[tokio::test]
async fn transactions_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Broker::start(BrokerOptions::default().with_dir(dir.path()));
    let broker = open().await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let mut writer = init(&mut client, true).await;
    assert_eq!(writer.write(&mut client, 0, "a").await, None);
    assert_eq!(writer.commit_offset(&mut client, "g", 5).await, None);
    broker.stop().await;
    let broker = open().await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(writer.write(&mut client, 0, "b").await, None);
    assert_eq!(writer.end(&mut client, true).await, None);
    assert_eq!(committed(&mut client, 0).await, ["a", "b"]);
    assert_eq!(offset_of(&mut client, "g", true).await, (None, 5));
}

#[tokio::test(start_paused = true)]
async fn the_feature_levels_are_those_of_the_options() {
    for (level, finalized) in [(2, Some(2)), (0, None)] {
        let (_broker, mut client) = start_with(|options| options.with_transaction_version(level)).await;
        let versions = client.call(4, &api_versions()).await;
        let found = versions.finalized_features.iter().find(|feature| &*feature.name == "transaction.version");
        assert_eq!(found.map(|feature| feature.max_version_level), finalized);
    }
}
