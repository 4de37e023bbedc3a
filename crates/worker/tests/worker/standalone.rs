//! Files to Kafka and back, with everything that can happen to connectors on the way.

use kanat_client::{TopicPartition, UnknownTopic};
use serde_json::json;

use crate::support::{Worker, client, until, until_file};

const SOURCE: &str = "FileStreamSource";
const SINK: &str = "FileStreamSink";

#[tokio::test]
async fn lines_go_to_kafka_and_back() {
    let worker = Worker::start(&[]).await;
    let (input, output) = (worker.path("in"), worker.path("out"));
    std::fs::write(&input, "one\ntwo\n").unwrap();
    worker.create("source", SOURCE, json!({ "file": input, "topic": "lines" })).await;
    worker.create("sink", SINK, json!({ "file": output, "topics": "lines", "tasks.max": 2 })).await;
    until_file(&output, "one\ntwo\n").await;
    worker.until_state("source", "RUNNING", &["RUNNING"]).await;
    worker.until_state("sink", "RUNNING", &["RUNNING", "RUNNING"]).await;

    // Paused, nothing moves; resumed, nothing is missing.
    for connector in ["source", "sink"] {
        assert_eq!(worker.request("PUT", &format!("/connectors/{connector}/pause"), None).await.status, 202);
    }
    worker.until_state("source", "PAUSED", &["PAUSED"]).await;
    worker.until_state("sink", "PAUSED", &["PAUSED", "PAUSED"]).await;
    std::fs::write(&input, "one\ntwo\nthree\n").unwrap();
    for connector in ["source", "sink"] {
        assert_eq!(worker.request("PUT", &format!("/connectors/{connector}/resume"), None).await.status, 202);
    }
    until_file(&output, "one\ntwo\nthree\n").await;

    let offsets = until("offsets", async || {
        let offsets = worker.get("/connectors/source/offsets").await.json;
        (offsets["offsets"][0]["offset"]["position"] == 14).then_some(offsets)
    });
    assert_eq!(offsets.await["offsets"][0]["partition"]["filename"], input.to_str().unwrap());
    until("offsets of the sink", async || {
        let offsets = worker.get("/connectors/sink/offsets").await.json;
        (offsets["offsets"][0]["offset"]["kafka_offset"] == 3).then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_restarted_worker_goes_on_where_it_was() {
    let mut worker = Worker::start(&[]).await;
    let (input, output) = (worker.path("in"), worker.path("out"));
    std::fs::write(&input, "one\ntwo\n").unwrap();
    for round in ["one\ntwo\n", "one\ntwo\nthree\n"] {
        std::fs::write(&input, round).unwrap();
        worker.create("source", SOURCE, json!({ "file": input, "topic": "lines" })).await;
        worker.create("sink", SINK, json!({ "file": output, "topics": "lines" })).await;
        // A clean stop doubles nothing.
        until_file(&output, round).await;
        worker.restart().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn the_offsets_of_a_stopped_connector_can_be_set() {
    let worker = Worker::start(&[]).await;
    let (input, output) = (worker.path("in"), worker.path("out"));
    std::fs::write(&input, "one\ntwo\n").unwrap();
    worker.create("sink", SINK, json!({ "file": output, "topics": "lines" })).await;
    worker.create("source", SOURCE, json!({ "file": input, "topic": "lines" })).await;
    until_file(&output, "one\ntwo\n").await;

    for connector in ["source", "sink"] {
        assert_eq!(worker.request("PUT", &format!("/connectors/{connector}/stop"), None).await.status, 204);
        worker.until_state(connector, "STOPPED", &[]).await;
    }
    let offsets = json!({ "offsets": [{ "partition": { "filename": input }, "offset": { "position": 4 } }] });
    let answer = worker.request("PATCH", "/connectors/source/offsets", Some(offsets)).await;
    assert_eq!(answer.json["message"], "The offsets for this connector have been altered successfully");
    let partition = json!({ "kafka_topic": "lines", "kafka_partition": 0 });
    let offsets = json!({ "offsets": [{ "partition": partition, "offset": { "kafka_offset": "1" } }] });
    let answer = worker.request("PATCH", "/connectors/sink/offsets", Some(offsets)).await;
    assert_eq!(
        (answer.status, answer.json["message"].as_str().map(|text| text.len() > 10)),
        (200, Some(true)),
        "{answer:?}"
    );
    for connector in ["source", "sink"] {
        assert_eq!(worker.request("PUT", &format!("/connectors/{connector}/resume"), None).await.status, 202);
    }
    // The second line again by both: once by the sink's offset, once by the source's.
    until_file(&output, "one\ntwo\ntwo\ntwo\n").await;

    assert_eq!(worker.request("PUT", "/connectors/sink/stop", None).await.status, 204);
    worker.until_state("sink", "STOPPED", &[]).await;
    let reset = until("reset", async || {
        let answer = worker.request("DELETE", "/connectors/sink/offsets", None).await;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(reset.await.json["message"], "The offsets for this connector have been reset successfully");
    assert_eq!(worker.get("/connectors/sink/offsets").await.json, json!({ "offsets": [] }));
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_task_says_why_and_can_be_restarted() {
    let worker = Worker::start(&[]).await;
    let folder = worker.path("missing");
    let output = folder.join("out");
    worker.create("sink", SINK, json!({ "file": output, "topics": "lines" })).await;
    let status = worker.until_state("sink", "RUNNING", &["FAILED"]).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert!(trace.contains("Couldn't find or create file"), "{trace}");
    std::fs::create_dir(&folder).unwrap();
    let restart = worker.request("POST", "/connectors/sink/restart?includeTasks=true&onlyFailed=true", None).await;
    assert_eq!((restart.status, &restart.json["tasks"][0]["state"]), (202, &json!("RESTARTING")));
    worker.until_state("sink", "RUNNING", &["RUNNING"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn poison_records_go_to_the_dead_letters() {
    let worker = Worker::start(&[]).await;
    let (input, output) = (worker.path("in"), worker.path("out"));
    std::fs::write(&input, "{\"a\":1}\nnot json\n{\"a\":2}\n").unwrap();
    worker.create("source", SOURCE, json!({ "file": input, "topic": "lines" })).await;
    let sink = json!({
        "file": output,
        "topics": "lines",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": "dead",
        "errors.deadletterqueue.topic.replication.factor": "1",
        "errors.deadletterqueue.context.headers.enable": "true",
    });
    worker.create("sink", SINK, sink.clone()).await;
    until_file(&output, "{a=1}\n{a=2}\n").await;

    let kafka = client(&worker.broker).await;
    let reader = kafka.partition_client("dead", 0, UnknownTopic::Retry).await.unwrap();
    let dead = until("a dead letter", async || {
        let (records, _) = reader.fetch_records(0, 1..1_000_000, 100).await.unwrap();
        records.first().cloned()
    });
    let dead = dead.await.record;
    assert_eq!(dead.value.as_deref(), Some(&b"not json"[..]));
    let header = |name: &str| {
        let found = dead.headers.iter().find(|(key, _)| key == name.as_bytes());
        found.and_then(|(_, value)| String::from_utf8(value.as_ref()?.to_vec()).ok()).unwrap_or_default()
    };
    assert_eq!(header("__connect.errors.topic"), "lines");
    assert_eq!(header("__connect.errors.offset"), "1");
    assert_eq!(header("__connect.errors.connector.name"), "sink");
    assert_eq!(header("__connect.errors.stage"), "VALUE_CONVERTER");
    assert_eq!(header("__connect.errors.class.name"), "org.apache.kafka.connect.json.JsonConverter");
    assert_eq!(header("__connect.errors.exception.class.name"), "org.apache.kafka.connect.errors.DataException");

    // Without tolerance the task ends, and its offset stays before the record.
    let mut strict = sink;
    strict["errors.tolerance"] = json!("none");
    worker.create("strict", SINK, strict).await;
    let status = worker.until_state("strict", "RUNNING", &["FAILED"]).await;
    assert!(status["tasks"][0]["trace"].as_str().unwrap().contains("Tolerance exceeded in error handler"));
    let committed = kafka.group("connect-strict").committed(&[TopicPartition::new("lines", 0)]).await.unwrap();
    assert!(committed.is_empty(), "{committed:?}");
    worker.stop().await;
}
