//! Reads a topic to its end through a consumer group and prints how fast: `group_rate <bootstrap> <topic> <records>
//! [consumer]`. The last word takes the consumer protocol (KIP-848) instead of the classic one.
//!
//! Every record is looked at, on the thread that takes the batches, as the simplest application would; nothing is
//! committed.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use kanat_client::{Client, ClientOptions, GroupEvent, GroupOptions, GroupProtocol};
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
    let [_, bootstrap, topic, wanted, rest @ ..] = arguments.as_slice() else {
        return Err("usage: group_rate <bootstrap> <topic> <records> [consumer]".into());
    };
    let wanted: u64 = wanted.parse()?;
    let protocol = if rest.is_empty() { GroupProtocol::Classic } else { GroupProtocol::Consumer };
    let started = Instant::now();
    let client = Client::connect(ClientOptions::new([bootstrap])).await?;
    let group = format!("group_rate-{}", std::process::id());
    let options = GroupOptions::new(group, [topic.as_str()]).with_protocol(protocol);
    let mut consumer = client.group_consumer(options)?;
    let mut decompressor = Decompressor::new(256 << 20);
    let (mut records, mut bytes, mut joined) = (0u64, 0usize, None);
    while records < wanted {
        match consumer.next().await? {
            GroupEvent::Fetched(fetched) => {
                for batch in &fetched.batches {
                    for record in batch.records(&mut decompressor)?.iter() {
                        let record = record?;
                        records += u64::from(record.offset >= fetched.first_offset);
                        bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                    }
                }
            }
            GroupEvent::Assigned(_) => joined = joined.or_else(|| Some(started.elapsed())),
            GroupEvent::Revoked(revocation) => revocation.release(),
            GroupEvent::Lost(lost) => return Err(format!("lost {} partitions", lost.len()).into()),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds().unwrap_or(f64::NAN);
    consumer.close().await?;
    let (count, megabytes) = (records as f64, bytes as f64 / 1e6);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{records} records, {megabytes:.1} MB in {seconds:.3} s, joined after {joined:?}")?;
    writeln!(out, "{:.0} records/s, {:.3} CPU s per million records", count / seconds, cpu / count.max(1.0) * 1e6)?;
    Ok(())
}
