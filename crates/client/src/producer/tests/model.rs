//! The accumulator against a model of a broker that checks sequences, over a network that loses, delays and refuses.

use std::collections::{HashMap, VecDeque};

use kanat_protocol::compression::Decompressor;

use super::*;

const PARTITIONS: i32 = 3;

/// What a broker keeps of one partition.
#[derive(Debug, Default)]
struct Partition {
    /// Stamps of the records.
    log: Vec<i64>,
    epoch: Option<i16>,
    next_sequence: i32,
    /// Base sequence, record count and base offset of the last batches.
    remembered: VecDeque<(i32, i32, i64)>,
}

impl Partition {
    /// As Kafka decides: a batch of an older epoch is fenced, a remembered one is a duplicate, any other must continue
    /// the sequence. A partition that knows nothing of the producer takes any sequence.
    fn append(&mut self, batch: &RecordBatch) -> Result<Ack, Refusal> {
        let header = *batch.header();
        let same_epoch = self.epoch == Some(header.producer_epoch);
        if self.epoch.is_some_and(|epoch| epoch > header.producer_epoch) {
            return Err(out_of_order());
        }
        let remembered = self.remembered.iter().find(|(sequence, count, _)| {
            same_epoch && (*sequence, *count) == (header.base_sequence, header.record_count)
        });
        if let Some((.., base_offset)) = remembered {
            return Ok(Ack { base_offset: *base_offset, log_append_time: -1 });
        }
        let expected = if same_epoch { self.next_sequence } else { 0 };
        if self.epoch.is_some() && header.base_sequence != expected {
            return Err(out_of_order());
        }
        if !same_epoch {
            self.remembered.clear();
        }
        let base_offset = i64::try_from(self.log.len()).unwrap();
        let records = batch.records(&mut Decompressor::new(1 << 20)).unwrap();
        self.log.extend(records.iter().map(|record| record.unwrap().timestamp));
        self.epoch = Some(header.producer_epoch);
        self.next_sequence = header.base_sequence + header.record_count;
        self.remembered.push_back((header.base_sequence, header.record_count, base_offset));
        if self.remembered.len() > 5 {
            self.remembered.pop_front();
        }
        Ok(Ack { base_offset, log_append_time: -1 })
    }
}

