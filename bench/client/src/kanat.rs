//! kanat-client as a contender, and the topics of the benchmark: `create` and `delete` make and remove them.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use kanat_client::{
    Client, ClientOptions, Codec, Compression, Consumer, ConsumerOptions, DeliveryFuture, Fetched, GroupConsumer,
    GroupEvent, GroupOptions, GroupStart, NewTopic, OffsetSpec, ProduceRecord, Producer, ProducerOptions,
    TopicPartition,
};
use kanat_contender::{Flags, OpenLoop, Outcome, Payload, Stopwatch, Touched, key, late_us, resident_bytes};
use kanat_protocol::compression::Decompressor;
use tokio::sync::mpsc;

/// Largest size a batch may decompress to, in bytes.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

type Failure = Box<dyn Error + Send + Sync>;

struct Sender {
    producer: Producer,
    payload: Payload,
    topic: String,
    partitions: u64,
    keyed: bool,
}

impl Sender {
    fn new(flags: &Flags, client: &Client) -> Result<Sender, Failure> {
        let codec = Codec::ALL.into_iter().find(|codec| codec.name() == flags.text("codec")).ok_or("no such codec")?;
        let level = (codec.name() == "zstd").then_some(1);
        let options = ProducerOptions {
            linger_ms: flags.number("linger-ms")?,
            compression: Compression::new(codec, level)?,
            ..ProducerOptions::default()
        };
        let (topic, partitions) = (flags.text("topic").to_owned(), flags.number("partitions")?);
        let (payload, keyed) = (Payload::load(flags)?, flags.is_set("keyed"));
        Ok(Sender { producer: client.producer(options)?, payload, topic, partitions, keyed })
    }

    fn partition(&self, index: u64) -> i32 {
        i32::try_from(index % self.partitions).unwrap_or(0)
    }

    async fn send(&self, index: u64) -> Result<DeliveryFuture, Failure> {
        let key = key(index);
        let record = ProduceRecord {
            topic: &self.topic,
            partition: (!self.keyed).then(|| self.partition(index)),
            key: self.keyed.then_some(&key[..]),
            value: Some(self.payload.value(index)),
            ..ProduceRecord::default()
        };
        Ok(self.producer.send(record).await?)
    }

    async fn one_by_one(&self, records: u64) -> Result<Vec<u32>, Failure> {
        let mut latencies_us = Vec::with_capacity(usize::try_from(records)?);
        for index in 0..records {
            let sent = Instant::now();
            self.send(index).await?.await?;
            latencies_us.push(late_us(sent.elapsed(), 0));
        }
        Ok(latencies_us)
    }

