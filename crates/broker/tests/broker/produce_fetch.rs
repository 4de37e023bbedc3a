//! Records in and out: produce, fetch, offsets, sessions, isolation.

use crate::common::*;
use bytes::Bytes;
use kanat_broker::{Broker, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{BatchOptions, ControlRecord};
use kanat_protocol::compression::{Codec, Compression};
use kanat_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kanat_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kanat_protocol::messages::*;
use tokio::time::Instant;

#[tokio::test]
async fn records_of_every_codec_come_back_as_they_were_sent() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let mut sent = Vec::new();
    for codec in Codec::ALL {
        let compression = Compression::new(codec, None).unwrap();
        let records: Vec<(Option<&str>, Option<&str>)> = vec![(Some("k"), Some(codec.name())); 50];
        let produced = client.produce("t", 0, batch(BatchOptions::default(), compression, &records)).await;
        assert_eq!(error(produced.error_code), None);
        assert_eq!(produced.base_offset, sent.len() as i64);
        sent.extend(vec![codec.name(); 50]);
    }
    let read = client.read_all("t", 0, 0).await;
    assert_eq!(values(&read), sent);
    assert!(read.iter().map(|(offset, ..)| *offset).eq(0..250));
}

#[tokio::test]
async fn a_stored_batch_differs_only_in_offset_and_epoch() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let sent = batch_of(&["a", "b"]);
    client.produce_values("t", 0, &["first"]).await;
    client.produce("t", 0, sent.clone()).await;
    let stored = client.fetch("t", 0, 1, 0).await.records.unwrap();
    assert_eq!(stored.len(), sent.len());
    assert_eq!(stored[16..], sent[16..]);
    assert_eq!(stored[..8], 1_i64.to_be_bytes());
}

#[tokio::test]
async fn an_idempotent_batch_sent_again_keeps_its_offset() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let id = client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_eq!((error(id.error_code), id.producer_epoch), (None, 0));
    let id = id.producer_id.0;
    let send =
        |sequence| batch(producer(id, 0, sequence, false), Compression::NONE, &[(None, Some("x")), (None, Some("y"))]);
    for sequence in [0, 2, 4] {
        assert_eq!(client.produce("t", 0, send(sequence)).await.base_offset, i64::from(sequence));
    }
    let again = client.produce("t", 0, send(2)).await;
    assert_eq!((error(again.error_code), again.base_offset), (None, 2));
    let gap = client.produce("t", 0, send(8)).await;
    assert_eq!(error(gap.error_code), Some(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(client.read_all("t", 0, 0).await.len(), 6);

    let newer = batch(producer(id, 1, 0, false), Compression::NONE, &[(None, Some("z"))]);
    assert_eq!(client.produce("t", 0, newer).await.base_offset, 6);
    let fenced = client.produce("t", 0, send(6)).await;
    assert_eq!(error(fenced.error_code), Some(ErrorCode::InvalidProducerEpoch));
}

#[tokio::test]
async fn sequence_numbers_wrap() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let two = [(None, Some("x")), (None, Some("y"))];
    let last = batch(producer(1, 0, i32::MAX, false), Compression::NONE, &two);
    assert_eq!(error(client.produce("t", 0, last).await.error_code), None);
    let wrapped = batch(producer(1, 0, 1, false), Compression::NONE, &two);
    assert_eq!(error(client.produce("t", 0, wrapped).await.error_code), None);
}

