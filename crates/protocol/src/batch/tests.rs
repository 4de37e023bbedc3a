//! Behaviour of single batches, case by case; `tests/records.rs` has the properties.

use bytes::{BufMut, Bytes};

use super::header::MAGIC_AT;
use super::*;
use crate::compression::{Codec, Compression, Compressor};

fn builder() -> BatchBuilder {
    BatchBuilder::new(BatchOptions::default())
}

fn sealed(builder: &mut BatchBuilder) -> RecordBatch {
    RecordBatch::parse(builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()).unwrap()
}

fn one_record(key: &[u8], value: &[u8]) -> RecordBatch {
    let mut builder = builder();
    builder.append(1_000, Some(key), Some(value), &[]).unwrap();
    sealed(&mut builder)
}

fn records(batch: &RecordBatch) -> Records {
    batch.records(&mut Decompressor::new(1 << 20)).unwrap()
}

/// A batch around hand-written records.
fn around(section: &[u8], record_count: i32, last_offset_delta: i32) -> RecordBatch {
    let mut bytes = one_record(b"", b"").bytes()[..HEADER_BYTES].to_vec();
    bytes.extend_from_slice(section);
    let length = i32::try_from(bytes.len() - LOG_OVERHEAD).unwrap();
    put(&mut bytes, LENGTH_AT, length.to_be_bytes());
    put(&mut bytes, header::LAST_OFFSET_DELTA_AT, last_offset_delta.to_be_bytes());
    put(&mut bytes, header::RECORD_COUNT_AT, record_count.to_be_bytes());
    patch_checksum(&mut bytes);
    RecordBatch::parse(bytes.into()).unwrap()
}

fn first_error(batch: &RecordBatch) -> String {
    match batch.records(&mut Decompressor::new(1 << 20)) {
        Ok(records) => records.validate().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_batch_is_laid_out_as_kafka_documents_it() {
    let options = BatchOptions { producer_id: 7, producer_epoch: 2, base_sequence: 40, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(1_000, Some(b"k"), Some(b"v1"), &[(b"h", Some(b"x"))]).unwrap();
    builder.append(999, None, None, &[]).unwrap();
    let batch = sealed(&mut builder);
    let section: &[u8] = &[
        // length 13, attributes, timestamp delta 0, offset delta 0, key, value, one header
        26, 0, 0, 0, 2, b'k', 4, b'v', b'1', 2, 2, b'h', 2, b'x', // null key, null value, timestamp delta -1
        12, 0, 1, 2, 1, 1, 0,
    ];
    assert_eq!(&batch.bytes()[HEADER_BYTES..], section);
    let header = batch.header();
    assert_eq!(header.base_offset, 0);
    assert_eq!(header.batch_bytes(), batch.bytes().len());
    assert_eq!((header.magic, header.partition_leader_epoch), (2, -1));
    assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 1_000));
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 2, 40));
    assert_eq!((header.last_offset_delta, header.record_count, header.last_sequence()), (1, 2, 41));
    batch.verify_crc().unwrap();
}

#[test]
fn the_checksum_is_crc_32c() {
    // The check value of CRC-32/ISCSI.
    let mut bytes = vec![0; ATTRIBUTES_AT];
    bytes.extend(b"123456789");
    assert_eq!(checksum(&bytes), 0xe306_9283);
}

#[test]
fn null_header_values_duplicate_keys_and_keys_that_are_not_text_are_kept_in_order() {
    let headers: [(&[u8], Option<&[u8]>); 4] =
        [(b"a", None), (b"\xff\xfe", Some(b"bin")), (b"a", Some(b"")), (b"a", Some(b"2"))];
    let mut builder = builder();
    builder.append(0, None, Some(b"v"), &headers).unwrap();
    let batch = sealed(&mut builder);
    let records = records(&batch);
    let record = records.iter().next().unwrap().unwrap();
    assert!(record.has_headers());
    let read: Vec<_> = record.headers().map(|header| header.unwrap()).collect();
    assert_eq!(read, headers);
}

