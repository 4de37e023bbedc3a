//! Reads a topic to its end and prints how fast: `consume_rate <bootstrap> <topic> [option=value]...`, with the options
//! `uncommitted=true`, `fetch_bytes_max`, `partition_fetch_bytes_max` and `buffer_bytes_max`.
//!
//! Batches are decompressed and every record is looked at (value lengths and timestamps are summed), on the thread that
//! takes them from the consumer, as the simplest application would.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use kanat_client::{Client, ClientOptions, ConsumerOptions, Isolation, OffsetSpec, TopicPartition};
use kanat_protocol::compression::Decompressor;

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
    let [_, bootstrap, topic, rest @ ..] = arguments.as_slice() else {
        return Err("usage: consume_rate <bootstrap> <topic> [option=value]...".into());
    };
    let started = Instant::now();
    let options = options(rest)?;
    let isolation = options.isolation;
    let client = Client::connect(ClientOptions::new([bootstrap])).await?;
    let metadata = client.metadata(Some(&[topic])).await?;
    let info = metadata.topic(topic).ok_or("no such topic")?;
    let names = info.partitions.iter().map(|info| TopicPartition::new(topic.as_str(), info.partition));
    let (starts, ends): (Vec<_>, Vec<_>) =
        names.map(|name| ((name.clone(), OffsetSpec::Earliest), (name, OffsetSpec::Latest))).unzip();
    let starts = client.list_offsets(&starts, isolation).await?;
    let mut open: HashMap<TopicPartition, i64> =
        client.list_offsets(&ends, isolation).await?.into_iter().map(|(name, listed)| (name, listed.offset)).collect();
    let mut consumer = client.consumer(options)?;
    let starts = starts.into_iter().map(|(name, listed)| (name, listed.offset));
    let starts: Vec<_> = starts.filter(|(name, start)| open.get(name).is_some_and(|end| start < end)).collect();
    open.retain(|name, _| starts.iter().any(|(started, _)| started == name));
    consumer.assign(starts);
    let mut seen = Seen::default();
    let mut decompressor = Decompressor::new(256 << 20);
    while !open.is_empty() {
        let fetched = consumer.next().await?;
        seen.first.get_or_insert_with(|| started.elapsed());
        seen.items += 1;
        fetched.for_each_record(&mut decompressor, |record| {
            seen.records += 1;
            seen.bytes += record.value.map_or(0, <[u8]>::len);
            seen.timestamps = seen.timestamps.wrapping_add(record.timestamp);
        })?;
        if open.get(&fetched.tp).is_some_and(|end| fetched.next_offset >= *end) {
            open.remove(&fetched.tp);
            consumer.unassign(&fetched.tp)?;
        }
    }
    report(&seen, started.elapsed())?;
    Ok(())
}

/// What was read.
#[derive(Default)]
struct Seen {
    items: u64,
    records: u64,
    bytes: usize,
    timestamps: i64,
    first: Option<Duration>,
}

fn options(arguments: &[String]) -> Result<ConsumerOptions, Box<dyn Error>> {
    let mut options = ConsumerOptions::default();
    for argument in arguments {
        match argument.split_once('=') {
            Some(("uncommitted", "true")) => options.isolation = Isolation::ReadUncommitted,
            Some(("fetch_bytes_max", bytes)) => options.fetch_bytes_max = bytes.parse()?,
            Some(("partition_fetch_bytes_max", bytes)) => options.partition_fetch_bytes_max = bytes.parse()?,
            Some(("buffer_bytes_max", bytes)) => options.buffer_bytes_max = bytes.parse()?,
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}

fn report(seen: &Seen, elapsed: Duration) -> std::io::Result<()> {
    let seconds = elapsed.as_secs_f64();
    let (count, megabytes) = (seen.records as f64, seen.bytes as f64 / 1e6);
    let first_ms = seen.first.unwrap_or_default().as_secs_f64() * 1e3;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} records, {megabytes:.1} MB, {} items in {seconds:.3} s", seen.records, seen.items)?;
    writeln!(out, "{:.0} records/s, {:.1} MB/s", count / seconds, megabytes / seconds)?;
    writeln!(out, "first item after {first_ms:.1} ms, sum of timestamps {}", seen.timestamps)?;
    if let Some(cpu) = cpu_seconds() {
        writeln!(out, "{cpu:.2} CPU s, {:.3} CPU s per million records", cpu / count.max(1.0) * 1e6)?;
    }
    Ok(())
}
