//! The accumulator without a broker: order, sequences, bounds and deadlines, time given by the test.

mod model;

use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::RecordBatch;
use kanat_protocol::compression::Compression;
use kanat_protocol::messages::ApiKey;

use super::accumulator::Settled;
use super::queue::{Content, Draft};
use super::*;
use crate::produce::{Ack, Identity, Refusal};

const IDENTITY: Identity = Identity { id: 9, epoch: 0 };

fn accumulator(options: ProducerOptions, partitions: usize) -> Accumulator {
    let mut accumulator = Accumulator::new(options, None);
    accumulator.set_partitions("t", partitions);
    accumulator
}

fn record(partition: i32, value: &[u8]) -> ProduceRecord<'_> {
    ProduceRecord { topic: "t", partition: Some(partition), value: Some(value), ..ProduceRecord::default() }
}

fn append(accumulator: &mut Accumulator, record: &ProduceRecord<'_>, now: Instant) -> DeliveryFuture {
    accumulator.append(record, 1, || now).map_err(|refused| format!("{refused:?}")).unwrap().0
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

/// Everything that may leave now.
fn drain(accumulator: &mut Accumulator) -> Vec<Draft> {
    let mut drafts = Vec::new();
    while let Some(index) = accumulator.take_ready() {
        drafts.extend(accumulator.take_batch(index, IDENTITY).unwrap());
    }
    drafts
}

fn acknowledge(accumulator: &mut Accumulator, draft: Draft, base_offset: i64) {
    let ack = Ack { base_offset, log_append_time: -1 };
    assert!(matches!(accumulator.settle(draft, Ok(ack), Instant::now(), Duration::ZERO), Settled::Acknowledged));
}

fn refusal(code: ErrorCode) -> Refusal {
    let (address, subject) = ("b:1".into(), "t-0".to_owned());
    Error::Server { address, api: ApiKey::Produce, subject, code, message: None }.into()
}

fn out_of_order() -> Refusal {
    Error::SequenceBroken { topic: "t".into(), partition: 0, code: ErrorCode::OutOfOrderSequenceNumber }.into()
}

fn sequence(draft: &mut Draft) -> (i16, i32) {
    let header = *sealed(draft).header();
    (header.producer_epoch, header.base_sequence)
}

/// An accumulator whose partition 0 has `batches` batches of 8 records.
fn with_batches(batches: usize, now: Instant) -> Accumulator {
    let options = ProducerOptions { batch_bytes_max: 1024, ..ProducerOptions::default() };
    let mut accumulator = accumulator(options, 1);
    for _ in 0..batches * 8 {
        drop(append(&mut accumulator, &record(0, &[7; 100]), now));
    }
    accumulator.flush();
    accumulator
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
fn batches_follow_each_other_once_the_first_is_acknowledged_and_are_repeated_in_order() {
    let now = Instant::now();
    let wait = Duration::from_millis(20);
    let mut accumulator = with_batches(8, now);
    let first = drain(&mut accumulator);
    assert_eq!(first.len(), 1, "a new partition is tried with one batch");
    first.into_iter().for_each(|draft| acknowledge(&mut accumulator, draft, 0));
    let mut drafts = drain(&mut accumulator);
    let sequences: Vec<_> = drafts.iter_mut().map(sequence).collect();
    assert_eq!(sequences, [(0, 8), (0, 16), (0, 24), (0, 32), (0, 40)], "five under way");
    // The answer to a later one may be looked at first.
    let mut drafts = drafts.into_iter();
    let (lost, behind) = (drafts.next().unwrap(), drafts.next().unwrap());
    assert!(matches!(accumulator.settle(behind, Err(out_of_order()), now, wait), Settled::Repeats));
    let refused = refusal(ErrorCode::NotEnoughReplicas);
    assert!(matches!(accumulator.settle(lost, Err(refused), now, wait), Settled::Repeats));
    accumulator.end_holds(now + wait);
    assert!(drain(&mut accumulator).is_empty(), "nothing goes while some are under way");
    for draft in drafts {
        accumulator.settle(draft, Err(out_of_order()), now, wait);
    }
    let mut repeated = Vec::new();
    while let Some(mut draft) = {
        accumulator.end_holds(now + wait);
        drain(&mut accumulator).into_iter().next()
    } {
        repeated.push(sequence(&mut draft));
        if repeated.len() == 5 {
            break;
        }
        acknowledge(&mut accumulator, draft, 0);
    }
    assert_eq!(repeated, sequences, "under the sequences they had, one after the other");
}

#[test]
fn a_refused_batch_that_leaves_a_gap_begins_a_new_epoch() {
    let now = Instant::now();
    let mut accumulator = with_batches(4, now);
    let first = drain(&mut accumulator).remove(0);
    acknowledge(&mut accumulator, first, 0);
    let mut drafts = drain(&mut accumulator).into_iter();
    let refused = refusal(ErrorCode::TopicAuthorizationFailed);
    let settled = accumulator.settle(drafts.next().unwrap(), Err(refused), now, Duration::ZERO);
    assert!(matches!(settled, Settled::Failed(_)));
    for draft in drafts {
        assert!(matches!(accumulator.settle(draft, Err(out_of_order()), now, Duration::ZERO), Settled::Repeats));
    }
    accumulator.end_holds(now);
    let mut next = drain(&mut accumulator).remove(0);
    assert_eq!(sequence(&mut next), (1, 0));
    acknowledge(&mut accumulator, next, 8);
    let mut last = drain(&mut accumulator).remove(0);
    assert_eq!(sequence(&mut last), (1, 8));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_until_the_record_that_is_fails_alone() {
    let now = Instant::now();
    let mut accumulator = accumulator(ProducerOptions::default(), 1);
    let values = [vec![1; 10], vec![2; 900], vec![3; 20], vec![4; 30]];
    let futures: Vec<_> = values.iter().map(|value| append(&mut accumulator, &record(0, value), now)).collect();
    accumulator.flush();
    let mut log = Vec::new();
    for _ in 0..20 {
        accumulator.end_holds(now);
        for mut draft in drain(&mut accumulator) {
            let batch = sealed(&mut draft);
            if batch.bytes().len() > 500 {
                accumulator.settle(draft, Err(refusal(ErrorCode::MessageTooLarge)), now, Duration::ZERO);
            } else {
                let count = i64::from(batch.header().record_count);
                acknowledge(&mut accumulator, draft, i64::try_from(log.len()).unwrap());
                log.extend(0..count);
            }
        }
    }
    let mut offsets = Vec::new();
    for future in futures {
        offsets.push(future.await.map(|written| written.offset).map_err(|error| error.code()));
    }
    assert_eq!(offsets, [Ok(0), Err(Some(ErrorCode::MessageTooLarge)), Ok(1), Ok(2)]);
    assert_eq!(accumulator.buffered_bytes(), 0);
}

#[tokio::test]
async fn only_the_records_the_broker_names_are_refused() {
    let now = Instant::now();
    let mut accumulator = accumulator(ProducerOptions::default(), 1);
    let futures: Vec<_> = (0..5).map(|_| append(&mut accumulator, &record(0, b"v"), now)).collect();
    accumulator.flush();
    let mut draft = drain(&mut accumulator).remove(0);
    sealed(&mut draft);
    let named = vec![(1, Some("no key".to_owned())), (4, None)];
    let refused = Refusal { records: named, ..refusal(ErrorCode::InvalidRecord) };
    accumulator.settle(draft, Err(refused), now, Duration::ZERO);
    for base_offset in [7, 8] {
        let mut part = drain(&mut accumulator).remove(0);
        assert_eq!(sequence(&mut part).0, 1, "under a new epoch");
        acknowledge(&mut accumulator, part, base_offset);
    }
    let mut offsets = Vec::new();
    for future in futures {
        offsets.push(future.await.map(|written| written.offset).map_err(|error| error.to_string()));
    }
    let refused = |reason| Err(format!("topic t partition 0: record refused: {reason}"));
    assert_eq!(offsets, [Ok(7), refused("no key"), Ok(8), Ok(9), refused("the broker gives no reason")]);
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
    let error = accumulator.append(&record(0, &[0; 2048]), 1, || now).unwrap_err();
    assert!(matches!(error, Refused::Error(Error::RecordTooLarge { record_bytes_max: 2048, .. })), "{error:?}");
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
    assert!(matches!(accumulator.append(&record(0, &[0; 2000]), 1, || now), Err(Refused::Full)));
    let draft = drain(&mut accumulator).remove(0);
    acknowledge(&mut accumulator, draft, 0);
    drop(append(&mut accumulator, &record(0, &[0; 2000]), now));
}

#[tokio::test]
async fn what_waits_too_long_is_given_up_and_says_whether_it_may_have_been_written() {
    let now = Instant::now();
    let options = ProducerOptions { delivery_timeout_ms: 100, ..ProducerOptions::default() };
    let late = now + Duration::from_millis(100);
    for lost in [false, true] {
        let mut accumulator = accumulator(options.clone(), 1);
        let future = append(&mut accumulator, &record(0, b"a"), now);
        accumulator.flush();
        let draft = drain(&mut accumulator).remove(0);
        let gone = Error::ConnectionLost { address: "b:1".into(), api: ApiKey::Produce, reason: "gone".into() };
        let error = if lost { gone.into() } else { refusal(ErrorCode::NotLeaderOrFollower) };
        assert!(matches!(accumulator.settle(draft, Err(error), now, Duration::ZERO), Settled::Repeats));
        assert!(accumulator.expire(late - Duration::from_millis(1)).is_empty());
        assert!(!future.is_done());
        assert_eq!(accumulator.expire(late).len(), 1);
        let error = future.await.unwrap_err();
        assert!(matches!(&error, Error::DeliveryTimeout { last: Some(_), .. }), "{error}");
        assert_eq!(error.is_outcome_unknown(), lost, "{error}");
        assert_eq!(accumulator.buffered_bytes(), 0);
    }
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
    assert!(under_way.await.unwrap_err().is_outcome_unknown());
    assert!(matches!(open.await, Err(Error::Closed { .. })));
    assert!(matches!(accumulator.append(&record(0, b"c"), 1, || now), Err(Refused::Error(Error::Closed { .. }))));
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

#[test]
fn keys_and_records_without_go_where_they_are_told() {
    let now = Instant::now();
    #[derive(Debug)]
    struct Last;
    impl Partitioner for Last {
        fn partition(&self, _: &ProduceRecord<'_>, partitions: usize) -> usize {
            partitions - 1
        }
    }
    let keyed = ProduceRecord { topic: "t", key: Some(b"k"), value: Some(b"v"), ..ProduceRecord::default() };
    let partitions = |partitioning: Partitioning| {
        let mut accumulator = accumulator(ProducerOptions { partitioning, ..ProducerOptions::default() }, 3);
        for _ in 0..4 {
            drop(append(&mut accumulator, &keyed, now));
        }
        accumulator.flush();
        drain(&mut accumulator).iter().map(|draft| (draft.partition.partition, draft.records.end)).collect::<Vec<_>>()
    };
    assert_eq!(partitions(Partitioning::RoundRobin), [(0, 2), (1, 1), (2, 1)]);
    assert_eq!(partitions(Partitioning::Custom(Arc::new(Last))), [(2, 4)]);
    assert_eq!(partitions(Partitioning::Default).len(), 1);
}