    /// Acknowledgements of one partition come in order: one task per partition waits for them.
    async fn open_loop(&self, schedule: OpenLoop) -> Result<Vec<u32>, Failure> {
        let started = Instant::now();
        let (mut queues, mut waiters) = (Vec::new(), Vec::new());
        for _ in 0..self.partitions {
            let (queue, mut sent) = mpsc::unbounded_channel::<(DeliveryFuture, u64)>();
            queues.push(queue);
            waiters.push(tokio::spawn(async move {
                let mut latencies_us = Vec::new();
                while let Some((acknowledged, due_us)) = sent.recv().await {
                    acknowledged.await?;
                    latencies_us.push(late_us(started.elapsed(), due_us));
                }
                Ok::<_, kanat_client::Error>(latencies_us)
            }));
        }
        let mut sent = 0;
        while sent < schedule.records {
            let due = schedule.due_by(started.elapsed());
            for index in sent..due {
                let acknowledged = self.send(index).await?;
                let queue = queues.get(usize::try_from(self.partition(index))?).ok_or("no such partition")?;
                queue.send((acknowledged, schedule.due_us(index))).map_err(|_| "a waiter ended")?;
            }
            sent = due;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(queues);
        let mut latencies_us = Vec::with_capacity(usize::try_from(schedule.records)?);
        for waiter in waiters {
            latencies_us.extend(waiter.await??);
        }
        Ok(latencies_us)
    }
}

async fn produce(flags: &Flags, client: &Client) -> Result<Outcome, Failure> {
    let sender = Sender::new(flags, client)?;
    let mut outcome = Outcome::default();
    if flags.is_set("warm-up") {
        sender.send(0).await?.await?;
    }
    let watch = Stopwatch::start();
    match flags.workload.as_str() {
        "latency" => outcome.latencies_us = sender.one_by_one(flags.number("records")?).await?,
        "open-loop" => outcome.latencies_us = sender.open_loop(OpenLoop::from_flags(flags)?).await?,
        _ => {
            let records = flags.number("records")?;
            for index in 0..records {
                // `flush` reports the first failure among all records.
                drop(sender.send(index).await?);
            }
            sender.producer.flush().await?;
            outcome.records = records;
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
    }
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    outcome.records = outcome.records.max(u64::try_from(outcome.latencies_us.len())?);
    Ok(outcome)
}

/// Looks at every record of what was fetched, as an application would.
#[derive(Debug)]
struct Reader {
    decompressor: Decompressor,
    touched: Touched,
}

impl Reader {
    fn read(&mut self, fetched: &Fetched) -> Result<(), Failure> {
        for batch in &fetched.batches {
            for record in batch.records(&mut self.decompressor)?.iter() {
                let record = record?;
                if record.offset >= fetched.first_offset {
                    self.touched.record(record.key, record.value, record.timestamp);
                }
            }
        }
        Ok(())
    }
}

/// Where records come from.
enum Source {
    Assigned(Consumer),
    Group(GroupConsumer),
}

impl Source {
    async fn new(flags: &Flags, client: &Client) -> Result<Source, Failure> {
        let (group, topic) = (flags.text("group"), flags.text("topic"));
        if group.is_empty() {
            return Ok(Source::Assigned(assigned(flags, client).await?));
        }
        let options = GroupOptions {
            start: GroupStart::Earliest,
            auto_commit_interval_ms: None,
            ..GroupOptions::new(group, [topic])
        };
        Ok(Source::Group(client.group_consumer(options)?))
    }

    async fn next(&mut self) -> Result<Fetched, Failure> {
        match self {
            Source::Assigned(consumer) => Ok(consumer.next().await?),
            Source::Group(consumer) => loop {
                if let GroupEvent::Fetched(fetched) = consumer.next().await? {
                    return Ok(fetched);
                }
            },
        }
    }
}

async fn assigned(flags: &Flags, client: &Client) -> Result<Consumer, Failure> {
    let topic = flags.text("topic");
    let names: Vec<_> = (0..flags.number("partitions")?)
        .map(|partition| (TopicPartition::new(topic, partition), OffsetSpec::Earliest))
        .collect();
    let options = ConsumerOptions::default();
    let starts = client.list_offsets(&names, options.isolation).await?;
    let mut consumer = client.consumer(options)?;
    consumer.assign(starts.into_iter().map(|(partition, listed)| (partition, listed.offset)));
    Ok(consumer)
}

async fn consume(flags: &Flags, client: &Client) -> Result<Outcome, Failure> {
    let (records, watch) = (flags.number("records")?, Stopwatch::start());
    let mut outcome = Outcome::default();
    let mut reader = Reader { decompressor: Decompressor::new(DECOMPRESSED_BYTES_MAX), touched: Touched::default() };
    let mut source = Source::new(flags, client).await?;
    while reader.touched.records < records {
        let fetched = source.next().await?;
        if reader.touched.records == 0 {
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
        reader.read(&fetched)?;
    }
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    (outcome.records, outcome.touched) = (reader.touched.records, reader.touched);
    Ok(outcome)
}

/// Creates a topic and waits until every partition has a leader.
async fn create(flags: &Flags, client: &Client) -> Result<Outcome, Failure> {
    let (name, partitions) = (flags.text("topic"), flags.number("partitions")?);
    let topic = NewTopic::new(name, partitions)
        .with_replication(flags.number("replication")?)
        .with_config("retention.ms", "-1")
        .with_config("file.delete.delay.ms", "1000");
    client.admin().create_topic(&topic).await?;
    let every: Vec<_> =
        (0..partitions).map(|partition| (TopicPartition::new(name, partition), OffsetSpec::Latest)).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match client.list_offsets(&every, kanat_client::Isolation::ReadUncommitted).await {
            Ok(_) => return Ok(Outcome::default()),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn delete(flags: &Flags, client: &Client) -> Result<Outcome, Failure> {
    client.admin().delete_topics(&[flags.text("topic")]).await?;
    Ok(Outcome::default())
}

/// How many records a topic holds, for the harness to check what contenders say they wrote.
async fn count(flags: &Flags, client: &Client) -> Result<Outcome, Failure> {
    let topic = flags.text("topic");
    let bound = |spec: OffsetSpec, partitions: i32| -> Vec<_> {
        (0..partitions).map(|partition| (TopicPartition::new(topic, partition), spec)).collect()
    };
    let partitions = flags.number("partitions")?;
    let isolation = kanat_client::Isolation::ReadUncommitted;
    let sum = |listed: Vec<(TopicPartition, kanat_client::ListedOffset)>| -> HashMap<TopicPartition, i64> {
        listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect()
    };
    let starts = sum(client.list_offsets(&bound(OffsetSpec::Earliest, partitions), isolation).await?);
    let ends = sum(client.list_offsets(&bound(OffsetSpec::Latest, partitions), isolation).await?);
    let records: i64 = ends.iter().map(|(partition, end)| end - starts.get(partition).copied().unwrap_or(0)).sum();
    Ok(Outcome { records: u64::try_from(records)?, ..Outcome::default() })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let flags = Flags::from_args()?;
    let client = Client::connect(ClientOptions::new([flags.text("bootstrap")])).await?;
    let mut outcome = match flags.workload.as_str() {
        "create" => create(&flags, &client).await?,
        "delete" => delete(&flags, &client).await?,
        "count" => count(&flags, &client).await?,
        "consume" => consume(&flags, &client).await?,
        _ => produce(&flags, &client).await?,
    };
    writeln!(std::io::stdout(), "{}", outcome.to_json())?;
    Ok(())
}
