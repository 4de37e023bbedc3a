//! The accumulator without a broker: order, sequences, bounds and deadlines, time given by the test.

use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::batch::RecordBatch;
use kanat_protocol::compression::{Compression, Decompressor};
use proptest::prelude::*;

use super::accumulator::{Content, Draft};
use super::*;
use crate::produce::{Ack, Identity};

const IDENTITY: Identity = Identity { id: 9, epoch: 0 };

fn accumulator(options: ProducerOptions, partitions: usize) -> Accumulator {
    let mut accumulator = Accumulator::new(options);
    accumulator.set_partitions("t", partitions);
    accumulator
}

fn record(partition: i32, value: &[u8]) -> ProduceRecord<'_> {
    ProduceRecord { topic: "t", partition: Some(partition), value: Some(value), ..ProduceRecord::default() }
}

fn append(accumulator: &mut Accumulator, record: &ProduceRecord<'_>, now: Instant) -> DeliveryFuture {
    accumulator.append(record, 1, now).map_err(|refused| format!("{refused:?}")).unwrap().0
}

/// Seals a draft as the sender does and returns the batch.
fn sealed(draft: &mut Draft) -> RecordBatch {
    let bytes: Bytes = match &mut draft.content {
        Content::Open(builder) => builder.seal(Compression::NONE, &mut Compressor::new()).unwrap(),
        Content::Sealed(bytes) => bytes.clone(),
    };
    draft.content = Content::Sealed(bytes.clone());
    RecordBatch::parse(bytes).unwrap()
}

fn drain(accumulator: &mut Accumulator) -> Vec<Draft> {
    let ready = accumulator.take_ready();
    ready.into_iter().filter_map(|(index, _)| accumulator.take_batch(index, IDENTITY)).collect()
}

fn acknowledge(accumulator: &mut Accumulator, draft: Draft, base_offset: i64) {
    let ack = Ack { base_offset, log_append_time: -1 };
    accumulator.complete(draft.queue, &draft.outcome, draft.bytes, Ok(ack));
}

#[tokio::test]
async fn a_batch_leaves_when_its_linger_is_over_and_its_records_learn_their_offsets() {
    let now = Instant::now();
    let mut accumulator = accumulator(ProducerOptions::default(), 1);
    let futures = [append(&mut accumulator, &record(0, b"a"), now), append(&mut accumulator, &record(0, b"b"), now)];
    assert_eq!(accumulator.end_lingers(now), Some(now + Duration::from_millis(5)));
    assert!(drain(&mut accumulator).is_empty());
    assert_eq!(accumulator.end_lingers(now + Duration::from_millis(5)), None);
    let mut drafts = drain(&mut accumulator);
    let mut draft = drafts.remove(0);
    let header = *sealed(&mut draft).header();
    assert_eq!((header.producer_id, header.base_sequence, header.record_count), (9, 0, 2));
    assert!(accumulator.buffered_bytes() > 0);
    acknowledge(&mut accumulator, draft, 40);
    assert_eq!(accumulator.buffered_bytes(), 0);
    for (future, offset) in futures.into_iter().zip([40, 41]) {
        assert_eq!(future.await.unwrap().offset, offset);
    }
}

#[test]
fn a_partition_has_one_batch_under_way_and_a_repeated_one_keeps_its_sequence() {
    let now = Instant::now();
    let options = ProducerOptions { batch_bytes_max: 1024, ..ProducerOptions::default() };
    let mut accumulator = accumulator(options, 1);
    for _ in 0..30 {
        drop(append(&mut accumulator, &record(0, &[7; 100]), now));
    }
    let mut first = drain(&mut accumulator).remove(0);
    assert!(drain(&mut accumulator).is_empty(), "the second batch waits for the first");
    let before = *sealed(&mut first).header();
    accumulator.repeat(first, now + Duration::from_millis(20));
    assert!(drain(&mut accumulator).is_empty(), "not before its wait is over");
    assert_eq!(accumulator.end_holds(now), Some(now + Duration::from_millis(20)));
    assert_eq!(accumulator.end_holds(now + Duration::from_millis(20)), None);
    let mut again = drain(&mut accumulator).remove(0);
    assert_eq!(*sealed(&mut again).header(), before);
    acknowledge(&mut accumulator, again, 0);
    let mut second = drain(&mut accumulator).remove(0);
    assert_eq!(sealed(&mut second).header().base_sequence, before.record_count);
}

#[test]
fn while_the_broker_is_busy_the_next_batch_grows_instead_of_small_ones_queueing_up() {
    let start = Instant::now();
    let mut accumulator = accumulator(ProducerOptions::default(), 1);
    drop(append(&mut accumulator, &record(0, b"a"), start));
    accumulator.end_lingers(start + Duration::from_millis(5));
    let under_way = drain(&mut accumulator).remove(0);
    for ms in [6, 20, 40] {
        let now = start + Duration::from_millis(ms);
        drop(append(&mut accumulator, &record(0, b"b"), now));
        accumulator.end_lingers(now + Duration::from_millis(10));
        // A sender that waits for room must not break up what lingers either.
        accumulator.press();
    }
    assert!(drain(&mut accumulator).is_empty());
    acknowledge(&mut accumulator, under_way, 0);
    let mut next = drain(&mut accumulator).remove(0);
    assert_eq!(sealed(&mut next).header().record_count, 3);
    assert!(drain(&mut accumulator).is_empty());
}