#[tokio::test]
async fn bad_batches_are_refused_with_a_reason() {
    let broker = start().await;
    broker.create_topic("t", 1, &[("max.message.bytes", "200")]).await.unwrap();
    broker.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let good = batch_of(&["a"]);
    let flip = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    let two = Bytes::from([&good[..], &good[..]].concat());
    let long = "x".repeat(300);
    let transactional = batch(producer(1, 0, 0, true), Compression::NONE, &[(None, Some("x"))]);
    let future = {
        let mut builder = kanat_protocol::batch::BatchBuilder::new(BatchOptions::default());
        builder.append(i64::MAX / 2, None, Some(b"x"), &[]).unwrap();
        builder.seal(Compression::NONE, &mut kanat_protocol::compression::Compressor::new()).unwrap()
    };
    for (topic, batch, code) in [
        ("t", flip(good.len() - 1), ErrorCode::CorruptMessage),
        ("t", good.slice(..good.len() - 1), ErrorCode::InvalidRecord),
        ("t", flip(16), ErrorCode::CorruptMessage),
        ("t", two, ErrorCode::InvalidRecord),
        ("t", Bytes::new(), ErrorCode::InvalidRecord),
        ("t", batch_of(&[&long]), ErrorCode::MessageTooLarge),
        ("t", transactional, ErrorCode::TransactionalIdAuthorizationFailed),
        ("t", future, ErrorCode::InvalidTimestamp),
        ("compacted", good.clone(), ErrorCode::InvalidRecord),
        ("unknown", good.clone(), ErrorCode::UnknownTopicOrPartition),
    ] {
        let refused = client.produce(topic, 0, batch).await;
        assert_eq!(error(refused.error_code), Some(code), "{:?}", refused.error_message);
        assert!(refused.error_message.is_some_and(|reason| !reason.is_empty()));
    }
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 0, 0));
}

#[tokio::test]
async fn without_acks_an_error_closes_the_connection() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.send(9, &produce_request("t", 0, batch_of(&["a"])).with_acks(0)).await;
    assert_eq!(values(&client.read_all("t", 0, 0).await), ["a"]);
    client.send(9, &produce_request("unknown", 0, batch_of(&["a"])).with_acks(0)).await;
    assert!(client.receive_frame().await.is_none());
}

#[tokio::test]
async fn log_append_time_replaces_timestamps() {
    let broker = start().await;
    broker.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let produced = client.produce("t", 0, batch_of(&["a"])).await;
    assert!(produced.log_append_time_ms > *NOW_MS);
    assert_eq!(client.list_offset("t", 0, -3).await, (0, produced.log_append_time_ms));
    assert_eq!(values(&client.read_all("t", 0, 0).await), ["a"]);
}

#[tokio::test]
async fn offsets_are_found_by_position_and_timestamp() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.produce_values("t", 0, &["a", "b", "c"]).await;
    assert_eq!(client.list_offset("t", 0, -2).await.0, 0);
    assert_eq!(client.list_offset("t", 0, -1).await.0, 3);
    assert_eq!(client.list_offset("t", 0, *NOW_MS + 1).await, (1, *NOW_MS + 1));
    assert_eq!(client.list_offset("t", 0, *NOW_MS + 9).await, (-1, -1));
    assert_eq!(client.list_offset("t", 0, -3).await, (2, *NOW_MS + 2));
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_not_longer() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut waiting = Client::connect(&broker.bootstrap()).await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    waiting.send(12, &fetch_request("t", 0, 0).with_max_wait_ms(20_000)).await;
    // A round trip on the same socket order would block; another connection shows that the broker is past the fetch.
    client.produce_values("t", 0, &["a"]).await;
    let frame = waiting.receive_frame().await.unwrap();
    let (_, body) = kanat_protocol::frame::decode_response_header(frame, ApiKey::Fetch, 12).unwrap();
    let response: FetchResponse = kanat_protocol::frame::decode_body(ApiKey::Fetch, 12, body).unwrap();
    assert_eq!(decode(response.responses[0].partitions[0].records.clone().unwrap()).0.len(), 1);

    let started = Instant::now();
    let empty = client.call(12, &fetch_request("t", 0, 1).with_max_wait_ms(50)).await;
    assert!(started.elapsed().as_millis() >= 50);
    assert!(empty.responses[0].partitions[0].records.as_ref().is_none_or(Bytes::is_empty));
}

