//! Records that go from each of three clients to each: ours, Kafka's own, librdkafka; in every codec.
//!
//! Every writer has a topic, writes partition 1 codec by codec, and all three read it back. That a batch is really in the
//! codec asked for is read from its header.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use kanat_client::{
    Client, ClientOptions, Codec, Compression, ConsumerOptions, NewTopic, PartitionClient, Record, StartOffset,
    UnknownTopic,
};
use kanat_tests::{Kafka, peers_dir, run, run_with_input};
use serde_json::{Value, json};

use crate::seen::{Seen, seen_by_java};

const PARTITION: i32 = 1;
const PATIENCE: Duration = Duration::from_secs(60);

fn hex(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// What is written in one codec: timestamps out of order, headers that repeat, are empty or null, an empty value and a
/// tombstone. The keys are long enough for every codec to be worth its bytes, or librdkafka would leave it.
fn records(codec: Codec) -> Vec<Seen> {
    let header =
        |key: &str, value: Option<&str>| (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()));
    let headers = vec![header("foo", Some("bar")), header("foo", None), header("", Some(""))];
    let key = format!("{codec} {}", "x".repeat(200)).into_bytes();
    let contents = [(1_338, Some("")), (1_337, Some("some value")), (1_339, Some("more value")), (1_336, None)];
    let record = |(timestamp, value): (i64, Option<&str>)| Seen {
        partition: PARTITION,
        offset: -1,
        timestamp,
        by_broker: false,
        key: Some(key.clone()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: headers.clone(),
    };
    contents.into_iter().map(record).collect()
}

/// All records of a topic with their codecs, in order.
fn all_records() -> Vec<(Codec, Seen)> {
    Codec::ALL.into_iter().flat_map(|codec| records(codec).into_iter().map(move |record| (codec, record))).collect()
}

/// Sends the records through a program of another client, which prints their offsets.
fn written_by(command: &mut Command) -> Vec<i64> {
    let printed = run_with_input(command, |input| {
        for (codec, record) in all_records() {
            let headers: Vec<_> =
                record.headers.iter().map(|(key, value)| [hex(Some(key)), hex(value.as_deref())]).collect();
            let line = json!({
                "codec": codec.name(),
                "partition": record.partition,
                "timestamp": record.timestamp,
                "key": hex(record.key.as_deref()),
                "value": hex(record.value.as_deref()),
                "headers": headers,
            });
            writeln!(input, "{line}")?;
        }
        Ok(())
    });
    printed.lines().map(|line| line.parse().unwrap()).collect()
}

async fn written_by_us(partition: &PartitionClient) -> Vec<i64> {
    let mut offsets = Vec::new();
    for codec in Codec::ALL {
        let record = |seen: Seen| Record {
            key: seen.key.map(Bytes::from),
            value: seen.value.map(Bytes::from),
            headers: seen.headers.into_iter().map(|(key, value)| (key.into(), value.map(Bytes::from))).collect(),
            timestamp: seen.timestamp,
        };
        let records = records(codec).into_iter().map(record).collect();
        offsets.extend(partition.produce(records, Compression::from(codec)).await.unwrap().offsets);
    }
    offsets
}

async fn read_by_us(partition: &PartitionClient, count: usize) -> Vec<Seen> {
    let mut stream = partition.stream(StartOffset::Earliest, ConsumerOptions::default()).unwrap();
    let mut seen = Vec::new();
    while seen.len() < count {
        let (read, _) = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        let header = |(key, value): (Bytes, Option<Bytes>)| (key.to_vec(), value.map(|value| value.to_vec()));
        seen.push(Seen {
            partition: partition.partition(),
            offset: read.offset,
            timestamp: read.record.timestamp,
            by_broker: false,
            key: read.record.key.map(|key| key.to_vec()),
            value: read.record.value.map(|value| value.to_vec()),
            headers: read.record.headers.into_iter().map(header).collect(),
        });
    }
    seen
}

fn librdkafka(arguments: &[&str]) -> Command {
    let mut command = Command::new(peers_dir().join("python.sh"));
    command.arg(peers_dir().join("librdkafka.py")).args(arguments);
    command
}

/// The codec of the batch that holds each record.
async fn codecs(partition: &PartitionClient, count: usize) -> Vec<Codec> {
    let fetched = partition.fetch(0, 1..10_000_000, 1_000).await.unwrap();
    let mut codecs = Vec::new();
    for batch in &fetched.batches {
        let records = usize::try_from(batch.header().record_count).unwrap();
        codecs.extend(std::iter::repeat_n(batch.header().attributes.codec().unwrap(), records));
    }
    assert_eq!(codecs.len(), count);
    codecs
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Ours,
    Java,
    Librdkafka,
}

/// One writer, three readers.
async fn exchange(topic: &str, writer: Writer) {
    let bootstrap = Kafka::shared().bootstrap();
    let client = Client::connect(ClientOptions::new([bootstrap])).await.unwrap();
    let topic_wanted = NewTopic::new(topic, 2).with_config("retention.ms", "-1");
    client.admin().create_topic(&topic_wanted).await.unwrap();
    let partition = client.partition_client(topic, PARTITION, UnknownTopic::Retry).await.unwrap();
    let offsets = match writer {
        Writer::Ours => written_by_us(&partition).await,
        Writer::Java => written_by(Command::new(peers_dir().join("java.sh")).args(["Write", bootstrap, topic])),
        Writer::Librdkafka => written_by(&mut librdkafka(&["write", bootstrap, topic])),
    };
    let (wanted_codecs, mut wanted): (Vec<Codec>, Vec<Seen>) = all_records().into_iter().unzip();
    wanted.iter_mut().zip(0..).for_each(|(record, offset)| record.offset = offset);
    assert_eq!(
        offsets,
        wanted.iter().map(|record| record.offset).collect::<Vec<_>>(),
        "offsets are distinct, in order"
    );
    assert_eq!(codecs(&partition, wanted.len()).await, wanted_codecs);
    let dumped: Value = serde_json::from_str(&Kafka::shared().java("Dump", &[topic])).unwrap();
    let count = wanted.len().to_string();
    let number = PARTITION.to_string();
    let by_librdkafka = run(&mut librdkafka(&["read", bootstrap, topic, &number, &count]));
    let readers = [
        ("ours", read_by_us(&partition, wanted.len()).await),
        ("java", seen_by_java(&dumped["read_committed"])),
        ("librdkafka", seen_by_java(&serde_json::from_str(&by_librdkafka).unwrap())),
    ];
    for (reader, seen) in readers {
        for ((seen, wanted), codec) in seen.iter().zip(&wanted).zip(&wanted_codecs) {
            assert_eq!(seen, wanted, "{codec} read by {reader}");
        }
        assert_eq!(seen.len(), wanted.len(), "read by {reader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_write_everybody_reads() {
    exchange("exchange-ours", Writer::Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_java_writes_everybody_reads() {
    exchange("exchange-java", Writer::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_librdkafka_writes_everybody_reads() {
    exchange("exchange-librdkafka", Writer::Librdkafka).await;
}
