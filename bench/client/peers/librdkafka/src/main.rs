//! librdkafka, built from the sources its crate carries.
//!
//! The queue of the consumer is larger than by default and its back-off short: with the defaults it stops fetching for a
//! second whenever 100,000 messages wait, and a fast application starves.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use kanat_contender::{Flags, OpenLoop, Outcome, Payload, Stopwatch, Touched, key, late_us, resident_bytes};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

const WAIT: Duration = Duration::from_micros(500);

/// What the delivery callback knows and counts.
struct Deliveries {
    settled: AtomicU64,
    errors: AtomicU64,
    started: Instant,
    latencies_us: Option<Mutex<Vec<u32>>>,
    waiting: Option<Thread>,
}

#[derive(Clone)]
struct Context(Arc<Deliveries>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    /// When the record was due, in microseconds after the start.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, due_us: usize) {
        if delivered.is_err() {
            self.0.errors.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(latencies_us) = &self.0.latencies_us {
            latencies_us.lock().unwrap().push(late_us(self.0.started.elapsed(), due_us as u64));
        }
        self.0.settled.fetch_add(1, Ordering::Release);
        if let Some(waiting) = &self.0.waiting {
            waiting.unpark();
        }
    }
}

struct Sender<'a> {
    producer: ThreadedProducer<Context>,
    deliveries: Arc<Deliveries>,
    payload: Payload,
    topic: &'a str,
    partitions: u64,
    keyed: bool,
}

impl<'a> Sender<'a> {
    fn new(flags: &'a Flags) -> Result<Self, Box<dyn Error>> {
        let one_by_one = flags.workload == "latency";
        let deliveries = Arc::new(Deliveries {
            settled: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            started: Instant::now(),
            latencies_us: (flags.workload != "produce").then(|| Mutex::new(Vec::with_capacity(500_000))),
            waiting: one_by_one.then(thread::current),
        });
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", flags.text("bootstrap")).set("acks", "all").set("enable.idempotence", "true");
        config.set("linger.ms", flags.text("linger-ms")).set("compression.type", flags.text("codec"));
        config.set("queue.buffering.max.messages", "500000").set("partitioner", "murmur2_random");
        if flags.text("codec") == "zstd" {
            config.set("compression.level", "1");
        }
        let producer = config.create_with_context(Context(Arc::clone(&deliveries)))?;
        let (topic, partitions) = (flags.text("topic"), flags.number("partitions")?);
        let (payload, keyed) = (Payload::load(flags)?, flags.is_set("keyed"));
        Ok(Sender { producer, deliveries, payload, topic, partitions, keyed })
    }

    fn now_us(&self) -> u64 {
        self.deliveries.started.elapsed().as_micros() as u64
    }

    fn settled(&self) -> u64 {
        self.deliveries.settled.load(Ordering::Acquire)
    }

    fn send(&self, index: u64, due_us: u64) -> Result<(), KafkaError> {
        let key = key(index);
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(self.topic, due_us as usize);
        let record = record.payload(self.payload.value(index));
        let mut record = match self.keyed {
            true => record.key(&key[..]),
            false => record.partition((index % self.partitions) as i32),
        };
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    thread::sleep(WAIT);
                    record = refused;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn until_settled(&self, records: u64) {
        while self.settled() < records {
            thread::sleep(WAIT);
        }
    }

    fn warm_up(&self) -> Result<(), KafkaError> {
        self.send(0, self.now_us())?;
        self.until_settled(1);
        self.deliveries.settled.store(0, Ordering::Release);
        if let Some(latencies_us) = &self.deliveries.latencies_us {
            latencies_us.lock().unwrap().clear();
        }
        Ok(())
    }

    fn one_by_one(&self, records: u64) -> Result<(), KafkaError> {
        for index in 0..records {
            self.send(index, self.now_us())?;
            while self.settled() <= index {
                thread::park();
            }
        }
        Ok(())
    }

    fn open_loop(&self, schedule: OpenLoop) -> Result<(), KafkaError> {
        let (started, offset_us) = (Instant::now(), self.now_us());
        let mut sent = 0;
        while sent < schedule.records {
            let due = schedule.due_by(started.elapsed());
            for index in sent..due {
                self.send(index, offset_us + schedule.due_us(index))?;
            }
            sent = due;
            thread::sleep(Duration::from_millis(1));
        }
        self.until_settled(sent);
        Ok(())
    }
}

fn produce(flags: &Flags) -> Result<Outcome, Box<dyn Error>> {
    let sender = Sender::new(flags)?;
    let mut outcome = Outcome::default();
    if flags.is_set("warm-up") {
        sender.warm_up()?;
    }
    let watch = Stopwatch::start();
    match flags.workload.as_str() {
        "latency" => sender.one_by_one(flags.number("records")?)?,
        "open-loop" => sender.open_loop(OpenLoop::from_flags(flags)?)?,
        _ => {
            let records = flags.number("records")?;
            for index in 0..records {
                sender.send(index, 0)?;
            }
            sender.until_settled(records);
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
    }
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    sender.producer.flush(Duration::from_secs(10))?;
    outcome.errors = sender.deliveries.errors.load(Ordering::Relaxed);
    outcome.records = sender.settled() - outcome.errors;
    if let Some(latencies_us) = &sender.deliveries.latencies_us {
        outcome.latencies_us = std::mem::take(&mut latencies_us.lock().unwrap());
    }
    Ok(outcome)
}

fn consume(flags: &Flags) -> Result<Outcome, Box<dyn Error>> {
    let (topic, group) = (flags.text("topic"), flags.text("group"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", flags.text("bootstrap")).set("enable.auto.commit", "false");
    config.set("group.id", if group.is_empty() { "unused" } else { group }).set("auto.offset.reset", "earliest");
    config.set("queued.min.messages", "500000").set("fetch.queue.backoff.ms", "2");
    let consumer: BaseConsumer = config.create()?;
    if group.is_empty() {
        let mut assigned = TopicPartitionList::new();
        for partition in 0..flags.number("partitions")? {
            assigned.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
    } else {
        consumer.subscribe(&[topic])?;
    }
    let (mut outcome, mut touched) = (Outcome::default(), Touched::default());
    let (records, watch) = (flags.number("records")?, Stopwatch::start());
    while touched.records < records {
        // No message: a rebalance was served meanwhile.
        let Some(message) = consumer.poll(Duration::from_secs(30)) else { continue };
        let message = message?;
        if touched.records == 0 {
            outcome.first_record_ms = flags.since_start_ms();
            outcome.first_record_rss_bytes = resident_bytes();
        }
        touched.record(message.key(), message.payload(), message.timestamp().to_millis().unwrap_or(0));
    }
    (outcome.seconds, outcome.cpu_seconds) = (watch.elapsed().as_secs_f64(), watch.cpu_seconds());
    (outcome.records, outcome.touched) = (touched.records, touched);
    // Closing takes seconds and is no part of the figures.
    std::mem::forget(consumer);
    Ok(outcome)
}

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::from_args()?;
    let mut outcome = if flags.workload == "consume" { consume(&flags)? } else { produce(&flags)? };
    println!("{}", outcome.to_json());
    std::process::exit(0);
}
