//! What our producer wrote, as Kafka's own consumer reads it.

use kanat_client::{Client, ClientOptions, Compression, NewTopic, ProduceRecord, ProducerOptions};
use kanat_protocol::compression::Codec;
use kanat_tests::Kafka;
use serde_json::Value;

use crate::seen::{Seen, seen_by_java};

const PARTITIONS: i32 = 3;
const RECORDS_PER_CODEC: usize = 200;
const TIMESTAMP_MS: i64 = 1_700_000_000_000;

fn bytes(random: &mut fastrand::Rng, length_max: usize) -> Vec<u8> {
    let length = random.usize(..length_max);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn maybe(random: &mut fastrand::Rng, length_max: usize) -> Option<Vec<u8>> {
    (random.u8(..6) > 0).then(|| bytes(random, length_max))
}

/// A record with everything but its offset.
fn random_record(random: &mut fastrand::Rng) -> Seen {
    let headers = (0..random.usize(..4)).map(|_| (format!("h{}é", random.u8(..3)).into_bytes(), maybe(random, 20)));
    Seen {
        headers: headers.collect(),
        partition: random.i32(0..PARTITIONS),
        offset: -1,
        timestamp: TIMESTAMP_MS + random.i64(-5_000_000_000..5_000_000),
        by_broker: false,
        key: maybe(random, 40),
        value: maybe(random, 3000),
    }
}

async fn send(client: &Client, topic: &str, codec: Codec, records: &[Seen]) -> Vec<i64> {
    let compression = Compression::new(codec, None).unwrap();
    let producer = client.producer(ProducerOptions { compression, ..ProducerOptions::default() }).unwrap();
    let mut deliveries = Vec::new();
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        let record = ProduceRecord {
            topic,
            partition: Some(record.partition),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp: Some(record.timestamp),
        };
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.unwrap().offset);
    }
    offsets
}

#[tokio::test]
async fn the_java_consumer_reads_what_was_sent_where_it_was_acknowledged() {
    let kafka = Kafka::shared();
    let topic = "produce";
    let client = Client::connect(ClientOptions::new(kafka.bootstrap().split(','))).await.unwrap();
    client.admin().create_topic(&NewTopic::new(topic, PARTITIONS).with_config("retention.ms", "-1")).await.unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let mut sent = Vec::new();
    for codec in Codec::ALL {
        let mut records: Vec<Seen> = (0..RECORDS_PER_CODEC).map(|_| random_record(&mut random)).collect();
        let offsets = send(&client, topic, codec, &records).await;
        records.iter_mut().zip(offsets).for_each(|(record, offset)| record.offset = offset);
        sent.append(&mut records);
    }
    sent.sort_by_key(|record| (record.partition, record.offset));
    let dump: Value = serde_json::from_str(&kafka.java("Dump", &[topic])).unwrap();
    let seen = seen_by_java(&dump["read_committed"]);
    for (seen, sent) in seen.iter().zip(&sent) {
        assert_eq!(seen, sent);
    }
    assert_eq!(seen.len(), sent.len());
}
