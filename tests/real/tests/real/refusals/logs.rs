//! Records: produce, fetch, offsets, deletion.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions};
use kanat_protocol::compression::{Compression, Compressor};
use kanat_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kanat_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kanat_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kanat_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kanat_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kanat_protocol::messages::*;

use super::peer::{Peer, name};
use super::topics::{ABSENT, COMPACTED, TOPIC};

const PRODUCE: i16 = 11;
/// A day, milliseconds.
const DAY_MS: i64 = 86_400_000;

pub(super) async fn ask(peer: &mut Peer) {
    leaders(peer).await;
    produce(peer).await;
    sequences(peer).await;
    fetch(peer).await;
    sessions(peer).await;
    offsets(peer).await;
    deletions(peer).await;
}

/// A record of this size, key and age.
struct Written {
    options: BatchOptions,
    key: Option<&'static [u8]>,
    value_bytes: usize,
    age_ms: i64,
}

impl Default for Written {
    fn default() -> Written {
        Written { options: BatchOptions::default(), key: Some(b"k"), value_bytes: 10, age_ms: 0 }
    }
}

impl Written {
    fn batch(&self) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let timestamp = i64::try_from(now).unwrap() - self.age_ms;
        let mut builder = BatchBuilder::new(self.options);
        builder.append(timestamp, self.key, Some(&vec![7; self.value_bytes]), &[]).unwrap();
        builder.seal(Compression::NONE, &mut Compressor::new()).unwrap().to_vec()
    }
}

/// A batch after `change` has been at it.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut batch = Written::default().batch();
    change(&mut batch);
    batch
}

pub(super) fn request(topic: &str, partition: i32, records: Option<Vec<u8>>) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(records.map(Bytes::from));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

pub(super) fn produced(answer: &ProduceResponse) -> Vec<i16> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.map(|partition| partition.error_code).collect()
}

/// Waits until the partitions of the rows have leaders.
async fn leaders(peer: &mut Peer) {
    let partition = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
    let topic =
        |topic| ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition(0), partition(1)]);
    let topics = vec![topic(TOPIC), topic(COMPACTED)];
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics);
    peer.prepare(7, request, |answer| listed(answer).into_iter().all(|code| code == 0)).await;
}

async fn produce(peer: &mut Peer) {
    let plain = || Some(Written::default().batch());
    let twice = || Some([Written::default().batch(), Written::default().batch()].concat());
    // The magic of a batch is byte 16, its checksum begins behind it.
    let old_magic = changed(|batch| batch[16] = 1);
    let unknown_magic = changed(|batch| batch[16] = 3);
    let wrong_checksum = changed(|batch| batch[17] ^= 1);
    let cut = changed(|batch| batch.truncate(40));
    for (what, topic, partition, records) in [
        ("produce: unknown topic", ABSENT, 0, plain()),
        ("produce: unknown partition", TOPIC, 9, plain()),
        ("produce: negative partition", TOPIC, -1, plain()),
        ("produce: too large", TOPIC, 0, Some(Written { value_bytes: 2_000, ..Written::default() }.batch())),
        ("produce: from the future", TOPIC, 0, Some(Written { age_ms: -DAY_MS, ..Written::default() }.batch())),
        ("produce: no key to compact by", COMPACTED, 0, Some(Written { key: None, ..Written::default() }.batch())),
        ("produce: wrong checksum", TOPIC, 0, Some(wrong_checksum)),
        ("produce: old format", TOPIC, 0, Some(old_magic)),
        ("produce: unknown format", TOPIC, 0, Some(unknown_magic)),
        ("produce: half a batch", TOPIC, 0, Some(cut)),
        ("produce: two batches", TOPIC, 0, twice()),
        ("produce: empty records", TOPIC, 0, Some(Vec::new())),
    ] {
        peer.row(what, PRODUCE, request(topic, partition, records), produced).await;
    }
    peer.row("produce: wrong acks", PRODUCE, request(TOPIC, 0, plain()).with_acks(5), produced).await;
    let transactional =
        BatchOptions { producer_id: 4_000, producer_epoch: 0, base_sequence: 0, ..BatchOptions::default() };
    let transactional =
        Written { options: BatchOptions { transactional: true, ..transactional }, ..Written::default() };
    let records = Some(transactional.batch());
    peer.row("produce: transactional, without an id", PRODUCE, request(TOPIC, 0, records), produced).await;
    let control = BatchOptions { control: true, ..BatchOptions::default() };
    let records = Some(Written { options: control, ..Written::default() }.batch());
    peer.row("produce: a marker", PRODUCE, request(TOPIC, 0, records), produced).await;
}

