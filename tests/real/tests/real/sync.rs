//! Whole topics into tables: every record that Kafka's own consumer sees is a row, once.

use std::time::Duration;

use kanat_bench::Shape;
use kanat_tests::{Contents, Job, Kafka, Layout};

const FILE_SIZE_MB: f64 = 512.0;

fn contents(count: u64, partitions: u32, options: &[&'static str]) -> Contents {
    Contents { shape: Shape::Flat10, count, partitions, options: options.to_vec() }
}

/// Loads a topic and syncs it once. The table lives as long as the job.
fn synced(topic: &str, contents: &Contents, layout: Layout) -> Job {
    let kafka = Kafka::shared();
    kafka.load(topic, contents);
    let job = Job::new(kafka, topic, layout, FILE_SIZE_MB);
    job.sync();
    job.table().assert_holds(&kafka.offsets_file(topic), &[]);
    job
}

/// The sum of a column over the records that were produced, to compare with the table's.
fn sum_of_numbers(count: u64) -> u64 {
    count * (count - 1) / 2
}

#[test]
fn four_partitions_normalized() {
    let contents = contents(200_000, 4, &["--codec", "zstd"]);
    let job = synced("sync-four", &contents, Layout::Normalized);
    let table = job.table();
    table.assert_ids(200_000);
    // Line i went to partition i mod 4 at offset i div 4 with the time 1700000000000 + i.
    let wrong = "id != _kafka_offset * 4 + _kafka_partition
        OR _kafka_timestamp != make_timestamptz((1700000000000 + id) * 1000)
        OR _cdc_timestamp != _kafka_timestamp
        OR _op_type != 'c'
        OR _olake_id != md5(_kafka_offset || '|' || _kafka_partition || '|')
        OR city IS NULL OR created_at IS NULL OR amount IS NULL";
    assert!(
        table.query(&format!("SELECT * FROM t WHERE {wrong} LIMIT 3")).is_empty(),
        "rows differ from their records"
    );
    let schema = table.query("SELECT column_name, column_type FROM (DESCRIBE t) ORDER BY 1");
    let types: Vec<String> = schema
        .iter()
        .map(|column| {
            format!("{} {}", column["column_name"].as_str().unwrap(), column["column_type"].as_str().unwrap())
        })
        .collect();
    assert_eq!(types, COLUMNS_OF_FLAT10);
}

const COLUMNS_OF_FLAT10: [&str; 18] = [
    "_cdc_timestamp TIMESTAMP WITH TIME ZONE",
    "_kafka_key VARCHAR",
    "_kafka_offset BIGINT",
    "_kafka_partition INTEGER",
    "_kafka_timestamp TIMESTAMP WITH TIME ZONE",
    "_olake_id VARCHAR",
    "_olake_timestamp TIMESTAMP WITH TIME ZONE",
    "_op_type VARCHAR",
    "active BOOLEAN",
    "amount DOUBLE",
    "city VARCHAR",
    "created_at TIMESTAMP WITH TIME ZONE",
    "id BIGINT",
    "name VARCHAR",
    "qty BIGINT",
    "ratio DOUBLE",
    "status VARCHAR",
    "user_id BIGINT",
];

#[test]
fn four_partitions_raw() {
    let job = synced("sync-raw", &contents(100_000, 4, &["--codec", "lz4"]), Layout::Raw);
    let table = job.table();
    table.assert_ids(100_000);
    let sums = table.query("SELECT sum(CAST(data->>'id' AS BIGINT))::BIGINT AS ids FROM t");
    assert_eq!(sums[0]["ids"], sum_of_numbers(100_000));
}

/// Memory must not grow with the number of partitions.
#[test]
fn sixty_four_partitions_in_little_memory() {
    let kafka = Kafka::shared();
    let topic = "sync-wide";
    kafka.load(topic, &contents(600_000, 64, &["--codec", "snappy"]));
    let job = Job::new(kafka, topic, Layout::Normalized, FILE_SIZE_MB);
    let cost = job.sync_measured();
    job.table().assert_holds(&kafka.offsets_file(topic), &[]);
    job.table().assert_ids(600_000);
    assert!(cost.peak_rss_mb <= 256.0, "{cost:?}");
}

/// Markers take offsets but are no records, and aborted records must not become rows. The group ends where the log ends, so
/// that an operator sees no lag and the next run has nothing to do.
#[test]
fn a_transactional_topic() {
    let kafka = Kafka::shared();
    let topic = "sync-transactions";
    kafka.load(topic, &contents(60_000, 4, &["--codec", "lz4", "--transactions", "2500", "3"]));
    let job = Job::new(kafka, topic, Layout::Normalized, FILE_SIZE_MB);
    job.sync();
    job.table().assert_holds(&kafka.offsets_file(topic), &[]);
    job.table().assert_ids(60_000);
    let lag = kafka.java("Lag", &[job.group(), topic]);
    assert_eq!(lag.lines().count(), 4, "{lag}");
    for line in lag.lines() {
        let figures: Vec<&str> = line.split(' ').collect();
        assert_eq!(figures[1], figures[2], "partition {} is committed up to its end", figures[0]);
    }
}

/// A job of three records is all fixed cost; there must be no wait in it.
#[test]
fn three_records_take_no_time() {
    let kafka = Kafka::shared();
    kafka.load("sync-three", &contents(3, 1, &[]));
    let job = Job::new(kafka, "sync-three", Layout::Normalized, FILE_SIZE_MB);
    let cost = job.sync_measured();
    job.table().assert_ids(3);
    assert!(cost.wall < Duration::from_millis(1000), "{cost:?}");
}

/// After compaction most offsets are missing, at the end of a partition too.
#[test]
fn a_compacted_topic() {
    let kafka = Kafka::shared();
    let topic = "sync-compacted";
    kafka.load(topic, &contents(60_000, 4, &["--compact", "3000"]));
    for layout in [Layout::Normalized, Layout::Raw] {
        let job = Job::new(kafka, topic, layout, FILE_SIZE_MB);
        job.sync();
        job.table().assert_holds(&kafka.offsets_file(topic), &["id != _kafka_offset * 4 + _kafka_partition"]);
    }
}

/// The second run finds nothing new and writes nothing; records that come later are added once.
#[test]
fn a_second_run_adds_only_what_is_new() {
    let kafka = Kafka::shared();
    let topic = "sync-again";
    kafka.load(topic, &contents(10_000, 4, &[]));
    let job = Job::new(kafka, topic, Layout::Normalized, FILE_SIZE_MB);
    job.sync();
    let files = job.table().file_count();
    job.sync();
    assert_eq!(job.table().file_count(), files, "a run without new records writes no file");
    kafka.append(topic, &contents(5_000, 4, &[]));
    job.sync();
    job.table().assert_holds(&kafka.offsets_file(topic), &[]);
}
