//! What RSKafka's integration tests ask of a stream consumer, its nine behaviours, and what they leave open.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::common::{broker, brokers, client, record, within};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use kanat_broker::{BrokerHandle, FaultAction, FaultRule};
use kanat_client::{
    Codec, Compression, ConsumerOptions, Error, OffsetSpec, PartitionClient, Record, StartOffset, StreamConsumer,
    UnknownTopic,
};
use kanat_protocol::messages::ApiKey;

/// An empty partition and a stream of it, in a client each: a writer must not wait for the reader's long polls.
async fn partition_and_stream(broker: &BrokerHandle, start: StartOffset) -> (PartitionClient, StreamConsumer) {
    let writer = partition(broker).await;
    let stream = stream(broker, start).await;
    (writer, stream)
}

async fn partition(broker: &BrokerHandle) -> PartitionClient {
    broker.create_topic("t", 1, &[]).await.unwrap();
    client(broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap()
}

async fn stream(broker: &BrokerHandle, start: StartOffset) -> StreamConsumer {
    let partition = client(broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    partition.stream(start, ConsumerOptions { fetch_wait_ms_max: 50, ..ConsumerOptions::default() }).unwrap()
}

async fn write(partition: &PartitionClient, values: &[&str]) {
    let records: Vec<Record> = values.iter().map(|value| record(*value)).collect();
    within("produce", partition.produce(records, Compression::NONE)).await.unwrap();
}

/// The next records must be these, at these offsets.
async fn assert_next(stream: &mut StreamConsumer, expected: &[(i64, &str)]) {
    for (offset, value) in expected {
        let (read, high_watermark) = within("next", stream.next()).await.unwrap().unwrap();
        assert_eq!((read.offset, read.record), (*offset, record(*value)));
        assert!(high_watermark > *offset, "{high_watermark}");
    }
}

/// The stream must wait, as at the end of the partition.
async fn assert_pending(stream: &mut StreamConsumer) {
    let next = tokio::time::timeout(Duration::from_millis(120), stream.next()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_offset_0_it_waits_between_produces() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::At(0)).await;
    write(&writer, &["a"]).await;
    assert_next(&mut stream, &[(0, "a")]).await;
    assert_pending(&mut stream).await;
    write(&writer, &["b", "c"]).await;
    assert_next(&mut stream, &[(1, "b"), (2, "c")]).await;
    assert_pending(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_offset_1_it_skips_the_first_record_of_the_batch() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::At(1)).await;
    write(&writer, &["a", "b"]).await;
    assert_next(&mut stream, &[(1, "b")]).await;
    assert_pending(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_out_of_range_is_an_error_once_and_then_the_end() {
    let broker = broker().await;
    let (_, mut stream) = partition_and_stream(&broker, StartOffset::At(1)).await;
    let error = within("next", stream.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OffsetOutOfRange { offset: 1, log_start: 0, high_watermark: 0, .. }), "{error}");
    assert!(stream.next().await.is_none() && stream.is_terminated());
    assert!(stream.next().await.is_none(), "the end stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_earliest_record() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Earliest).await;
    write(&writer, &["a"]).await;
    assert_next(&mut stream, &[(0, "a")]).await;
    assert_pending(&mut stream).await;
    write(&writer, &["b"]).await;
    assert_next(&mut stream, &[(1, "b")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_earliest_record_of_an_empty_partition() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Earliest).await;
    assert_pending(&mut stream).await;
    write(&writer, &["a"]).await;
    assert_next(&mut stream, &[(0, "a")]).await;
    assert_pending(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_earliest_record_after_a_deletion() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Earliest).await;
    write(&writer, &["a", "b"]).await;
    writer.delete_records(1, 1_000).await.unwrap();
    assert_next(&mut stream, &[(1, "b")]).await;
    assert_pending(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_latest_record() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Latest).await;
    write(&writer, &["a"]).await;
    assert_pending(&mut stream).await;
    write(&writer, &["b"]).await;
    assert_next(&mut stream, &[(1, "b")]).await;
    assert_pending(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_latest_record_of_an_empty_partition() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Latest).await;
    assert_pending(&mut stream).await;
    write(&writer, &["a"]).await;
    assert_next(&mut stream, &[(0, "a")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_time_by_offset_or_by_itself() {
    let broker = broker().await;
    let writer = partition(&broker).await;
    let at = |timestamp| Record { timestamp, ..record("x") };
    for timestamp in [1_000, 2_000, 3_000] {
        writer.produce(vec![at(timestamp)], Compression::NONE).await.unwrap();
    }
    let offset = writer.get_offset(OffsetSpec::Timestamp(1_500)).await.unwrap();
    for start in [StartOffset::At(offset), StartOffset::Timestamp(1_500)] {
        let mut stream = stream(&broker, start).await;
        let (first, high_watermark) = within("next", stream.next()).await.unwrap().unwrap();
        assert_eq!((first.offset, first.record.timestamp, high_watermark), (1, 2_000, 3), "{start:?}");
    }
    let mut stream = stream(&broker, StartOffset::Timestamp(9_000)).await;
    assert_pending(&mut stream).await;
    writer.produce(vec![at(1)], Compression::NONE).await.unwrap();
    assert_eq!(within("next", stream.next()).await.unwrap().unwrap().0.offset, 3, "behind the end there was");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_every_codec_through_faults_and_a_leader_that_moves() {
    let broker = brokers(2).await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Earliest).await;
    let fetch = |action| FaultRule::new(action).on(ApiKey::Fetch);
    broker.faults().add(fetch(FaultAction::DropBefore).skip(1).times(1));
    broker.faults().add(fetch(FaultAction::Truncate { bytes: 50 }).skip(3).times(1));
    let mut expected = 0;
    for (round, codec) in (0..).zip(Codec::ALL) {
        let records: Vec<Record> = (0..500).map(|index| record(format!("{codec} {index}"))).collect();
        for part in records.chunks(50) {
            writer.produce(part.to_vec(), Compression::new(codec, None).unwrap()).await.unwrap();
        }
        broker.move_leader("t", 0, round % 2).await.unwrap();
        for index in 0..500 {
            let (read, _) = within("next", stream.next()).await.unwrap().unwrap();
            assert_eq!((read.offset, read.record), (expected, record(format!("{codec} {index}"))));
            expected += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fetches_ahead_while_nobody_reads() {
    let broker = broker().await;
    let (writer, mut stream) = partition_and_stream(&broker, StartOffset::Earliest).await;
    write(&writer, &["a"]).await;
    assert_next(&mut stream, &[(0, "a")]).await;
    let fetches = broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::Fetch));
    write(&writer, &["b"]).await;
    // One fetch brings the record and the one after it was asked for without a poll of the stream.
    within("a fetch ahead", async {
        while broker.faults().hits(fetches) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let ready = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_next(context))).await;
    assert!(matches!(ready, Poll::Ready(Some(Ok(_)))), "{ready:?}");
    assert_eq!(stream.size_hint(), (0, None));
}
