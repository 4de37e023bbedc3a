//! Writes records to a topic and prints how fast:
//! `produce_rate <bootstrap> <topic> <partitions> <records> <value bytes> [none|gzip|snappy|lz4|zstd] [rr|key|none]`.
//!
//! The topic is created if it does not exist. Every acknowledgement is waited for before the clock stops.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use kanat_client::{Client, ClientOptions, Codec, Compression, NewTopic, ProduceRecord, ProducerOptions};

/// User and system CPU time of this process so far, in seconds.
fn cpu_seconds() -> Option<f64> {
    // Fields 14 and 15, counted after the name in parentheses, in clock ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bootstrap, topic, partitions, records, value_bytes, rest @ ..] = arguments.as_slice() else {
        return Err("usage: produce_rate <bootstrap> <topic> <partitions> <records> <value bytes> [codec]".into());
    };
    let (partitions, records, value_bytes) = (partitions.parse()?, records.parse::<u64>()?, value_bytes.parse()?);
    let wanted = rest.first().map_or("none", String::as_str);
    let codec = Codec::ALL.into_iter().find(|codec| codec.name() == wanted).ok_or("no such codec")?;
    let client = Client::connect(ClientOptions::new([bootstrap])).await?;
    if client.metadata(Some(&[topic])).await?.topic(topic).is_none() {
        client.admin().create_topic(&NewTopic::new(topic.as_str(), partitions)).await?;
    }
    let options = ProducerOptions { compression: Compression::new(codec, None)?, ..ProducerOptions::default() };
    let producer = client.producer(options)?;
    let value: Vec<u8> = (0..value_bytes).map(|_| fastrand::alphanumeric()).map(|letter| letter as u8).collect();
    let started = Instant::now();
    let placement = rest.get(1).map_or("rr", String::as_str);
    for index in 0..records {
        let key = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let record = ProduceRecord {
            topic,
            partition: (placement == "rr").then_some(i32::try_from(index % u64::try_from(partitions)?)?),
            key: (placement == "key").then_some(&key[..]),
            value: Some(&value),
            ..ProduceRecord::default()
        };
        drop(producer.send(record).await?);
    }
    producer.flush().await?;
    let (seconds, count) = (started.elapsed().as_secs_f64(), records as f64);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{records} records in {seconds:.3} s, {:.0} records/s", count / seconds)?;
    if let Some(cpu) = cpu_seconds() {
        writeln!(out, "{cpu:.2} CPU s, {:.3} CPU s per million records", cpu / count.max(1.0) * 1e6)?;
    }
    Ok(())
}
