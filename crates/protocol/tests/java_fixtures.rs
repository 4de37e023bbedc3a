//! Reads what Kafka's own Java classes wrote, in every codec.
//!
//! `tests/fixtures/` was recorded from `tests/peers/java/FixtureWriter.java`, which also wrote down what Kafka's reader
//! finds in each file. The files hold plain, transactional, control, append-time, compacted and emptied batches and end
//! inside a batch.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use bytes::Bytes;
use kanat_protocol::batch::{Batches, ControlRecord, Record, RecordBatch, TimestampType};
use kanat_protocol::compression::{Codec, Decompressor};
use serde_json::{Value, json};

/// Runs at least this long are written as one byte and a count.
const RUN_MIN: usize = 64;

fn text(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if bytes.len() >= RUN_MIN && rest.iter().all(|byte| byte == first) => {
            format!("{first:02x}*{}", bytes.len())
        }
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn record_json(record: &Record<'_>) -> Value {
    let headers = record.headers().map(|header| {
        let (key, value) = header.unwrap();
        json!([std::str::from_utf8(key).unwrap(), value.map(text)])
    });
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.map(text),
        "value": record.value.map(text),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn batch_json(batch: &RecordBatch, decompressor: &mut Decompressor) -> Value {
    let header = batch.header();
    let records = batch.records(decompressor).unwrap();
    let mut json = json!({
        "baseOffset": header.base_offset,
        "lastOffset": header.last_offset(),
        "leaderEpoch": header.partition_leader_epoch,
        "codec": header.attributes.codec().unwrap().name(),
        "timestampType": match header.attributes.timestamp_type() {
            TimestampType::CreateTime => "createtime",
            TimestampType::LogAppendTime => "logappendtime",
        },
        "maxTimestamp": header.max_timestamp,
        "producerId": header.producer_id,
        "producerEpoch": header.producer_epoch,
        "baseSequence": header.base_sequence,
        "transactional": header.attributes.is_transactional(),
        "control": header.attributes.is_control(),
        "records": records.iter().map(|record| record_json(&record.unwrap())).collect::<Vec<_>>(),
    });
    match batch.control().unwrap() {
        Some(ControlRecord::Commit { coordinator_epoch }) => {
            json["marker"] = json!(format!("commit {coordinator_epoch}"))
        }
        Some(ControlRecord::Abort { coordinator_epoch }) => {
            json["marker"] = json!(format!("abort {coordinator_epoch}"))
        }
        other => assert_eq!(other, None),
    }
    json
}

#[test]
fn every_kind_of_batch_in_every_codec_is_read_as_kafka_reads_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for codec in Codec::ALL {
        let bytes = Bytes::from(std::fs::read(folder.join(format!("{codec}.bin"))).unwrap());
        let expected = std::fs::read(folder.join(format!("{codec}.json"))).unwrap();
        let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
        let mut decompressor = Decompressor::new(1 << 20);
        let mut batches = Batches::new(bytes);
        let read: Vec<_> = batches
            .by_ref()
            .map(|batch| {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                batch_json(&batch, &mut decompressor)
            })
            .collect();
        assert_eq!(read.len(), expected.len(), "{codec}");
        for (read, expected) in read.iter().zip(&expected) {
            assert_eq!(read, expected, "{codec}");
        }
        assert!(batches.truncated(), "{codec}: the last batch is cut off");
        assert!(read.iter().any(|batch| batch["records"] == json!([])), "{codec}: one batch is empty");
    }
}