#[tokio::test]
async fn byte_limits_hold_but_one_batch_always_comes() {
    let broker = start().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    for partition in [0, 1] {
        for _ in 0..3 {
            client.produce_values("t", partition, &["x"]).await;
        }
    }
    let batch_bytes = batch_of(&["x"]).len();
    let both = |bytes_max: usize, partition_bytes_max: usize| {
        let limit = i32::try_from(partition_bytes_max).unwrap();
        let partitions = [0, 1].map(|index| fetch_partition(index, 0).with_partition_max_bytes(limit));
        let topic = FetchTopic::default().with_topic(name("t")).with_partitions(partitions.to_vec());
        fetch_request("t", 0, 0).with_max_bytes(i32::try_from(bytes_max).unwrap()).with_topics(vec![topic])
    };
    for (bytes_max, partition_bytes_max, expected) in [
        (1, 1, [1, 0]),
        (10 * batch_bytes, 1, [1, 0]),
        (10 * batch_bytes, 2 * batch_bytes, [2, 2]),
        (4 * batch_bytes, 10 * batch_bytes, [3, 1]),
    ] {
        let response = client.call(12, &both(bytes_max, partition_bytes_max)).await;
        let counts =
            response.responses[0].partitions.iter().map(|data| data.records.as_ref().unwrap().len() / batch_bytes);
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{bytes_max} {partition_bytes_max}");
    }
}

#[tokio::test]
async fn read_committed_sees_stable_records_and_the_aborted_list() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let write = |id, value: &'static str| batch(producer(id, 0, 0, true), Compression::NONE, &[(None, Some(value))]);
    broker.append_batches("t", 0, write(7, "aborted")).await.unwrap();
    broker.append_batches("t", 0, write(8, "committed")).await.unwrap();
    client.produce_values("t", 0, &["plain"]).await;
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 0, 3));
    assert!(client.fetch("t", 0, 0, 1).await.records.unwrap().is_empty());
    assert_eq!(client.read_all("t", 0, 0).await.len(), 3);

    broker.append_control("t", 0, 7, 0, ControlRecord::Abort { coordinator_epoch: 0 }).await.unwrap();
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 1, 4));
    broker.append_control("t", 0, 8, 0, ControlRecord::Commit { coordinator_epoch: 0 }).await.unwrap();
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 5, 5));
    let data = client.fetch("t", 0, 0, 1).await;
    assert_eq!(data.last_stable_offset, 5);
    let aborted = data.aborted_transactions.unwrap();
    assert_eq!(aborted.iter().map(|a| (a.producer_id.0, a.first_offset)).collect::<Vec<_>>(), [(7, 0)]);
    assert_eq!(decode(data.records.unwrap()).1, 5);
    let later = client.fetch("t", 0, 4, 1).await;
    assert!(later.aborted_transactions.unwrap().is_empty());
    assert!(client.fetch("t", 0, 0, 0).await.aborted_transactions.is_none());
}

#[tokio::test]
async fn a_fetch_session_sends_only_news() {
    let broker = start().await;
    broker.create_topic("t", 3, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let partitions = |offsets: &[(i32, i64)]| {
        let partitions = offsets.iter().map(|(index, offset)| fetch_partition(*index, *offset)).collect();
        vec![FetchTopic::default().with_topic(name("t")).with_partitions(partitions)]
    };
    let session =
        |id, epoch, topics| fetch_request("t", 0, 0).with_session_id(id).with_session_epoch(epoch).with_topics(topics);
    let first = client.call(12, &session(0, 0, partitions(&[(0, 0), (1, 0), (2, 0)]))).await;
    let id = first.session_id;
    assert!(id > 0);
    assert_eq!(first.responses[0].partitions.len(), 3);

    let quiet = client.call(12, &session(id, 1, vec![])).await;
    assert_eq!((quiet.session_id, quiet.responses.len()), (id, 0));
    client.produce_values("t", 1, &["a"]).await;
    let news = client.call(12, &session(id, 2, vec![])).await;
    assert_eq!(news.responses[0].partitions.len(), 1);
    assert_eq!(news.responses[0].partitions[0].partition_index, 1);
    let quiet = client.call(12, &session(id, 3, partitions(&[(1, 1)]))).await;
    assert_eq!(quiet.responses.len(), 0);

    let forgotten = ForgottenTopic::default().with_topic(name("t")).with_partitions(vec![2]);
    client.produce_values("t", 2, &["b"]).await;
    let quiet = client.call(12, &session(id, 4, vec![]).with_forgotten_topics_data(vec![forgotten])).await;
    assert_eq!(quiet.responses.len(), 0);

    let wrong_epoch = client.call(12, &session(id, 9, vec![])).await;
    assert_eq!(error(wrong_epoch.error_code), Some(ErrorCode::InvalidFetchSessionEpoch));
    let closed = client.call(12, &session(id, -1, vec![])).await;
    assert_eq!((error(closed.error_code), closed.session_id), (None, 0));
    let gone = client.call(12, &session(id, 5, vec![])).await;
    assert_eq!(error(gone.error_code), Some(ErrorCode::FetchSessionIdNotFound));
}

#[tokio::test]
async fn topics_are_fetched_by_id() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.produce_values("t", 0, &["a"]).await;
    let wanted = MetadataRequestTopic::default().with_name(Some(name("t")));
    let metadata = client.call(12, &MetadataRequest::default().with_topics(Some(vec![wanted]))).await;
    let by_id = |id| {
        let topic = FetchTopic::default().with_topic_id(id).with_partitions(vec![fetch_partition(0, 0)]);
        fetch_request("t", 0, 0).with_topics(vec![topic])
    };
    let found = client.call(16, &by_id(metadata.topics[0].topic_id)).await;
    assert_eq!(decode(found.responses[0].partitions[0].records.clone().unwrap()).0.len(), 1);
    let unknown = client.call(16, &by_id(Uuid::from_u128(1))).await;
    assert_eq!(error(unknown.responses[0].partitions[0].error_code), Some(ErrorCode::UnknownTopicId));
}

