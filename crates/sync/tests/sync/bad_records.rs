//! Records that are no rows: every one ends in the dead-letter table, or ends the sync.

use kanat_sync::engine::OnBadRecord;
use serde_json::{Value, json};

use super::job::{Job, code, data_files, hex, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_bad_record_is_kept_with_its_bytes_and_reason() {
    let bad: [(&str, Option<&[u8]>); 9] = [
        ("null_value", None),
        ("empty", Some(b"")),
        ("null", Some(b"null")),
        ("not_object", Some(b"[1,2]")),
        ("not_object", Some(b"42")),
        ("not_json", Some(b"not json")),
        ("not_json", Some(b"{\"id\":6,")),
        ("not_json", Some(b"\xef\xbb\xbf{}")),
        ("not_utf8", Some(b"{\"a\":\"\xff\"}")),
    ];
    for normalization in [true, false] {
        let mut job = Job::new(1).await;
        job.normalization = normalization;
        let mut records = vec![record(None, Some(b"{\"id\":1}"))];
        records.extend(bad.iter().map(|(_, value)| record(Some(b"k"), *value)));
        records.push(record(None, Some(b"{\"id\":2}")));
        job.produce_records(0, records).await;
        let report = job.sync().await.unwrap();
        assert_eq!((report.rows, report.bad_records), (2, bad.len() as u64));
        let letters = job.dead_letters();
        assert_eq!(letters.len(), bad.len());
        for (index, (letter, (reason, value))) in letters.iter().zip(bad).enumerate() {
            assert_eq!(letter["reason"], reason, "{letter:?}");
            assert_eq!(letter["offset"], json!(index + 1));
            assert_eq!((&letter["topic"], &letter["partition"]), (&json!("orders"), &json!(0)));
            assert_eq!(letter["key"], hex(b"k"));
            assert_eq!(letter.get("value"), value.map(|value| json!(hex(value))).as_ref());
        }
        assert_eq!(job.committed(0).await, Some(11));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_the_first_json_value_is_kept_beside_its_row() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"id":3}{"id":4}"#, "  {\"id\":5}\n", "\0\0\0\0\u{1}{\"id\":17} tail"]).await;
    let report = job.sync().await.unwrap();
    assert_eq!(job.column("id"), [json!(3), json!(5), json!(17)]);
    assert_eq!((report.rows, report.bad_records), (3, 2));
    let rest: Vec<Value> = job.dead_letters().iter().map(|letter| letter["value"].clone()).collect();
    assert_eq!(rest, [json!(hex(b"{\"id\":4}")), json!(hex(b"tail"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_names_the_record_and_shows_nothing() {
    let mut job = Job::new(1).await;
    job.options.on_bad_record = OnBadRecord::Stop;
    job.produce(0, &[r#"{"id":1}"#, "oops"]).await;
    let result = job.sync().await;
    assert_eq!(code(&result), "KN-1401");
    assert!(result.unwrap_err().to_string().starts_with("record orders/0@1 cannot become a row"));
    assert!(data_files(job.folder.path()).is_empty());
    assert_eq!(job.committed(0).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_beyond_the_bound_is_kept_but_is_no_row() {
    for normalization in [true, false] {
        let mut job = Job::new(1).await;
        job.normalization = normalization;
        job.options.record_bytes_max = 20;
        let large = format!(r#"{{"id":"{}"}}"#, "x".repeat(20));
        job.produce(0, &[r#"{"id":"small"}"#, &large]).await;
        let report = job.sync().await.unwrap();
        assert_eq!((report.rows, report.bad_records), (1, 1));
        let letters = job.dead_letters();
        assert_eq!((&letters[0]["reason"], &letters[0]["value"]), (&json!("too_large"), &json!(hex(large.as_bytes()))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_nothing_but_bad_records_has_a_dead_letter_table_only() {
    let mut job = Job::new(1).await;
    job.produce(0, &["a", "b"]).await;
    let report = job.sync().await.unwrap();
    assert_eq!((report.rows, report.bad_records, report.files), (0, 2, 1));
    assert!(data_files(&job.table()).is_empty());
    assert_eq!(job.dead_letters().len(), 2);
}