struct World {
    random: fastrand::Rng,
    now: Instant,
    accumulator: Accumulator,
    brokers: HashMap<i32, Partition>,
    /// Requests on the connection, in order.
    connection: VecDeque<Draft>,
    /// Requests of lost connections that a broker may still find in its socket.
    late: Vec<(i32, RecordBatch)>,
    sent: Vec<(i32, i64, DeliveryFuture)>,
    faults: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let options = ProducerOptions { batch_bytes_max: 1024, delivery_timeout_ms: 400, ..ProducerOptions::default() };
        World {
            random: fastrand::Rng::with_seed(seed),
            now: Instant::now(),
            accumulator: accumulator(options, usize::try_from(PARTITIONS).unwrap()),
            brokers: (0..PARTITIONS).map(|partition| (partition, Partition::default())).collect(),
            connection: VecDeque::new(),
            late: Vec::new(),
            sent: Vec::new(),
            faults: true,
        }
    }

    fn step(&mut self) {
        match self.random.u32(..20) {
            0..8 => {
                let (partition, size) = (self.random.i32(0..PARTITIONS), self.random.usize(..500));
                let (stamp, now) = (i64::try_from(self.sent.len()).unwrap(), self.now);
                let future = self.accumulator.append(&record(partition, &vec![0; size]), stamp, || now).unwrap().0;
                self.sent.push((partition, stamp, future));
            }
            8..12 => self.send(),
            12..16 => self.answer(),
            16 if self.faults => self.lose_connection(),
            17 if self.faults => self.deliver_late(),
            _ => {
                self.now += Duration::from_millis(self.random.u64(..20));
                self.accumulator.end_lingers(self.now);
                self.accumulator.end_holds(self.now);
                self.accumulator.expire(self.now);
            }
        }
    }

    fn send(&mut self) {
        self.accumulator.end_holds(self.now);
        for mut draft in drain(&mut self.accumulator) {
            sealed(&mut draft);
            self.connection.push_back(draft);
        }
    }

    fn apply(&mut self, draft: &mut Draft) -> Result<Ack, Refusal> {
        let batch = sealed(draft);
        self.brokers.get_mut(&draft.partition.partition).unwrap().append(&batch)
    }

    fn settle(&mut self, draft: Draft, answer: Result<Ack, Refusal>) {
        let wait = Duration::from_millis(self.random.u64(1..15));
        self.accumulator.settle(draft, answer, self.now, wait);
    }

    /// The broker answers the oldest request.
    fn answer(&mut self) {
        let Some(mut draft) = self.connection.pop_front() else { return };
        let answer = match self.random.u32(..10) {
            0 if self.faults => Err(refusal(ErrorCode::NotLeaderOrFollower)),
            1 if self.faults => {
                // Appended, but not by enough replicas.
                self.apply(&mut draft).and_then(|_| Err(refusal(ErrorCode::NotEnoughReplicasAfterAppend)))
            }
            2 if self.faults && self.random.u32(..4) == 0 => Err(refusal(ErrorCode::TopicAuthorizationFailed)),
            3 if self.faults && draft.records.len() > 1 => Err(refusal(ErrorCode::MessageTooLarge)),
            _ => self.apply(&mut draft),
        };
        self.settle(draft, answer);
    }

    /// Everything on the connection is lost; the broker has seen some of it, and may see the rest later.
    fn lose_connection(&mut self) {
        let seen = self.random.usize(..=self.connection.len());
        for (place, mut draft) in std::mem::take(&mut self.connection).into_iter().enumerate() {
            if place < seen {
                let _ = self.apply(&mut draft);
            } else {
                self.late.push((draft.partition.partition, sealed(&mut draft)));
            }
            let gone = Error::ConnectionLost { address: "b:1".into(), api: ApiKey::Produce, reason: "gone".into() };
            self.settle(draft, Err(gone.into()));
        }
    }

    fn deliver_late(&mut self) {
        for (partition, batch) in std::mem::take(&mut self.late) {
            let _ = self.brokers.get_mut(&partition).unwrap().append(&batch);
        }
    }

    /// Lets everything be decided.
    fn finish(&mut self) {
        self.faults = false;
        for _ in 0..2_000 {
            if self.accumulator.is_idle() {
                return;
            }
            self.accumulator.flush();
            self.send();
            self.answer();
            self.now += Duration::from_millis(1);
            self.accumulator.expire(self.now);
        }
        panic!("records stay undecided");
    }

    async fn check(mut self) {
        self.deliver_late();
        let mut acknowledged: HashMap<i32, Vec<i64>> = HashMap::new();
        for (partition, stamp, future) in self.sent {
            let log = &self.brokers[&partition].log;
            let written = log.iter().filter(|known| **known == stamp).count();
            match future.await {
                Ok(metadata) => {
                    assert_eq!(written, 1, "acknowledged record {stamp} is there {written} times");
                    assert_eq!(log[usize::try_from(metadata.offset).unwrap()], stamp, "at the offset told");
                    acknowledged.entry(partition).or_default().push(stamp);
                }
                Err(error) if error.is_outcome_unknown() => assert!(written <= 1, "record {stamp} is doubled"),
                Err(error) => assert_eq!(written, 0, "record {stamp} is there although: {error}"),
            }
        }
        for (partition, stamps) in acknowledged {
            let log = self.brokers[&partition].log.iter();
            let order: Vec<_> = log.filter(|stamp| stamps.contains(stamp)).copied().collect();
            assert_eq!(order, stamps, "partition {partition} keeps the order");
        }
    }
}

/// Prints the seed of a run that fails.
struct Seed(u64);

#[allow(clippy::print_stderr, reason = "whoever sees the failure needs the seed")]
impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with KANAT_SEED={}", self.0);
        }
    }
}

#[tokio::test]
async fn acknowledged_records_are_there_once_and_in_order_whatever_is_lost() {
    let given = std::env::var("KANAT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or_else(|| (0..400).map(|_| fastrand::u64(..)).collect(), |seed| vec![seed]);
    for seed in seeds {
        let seed = Seed(seed);
        let mut world = World::new(seed.0);
        for _ in 0..300 {
            world.step();
        }
        world.finish();
        world.check().await;
    }
}