#[test]
fn null_and_empty_are_different_for_keys_and_values() {
    let mut builder = builder();
    builder.append(0, None, Some(b""), &[]).unwrap();
    builder.append(0, Some(b""), None, &[]).unwrap();
    let batch = sealed(&mut builder);
    let records = records(&batch);
    let read: Vec<_> = records.iter().map(|record| record.map(|record| (record.key, record.value)).unwrap()).collect();
    assert_eq!(read, [(None, Some(&b""[..])), (Some(&b""[..]), None)]);
}

#[test]
fn timestamps_may_lie_months_apart() {
    // Two months do not fit into 32 bits of milliseconds.
    let times = [1_700_000_000_000, 1_700_000_000_000 + 5_184_000_000, 0, i64::MAX, i64::MIN];
    let mut builder = builder();
    for time in times {
        builder.append(time, None, None, &[]).unwrap();
    }
    let batch = sealed(&mut builder);
    let read: Vec<_> = records(&batch).iter().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(read, times);
    assert_eq!(batch.header().max_timestamp, i64::MAX);
}

#[test]
fn records_of_a_log_append_time_batch_have_the_append_time() {
    let batch = one_record(b"k", b"v").with_log_append_time(9_999);
    batch.verify_crc().unwrap();
    assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(records(&batch).iter().next().unwrap().unwrap().timestamp, 9_999);
}

#[test]
fn transaction_markers_are_read_through_the_record_around_them() {
    for marker in [ControlRecord::Abort { coordinator_epoch: 3 }, ControlRecord::Commit { coordinator_epoch: 12 }] {
        let options = BatchOptions {
            producer_id: 8192,
            producer_epoch: 1,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        let (key, value) = marker.encode().unwrap();
        builder.append(0, Some(&key), Some(&value), &[]).unwrap();
        let batch = sealed(&mut builder);
        assert!(batch.header().attributes.is_control() && batch.header().attributes.is_transactional());
        assert_eq!(batch.control(), Ok(Some(marker)));
    }
}

#[test]
fn control_records_of_other_kinds_and_later_versions_are_typed() {
    let control = |key: &[u8], value: &[u8]| {
        let mut builder = BatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
        builder.append(0, Some(key), Some(value), &[]).unwrap();
        sealed(&mut builder).control()
    };
    assert_eq!(control(&[0, 0, 0, 2], b""), Ok(Some(ControlRecord::Other { version: 0, kind: 2 })));
    // A later version may append fields; those of version 0 stay.
    let later = control(&[0, 9, 0, 1, 7], &[0, 9, 0, 0, 0, 5, 1, 2]);
    assert_eq!(later, Ok(Some(ControlRecord::Commit { coordinator_epoch: 5 })));
    assert!(control(&[0, 0, 0], b"").is_err());
    assert!(control(&[0, 0, 0, 1], &[0, 0, 0]).is_err());
    assert_eq!(one_record(b"k", b"v").control(), Ok(None));
}

#[test]
fn an_emptied_batch_still_moves_the_position() {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: 100, ..BatchOptions::default() });
    builder.cover(41).unwrap();
    for codec in Codec::ALL {
        let bytes = builder.seal(codec.into(), &mut Compressor::new()).unwrap();
        builder.cover(41).unwrap();
        let batch = RecordBatch::parse(bytes).unwrap();
        assert_eq!((batch.header().record_count, batch.header().next_offset()), (0, 142));
        assert_eq!(records(&batch).iter().count(), 0, "{codec}");
    }
}

#[test]
fn gaps_left_by_compaction_keep_their_offsets() {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: 10, ..BatchOptions::default() });
    builder.append_at(3, 0, None, None, &[]).unwrap();
    builder.append_at(7, 0, None, None, &[]).unwrap();
    assert!(builder.append_at(7, 0, None, None, &[]).is_err());
    builder.cover(9).unwrap();
    let batch = sealed(&mut builder);
    let offsets: Vec<_> = records(&batch).iter().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [13, 17]);
    assert_eq!((batch.header().last_offset(), batch.header().next_offset()), (19, 20));
}

