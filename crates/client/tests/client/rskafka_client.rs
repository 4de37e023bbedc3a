//! What RSKafka's integration tests ask of a client, a controller and a partition, as tests of our own.
//!
//! Its sixteen behaviours: connecting plainly, through TLS, SASL and SOCKS5; creating, listing and deleting topics; a
//! partition's name; partitions that do not exist; empty produces and fetches; offsets out of range; what a produce tells;
//! offsets by kind; size limits; the middle of a batch; deleted records; back-off that ends. Those of TLS and SASL are in
//! `security.rs`, with every mechanism.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{broker, brokers, client, options, record, within};
use kanat_broker::BrokerHandle;
use kanat_client::{Client, Compression, Error, NewTopic, OffsetSpec, PartitionClient, Produced, Record, UnknownTopic};
use kanat_protocol::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A partition of a topic that was just made.
async fn partition(broker: &BrokerHandle, partitions: i32, partition: i32) -> PartitionClient {
    let client = client(broker).await;
    client.admin().create_topic(&NewTopic::new("t", partitions)).await.unwrap();
    client.partition_client("t", partition, UnknownTopic::Retry).await.unwrap()
}

async fn write(partition: &PartitionClient, records: &[Record]) -> Produced {
    within("produce", partition.produce(records.to_vec(), Compression::NONE)).await.unwrap()
}

async fn offsets_from(partition: &PartitionClient, offset: i64, bytes_max: i32) -> Vec<i64> {
    let (records, _) = within("fetch", partition.fetch_records(offset, 1..bytes_max, 1_000)).await.unwrap();
    records.iter().map(|record| record.offset).collect()
}

