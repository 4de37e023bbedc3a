//! Fuzz target: any bytes as the record section of a partition.
//!
//! `cargo test` runs it for a bounded number of inputs and prints the seed of a failure; `cargo bolero test
//! -p kanat-protocol fuzz_batch` runs it for as long as wanted.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bolero::check;
use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, Batches, RecordBatch};
use kanat_protocol::compression::{Codec, Compressor, Decompressor};

/// Bound of the decompressor: a body beyond it is an error.
const BYTES_MAX: usize = 1 << 16;

fn read_everything(bytes: Bytes) {
    let mut decompressor = Decompressor::new(BYTES_MAX);
    let total = bytes.len();
    let mut seen = 0;
    for batch in Batches::new(bytes) {
        let Ok(batch) = batch else { break };
        seen += batch.bytes().len();
        assert!(batch.header().next_offset() > batch.header().base_offset);
        let _ = batch.verify_crc();
        let _ = batch.control();
        let Ok(records) = batch.records(&mut decompressor) else { continue };
        assert!(records.body().len() <= BYTES_MAX.max(total));
        for record in &records {
            let Ok(record) = record else { break };
            assert!((batch.header().base_offset..batch.header().next_offset()).contains(&record.offset));
            assert!(record.headers().count() <= records.body().len());
        }
    }
    assert!(seen <= total);
}

#[test]
fn fuzz_batch_bytes() {
    check!().with_iterations(20_000).for_each(|input| read_everything(Bytes::copy_from_slice(input)));
}

/// The same behind a valid header, so that the input reaches codecs and records.
#[test]
fn fuzz_batch_section() {
    check!().with_iterations(20_000).for_each(|input| {
        let Some((&selector, section)) = input.split_first() else { return };
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(0, None, None, &[]).unwrap();
        builder.cover(i32::from(selector)).unwrap();
        let mut bytes = builder.seal(Codec::None.into(), &mut Compressor::new()).unwrap()[..61].to_vec();
        bytes.extend_from_slice(section);
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[22] = selector & 0b111;
        bytes[60] = selector >> 3;
        if let Ok(batch) = RecordBatch::parse(bytes.into()) {
            read_everything(batch.bytes().clone());
        }
    });
}
