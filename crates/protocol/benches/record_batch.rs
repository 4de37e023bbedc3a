//! Encoding and decoding of record batches: ours beside the codecs of kafka-protocol and rskafka.
//!
//! `cargo bench -p kanat-protocol --bench record_batch`. Every measurement handles one batch of [`RECORDS`] records,
//! checksum included, so the time of one element is that of one record. Encoding starts from records that are ready in
//! the form the codec wants; decoding ends when each record's offset, timestamp, key and value have been seen.
#![allow(clippy::unwrap_used, reason = "a benchmark on its own input")]

use std::hint::black_box;
use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::records as peer;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, RecordBatch};
use kanat_protocol::compression::{Codec, Compressor, Decompressor};
use rskafka::protocol::record as rs;
use rskafka::protocol::traits::{ReadType, WriteType};

const RECORDS: usize = 1_000;
const NOW: i64 = 1_700_000_000_000;
const KEY_BYTES: usize = 8;

struct Input {
    timestamp: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Records of `bytes` bytes of key and value, JSON-like, so that codecs have something to find.
fn inputs(bytes: usize) -> Vec<Input> {
    let mut rng = fastrand::Rng::with_seed(1);
    let input = |index: usize| {
        let mut value = format!("{{\"id\": {index}, \"amount\": {}, \"text\": \"", rng.u32(..)).into_bytes();
        while value.len() < bytes - KEY_BYTES - 2 {
            value.push(b"abcdefgh     eeee"[rng.usize(..17)]);
        }
        value.extend_from_slice(b"\"}");
        Input { timestamp: NOW + i64::try_from(index / 10).unwrap(), key: format!("{index:08}").into_bytes(), value }
    };
    (0..RECORDS).map(input).collect()
}

fn fill(builder: &mut BatchBuilder, inputs: &[Input]) {
    for input in inputs {
        builder.append(input.timestamp, Some(&input.key), Some(&input.value), &[]).unwrap();
    }
}

fn sealed(inputs: &[Input], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(options());
    fill(&mut builder, inputs);
    builder.seal(codec.into(), &mut Compressor::new()).unwrap()
}

fn options() -> BatchOptions {
    BatchOptions { bytes_max: 4 << 20, ..BatchOptions::default() }
}

fn encode_ours(group: &mut BenchmarkGroup<'_, WallTime>, inputs: &[Input]) {
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(options());
        let mut compressor = Compressor::new();
        group.bench_function(format!("kanat/{codec}"), |bencher| {
            bencher.iter(|| {
                fill(&mut builder, black_box(inputs));
                builder.seal(codec.into(), &mut compressor).unwrap()
            });
        });
    }
}

fn encode_kafka_protocol(group: &mut BenchmarkGroup<'_, WallTime>, inputs: &[Input]) {
    let records: Vec<_> = inputs.iter().zip(0..).map(|(input, index)| peer_record(input, index)).collect();
    let options = peer::RecordEncodeOptions { version: 2, compression: peer::Compression::None };
    group.bench_function("kafka-protocol/none", |bencher| {
        bencher.iter(|| {
            let mut buffer = BytesMut::new();
            peer::RecordBatchEncoder::encode(&mut buffer, black_box(&records), &options).unwrap();
            buffer
        });
    });
}

fn peer_record(input: &Input, index: i32) -> peer::Record {
    peer::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: peer::TimestampType::Creation,
        offset: index.into(),
        // It starts a new batch wherever the sequence does not advance with the offset.
        sequence: index,
        timestamp: input.timestamp,
        key: Some(input.key.clone().into()),
        value: Some(input.value.clone().into()),
        headers: Default::default(),
    }
}

fn encode_rskafka(group: &mut BenchmarkGroup<'_, WallTime>, inputs: &[Input]) {
    let record = |(input, index): (&Input, i32)| rs::Record {
        timestamp_delta: input.timestamp - NOW,
        offset_delta: index,
        key: Some(input.key.clone()),
        value: Some(input.value.clone()),
        headers: Vec::new(),
    };
    let batch = rs::RecordBatch {
        base_offset: 0,
        partition_leader_epoch: -1,
        last_offset_delta: i32::try_from(RECORDS).unwrap() - 1,
        first_timestamp: NOW,
        max_timestamp: NOW,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records: rs::ControlBatchOrRecords::Records(inputs.iter().zip(0..).map(record).collect()),
        compression: rs::RecordBatchCompression::NoCompression,
        is_transactional: false,
        timestamp_type: rs::RecordBatchTimestampType::CreateTime,
    };
    group.bench_function("rskafka/none", |bencher| {
        bencher.iter(|| {
            let mut buffer = Vec::new();
            black_box(&batch).write(&mut buffer).unwrap();
            buffer
        });
    });
}

fn decode_ours(group: &mut BenchmarkGroup<'_, WallTime>, inputs: &[Input]) {
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let bytes = sealed(inputs, codec);
        let mut decompressor = Decompressor::new(4 << 20);
        group.bench_function(format!("kanat/{codec}"), |bencher| {
            bencher.iter(|| {
                let batch = RecordBatch::parse(black_box(&bytes).clone()).unwrap();
                batch.verify_crc().unwrap();
                let records = batch.records(&mut decompressor).unwrap();
                for record in &records {
                    black_box(record.unwrap());
                }
            });
        });
    }
}

fn decode_peers(group: &mut BenchmarkGroup<'_, WallTime>, inputs: &[Input]) {
    let bytes = sealed(inputs, Codec::None);
    group.bench_function("kafka-protocol/none", |bencher| {
        bencher.iter(|| {
            let set = peer::RecordBatchDecoder::decode(&mut black_box(&bytes).clone()).unwrap();
            for record in &set.records {
                black_box(record);
            }
        });
    });
    group.bench_function("rskafka/none", |bencher| {
        bencher.iter(|| {
            let batch = rs::RecordBatch::read(&mut Cursor::new(black_box(&bytes))).unwrap();
            let rs::ControlBatchOrRecords::Records(records) = batch.records else { panic!("not a control batch") };
            for record in &records {
                black_box(record);
            }
        });
    });
}

fn record_batch(criterion: &mut Criterion) {
    for bytes in [100, 1_000] {
        let inputs = inputs(bytes);
        let records = u64::try_from(RECORDS).unwrap();
        let mut group = criterion.benchmark_group(format!("encode/{bytes}B"));
        group.throughput(Throughput::Elements(records));
        encode_ours(&mut group, &inputs);
        encode_kafka_protocol(&mut group, &inputs);
        encode_rskafka(&mut group, &inputs);
        group.finish();
        let mut group = criterion.benchmark_group(format!("decode/{bytes}B"));
        group.throughput(Throughput::Elements(records));
        decode_ours(&mut group, &inputs);
        decode_peers(&mut group, &inputs);
        group.finish();
    }
}

criterion_group!(benches, record_batch);
criterion_main!(benches);
