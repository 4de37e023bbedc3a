//! CPU per row and bytes per row of the Parquet writer, on chunks as a sync writes them.
//!
//! Criterion measures wall time; run it on an idle machine. Bytes per row are printed beside.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::print_stdout, reason = "criterion has no column for bytes")]

mod chunks;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kanat_bench::Shape;
use kanat_lake::partition_path::PartitionRegex;
use kanat_lake::table::{Compression, FileOptions, Owner, RowFolders, TableOptions, TableWriter};

/// The allocator of the `kanat` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Chunks of one pass: several row groups.
const CHUNKS: i64 = 40;

const CODECS: [Compression; 4] =
    [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Zstd { level: 1 }];

/// Writes all chunks as one table and deletes it again. Returns its size.
fn write(folder: &Path, batches: &[RecordBatch], folders: Option<&RowFolders>, compression: Compression) -> u64 {
    let file = FileOptions { compression, ..FileOptions::default() };
    let options = TableOptions { file, ..TableOptions::default() };
    let mut writer = TableWriter::new(folder.join("table"), Owner::new("bench"), options);
    for batch in batches {
        let written = match folders {
            None => writer.write(batch),
            Some(folders) => writer.write_split(batch, folders),
        };
        written.expect("the temporary folder is writable");
    }
    let files = writer.finish_files().expect("the temporary folder is writable");
    std::fs::remove_dir_all(folder.join("table")).expect("the table was just written");
    files.iter().map(|file| file.bytes).sum()
}

fn bench_layout(c: &mut Criterion, name: &str, batches: &[RecordBatch]) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    group.throughput(Throughput::Elements(rows));
    for compression in CODECS {
        let bytes = write(folder.path(), batches, None, compression);
        println!("{name}/{compression}: {:.1} bytes per row", bytes as f64 / rows as f64);
        group.bench_function(compression.to_string(), |b| b.iter(|| write(folder.path(), batches, None, compression)));
    }
    group.finish();
}

fn layouts(c: &mut Criterion) {
    bench_layout(c, "normalized flat10", &chunks::normalized(CHUNKS, Shape::Flat10));
    bench_layout(c, "raw flat10", &chunks::raw(CHUNKS, Shape::Flat10));
    bench_layout(c, "normalized taxi29", &chunks::normalized(CHUNKS, Shape::Taxi29));
}

fn partitions(c: &mut Criterion) {
    let batches = chunks::normalized(1, Shape::Flat10);
    let batch = &batches[0];
    let rows = batch.num_rows();
    let mut group = c.benchmark_group("partition folders");
    group.throughput(Throughput::Elements(rows as u64));
    let texts = [
        ("one column", "/city={city,unknown,}"),
        ("three columns", "/dt={created_at,,YYYY}-{created_at,,MM}-{created_at,,DD}/{city,,}/{qty,,}"),
    ];
    for (name, text) in texts {
        let regex = PartitionRegex::parse(text).expect("the text is valid");
        let columns: Vec<Option<ArrayRef>> =
            regex.columns().iter().map(|name| batch.column_by_name(name).map(Arc::clone)).collect();
        group.bench_function(name, |b| b.iter(|| regex.folders(&columns, rows, 0)));
    }
    group.finish();

    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let regex = PartitionRegex::parse("/city={city,unknown,}").expect("the text is valid");
    let column = batch.column_by_name("city").map(Arc::clone);
    let folders = regex.folders(&[column], rows, 0).expect("the column is as long as the batch");
    let batches: Vec<RecordBatch> = (0..CHUNKS).map(|_| batch.clone()).collect();
    let mut group = c.benchmark_group("normalized flat10 in 16 folders");
    group.sample_size(10);
    group.throughput(Throughput::Elements((rows * batches.len()) as u64));
    group.bench_function("snappy", |b| {
        b.iter(|| write(folder.path(), &batches, Some(&folders), Compression::Snappy));
    });
    group.finish();
}

criterion_group!(benches, layouts, partitions);
criterion_main!(benches);