#[test]
fn old_formats_are_named() {
    for magic in [0, 1] {
        let mut bytes = one_record(b"k", b"v").bytes().to_vec();
        bytes[MAGIC_AT] = magic;
        // An old message is shorter than a batch header.
        bytes.truncate(40);
        put(&mut bytes, LENGTH_AT, 28i32.to_be_bytes());
        let error = Batches::new(bytes.into()).next().unwrap().unwrap_err();
        assert_eq!(error, Error::OldMagic { magic: magic.cast_signed(), base_offset: 0 });
    }
    let mut bytes = one_record(b"k", b"v").bytes().to_vec();
    bytes[MAGIC_AT] = 3;
    let error = RecordBatch::parse(bytes.into()).unwrap_err();
    assert_eq!(error, Error::UnknownMagic { magic: 3, base_offset: 0 });
}

#[test]
fn a_truncated_last_batch_is_a_normal_end() {
    let first = one_record(b"k", b"v");
    let second = first.clone().with_base_offset(1).unwrap();
    let whole = [&first.bytes()[..], &second.bytes()[..]].concat();
    for len in 0..=whole.len() {
        let mut batches = Batches::new(Bytes::copy_from_slice(&whole[..len]));
        let read: Vec<_> = batches.by_ref().map(|batch| batch.unwrap()).collect();
        assert_eq!(read.len(), len / first.bytes().len(), "cut at {len}");
        assert_eq!(batches.truncated(), len % first.bytes().len() != 0, "cut at {len}");
        assert_eq!(batches.remaining().len(), len % first.bytes().len());
    }
}

#[test]
fn lengths_that_contradict_each_other_are_errors() {
    let broken = |at: usize, value: i32| {
        let mut bytes = one_record(b"k", b"v").bytes().to_vec();
        put(&mut bytes, at, value.to_be_bytes());
        let error = Batches::new(bytes.into()).next().map(|batch| batch.map(|batch| first_error(&batch)));
        error.map(|error| error.unwrap_or_else(|error| error.to_string()))
    };
    let at_0 = "malformed record batch at offset 0: ".to_owned();
    let error = |reason: &str| Some(at_0.clone() + reason);
    assert_eq!(broken(LENGTH_AT, -1), error("its length does not cover its header"));
    assert_eq!(broken(LENGTH_AT, 48), error("its length does not cover its header"));
    assert_eq!(broken(LENGTH_AT, i32::MAX), None, "looks like a cut-off batch");
    assert_eq!(broken(header::RECORD_COUNT_AT, -1), error("its record count is negative"));
    assert_eq!(broken(header::RECORD_COUNT_AT, 2), error("it has more records than offsets"));
    assert_eq!(broken(header::LAST_OFFSET_DELTA_AT, -1), error("its last offset lies before its base offset"));
    let many = around(&[12, 0, 0, 0, 1, 1, 0], i32::MAX, i32::MAX - 1);
    assert_eq!(first_error(&many), at_0 + "its record count does not fit into its bytes");
}

#[test]
fn records_that_lie_about_their_lengths_are_errors() {
    let at_0 = "malformed record 0 in the batch at offset 0: ".to_owned();
    for (section, reason) in [
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0][..], "its length cannot be read"),
        (&[1, 0, 0, 0, 1, 1, 0], "its length is negative"),
        (&[14, 0, 0, 0, 1, 1, 0], "it is longer than the batch"),
        (&[0, 0, 0, 0, 1, 1, 0], "it is empty"),
        (&[12, 0, 0, 2, 1, 1, 0], "its offset lies outside of the batch"),
        (&[12, 0, 0, 1, 1, 1, 0], "its offset lies outside of the batch"),
        (&[12, 0, 0, 0, 3, 1, 0], "its key cannot be read"),
        (&[12, 0, 0, 0, 8, 1, 0], "its key cannot be read"),
        (&[12, 0, 0, 0, 1, 8, 0], "its value cannot be read"),
        (&[10, 0, 0, 0, 1, 1, 0], "its header count is missing"),
    ] {
        assert_eq!(first_error(&around(section, 1, 0)), at_0.clone() + reason);
    }
    let left_over = "malformed record 1 in the batch at offset 0: bytes are left over behind it";
    assert_eq!(first_error(&around(&[12, 0, 0, 0, 1, 1, 0, 0], 1, 0)), left_over);
}

