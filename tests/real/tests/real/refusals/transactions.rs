//! Transactional producers.

use kanat_protocol::batch::{BatchBuilder, BatchOptions};
use kanat_protocol::compression::{Compression, Compressor};
use kanat_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kanat_protocol::messages::describe_producers_request::TopicRequest;
use kanat_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kanat_protocol::messages::*;

use super::groups::{CLASSIC, OFFSETS};
use super::logs::{produced, request};
use super::peer::{Peer, group, is_passing, name, text};
use super::topics::{ABSENT, TOPIC};

const ID: &str = "refusals-producer";
const OTHER: &str = "refusals-other";
const TIMEOUT_MS: i32 = 60_000;

/// A producer id and an epoch.
type Identity = (i64, i16);

pub(super) async fn ask(peer: &mut Peer) {
    coordinators(peer).await;
    initialisations(peer).await;
    let given = peer.prepare(4, initialising(Some(ID)), |answer| answer.error_code == 0).await;
    let now = (given.producer_id.0, given.producer_epoch);
    enlistments(peer, now).await;
    batches(peer, now).await;
    ends(peer, now).await;
    offsets(peer, now).await;
    descriptions(peer).await;
}

/// Waits until the coordinators of all producers of the rows have loaded them.
async fn coordinators(peer: &mut Peer) {
    let ids = [ID, OTHER, ABSENT];
    let request = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(ids.map(text).into());
    peer.prepare(4, request, |answer| answer.coordinators.iter().all(|one| one.error_code == 0)).await;
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids.map(id).into());
    peer.prepare(0, request, |answer| !answer.transaction_states.iter().any(|one| is_passing(one.error_code))).await;
}

fn id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

fn initialising(transactional_id: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(transactional_id.map(id))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

async fn initialisations(peer: &mut Peer) {
    let with = |producer_id, epoch| {
        initialising(Some(ID)).with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch)
    };
    for (what, request) in [
        ("init: empty id", initialising(Some(""))),
        ("init: no time", initialising(Some(OTHER)).with_transaction_timeout_ms(0)),
        ("init: too much time", initialising(Some(OTHER)).with_transaction_timeout_ms(i32::MAX)),
        ("init: an epoch without a producer", with(-1, 3)),
        ("init: a producer without an epoch", with(99_999, -1)),
    ] {
        peer.row(what, 4, request, |answer| vec![answer.error_code]).await;
    }
    peer.prepare(4, initialising(Some(ID)), |answer| answer.error_code == 0).await;
    peer.row("init: a foreign producer", 4, with(99_999, 0), |answer| vec![answer.error_code]).await;
}

async fn enlistments(peer: &mut Peer, now: Identity) {
    for (what, name_of, (producer_id, epoch), topic) in [
        ("enlist: unknown id", ABSENT, now, TOPIC),
        ("enlist: empty id", "", now, TOPIC),
        ("enlist: foreign producer", ID, (99_999, 0), TOPIC),
        ("enlist: old epoch", ID, (now.0, now.1 - 1), TOPIC),
        ("enlist: epoch of the future", ID, (now.0, now.1 + 9), TOPIC),
        ("enlist: unknown topic", ID, now, ABSENT),
    ] {
        let topic = AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id(name_of))
            .with_v3_and_below_producer_id(ProducerId(producer_id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        let codes = |answer: &AddPartitionsToTxnResponse| {
            let topics = answer.results_by_topic_v3_and_below.iter();
            topics.flat_map(|topic| &topic.results_by_partition).map(|one| one.partition_error_code).collect()
        };
        peer.row(what, 3, request, codes).await;
    }
    for (what, name_of, (producer_id, epoch), to) in [
        ("enlist a group: unknown id", ABSENT, now, OFFSETS),
        ("enlist a group: old epoch", ID, (now.0, now.1 - 1), OFFSETS),
    ] {
        peer.row(what, 3, enlisting(name_of, (producer_id, epoch), to), |answer| vec![answer.error_code]).await;
    }
}

fn enlisting(name_of: &str, (producer_id, epoch): Identity, to: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(id(name_of))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_group_id(group(to))
}

async fn offsets(peer: &mut Peer, now: Identity) {
    for to in [CLASSIC, ABSENT] {
        peer.prepare(3, enlisting(ID, now, to), |answer| answer.error_code == 0).await;
    }
    for (what, to, member, generation, topic) in [
        ("offsets: unknown member", CLASSIC, "nobody", 1, TOPIC),
        ("offsets: a generation without a member", CLASSIC, "", 99, TOPIC),
        ("offsets: unknown group with a generation", ABSENT, "nobody", 3, TOPIC),
        // Kafka enlists partitions of its own topic of offsets: this group is in another one than those above.
        ("offsets: a group that was not enlisted", OFFSETS, "", -1, TOPIC),
        ("offsets: no group", "", "", -1, TOPIC),
        ("offsets: unknown topic", OFFSETS, "", -1, ABSENT),
    ] {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(1);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id(ID))
            .with_group_id(group(to))
            .with_producer_id(ProducerId(now.0))
            .with_producer_epoch(now.1)
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_topics(vec![topic]);
        let codes = |answer: &TxnOffsetCommitResponse| {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        };
        peer.row(what, 3, request, codes).await;
    }
    peer.row("enlist a group: no group", 3, enlisting(ID, now, ""), |answer| vec![answer.error_code]).await;
    peer.prepare(3, ending(ID, now, false), |answer| answer.error_code == 0).await;
}