async fn sequences(peer: &mut Peer) {
    let init = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let init = init.with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    let given = peer.prepare(4, init, |answer| answer.error_code == 0).await;
    for (what, epoch, base_sequence) in [
        ("sequence: a beginning in the middle", 0, 5),
        ("sequence: the beginning", 0, 0),
        ("sequence: repeated", 0, 0),
        ("sequence: a gap", 0, 7),
        ("sequence: a new epoch in the middle", 1, 3),
        ("sequence: a new epoch", 1, 0),
        ("sequence: an old epoch", 0, 1),
    ] {
        let (producer_id, producer_epoch) = (given.producer_id.0, epoch);
        let options = BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
        let records = Some(Written { options, ..Written::default() }.batch());
        peer.row(what, PRODUCE, request(TOPIC, 0, records), produced).await;
    }
}

fn fetching(topic: &str, partition: i32, offset: i64, leader_epoch: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(leader_epoch)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    let request = FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_bytes(1 << 20).with_session_epoch(-1);
    request.with_topics(vec![topic])
}

fn fetched(answer: &FetchResponse) -> Vec<i16> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    [answer.error_code].into_iter().chain(partitions.map(|partition| partition.error_code)).collect()
}

async fn fetch(peer: &mut Peer) {
    for (what, topic, partition, offset, leader_epoch) in [
        ("fetch: unknown topic", ABSENT, 0, 0, -1),
        ("fetch: unknown partition", TOPIC, 9, 0, -1),
        ("fetch: behind the end", TOPIC, 0, 1_000, -1),
        ("fetch: negative offset", TOPIC, 0, -5, -1),
        ("fetch: leader of the future", TOPIC, 0, 0, 1_000),
    ] {
        peer.row(what, 12, fetching(topic, partition, offset, leader_epoch), fetched).await;
    }
    let mut by_id = fetching(TOPIC, 0, 0, -1);
    by_id.topics[0].topic = name("");
    by_id.topics[0].topic_id = Uuid::from_u128(7);
    peer.row("fetch: unknown id", 13, by_id, fetched).await;
}

async fn sessions(peer: &mut Peer) {
    let unknown = fetching(TOPIC, 0, 0, -1).with_session_id(12_345).with_session_epoch(1);
    peer.row("fetch session: unknown", 12, unknown, fetched).await;
    let first = fetching(TOPIC, 0, 0, -1).with_session_epoch(0);
    let session = peer.prepare(12, first, |answer| answer.session_id != 0).await.session_id;
    let wrong = fetching(TOPIC, 0, 0, -1).with_session_id(session).with_session_epoch(7);
    peer.row("fetch session: wrong epoch", 12, wrong, fetched).await;
}

fn listed(answer: &ListOffsetsResponse) -> Vec<i16> {
    answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

async fn offsets(peer: &mut Peer) {
    for (what, topic, partition, leader_epoch, timestamp) in [
        ("list offsets: unknown topic", ABSENT, 0, -1, -1),
        ("list offsets: unknown partition", TOPIC, 9, -1, -1),
        ("list offsets: leader of the future", TOPIC, 0, 1_000, -1),
        ("list offsets: a time with no meaning", TOPIC, 0, -1, -99),
    ] {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(leader_epoch)
            .with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        peer.row(what, 7, request, listed).await;
    }
    for (what, topic, partition, current, asked) in [
        ("leader epoch: unknown topic", ABSENT, 0, -1, 0),
        ("leader epoch: unknown partition", TOPIC, 9, -1, 0),
        ("leader epoch: leader of the future", TOPIC, 0, 1_000, 0),
        ("leader epoch: of the future", TOPIC, 0, -1, 1_000),
    ] {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current)
            .with_leader_epoch(asked);
        let topic = OffsetForLeaderTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answered = |answer: &OffsetForLeaderEpochResponse| {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
        };
        peer.row(what, 4, request, answered).await;
    }
}

async fn deletions(peer: &mut Peer) {
    for (what, topic, partition, offset) in [
        ("delete records: unknown topic", ABSENT, 0, 1),
        ("delete records: unknown partition", TOPIC, 9, 1),
        ("delete records: behind the end", TOPIC, 0, 1_000),
        ("delete records: negative offset", TOPIC, 0, -7),
        ("delete records: compacted topic", COMPACTED, 0, 0),
    ] {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let deleted = |answer: &DeleteRecordsResponse| {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
        };
        peer.row(what, 2, request, deleted).await;
    }
}
