//! Transaction markers, aborted records and compacted gaps: the end of a sync is a position.

use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord};
use kanat_protocol::compression::{Compression, Compressor};
use serde_json::json;

use super::job::{Job, TIMESTAMP_MS};

/// A transactional batch of one producer.
fn transactional(producer_id: i64, sequence: i32, values: &[&str]) -> bytes::Bytes {
    let options = BatchOptions {
        producer_id,
        producer_epoch: 0,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(TIMESTAMP_MS, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()
}

async fn append(job: &Job, producer_id: i64, sequence: i32, values: &[&str]) {
    job.broker.append_batches("orders", 0, transactional(producer_id, sequence, values)).await.unwrap();
}

async fn finish(job: &Job, producer_id: i64, control: ControlRecord) {
    job.broker.append_control("orders", 0, producer_id, 0, control).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_records_arrive_aborted_ones_do_not_and_markers_are_passed() {
    let mut job = Job::new(1).await;
    append(&job, 1, 0, &[r#"{"id":1}"#]).await;
    append(&job, 2, 0, &[r#"{"id":-1}"#, r#"{"id":-2}"#]).await;
    append(&job, 1, 1, &[r#"{"id":2}"#]).await;
    finish(&job, 2, ControlRecord::Abort { coordinator_epoch: 0 }).await;
    finish(&job, 1, ControlRecord::Commit { coordinator_epoch: 0 }).await;
    let report = job.sync().await.unwrap();
    assert_eq!(job.column("id"), [json!(1), json!(2)]);
    assert_eq!((report.rows, report.bad_records), (2, 0));
    assert_eq!(job.committed(0).await, Some(6), "the marker at the end counts");
    let again = job.sync().await.unwrap();
    assert_eq!((again.rows, again.files), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_waits_for_its_outcome() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    append(&job, 1, 0, &[r#"{"id":2}"#]).await;
    assert_eq!(job.sync().await.unwrap().rows, 1);
    assert_eq!(job.committed(0).await, Some(1));
    finish(&job, 1, ControlRecord::Commit { coordinator_epoch: 0 }).await;
    assert_eq!(job.sync().await.unwrap().rows, 1);
    assert_eq!(job.column("id"), [json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_aborted_records_only_moves_the_position() {
    let mut job = Job::new(1).await;
    append(&job, 1, 0, &[r#"{"id":1}"#]).await;
    finish(&job, 1, ControlRecord::Abort { coordinator_epoch: 0 }).await;
    let report = job.sync().await.unwrap();
    assert_eq!((report.rows, report.files), (0, 0));
    assert_eq!(job.committed(0).await, Some(2));
}