fn assert_out_of_range(error: &Error, bounds: (i64, i64, i64)) {
    let Error::OffsetOutOfRange { offset, log_start, high_watermark, partition, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((*offset, *log_start, *high_watermark), bounds);
    assert_eq!((*partition, error.code()), (0, Some(ErrorCode::OffsetOutOfRange)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_connection_is_all_it_takes() {
    let broker = brokers(3).await;
    // The first address leads nowhere and the second is not the controller: nobody just gets lucky.
    let addresses = format!("invalid.invalid:9013,{}", broker.addr(2).unwrap());
    let client = within("connect", Client::connect(options(&addresses))).await.unwrap();
    assert_eq!(client.metadata(None).await.unwrap().brokers().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_come_and_go() {
    let broker = brokers(3).await;
    let client = client(&broker).await;
    let admin = client.admin();
    admin.create_topics(&[NewTopic::new("a", 2), NewTopic::new("b", 3)]).await.unwrap();
    let names = || async {
        let topics = client.list_topics().await.unwrap();
        topics.iter().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect::<Vec<_>>()
    };
    assert_eq!(names().await, [("a".to_owned(), 2), ("b".to_owned(), 3)]);
    let twice = admin.create_topic(&NewTopic::new("a", 2)).await.unwrap_err();
    assert_eq!(twice.code(), Some(ErrorCode::TopicAlreadyExists));
    for (_, deleted) in admin.delete_topics(&["a"]).await.unwrap() {
        deleted.unwrap();
    }
    assert_eq!(names().await, [("b".to_owned(), 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_knows_its_name() {
    let broker = broker().await;
    let partition = partition(&broker, 3, 2).await;
    assert_eq!((partition.topic(), partition.partition()), ("t", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_waited_for_or_refused() {
    let broker = broker().await;
    let client = client(&broker).await;
    let waiting = client.partition_client("nope", 0, UnknownTopic::Retry);
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err(), "it waits");
    let refused = client.partition_client("nope", 0, UnknownTopic::Error).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::UnknownTopicOrPartition), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_produce_is_no_request() {
    let broker = broker().await;
    let partition = partition(&broker, 2, 1).await;
    assert_eq!(write(&partition, &[]).await, Produced::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_partition_has_no_records_and_a_watermark() {
    let broker = broker().await;
    let partition = partition(&broker, 2, 1).await;
    assert_eq!(within("fetch", partition.fetch_records(0, 1..10_000, 50)).await.unwrap(), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_out_of_range_says_what_the_range_is() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    let offset = write(&partition, &[record("")]).await.offsets[0];
    let error = partition.fetch_records(offset + 2, 1..10_000, 50).await.unwrap_err();
    assert_out_of_range(&error, (2, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_produce_tells_offsets_and_the_size_of_its_request() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    let empty = write(&partition, &[record("")]).await;
    let text = "value value value value value value value";
    let full = write(&partition, &[record(text)]).await;
    assert_eq!((empty.offsets, full.offsets), (vec![0], vec![1]));
    assert_eq!(full.request_bytes - empty.request_bytes, text.len());
    assert!((100..200).contains(&empty.request_bytes), "{} bytes for an empty record", empty.request_bytes);
    let repeated = vec![record(text); 100];
    let plain = write(&partition, &repeated).await;
    let packed = Compression::new(kanat_client::Codec::Zstd, Some(9)).unwrap();
    let packed = partition.produce(repeated, packed).await.unwrap();
    assert_eq!(packed.offsets, (102..202).collect::<Vec<i64>>());
    assert!(packed.request_bytes * 5 < plain.request_bytes, "{} of {}", packed.request_bytes, plain.request_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn earliest_and_latest_go_by_offset_not_by_time() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    let ends = || async {
        let earliest = partition.get_offset(OffsetSpec::Earliest).await.unwrap();
        (earliest, partition.get_offset(OffsetSpec::Latest).await.unwrap())
    };
    assert_eq!(ends().await, (0, 0));
    let early = record("");
    let late = Record { timestamp: early.timestamp + 1_000, ..early.clone() };
    write(&partition, std::slice::from_ref(&late)).await;
    write(&partition, std::slice::from_ref(&early)).await;
    assert_eq!(ends().await, (0, 2));
    assert_eq!(partition.get_offset(OffsetSpec::Timestamp(late.timestamp)).await.unwrap(), 0);
    assert_eq!(partition.get_offset(OffsetSpec::Timestamp(late.timestamp + 1)).await.unwrap(), -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_cuts_behind_whole_batches_and_never_before_the_first() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    let large = record(vec![b'x'; 1_024]);
    for _ in 0..3 {
        write(&partition, std::slice::from_ref(&large)).await;
    }
    assert_eq!(offsets_from(&partition, 0, 2).await, [0], "one batch comes however small the limit");
    assert_eq!(offsets_from(&partition, 0, 1_600).await, [0], "half a batch is none");
    assert_eq!(offsets_from(&partition, 0, 100_000).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_from_the_middle_of_a_batch_begins_in_the_middle() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    let second = write(&partition, &[record("x"), record("y")]).await.offsets[1];
    let (records, _) = partition.fetch_records(second, 1..10_000, 1_000).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].offset, &records[0].record), (second, &record("y")));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_up_to_the_middle_of_a_batch() {
    let broker = broker().await;
    let partition = partition(&broker, 1, 0).await;
    write(&partition, &[record("")]).await;
    write(&partition, &[record("x"), record("y")]).await;
    write(&partition, &[record("z")]).await;
    assert_eq!(partition.delete_records(2, 1_000).await.unwrap(), 2);
    for gone in [0, 1] {
        let error = partition.fetch_records(gone, 1..10_000, 50).await.unwrap_err();
        assert_out_of_range(&error, (gone, 2, 4));
    }
    assert_eq!(offsets_from(&partition, 2, 10_000).await, [2, 3]);
    assert_eq!(partition.get_offset(OffsetSpec::Earliest).await.unwrap(), 2);
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn back_off_ends_and_says_what_it_waited_for() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = Client::connect(options(&broker.bootstrap()).with_retry_timeout_ms(200)).await.unwrap();
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let address = broker.addr(0).unwrap();
    broker.stop_node(0).await.unwrap();
    let started = Instant::now();
    let error = within("produce", partition.produce(vec![record("x")], Compression::NONE)).await.unwrap_err();
    assert!(matches!(&error, Error::RetryTimeout { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("gave up after") && text.contains(&address), "{text}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// A SOCKS5 proxy without authentication; counts the connections it makes.
async fn socks5_proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(proxy_one(stream));
        }
    });
    (address, made)
}

async fn proxy_one(mut near: TcpStream) -> std::io::Result<()> {
    let mut greeting = [0; 2];
    near.read_exact(&mut greeting).await?;
    near.read_exact(&mut vec![0; usize::from(greeting[1])]).await?;
    near.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    near.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(near.read_u32().await?).to_string(),
        3 => {
            let mut name = vec![0; usize::from(near.read_u8().await?)];
            near.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        other => panic!("address type {other}"),
    };
    let port = near.read_u16().await?;
    let mut far = TcpStream::connect((host, port)).await?;
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_socks5_proxy_everything_goes() {
    let broker = broker().await;
    let (proxy, connections) = socks5_proxy().await;
    let options = options(&broker.bootstrap()).with_socks5(proxy.as_str());
    let client = within("connect", Client::connect(options)).await.unwrap();
    client.admin().create_topic(&NewTopic::new("t", 1)).await.unwrap();
    let partition = client.partition_client("t", 0, UnknownTopic::Retry).await.unwrap();
    assert_eq!(write(&partition, &[record("x")]).await.offsets, [0]);
    assert_eq!(offsets_from(&partition, 0, 10_000).await, [0]);
    assert!(connections.load(Ordering::Relaxed) > 0, "nothing went around the proxy");
}
