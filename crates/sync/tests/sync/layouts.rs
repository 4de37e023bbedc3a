//! What rows look like in both layouts.

use serde_json::{Value, json};

use super::job::{Job, TIMESTAMP_MS, data_files, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_normalized_row_has_the_payload_and_where_it_came_from() {
    let mut job = Job::new(1).await;
    let value = br#"{"id":7,"price":1.5,"name":"ada","ok":true,"at":"2024-01-02T03:04:05.678Z","tags":["a<b"]}"#;
    job.produce_records(0, vec![record(Some(br#"{"b":1,"a":"x"}"#), Some(value))]).await;
    let report = job.sync().await.unwrap();
    assert_eq!((report.rows, report.bad_records, report.files), (1, 0, 1));

    let mut rows = job.rows();
    let row = &mut rows[0];
    let made_at = row.remove("_olake_timestamp").unwrap().as_i64().unwrap();
    assert!(made_at > 1_700_000_000_000_000, "microseconds of today, not {made_at}");
    let expected = json!({
        "id": 7, "price": 1.5, "name": "ada", "ok": true, "at": 1_704_164_645_678_000_i64,
        "tags": r#"["a\u003cb"]"#,
        "_kafka_key": r#"{"a":"x","b":1}"#, "_kafka_offset": 0, "_kafka_partition": 0,
        "_kafka_timestamp": TIMESTAMP_MS * 1000, "_cdc_timestamp": TIMESTAMP_MS * 1000,
        "_olake_id": "6c17f4344e1e5225410940db98b328f0", "_op_type": "c",
    });
    assert_eq!(Value::Object(row.clone()), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_row_is_the_whole_record_with_its_kafka_columns() {
    let mut job = Job::new(1).await;
    job.normalization = false;
    let records = vec![
        record(None, Some(br#"{"z":1.50,"a":"<x>"}"#)),
        record(Some(b""), Some(br#"{"_kafka_offset":"mine"}"#)),
        record(Some(b"\xff\xfe"), Some(b"{}")),
    ];
    job.produce_records(0, records).await;
    job.sync().await.unwrap();

    let mut data: Vec<String> = job.column("data").iter().map(|data| data.as_str().unwrap().to_owned()).collect();
    data.sort();
    let place = |offset: i64| {
        format!(r#""_kafka_offset":{offset},{{}}"_kafka_partition":0,"_kafka_timestamp":"2023-11-14T22:13:20.123Z""#)
    };
    let mut expected = vec![
        format!(r#"{{"_kafka_key":null,{},"a":"\u003cx\u003e","z":1.50}}"#, place(0).replace("{}", "")),
        format!(r#"{{"_kafka_key":"",{}}}"#, place(1).replace("{}", r#""_kafka_offset_2":"mine","#)),
        format!(r#"{{"_kafka_key":"��","_kafka_key_hex":"fffe",{}}}"#, place(2).replace("{}", "")),
    ];
    expected.sort();
    assert_eq!(data, expected);
    let row = &job.rows()[0];
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    assert_eq!(names, ["_cdc_timestamp", "_olake_id", "_olake_timestamp", "_op_type", "data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_key_is_null_and_a_binary_key_keeps_its_bytes() {
    let mut job = Job::new(1).await;
    let keys: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"k"), Some(b"\xff\xfe")];
    job.produce_records(0, keys.map(|key| record(key, Some(b"{}"))).to_vec()).await;
    job.sync().await.unwrap();
    assert_eq!(job.column("_kafka_key"), [Value::Null, json!(""), json!("k"), json!("\u{fffd}\u{fffd}")]);
    assert_eq!(job.column("_kafka_key_bytes"), [Value::Null, Value::Null, Value::Null, json!("fffe")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_change_after_discovery_widen_from_file_to_file() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"a":1}"#]).await;
    job.discover().await;
    job.options.chunk_records = 1;
    job.produce(0, &[r#"{"a":2.5}"#, r#"{"a":3,"B":1e400}"#, r#"{"a":"x"}"#]).await;
    job.sync().await.unwrap();
    assert_eq!(job.column("a"), [json!(1), json!(2.5), json!(3.0), json!("x")]);
    assert_eq!(job.column("b"), [Value::Null, Value::Null, json!("1e400"), Value::Null]);
    assert_eq!(data_files(&job.table()).len(), 4, "one file for each schema");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colliding_names_lose_no_value() {
    let mut job = Job::new(1).await;
    job.produce(0, &[r#"{"a b":7,"a_b":8,"A_B":9,"a$b":18,"_kafka_offset":"mine","_op_type":"d"}"#]).await;
    job.sync().await.unwrap();
    let row = &job.rows()[0];
    let mut values: Vec<i64> =
        row.iter().filter(|(name, _)| name.starts_with("a_b")).map(|(_, value)| value.as_i64().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, [7, 8, 9, 18]);
    assert_eq!((&row["_kafka_offset"], &row["_op_type"]), (&json!(0), &json!("c")));
    assert_eq!((&row["_kafka_offset_2"], &row["_op_type_2"]), (&json!("mine"), &json!("d")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_to_the_folders_of_the_partition_regex_in_both_layouts() {
    for normalization in [true, false] {
        let mut job = Job::new(1).await;
        job.normalization = normalization;
        job.partition_regex = "/city={City,nowhere,}/{at,,YYYY}".to_owned();
        job.produce(0, &[r#"{"City":"Oslo","at":"2024-05-06"}"#, r#"{"City":"..","at":"2023-01-01"}"#, r#"{"x":1}"#])
            .await;
        job.sync().await.unwrap();
        let table = job.table();
        let mut folders: Vec<String> = data_files(&table)
            .iter()
            .map(|file| file.parent().unwrap().strip_prefix(&table).unwrap().display().to_string())
            .collect();
        folders.sort();
        assert_eq!(folders, ["city=../2023", "city=Oslo/2024", "city=nowhere/default_at"], "{normalization}");
        assert_eq!(job.rows().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_drops_rows_and_nothing_else() {
    let mut job = Job::new(1).await;
    job.filter_config = Some(json!({"logical_operator": "And", "conditions": [
        {"column": "Qty", "operator": ">=", "value": 2}]}));
    job.produce(0, &[r#"{"Qty":1}"#, r#"{"Qty":2}"#, r#"{"Qty":3}"#, r#"{}"#]).await;
    let report = job.sync().await.unwrap();
    assert_eq!((report.rows, report.bad_records), (2, 0));
    assert_eq!(job.column("qty"), [json!(2), json!(3)]);
    assert_eq!(job.committed(0).await, Some(4));
}