#[test]
fn records_beyond_the_buffer_and_beyond_the_record_bound_are_refused() {
    let now = Instant::now();
    let options = ProducerOptions {
        buffer_bytes_max: 4096,
        batch_bytes_max: 1024,
        record_bytes_max: 2048,
        ..ProducerOptions::default()
    };
    let mut accumulator = accumulator(options, 1);
    let error = accumulator.append(&record(0, &[0; 2048]), 1, now).unwrap_err();
    assert!(matches!(error, Refused::Error(Error::RecordTooLarge { record_bytes_max: 2048, .. })), "{error:?}");
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
    assert!(matches!(accumulator.append(&record(0, &[0; 2000]), 1, now), Err(Refused::Full)));
    let draft = drain(&mut accumulator).remove(0);
    acknowledge(&mut accumulator, draft, 0);
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
}

#[tokio::test]
async fn what_waits_too_long_for_a_leader_is_given_up_with_the_reason() {
    let now = Instant::now();
    let options = ProducerOptions { delivery_timeout_ms: 100, ..ProducerOptions::default() };
    let mut accumulator = accumulator(options, 1);
    let future = append(&mut accumulator, &record(0, b"a"), now);
    accumulator.flush();
    let reason = Error::NoLeader { topic: "t".into(), partition: 0 };
    let (index, _) = accumulator.take_ready().remove(0);
    assert!(!accumulator.expire(index, now + Duration::from_millis(99), &reason));
    assert!(!future.is_done());
    accumulator.expire(index, now + Duration::from_millis(100), &reason);
    let error = future.await.unwrap_err();
    assert!(matches!(&error, Error::DeliveryTimeout { last: Some(_), .. }), "{error}");
    assert_eq!(accumulator.buffered_bytes(), 0);
}

#[tokio::test]
async fn closing_decides_everything() {
    let now = Instant::now();
    let mut accumulator = accumulator(ProducerOptions::default(), 2);
    let under_way = append(&mut accumulator, &record(0, b"a"), now);
    accumulator.flush();
    let _draft = drain(&mut accumulator);
    let open = append(&mut accumulator, &record(1, b"b"), now);
    accumulator.close();
    assert!(matches!(under_way.await, Err(Error::Closed { .. })));
    assert!(matches!(open.await, Err(Error::Closed { .. })));
    assert!(matches!(accumulator.append(&record(0, b"c"), 1, now), Err(Refused::Error(Error::Closed { .. }))));
}

#[test]
fn records_without_a_key_fill_one_batch_before_the_next_partition() {
    let now = Instant::now();
    let options = ProducerOptions { batch_bytes_max: 1024, ..ProducerOptions::default() };
    let mut accumulator = accumulator(options, 8);
    let value = [1; 100];
    let record = ProduceRecord { topic: "t", value: Some(&value), ..ProduceRecord::default() };
    for _ in 0..80 {
        drop(append(&mut accumulator, &record, now));
    }
    accumulator.flush();
    let counts: Vec<i32> =
        drain(&mut accumulator).iter_mut().map(|draft| sealed(draft).header().record_count).collect();
    assert!(counts.len() > 1, "more than one partition got records");
    assert!(counts.iter().filter(|count| **count < 5).count() <= 1, "batches are full: {counts:?}");
}

#[derive(Debug, Clone)]
enum Event {
    Append { partition: i32, bytes: usize },
    Send { fail: bool },
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3i32, 0..600usize).prop_map(|(partition, bytes)| Event::Append { partition, bytes }),
        3 => any::<bool>().prop_map(|fail| Event::Send { fail }),
        2 => (0..30u64).prop_map(Event::Wait),
    ]
}

proptest! {
    /// Whatever is lost and repeated: a broker that appends a sequence once sees every record once and in order, and
    /// the buffer counts to zero.
    #[test]
    fn every_record_arrives_once_and_in_order(events in proptest::collection::vec(event(), 1..150)) {
        let mut now = Instant::now();
        let options = ProducerOptions { batch_bytes_max: 1024, ..ProducerOptions::default() };
        let mut accumulator = accumulator(options, 3);
        let mut sent: Vec<Vec<i64>> = vec![Vec::new(); 3];
        let mut log: Vec<Vec<i64>> = vec![Vec::new(); 3];
        let mut broker = |drafts: Vec<Draft>, fail: bool, accumulator: &mut Accumulator, now: Instant| {
            for mut draft in drafts {
                let batch = sealed(&mut draft);
                let partition = usize::try_from(draft.partition.partition).unwrap();
                let known = i32::try_from(log[partition].len()).unwrap();
                if batch.header().base_sequence == known {
                    let records = batch.records(&mut Decompressor::new(1 << 20)).unwrap();
                    log[partition].extend(records.iter().map(|record| record.unwrap().timestamp));
                } else {
                    assert!(batch.header().base_sequence < known, "a sequence is left out");
                }
                // A failure is a lost answer: appended, but the producer does not know.
                if fail { accumulator.repeat(draft, now) } else { acknowledge(accumulator, draft, 0) }
            }
        };
        let mut stamp = 0;
        for event in events {
            match event {
                Event::Append { partition, bytes } => {
                    stamp += 1;
                    let value = vec![0; bytes];
                    drop(accumulator.append(&record(partition, &value), stamp, now).unwrap());
                    sent[usize::try_from(partition).unwrap()].push(stamp);
                }
                Event::Send { fail } => {
                    accumulator.end_holds(now);
                    let drafts = drain(&mut accumulator);
                    broker(drafts, fail, &mut accumulator, now);
                }
                Event::Wait(ms) => {
                    now += Duration::from_millis(ms);
                    accumulator.end_lingers(now);
                }
            }
        }
        accumulator.flush();
        for _ in 0..200 {
            accumulator.end_holds(now);
            let drafts = drain(&mut accumulator);
            broker(drafts, false, &mut accumulator, now);
        }
        prop_assert_eq!(log, sent);
        prop_assert_eq!(accumulator.buffered_bytes(), 0);
    }
}
