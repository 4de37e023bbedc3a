//! Where a sync starts: committed offsets, lost positions, groups in use.

use kanat_client::{NewTopic, UnknownTopic};
use kanat_sync::engine::OnExpiredOffsets;
use kanat_sync::state::State;
use serde_json::json;

use super::job::{Job, code, data_files};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sync_reads_only_what_is_new() {
    let mut job = Job::new(2).await;
    job.produce(0, &[r#"{"id":1}"#, r#"{"id":2}"#]).await;
    assert_eq!(job.sync().await.unwrap().rows, 2);
    let nothing = job.sync().await.unwrap();
    assert_eq!((nothing.rows, nothing.files), (0, 0));
    job.produce(0, &[r#"{"id":3}"#]).await;
    job.produce(1, &[r#"{"id":4}"#]).await;
    assert_eq!(job.sync().await.unwrap().rows, 2);
    assert_eq!(job.column("id"), [json!(1), json!(2), json!(3), json!(4)]);
    assert_eq!((job.committed(0).await, job.committed(1).await), (Some(3), Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_middle_of_a_batch_is_a_position_too() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]).await;
    job.commit(0, 1).await;
    assert_eq!(job.sync().await.unwrap().rows, 2);
    assert_eq!(job.column("id"), [json!(2), json!(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_group_is_in_the_state_file_and_continues_from_there() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    let mut plan = job.plan().await;
    plan.source.consumer_group_id = None;
    let (_handle, token) = kanat_sync::engine::shutdown_channel();
    let report = kanat_sync::engine::sync(plan.clone(), Default::default(), token.clone()).await.unwrap();
    assert!(report.consumer_group_id.starts_with("olake-consumer-group-"), "{}", report.consumer_group_id);

    let (state, _) = State::load(&job.state_path()).unwrap();
    assert_eq!(state.consumer_group_id.as_ref(), Some(&report.consumer_group_id));
    assert_eq!(state.streams, ["topics.orders"]);
    plan.state = state;
    let again = kanat_sync::engine::sync(plan, Default::default(), token).await.unwrap();
    assert_eq!((again.rows, again.consumer_group_id), (0, report.consumer_group_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_positions_ask_a_person() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#]).await;
    job.discover().await;
    job.commit(0, 9).await;
    assert_eq!(code(&job.sync().await), "KN-1206");

    job.commit(0, 1).await;
    let partition = job.client.partition_client("orders", 0, UnknownTopic::Error).await.unwrap();
    partition.delete_records(2, 5_000).await.unwrap();
    let expired = job.sync().await;
    assert_eq!((code(&expired), expired.unwrap_err().exit_code()), ("KN-1204".to_owned(), 3));
    assert!(data_files(job.folder.path()).is_empty());

    job.options.on_expired_offsets = OnExpiredOffsets::Earliest;
    let report = job.sync().await.unwrap();
    assert_eq!((report.rows, report.expired_records), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_topic_is_not_the_old_one() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    job.sync().await.unwrap();
    job.client.admin().delete_topics(&["orders"]).await.unwrap();
    job.client.admin().create_topic(&NewTopic::new("orders", 1)).await.unwrap();
    job.produce(0, &[r#"{"id":2}"#, r#"{"id":3}"#]).await;
    let result = job.sync().await;
    // A broker drops a deleted topic's offsets; where it does, this is a new topic to the group as well.
    match code(&result).as_str() {
        "KN-1205" => assert_eq!(job.column("id"), [json!(1)]),
        _ => assert_eq!(result.unwrap().rows, 2),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_named() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    job.discover().await;
    job.client.admin().delete_topics(&["orders"]).await.unwrap();
    let result = job.sync().await;
    assert_eq!(code(&result), "KN-1202");
    assert!(result.unwrap_err().to_string().contains("topic orders"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_syncs_of_one_group_do_not_meet() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":1}"#]).await;
    job.options.follow = true;
    let (progress, handle, running) = job.start().await;
    super::job::within("the first record", async {
        while progress.offsets_done() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    job.options.follow = false;
    let second = job.sync().await;
    assert_eq!(code(&second), "KN-1302");
    assert!(second.unwrap_err().to_string().contains("test-group"), "names the group");
    handle.shutdown();
    running.await.unwrap().unwrap();
}