/// Batches of partitions that were not enlisted, by the first protocol and by the second, where the leader enlists them.
async fn batches(peer: &mut Peer, now: Identity) {
    for (what, version, (producer_id, producer_epoch), base_sequence) in [
        ("transactional: not enlisted", 11, now, 0),
        ("transactional: foreign producer", 12, (99_999, 0), 0),
        ("transactional: epoch of the future", 12, (now.0, now.1 + 9), 0),
    ] {
        let options =
            BatchOptions { producer_id, producer_epoch, base_sequence, transactional: true, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.append(0, Some(b"k"), None, &[]).unwrap();
        let batch = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap().to_vec();
        let request = request(TOPIC, 1, Some(batch)).with_transactional_id(Some(id(ID)));
        peer.row(what, version, request, produced).await;
    }
}

async fn ends(peer: &mut Peer, now: Identity) {
    for (what, version, name_of, (producer_id, epoch), committed) in [
        ("end: unknown id", 3, ABSENT, now, true),
        ("end: empty id", 3, "", now, true),
        ("end: foreign producer", 3, ID, (99_999, 0), true),
        ("end: old epoch", 3, ID, (now.0, now.1 - 1), true),
        ("end: epoch of the future", 3, ID, (now.0, now.1 + 9), false),
        ("end: commits nothing", 3, ID, now, true),
        ("end: aborts nothing", 3, ID, now, false),
        ("end: the second protocol commits nothing", 5, ID, now, true),
    ] {
        let request = ending(name_of, (producer_id, epoch), committed);
        peer.row(what, version, request, |answer| vec![answer.error_code]).await;
    }
}

fn ending(name_of: &str, (producer_id, epoch): Identity, committed: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(id(name_of))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_committed(committed)
}

async fn descriptions(peer: &mut Peer) {
    let request = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text("")]);
    let codes = |answer: &FindCoordinatorResponse| answer.coordinators.iter().map(|one| one.error_code).collect();
    peer.row("find coordinator: no transactional id", 4, request, codes).await;
    for (what, name_of) in [("describe transaction: unknown", ABSENT), ("describe transaction: empty id", "")] {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id(name_of)]);
        let codes = |answer: &DescribeTransactionsResponse| {
            answer.transaction_states.iter().map(|state| state.error_code).collect()
        };
        peer.row(what, 0, request, codes).await;
    }
    for (what, topic, partition) in
        [("describe producers: unknown topic", ABSENT, 0), ("describe producers: unknown partition", TOPIC, 9)]
    {
        let topic = TopicRequest::default().with_name(name(topic)).with_partition_indexes(vec![partition]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        let codes = |answer: &DescribeProducersResponse| {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect()
        };
        peer.row(what, 0, request, codes).await;
    }
}
