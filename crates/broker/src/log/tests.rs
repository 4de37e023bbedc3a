//! The log of a partition, in memory and on disk.

use std::path::Path;

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, Batches, RecordBatch};
use kanat_protocol::compression::{Compression, Compressor};

use super::partition::{AppendContext, Isolation, Origin, PartitionLog};
use super::recover;
use crate::topic_config::{LogConfig, TopicDefaults};

const NOW_MS: i64 = 1_700_000_000_000;

fn config(configs: &[(&str, &str)]) -> LogConfig {
    let own = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    LogConfig::new(&own, &TopicDefaults::default())
}

fn batch(records: usize, value_bytes: usize, timestamp_ms: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions { bytes_max: 8 << 20, ..BatchOptions::default() });
    for _ in 0..records {
        builder.append(timestamp_ms, None, Some(&vec![7; value_bytes]), &[]).unwrap();
    }
    RecordBatch::parse(builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()).unwrap()
}

fn append(log: &mut PartitionLog, batch: &RecordBatch, config: &LogConfig, leader_epoch: i32) -> i64 {
    let context = AppendContext {
        origin: Origin::Client,
        config,
        leader_epoch,
        now_ms: NOW_MS,
        producers_max: 4,
        decompressed_bytes_max: 1 << 20,
    };
    log.append(batch, &context).unwrap().base_offset
}

fn read(log: &PartitionLog, offset: i64, bytes_max: usize) -> Vec<u8> {
    let outcome = log.read(offset, bytes_max, true, Isolation::ReadUncommitted).unwrap();
    let loaded: Vec<u8> = outcome.bytes.into_iter().flat_map(|bytes| bytes.load().unwrap().to_vec()).collect();
    assert_eq!(loaded.len(), outcome.len_bytes);
    loaded
}

fn open(dir: &Path) -> PartitionLog {
    recover(dir, 4).unwrap().0
}

/// Memory, disk and a recovered directory give the same bytes for every offset and limit.
#[test]
fn every_store_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let config = config(&[("segment.bytes", "1500000"), ("max.message.bytes", "2000000")]);
    let (mut memory, mut disk) = (PartitionLog::in_memory(), PartitionLog::create(dir.path()).unwrap());
    for _ in 0..40 {
        // Some batches are larger than a chunk of memory.
        let value_bytes = [10, 1_000, 100_000, 1_200_000][random.usize(0..4)];
        let batch = batch(1 + 9 * usize::from(value_bytes < 10_000), value_bytes, NOW_MS);
        assert_eq!(append(&mut memory, &batch, &config, 3), append(&mut disk, &batch, &config, 3));
    }
    let recovered = {
        drop(disk);
        open(dir.path())
    };
    assert_eq!(memory.bounds(), recovered.bounds());
    let end = memory.bounds().high_watermark;
    let mut offset = 0;
    while offset < end {
        let bytes_max = random.usize(0..4_000_000);
        let (ours, theirs) = (read(&memory, offset, bytes_max), read(&recovered, offset, bytes_max));
        assert!(ours == theirs, "seed {seed}, offset {offset}, {bytes_max} bytes");
        let batches: Vec<RecordBatch> = Batches::new(Bytes::from(ours)).map(Result::unwrap).collect();
        assert!(batches[0].header().last_offset() >= offset && batches[0].header().base_offset <= offset);
        assert!(batches.iter().all(|batch| batch.verify_crc().is_ok()));
        offset = batches.last().unwrap().header().next_offset();
    }
    assert_eq!(read(&memory, end, 100), Vec::<u8>::new());
}

#[test]
fn epochs_end_where_the_next_one_began() {
    let (mut log, config) = (PartitionLog::in_memory(), config(&[]));
    for epoch in [0, 0, 2, 5] {
        append(&mut log, &batch(1, 1, NOW_MS), &config, epoch);
    }
    let ends = [-1, 0, 1, 2, 3, 5, 6, 7].map(|epoch| log.epoch_end(epoch, 6));
    assert_eq!(ends, [(-1, -1), (0, 2), (0, 2), (2, 3), (2, 3), (5, 4), (6, 4), (-1, -1)]);
    assert_eq!([0, 2, 3].map(|offset| log.epoch_at(offset)), [0, 2, 5]);
}

#[test]
fn retention_ends_after_the_log_start_was_moved() {
    let (mut log, config) = (PartitionLog::in_memory(), config(&[("retention.ms", "1000")]));
    append(&mut log, &batch(3, 1, NOW_MS), &config, 0);
    log.advance_log_start(3).unwrap();
    assert_eq!(log.apply_retention(&config, NOW_MS + 5_000).unwrap(), 1);
    assert_eq!((log.bounds().log_start_offset, log.len_bytes()), (3, 0));
}

#[test]
fn segments_roll_by_size_and_by_time() {
    let (mut log, config) = (PartitionLog::in_memory(), config(&[("segment.bytes", "200"), ("segment.ms", "1000")]));
    for step in [0, 1, 2, 3, 5_000] {
        append(&mut log, &batch(1, 10, NOW_MS - 10_000 + step), &config, 0);
    }
    assert_eq!(log.segments.len(), 3);
}

#[test]
fn the_longest_silent_producer_makes_room() {
    let (mut log, config) = (PartitionLog::in_memory(), config(&[]));
    for producer_id in 0..6 {
        append(&mut log, &batch(1, 1, NOW_MS).with_producer(producer_id, 0, 0), &config, 0);
    }
    // Producers 0 and 1 are forgotten: their batch counts as new. Producer 5 is not.
    assert_eq!(append(&mut log, &batch(1, 1, NOW_MS).with_producer(5, 0, 0), &config, 0), 5);
    assert_eq!(append(&mut log, &batch(1, 1, NOW_MS).with_producer(0, 0, 0), &config, 0), 6);
}