#[test]
fn headers_that_lie_are_errors_when_they_are_read() {
    let at_0 = "malformed headers in the record at offset 0: ".to_owned();
    for (headers, reason) in [
        (&[1][..], "their count is negative"),
        (&[0x80], "their count cannot be read"),
        (&[0, 0], "bytes are left over behind them"),
        (&[2], "a key cannot be read"),
        (&[2, 1, 0], "a key is null"),
        (&[2, 0], "a value cannot be read"),
        (&[2, 0, 9], "a value cannot be read"),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0], "a key cannot be read"),
    ] {
        let mut section = vec![u8::try_from(2 * (5 + headers.len())).unwrap(), 0, 0, 0, 1, 1];
        section.put_slice(headers);
        assert_eq!(first_error(&around(&section, 1, 0)), at_0.clone() + reason, "{headers:?}");
    }
}

#[test]
fn offsets_that_overflow_are_refused() {
    let batch = one_record(b"k", b"v");
    assert!(batch.clone().with_base_offset(i64::MAX).is_err());
    assert_eq!(batch.with_base_offset(i64::MAX - 1).unwrap().header().next_offset(), i64::MAX);
}

#[test]
fn the_broker_can_place_a_batch_without_touching_its_checksum() {
    let sent = one_record(b"k", b"v");
    let kept = sent.clone();
    let placed = sent.with_base_offset(5_000).unwrap().with_leader_epoch(3);
    assert_eq!((placed.header().base_offset, placed.header().partition_leader_epoch), (5_000, 3));
    assert_eq!(placed.header().crc, kept.header().crc);
    placed.verify_crc().unwrap();
    assert_eq!(kept.header().base_offset, 0, "other handles see the old bytes");
    assert_eq!(records(&placed).iter().next().unwrap().unwrap().offset, 5_000);
}

#[test]
fn a_batch_that_nobody_shares_is_changed_in_place() {
    let batch = one_record(b"k", b"v");
    let address = batch.bytes().as_ptr();
    assert_eq!(batch.with_base_offset(9).unwrap().bytes().as_ptr(), address);
}

#[test]
fn a_batch_can_be_sent_again_under_a_new_producer_epoch() {
    let batch = one_record(b"k", b"v").with_producer(11, 4, 0);
    batch.verify_crc().unwrap();
    assert_eq!((batch.header().producer_id, batch.header().producer_epoch, batch.header().base_sequence), (11, 4, 0));
}

#[test]
fn sequences_advance_from_batch_to_batch_and_wrap() {
    let options =
        BatchOptions { producer_id: 1, producer_epoch: 0, base_sequence: i32::MAX, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(0, None, None, &[]).unwrap();
    builder.append(0, None, None, &[]).unwrap();
    assert_eq!(sealed(&mut builder).header().last_sequence(), 0);
    builder.append(0, None, None, &[]).unwrap();
    assert_eq!(sealed(&mut builder).header().base_sequence, 1);
}

#[test]
fn uncompressed_records_are_not_copied() {
    let batch = one_record(b"key", b"value");
    let records = records(&batch);
    let record = records.iter().next().unwrap().unwrap();
    let range = batch.bytes().as_ptr_range();
    assert!(range.contains(&record.value.unwrap().as_ptr()));
}

#[test]
fn a_full_batch_refuses_and_stays_as_it_was() {
    let mut builder = BatchBuilder::new(BatchOptions { bytes_max: 200, ..BatchOptions::default() });
    let value = [7; 50];
    while builder.append(1, None, Some(&value), &[]).is_ok() {}
    assert_eq!(builder.record_count(), 2);
    let len = builder.len_bytes();
    let error = builder.append(1, None, Some(&value), &[]).unwrap_err();
    assert_eq!(error, Error::BatchFull { record_bytes: 57, batch_bytes: len, bytes_max: 200 });
    assert_eq!(records(&sealed(&mut builder)).len(), 2);
    builder.append(1, None, Some(&value), &[]).unwrap();
}

#[test]
fn a_batch_without_records_cannot_be_sealed() {
    let error = builder().seal(Compression::NONE, &mut Compressor::new()).unwrap_err();
    assert_eq!(error, Error::EmptyBatch);
}

#[test]
fn damage_is_named_with_both_checksums() {
    let mut bytes = one_record(b"k", b"v").bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let batch = RecordBatch::parse(bytes.into()).unwrap();
    let error = batch.verify_crc().unwrap_err();
    assert!(error.to_string().starts_with("record batch at offset 0 is corrupt: crc is 0x"), "{error}");
}
