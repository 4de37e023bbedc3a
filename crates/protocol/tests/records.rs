//! Properties of record batches: whatever is written is read back, whatever is damaged is refused.
//!
//! proptest prints the seed and the smallest failing case, and replays it from `proptest-regressions/`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, Batches, HEADER_BYTES, RecordBatch};
use kanat_protocol::compression::{Codec, Compressor, Decompressor};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// An owned record to write and to compare with.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn field(len_max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::weighted(0.8, vec(any::<u8>(), 0..len_max))
}

fn record() -> impl Strategy<Value = Owned> {
    let timestamp = prop_oneof![any::<i64>(), 1_700_000_000_000i64..1_700_000_100_000];
    let header = (vec(any::<u8>(), 0..5), field(20));
    (timestamp, field(40), field(300), vec(header, 0..4)).prop_map(|(timestamp, key, value, headers)| Owned {
        timestamp,
        key,
        value,
        headers,
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

fn write(records: &[Owned], codec: Codec, options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let before = builder.len_bytes();
        let size = builder.record_size(record.timestamp, key, value, &headers);
        builder.append(record.timestamp, key, value, &headers).unwrap();
        assert_eq!(builder.len_bytes() - before, size, "the announced size is exact");
    }
    builder.seal(codec.into(), &mut Compressor::new()).unwrap()
}

fn read(batch: &RecordBatch) -> kanat_protocol::Result<Vec<Owned>> {
    let records = batch.records(&mut Decompressor::new(1 << 20))?;
    let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
    let records = records.iter().map(|record| {
        let record = record?;
        let headers = record.headers().map(|header| header.map(|(key, value)| (key.to_vec(), owned(value))));
        Ok(Owned {
            timestamp: record.timestamp,
            key: owned(record.key),
            value: owned(record.value),
            headers: headers.collect::<kanat_protocol::Result<_>>()?,
        })
    });
    records.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn records_round_trip(records in vec(record(), 1..20), codec in codec(), base_offset in 0..i64::MAX / 2) {
        let bytes = write(&records, codec, BatchOptions { base_offset, ..BatchOptions::default() });
        let batch = RecordBatch::parse(bytes).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(batch.header().attributes.codec().unwrap(), codec);
        prop_assert_eq!(batch.header().max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
        prop_assert_eq!(batch.header().next_offset(), base_offset + i64::try_from(records.len()).unwrap());
        prop_assert_eq!(read(&batch).unwrap(), records);
    }

    #[test]
    fn batches_split_where_they_were_joined(groups in vec((vec(record(), 1..5), codec()), 0..6)) {
        let options = BatchOptions::default();
        let parts: Vec<_> = groups.iter().map(|(records, codec)| write(records, *codec, options)).collect();
        let mut batches = Batches::new(parts.concat().into());
        for ((records, _), bytes) in groups.iter().zip(&parts) {
            let batch = batches.next().unwrap().unwrap();
            prop_assert_eq!(batch.bytes(), bytes);
            prop_assert_eq!(&read(&batch).unwrap(), records);
        }
        prop_assert!(batches.next().is_none());
        prop_assert!(!batches.truncated());
    }

    #[test]
    fn a_cut_anywhere_leaves_the_whole_batches(records in vec(record(), 1..4), codec in codec(), copies in 1..4usize) {
        let one = write(&records, codec, BatchOptions::default());
        let whole = Bytes::from(one.repeat(copies));
        for len in 0..whole.len() {
            let mut batches = Batches::new(whole.slice(..len));
            prop_assert_eq!(batches.by_ref().filter(|batch| batch.is_ok()).count(), len / one.len());
            prop_assert_eq!(batches.truncated(), len % one.len() != 0);
        }
    }

    #[test]
    fn the_checksum_finds_every_changed_byte_behind_it(
        records in vec(record(), 1..4), codec in codec(), flip in 1..=255u8,
    ) {
        let bytes = write(&records, codec, BatchOptions::default());
        // Attributes are the first field the checksum covers; a header that is refused anyway is as good.
        for position in 17..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= flip;
            let found = RecordBatch::parse(damaged.into()).and_then(|batch| batch.verify_crc());
            prop_assert!(found.is_err(), "byte {}", position);
        }
    }

    #[test]
    fn damage_never_panics_nor_yields_more_than_was_there(
        records in vec(record(), 1..4), codec in codec(), flip in 1..=255u8,
    ) {
        let bytes = write(&records, codec, BatchOptions::default());
        for position in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= flip;
            for batch in Batches::new(damaged.into()).flatten() {
                let announced = batch.header().record_count;
                let read = read(&batch).map(|records| records.len());
                prop_assert!(read.is_err() || read == Ok(usize::try_from(announced).unwrap()));
                let _ = batch.control();
            }
        }
    }

    #[test]
    fn a_section_cut_anywhere_is_an_error(records in vec(record(), 1..4), codec in codec()) {
        // The header is made to agree with the shorter bytes, so only the records can tell.
        let bytes = write(&records, codec, BatchOptions::default());
        for len in HEADER_BYTES..bytes.len() {
            let mut cut = bytes[..len].to_vec();
            let length = i32::try_from(len - 12).unwrap();
            cut[8..12].copy_from_slice(&length.to_be_bytes());
            prop_assert!(read(&RecordBatch::parse(cut.into()).unwrap()).is_err(), "cut at {}", len);
        }
    }
}