#[tokio::test]
async fn deleted_records_are_out_of_range() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.produce_values("t", 0, &["a", "b", "c"]).await;
    let delete = |offset| {
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000)
    };
    let deleted = client.call(2, &delete(2)).await;
    assert_eq!(deleted.topics[0].partitions[0].low_watermark, 2);
    assert_eq!(error(client.fetch("t", 0, 1, 0).await.error_code), Some(ErrorCode::OffsetOutOfRange));
    assert_eq!(values(&client.read_all("t", 0, 2).await), ["c"]);
    let beyond = client.call(2, &delete(9)).await;
    assert_eq!(error(beyond.topics[0].partitions[0].error_code), Some(ErrorCode::OffsetOutOfRange));
    assert_eq!(client.call(2, &delete(-1)).await.topics[0].partitions[0].low_watermark, 3);
    assert_eq!(error(client.fetch("t", 0, 4, 0).await.error_code), Some(ErrorCode::OffsetOutOfRange));
}

#[tokio::test]
async fn leaders_move_and_epochs_tell() {
    let broker = Broker::start(BrokerOptions::default().with_nodes(3)).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let (leader, epoch) = broker.leader("t", 0).unwrap().unwrap();
    let mut client = Client::connect(&broker.addr(leader).unwrap()).await;
    client.produce_values("t", 0, &["a"]).await;
    let next = (leader + 1) % 3;
    broker.move_leader("t", 0, next).await.unwrap();
    let refused = client.produce("t", 0, batch_of(&["b"])).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::NotLeaderOrFollower));
    let refused = client.fetch("t", 0, 0, 0).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!((refused.current_leader.leader_id.0, refused.current_leader.leader_epoch), (next, epoch + 1));

    let mut client = Client::connect(&broker.addr(next).unwrap()).await;
    client.produce_values("t", 0, &["b"]).await;
    let partition =
        OffsetForLeaderPartition::default().with_partition(0).with_current_leader_epoch(-1).with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
    let ends = client.call(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic])).await;
    assert_eq!((ends.topics[0].partitions[0].leader_epoch, ends.topics[0].partitions[0].end_offset), (epoch, 1));

    broker.stop_node(next).await.unwrap();
    let (leader, _) = broker.leader("t", 0).unwrap().unwrap();
    assert_ne!(leader, next);
    assert!(client.receive_frame().await.is_none());
    let mut client = Client::connect(&broker.addr(leader).unwrap()).await;
    assert_eq!(values(&client.read_all("t", 0, 0).await), ["a", "b"]);
    broker.start_node(next).await.unwrap();
    let mut back = Client::connect(&broker.addr(next).unwrap()).await;
    assert_eq!(back.call(12, &MetadataRequest::default()).await.brokers.len(), 3);
}
