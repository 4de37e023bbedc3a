//! rskafka. It has no partitioner, no idempotence and no groups: `produce` batches in the application, which costs it a
//! fifth of what its own BatchProducer does, and groups are replaced by one stream per partition.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kanat_contender::{Flags, OpenLoop, Outcome, Payload, Stopwatch, Touched, key, late_us, resident_bytes};
use rskafka::client::ClientBuilder;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::producer::BatchProducerBuilder;
use rskafka::client::producer::aggregator::RecordAggregator;
use rskafka::record::Record;
use tokio::sync::mpsc;

type Failure = Box<dyn Error + Send + Sync>;

/// The hash of Java's default partitioner.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mixed = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (mixed ^ (mixed >> 24)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

struct Sender {
    partitions: Vec<Arc<PartitionClient>>,
    compression: Compression,
    payload: Payload,
    keyed: bool,
}

impl Sender {
    fn record(&self, index: u64) -> (usize, Record) {
        let count = self.partitions.len();
        let key = key(index);
        let partition = match self.keyed {
            true => (murmur2(&key) & 0x7fff_ffff) as usize % count,
            false => index as usize % count,
        };
        let value = Some(self.payload.value(index).to_vec());
        let key = self.keyed.then(|| key.to_vec());
        (partition, Record { key, value, headers: Default::default(), timestamp: chrono::Utc::now() })
    }

    async fn one_by_one(&self, records: u64) -> Result<Vec<u32>, Failure> {
        let mut latencies_us = Vec::with_capacity(records as usize);
        for index in 0..records {
            let sent = Instant::now();
            let (partition, record) = self.record(index);
            self.partitions[partition].produce(vec![record], self.compression).await?;
            latencies_us.push(late_us(sent.elapsed(), 0));
        }
        Ok(latencies_us)
    }

    /// Batches of `chunk` records, five under way for one partition, 64 for many.
    async fn batches(&self, records: u64, chunk: usize) -> Result<u64, Failure> {
        let under_way_max = if self.partitions.len() == 1 { 5 } else { 64 };
        let send = |partition: usize, batch: Vec<Record>| {
            let (client, compression) = (Arc::clone(&self.partitions[partition]), self.compression);
            tokio::spawn(async move { client.produce(batch, compression).await.map(|offsets| offsets.len() as u64) })
        };
        let mut open: Vec<Vec<Record>> = self.partitions.iter().map(|_| Vec::new()).collect();
        let (mut under_way, mut acked) = (FuturesUnordered::new(), 0);
        for index in 0..records {
            let (partition, record) = self.record(index);
            open[partition].push(record);
            if open[partition].len() >= chunk {
                under_way.push(send(partition, std::mem::take(&mut open[partition])));
                if under_way.len() >= under_way_max {
                    acked += under_way.next().await.ok_or("nothing under way")???;
                }
            }
        }
        for (partition, batch) in open.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            under_way.push(send(partition, batch));
        }
        while let Some(done) = under_way.next().await {
            acked += done??;
        }
        Ok(acked)
    }

    async fn open_loop(&self, schedule: OpenLoop, linger: Duration) -> Result<Vec<u32>, Failure> {
        let producer = |client: &Arc<PartitionClient>| {
            let builder = BatchProducerBuilder::new(Arc::clone(client)).with_linger(linger);
            Arc::new(builder.with_compression(self.compression).build(RecordAggregator::new(1_000_000)))
        };
        let producers: Vec<_> = self.partitions.iter().map(producer).collect();
        let (done, mut acked) = mpsc::unbounded_channel();
        let (started, mut sent) = (Instant::now(), 0);
        while sent < schedule.records {
            let due = schedule.due_by(started.elapsed());
            for index in sent..due {
                let (partition, record) = self.record(index);
                let (producer, done, due_us) =
                    (Arc::clone(&producers[partition]), done.clone(), schedule.due_us(index));
                tokio::spawn(async move {
                    let outcome = producer.produce(record).await.map(|_| late_us(started.elapsed(), due_us));
                    let _ = done.send(outcome);
                });
            }
            sent = due;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(done);
        let mut latencies_us = Vec::with_capacity(schedule.records as usize);
        while let Some(outcome) = acked.recv().await {
            latencies_us.push(outcome?);
        }
        Ok(latencies_us)
    }
}

async fn produce(flags: &Flags, sender: Sender) -> Result<Outcome, Failure> {
    if flags.is_set("warm-up") {
        let (partition, record) = sender.record(0);
        sender.partitions[partition].produce(vec![record], sender.compression).await?;
    }
    let mut outcome = Outcome::default();
    let watch = Stopwatch::start();
    match flags.workload.as_str() {
        "latency" => outcome.latencies_us = sender.one_by_one(flags.number("records")?).await?,
        "open-loop" => {
            let linger = Duration::from_millis(flags.number("linger-ms")?);
            outcome.latencies_us = sender.open_loop(OpenLoop::from_flags(flags)?, linger).await?;
        }
        _ => {
            outcome.records = sender.batches(flags.number("records")?, flags.number("chunk")?).await?;
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
    }
    outcome.records = outcome.records.max(outcome.latencies_us.len() as u64);
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    Ok(outcome)
}

async fn consume(flags: &Flags, partitions: Vec<Arc<PartitionClient>>) -> Result<Outcome, Failure> {
    let (seen, mut chunks) = mpsc::channel::<Result<Touched, String>>(64);
    let (watch, wanted) = (Stopwatch::start(), flags.number::<u64>("records")?);
    let started = Arc::new(AtomicU64::new(0));
    for client in partitions {
        let (seen, started) = (seen.clone(), Arc::clone(&started));
        tokio::spawn(async move {
            let mut stream = StreamConsumerBuilder::new(client, StartOffset::Earliest).build().ready_chunks(1000);
            while let Some(chunk) = stream.next().await {
                let mut touched = Touched::default();
                for record in chunk {
                    let record = match record {
                        Ok((record, _)) => record.record,
                        Err(error) => return drop(seen.send(Err(error.to_string())).await),
                    };
                    let (key, value) = (record.key.as_deref(), record.value.as_deref());
                    touched.record(key, value, record.timestamp.timestamp_millis());
                }
                started.fetch_add(touched.records, Ordering::Relaxed);
                if seen.send(Ok(touched)).await.is_err() {
                    return;
                }
            }
        });
    }
    let (mut outcome, mut total) = (Outcome::default(), Touched::default());
    while total.records < wanted {
        let touched = chunks.recv().await.ok_or("every stream ended")??;
        if total.records == 0 {
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
        total.records += touched.records;
        total.bytes += touched.bytes;
        total.timestamps = total.timestamps.wrapping_add(touched.timestamps);
    }
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    (outcome.records, outcome.touched) = (total.records, total);
    Ok(outcome)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let flags = Flags::from_args()?;
    let bootstrap = flags.text("bootstrap").split(',').map(str::to_owned).collect();
    let client = ClientBuilder::new(bootstrap).build().await?;
    let mut partitions = Vec::new();
    for partition in 0..flags.number("partitions")? {
        let client = client.partition_client(flags.text("topic"), partition, UnknownTopicHandling::Retry).await?;
        partitions.push(Arc::new(client));
    }
    let mut outcome = if flags.workload == "consume" {
        consume(&flags, partitions).await?
    } else {
        let compression = match flags.text("codec") {
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => Compression::NoCompression,
        };
        let payload = Payload::load(&flags)?;
        produce(&flags, Sender { partitions, compression, payload, keyed: flags.is_set("keyed") }).await?
    };
    println!("{}", outcome.to_json());
    std::process::exit(0);
}
