//! Syncs that go on, that are asked to end, and that are large for their bounds.

use std::time::Duration;

use serde_json::json;

use super::job::{Job, code, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_seals_by_interval_and_ends_when_asked() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    job.options.follow = true;
    job.options.seal_interval = Some(Duration::from_millis(20));
    let (progress, handle, running) = job.start().await;
    for id in 2..5 {
        // Each row is a file of its own: nothing else arrives between two seals.
        within("a seal of every row so far", async {
            while progress.rows() < id - 1 || progress.files() < id - 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        job.produce(0, &[&json!({"id": id}).to_string()]).await;
    }
    within("the last row", async {
        while progress.rows() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    handle.shutdown();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.rows, 4);
    assert_eq!(job.column("id"), [json!(1), json!(2), json!(3), json!(4)]);
    assert_eq!(job.committed(0).await, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_added_while_following_are_read_from_their_start() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    job.options.follow = true;
    job.options.partition_check_interval = Duration::from_millis(5);
    let (progress, handle, running) = job.start().await;
    within("the first record", async {
        while progress.offsets_done() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    job.client.admin().create_partitions("orders", 2).await.unwrap();
    job.produce(1, &[r#"{"id":2}"#]).await;
    within("the record of the new partition", async {
        while progress.offsets_done() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    handle.shutdown();
    running.await.unwrap().unwrap();
    assert_eq!(job.column("id"), [json!(1), json!(2)]);
    assert_eq!(job.committed(1).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_sync_keeps_what_it_read_and_the_next_one_goes_on() {
    let mut job = Job::new(1).await;
    job.options.follow = true;
    job.produce(0, &[r#"{"id":1}"#]).await;
    let (progress, handle, running) = job.start().await;
    within("the first record", async {
        while progress.offsets_done() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    handle.shutdown();
    assert_eq!(running.await.unwrap().unwrap().rows, 1);

    job.options.follow = false;
    job.produce(0, &[r#"{"id":2}"#]).await;
    let plan = job.plan().await;
    let (handle, token) = kanat_sync::engine::shutdown_channel();
    handle.shutdown();
    let cancelled = within("sync", kanat_sync::engine::sync(plan, Default::default(), token)).await;
    assert_eq!(code(&cancelled), "KN-1402");
    job.sync().await.unwrap();
    assert_eq!(job.column("id"), [json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_and_small_files_lose_and_double_nothing() {
    let mut job = Job::new(64).await;
    job.max_file_size_mb = 0.01;
    job.options.chunk_records = 100;
    job.options.memory_bytes_max = 256 << 10;
    let mut expected = Vec::new();
    for partition in 0..64 {
        let values: Vec<String> = (0..50)
            .map(|index| json!({"id": partition * 50 + index, "pad": format!("{index:0>64}")}).to_string())
            .collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        job.produce(partition, &values).await;
        expected.extend((0..50).map(|offset| (i64::from(partition), i64::from(offset))));
    }
    let report = job.sync().await.unwrap();
    assert_eq!(report.rows, 3_200);
    assert!(report.files > 2, "small files were sealed along the way, not {}", report.files);
    let places: Vec<(i64, i64)> = job
        .rows()
        .iter()
        .map(|row| (row["_kafka_partition"].as_i64().unwrap(), row["_kafka_offset"].as_i64().unwrap()))
        .collect();
    assert_eq!(places, expected);
}
