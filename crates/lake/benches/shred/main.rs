//! Records per second of the JSON paths: shredding, the raw layout, inference; parsing alone by others for comparison.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use kanat_bench::Shape;
use kanat_lake::infer::Inference;
use kanat_lake::raw::RawWriter;
use kanat_lake::shred::{ShredOptions, Shredder};

/// OLake's flush batch.
const CHUNK_RECORDS: u64 = 10_000;

/// Of the published figures.
const SEED: u64 = 1;

fn bench_shape(c: &mut Criterion, name: &str, shape: Shape) {
    let record = |number| {
        let mut record = Vec::new();
        shape.write(SEED, number, &mut record);
        record
    };
    let records: Vec<Vec<u8>> = (0..CHUNK_RECORDS).map(record).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(CHUNK_RECORDS));
    bench_ours(&mut group, &records);
    bench_others(&mut group, &records);
    group.finish();
}

fn bench_ours(group: &mut BenchmarkGroup<'_, WallTime>, records: &[&[u8]]) {
    let mut shredder = Shredder::new(ShredOptions::default()).expect("an empty schema is no error");
    group.bench_function("shred", |b| b.iter(|| shredder.shred_chunk(black_box(records)).map(|chunk| chunk.rows)));

    let mut writer = RawWriter::new(&["_kafka_key", "_kafka_offset", "_kafka_partition", "_kafka_timestamp"]);
    let extras: [&[u8]; 4] = [b"\"\"", b"123456", b"3", b"\"2023-11-14T22:13:35.777Z\""];
    let mut out = Vec::new();
    group.bench_function("raw", |b| {
        b.iter(|| {
            out.clear();
            for record in records {
                black_box(writer.write(record, &extras, &mut out)).ok();
            }
            out.len()
        });
    });
    group.bench_function("infer", |b| {
        b.iter(|| {
            let mut inference = Inference::new(1000);
            for record in records {
                black_box(inference.observe(record)).ok();
            }
            inference.records()
        });
    });
}

/// A tree of values, and nothing done with it.
fn bench_others(group: &mut BenchmarkGroup<'_, WallTime>, records: &[&[u8]]) {
    group.bench_function("sonic-rs value", |b| {
        b.iter(|| records.iter().filter(|record| sonic_rs::from_slice::<sonic_rs::Value>(record).is_ok()).count());
    });
    group.bench_function("serde_json value", |b| {
        b.iter(|| records.iter().filter(|record| serde_json::from_slice::<serde_json::Value>(record).is_ok()).count());
    });
    group.bench_function("simdutf8 only", |b| {
        b.iter(|| records.iter().filter(|record| simdutf8::basic::from_utf8(record).is_ok()).count());
    });
}

fn shapes(c: &mut Criterion) {
    bench_shape(c, "flat10", Shape::Flat10);
    bench_shape(c, "taxi29", Shape::Taxi29);
    bench_shape(c, "small", Shape::Small);
}

criterion_group!(benches, shapes);
criterion_main!(benches);
