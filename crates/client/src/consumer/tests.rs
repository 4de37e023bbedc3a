//! The consumer's parts without a broker: what the filter lets through, and what the state delivers.

use bytes::{Bytes, BytesMut};
use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord, RecordBatch};
use kanat_protocol::compression::{Compression, Compressor, Decompressor};

use super::filter::{Aborted, Filter, Filtered};
use super::partition::Sent;
use super::state::{State, Verdict};
use super::*;
use crate::types::{Isolation, TopicId};

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// One batch of a partition as a test writes it down.
#[derive(Debug, Clone, Copy)]
enum Written {
    /// Records outside any transaction.
    Plain {
        records: i32,
    },
    /// Records of a transaction of this producer.
    Transactional {
        producer: i64,
        records: i32,
    },
    Commit {
        producer: i64,
    },
    Abort {
        producer: i64,
    },
    /// A batch whose records were all compacted away.
    Emptied {
        offsets: i32,
    },
}

fn encode(written: Written, base_offset: i64) -> Bytes {
    let (producer_id, transactional, control) = match written {
        Written::Plain { .. } | Written::Emptied { .. } => (-1, false, false),
        Written::Transactional { producer, .. } => (producer, true, false),
        Written::Commit { producer } | Written::Abort { producer } => (producer, true, true),
    };
    let options = BatchOptions { base_offset, producer_id, transactional, control, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    match written {
        Written::Plain { records } | Written::Transactional { records, .. } => {
            for _ in 0..records {
                builder.append(7, None, Some(b"value"), &[]).unwrap();
            }
        }
        Written::Commit { .. } | Written::Abort { .. } => {
            let marker = match written {
                Written::Commit { .. } => ControlRecord::Commit { coordinator_epoch: 0 },
                _ => ControlRecord::Abort { coordinator_epoch: 0 },
            };
            let (key, value) = marker.encode().unwrap();
            builder.append(7, Some(&key), Some(&value), &[]).unwrap();
        }
        Written::Emptied { offsets } => builder.cover(offsets - 1).unwrap(),
    }
    builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()
}

fn offsets(written: Written) -> i64 {
    match written {
        Written::Plain { records } | Written::Transactional { records, .. } => records.into(),
        Written::Commit { .. } | Written::Abort { .. } => 1,
        Written::Emptied { offsets } => offsets.into(),
    }
}

fn log(batches: &[Written]) -> (Bytes, i64) {
    let (mut bytes, mut next) = (BytesMut::new(), 0);
    for written in batches {
        bytes.extend_from_slice(&encode(*written, next));
        next += offsets(*written);
    }
    (bytes.freeze(), next)
}

fn read(filtered: &Filtered) -> Vec<i64> {
    let mut decompressor = Decompressor::new(1 << 20);
    let mut read = Vec::new();
    for batch in &filtered.batches {
        read.extend(batch.records(&mut decompressor).unwrap().iter().map(|record| record.unwrap().offset));
    }
    read
}

fn filter(isolation: Isolation) -> Filter {
    Filter { isolation, check_crc: true }
}

#[test]
fn aborted_data_and_markers_are_left_out_and_the_position_passes_them() {
    let (bytes, end) = log(&[
        Written::Plain { records: 2 },                      // 0..2
        Written::Transactional { producer: 1, records: 2 }, // 2..4 aborted
        Written::Transactional { producer: 2, records: 1 }, // 4 committed
        Written::Abort { producer: 1 },                     // 5
        Written::Transactional { producer: 1, records: 1 }, // 6 committed, after the abort
        Written::Commit { producer: 2 },                    // 7
        Written::Commit { producer: 1 },                    // 8
    ]);
    let aborted = vec![Aborted { first_offset: 2, producer_id: 1 }];
    let committed = filter(Isolation::ReadCommitted).apply(&partition(0), 0, bytes.clone(), aborted).unwrap();
    assert_eq!((read(&committed), committed.next_offset), (vec![0, 1, 4, 6], end));
    let all = filter(Isolation::ReadUncommitted).apply(&partition(0), 0, bytes, Vec::new()).unwrap();
    assert_eq!((read(&all), all.next_offset), (vec![0, 1, 2, 3, 4, 6], end));
}

#[test]
fn the_aborted_list_may_come_in_any_order() {
    let (bytes, _) = log(&[
        Written::Transactional { producer: 1, records: 1 },
        Written::Abort { producer: 1 },
        Written::Transactional { producer: 1, records: 1 },
        Written::Abort { producer: 1 },
    ]);
    let aborted = vec![Aborted { first_offset: 2, producer_id: 1 }, Aborted { first_offset: 0, producer_id: 1 }];
    let filtered = filter(Isolation::ReadCommitted).apply(&partition(0), 0, bytes, aborted).unwrap();
    assert_eq!(read(&filtered), Vec::<i64>::new());
}

#[test]
fn a_fetch_into_the_middle_of_an_aborted_transaction_still_leaves_it_out() {
    let batches = [
        Written::Transactional { producer: 1, records: 4 },
        Written::Abort { producer: 1 },
        Written::Plain { records: 1 },
    ];
    let (bytes, end) = log(&batches);
    let aborted = vec![Aborted { first_offset: 0, producer_id: 1 }];
    let filtered = filter(Isolation::ReadCommitted).apply(&partition(0), 2, bytes, aborted).unwrap();
    assert_eq!((read(&filtered), filtered.next_offset), (vec![5], end));
}

#[test]
fn compacted_gaps_and_a_cut_off_tail_move_the_position_exactly() {
    let (bytes, _) =
        log(&[Written::Plain { records: 1 }, Written::Emptied { offsets: 9 }, Written::Plain { records: 1 }]);
    let cut = bytes.slice(..bytes.len() - 1);
    let filtered = filter(Isolation::ReadCommitted).apply(&partition(0), 0, cut, Vec::new()).unwrap();
    assert_eq!((read(&filtered), filtered.next_offset), (vec![0], 10));
}

#[test]
fn batches_before_the_position_are_not_delivered_again() {
    let (bytes, end) = log(&[Written::Plain { records: 3 }, Written::Plain { records: 3 }]);
    let filtered = filter(Isolation::ReadCommitted).apply(&partition(0), 4, bytes, Vec::new()).unwrap();
    assert_eq!((filtered.batches.len(), filtered.next_offset), (1, end));
}

#[test]
fn a_damaged_batch_names_its_place() {
    let (bytes, _) = log(&[Written::Plain { records: 3 }, Written::Plain { records: 3 }]);
    let mut damaged = BytesMut::from(&bytes[..]);
    *damaged.last_mut().unwrap() ^= 1;
    let error = filter(Isolation::ReadCommitted).apply(&partition(4), 0, damaged.freeze(), Vec::new()).unwrap_err();
    assert!(matches!(&error, Error::CorruptBatch { partition: 4, offset: 3, .. }), "{error}");
}

fn item(state: &State, number: i32, next_offset: i64) -> (Fetched, Sent) {
    let (want, sent) =
        state.wants(1, 1).into_iter().find(|(want, _)| want.partition == partition(number)).expect("wanted");
    let fetched = Fetched {
        tp: partition(number),
        batches: Vec::<RecordBatch>::new(),
        first_offset: want.offset,
        next_offset,
        leader_epoch: want.leader_epoch,
        high_watermark: 100,
        last_stable_offset: 100,
        log_start_offset: 0,
        gap: None,
    };
    (fetched, sent)
}

fn room() -> state::Room {
    Arc::new(Arc::new(Semaphore::new(1)).try_acquire_many_owned(0).unwrap())
}

fn led(numbers: impl IntoIterator<Item = i32>) -> State {
    let mut state = State::default();
    for number in numbers {
        state.assign(partition(number), 0.into());
        state.lead(&partition(number), (1, 0), None, 1).unwrap();
    }
    state
}

#[test]
fn an_answer_to_a_position_left_behind_is_dropped() {
    let mut state = led([0]);
    let (old, sent) = item(&state, 0, 5);
    state.seek(&partition(0), 50.into()).unwrap();
    assert!(!state.push(&sent, old, &room()));
    let (new, sent) = item(&state, 0, 60);
    assert!(state.push(&sent, new, &room()));
    let delivered = state.pop().unwrap().unwrap();
    assert_eq!((delivered.first_offset, delivered.next_offset), (50, 60));
    assert!(state.pop().is_none());
}

#[test]
fn pausing_drops_what_is_queued_and_resuming_fetches_it_again() {
    let mut state = led([0]);
    let (first, sent) = item(&state, 0, 5);
    state.push(&sent, first, &room());
    let (second, sent) = item(&state, 0, 9);
    state.push(&sent, second, &room());
    assert_eq!(state.pop().unwrap().unwrap().next_offset, 5);
    state.set_paused(&partition(0), true).unwrap();
    assert!(state.pop().is_none() && state.wants(1, 1).is_empty());
    state.set_paused(&partition(0), false).unwrap();
    assert_eq!(state.wants(1, 1)[0].0.offset, 5);
}

#[test]
fn an_error_comes_after_the_data_before_it_and_stops_only_its_partition() {
    let mut state = led([0, 1]);
    let (data, sent) = item(&state, 0, 5);
    state.push(&sent, data, &room());
    let (_, sent) = item(&state, 0, 9);
    state.fail(&partition(0), Some(&sent), Error::NothingAssigned);
    state.fail(&partition(0), Some(&sent), Error::NothingAssigned);
    assert!(state.pop().unwrap().is_ok());
    assert!(state.pop().unwrap().is_err());
    assert!(state.pop().is_none(), "an error is delivered once");
    let wanted: Vec<i32> = state.wants(1, 1).iter().map(|(want, _)| want.partition.partition).collect();
    assert_eq!(wanted, [1]);
    state.seek(&partition(0), 5.into()).unwrap();
    assert_eq!(state.leaderless().len(), 1, "after a seek the partition is looked up anew");
}

#[test]
fn a_changed_topic_id_is_an_error() {
    let mut state = State::default();
    state.assign(partition(0), 3.into());
    state.lead(&partition(0), (1, 0), Some(TopicId(1)), 1).unwrap();
    state.lead(&partition(0), (2, 1), Some(TopicId(1)), 2).unwrap();
    let error = state.lead(&partition(0), (2, 1), Some(TopicId(2)), 3).unwrap_err();
    assert!(matches!(error, Error::TopicRecreated { offset: 3, .. }));
}

#[test]
fn every_broker_finds_room_however_many_there_are() {
    let options = ConsumerOptions { buffer_bytes_max: 1 << 20, ..ConsumerOptions::default() };
    for brokers in 1..=8 {
        assert!(options.fetch_bytes(brokers) * brokers <= options.buffer_bytes_max / 2);
    }
    assert_eq!(ConsumerOptions::default().fetch_bytes(1), 4 << 20);
}

/// A partition read up to offset 10 in epoch 3, whose leader is now broker 2 in epoch 5.
fn with_new_leader() -> State {
    let mut state = State::default();
    state.assign(partition(0), 0.into());
    state.lead(&partition(0), (1, 3), Some(TopicId(1)), 1).unwrap();
    let (data, sent) = item(&state, 0, 10);
    assert!(state.push(&sent, data, &room()));
    assert!(state.take_epoch_checks().is_empty(), "a first leader needs no check");
    state.lead(&partition(0), (2, 5), Some(TopicId(1)), 2).unwrap();
    state
}

#[test]
fn a_new_leader_is_asked_for_the_end_of_the_epoch_before_it_is_fetched_from() {
    let mut state = with_new_leader();
    assert!(state.wants(2, 1).is_empty());
    let asked = state.take_epoch_checks();
    let [(_, sent)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((sent.source, sent.leader_epoch), (2, 5));
    assert_eq!(sent.position, Position { offset: 10, leader_epoch: 3 });
    state.epoch_checked(&partition(0), sent, Verdict::Holds);
    assert_eq!(state.wants(2, 1)[0].0.offset, 10);
    state.lead(&partition(0), (2, 5), Some(TopicId(1)), 3).unwrap();
    assert!(state.take_epoch_checks().is_empty(), "the same leadership is not asked twice");
}

#[test]
fn truncation_stops_the_partition_behind_what_was_read() {
    let mut state = with_new_leader();
    let (_, sent) = state.take_epoch_checks().remove(0);
    let truncated = Error::LogTruncated { topic: "t".into(), partition: 0, position: 10, diverged_at: Some(6) };
    state.epoch_checked(&partition(0), &sent, Verdict::Fail(truncated));
    assert_eq!(state.pop().unwrap().unwrap().next_offset, 10);
    let error = state.pop().unwrap().unwrap_err();
    let words = "topic t partition 0 was truncated: offset 10 was reached, but the log of the new leader differs from \
                 offset 6 on";
    assert_eq!(error.to_string(), words);
    assert!(state.wants(2, 1).is_empty() && state.leaderless().is_empty());
}

#[test]
fn a_jump_is_delivered_in_its_turn_and_counted() {
    let mut state = led([0]);
    let (data, sent) = item(&state, 0, 5);
    state.push(&sent, data, &room());
    let (_, sent) = item(&state, 0, 9);
    assert!(state.out_of_range(&partition(0), &sent));
    assert!(state.wants(1, 1).is_empty());
    let (_, sent) = state.take_range_checks().remove(0);
    state.range_checked(&partition(0), &sent, Verdict::Jump(70.into(), GapReason::OutOfRange));
    assert_eq!(state.wants(1, 1)[0].0.offset, 70);
    assert_eq!(state.pop().unwrap().unwrap().next_offset, 5);
    assert_eq!(state.gaps(), GapCounts::default());
    let item = state.pop().unwrap().unwrap();
    assert_eq!(item.gap, Some(Gap { from: 5, to: 70, reason: GapReason::OutOfRange }));
    assert_eq!((item.first_offset, item.next_offset, item.batches.len()), (5, 70, 0));
    assert_eq!(state.gaps(), GapCounts { jumps: 1, offsets: 65 });
}

#[test]
fn an_answer_that_comes_after_a_pause_settles_nothing_and_resuming_asks_again() {
    let mut state = with_new_leader();
    state.pop().unwrap().unwrap();
    let (_, sent) = state.take_epoch_checks().remove(0);
    state.set_paused(&partition(0), true).unwrap();
    state.epoch_checked(&partition(0), &sent, Verdict::Holds);
    state.set_paused(&partition(0), false).unwrap();
    assert!(state.wants(2, 1).is_empty());
    assert_eq!(state.take_epoch_checks().len(), 1);
}

#[test]
fn a_replica_is_read_until_it_fails() {
    let mut state = led([0]);
    let (_, sent) = item(&state, 0, 0);
    assert!(state.prefer(&partition(0), &sent, 7));
    assert!(state.wants(1, 1).is_empty());
    assert_eq!(state.sources(), [7]);
    let (_, from_replica) = state.wants(7, 1).remove(0);
    state.lose_leader(&partition(0), &from_replica, Error::NothingAssigned);
    assert!(state.leaderless().is_empty(), "the leader is still known");
    assert_eq!(state.sources(), [1]);
    state.prefer(&partition(0), &sent, 7);
    let (_, from_replica) = state.wants(7, 1).remove(0);
    assert!(state.out_of_range(&partition(0), &from_replica));
    assert!(state.take_range_checks().is_empty(), "a replica may be behind: the leader is asked");
    assert_eq!(state.wants(1, 1).len(), 1);
}

#[test]
fn metadata_of_the_past_does_not_bring_back_an_old_leader() {
    let mut state = with_new_leader();
    let (_, sent) = state.take_epoch_checks().remove(0);
    state.epoch_checked(&partition(0), &sent, Verdict::Holds);
    assert!(state.lead(&partition(0), (1, 3), Some(TopicId(1)), 3).unwrap());
    assert_eq!(state.sources(), [2]);
    let (_, sent) = state.wants(2, 1).remove(0);
    assert!(state.lead_by_hint(&partition(0), &sent, 4, 6));
    assert!(!state.lead_by_hint(&partition(0), &sent, 1, 3));
    assert_eq!(state.sources(), [4]);
}
