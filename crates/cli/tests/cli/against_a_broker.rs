//! OLake's verbs from topic to table, with the embedded broker.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Dev, Project, command, interrupt, kanat_with_input, rows, wait};

const SYNC: [&str; 9] = [
    "sync",
    "--config",
    "source.json",
    "--catalog",
    "streams.json",
    "--destination",
    "destination.json",
    "--state",
    "state.json",
];

fn produce(project: &Project, dev: &Dev, topic: &str, lines: impl IntoIterator<Item = String>) {
    let input: String = lines.into_iter().map(|line| line + "\n").collect();
    kanat_with_input(project.path(), &["produce", topic, "-b", &dev.bootstrap], &input).ok();
}

/// A broker with topic `orders` of four partitions and 100 records, and the files to sync it.
fn shop(keys: Value) -> (Dev, Project) {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let project = Project::new(&dev.bootstrap, keys);
    project.run(&["topic", "create", "orders", "--partitions", "4", "-b", &dev.bootstrap]).ok();
    produce(&project, &dev, "orders", (0..100).map(|id| format!(r#"{{"id":{id},"City Name":"Porto"}}"#)));
    (dev, project)
}

/// Turns on one column per field in the catalog file.
fn normalize(project: &Project) {
    let mut catalog = project.read("streams.json");
    catalog["selected_streams"]["topics"][0]["normalization"] = json!(true);
    project.write("streams.json", &catalog.to_string());
}

#[test]
fn check_discover_sync_and_sync_again() {
    let (dev, project) = shop(json!({}));
    let status =
        project.run(&["check", "--config", "source.json"]).ok().message("CONNECTION_STATUS", "connectionStatus");
    assert_eq!(status, json!({"status": "SUCCEEDED"}));

    let discovered = project.run(&["discover", "--config", "source.json"]).ok().message("CATALOG", "catalog");
    assert_eq!(project.read("streams.json"), discovered);
    let stream = &discovered["streams"][0]["stream"];
    assert_eq!((&stream["name"], &stream["destination_table"]), (&json!("orders"), &json!("orders")));
    let column = &stream["type_schema"]["properties"]["City Name"];
    assert_eq!(column, &json!({"type": ["string"], "destination_column_name": "city_name"}));
    assert!(stream["type_schema"]["properties"]["_kafka_offset"].is_object());

    normalize(&project);
    let outcome = project.run(&SYNC).ok();
    let state = outcome.message("STATE", "state");
    assert_eq!(state, project.read("state.json"));
    assert_eq!((&state["type"], &state["version"]), (&json!("STREAM"), &json!(7)));
    assert_eq!(state["global"]["streams"], json!(["topics.orders"]));
    let group = state["global"]["state"]["consumer_group_id"].as_str().unwrap();
    assert!(group.starts_with("olake-consumer-group-"), "{group}");
    assert_eq!(rows(&project.parquet_files("lake/kafka_topics/orders")), 100);
    let stats = project.read("stats.json");
    assert_eq!((&stats["Synced Records"], stats["Memory Usage Bytes"].as_u64() > Some(0)), (&json!(100), true));

    project.run(&SYNC).ok();
    assert_eq!(rows(&project.parquet_files("lake/kafka_topics/orders")), 100, "nothing is read twice");
    produce(&project, &dev, "orders", (100..110).map(|id| format!(r#"{{"id":{id},"extra":true}}"#)));
    let outcome = project.run(&SYNC).ok();
    assert_eq!(rows(&project.parquet_files("lake/kafka_topics/orders")), 110);
    assert!(outcome.stdout.contains("Total records read: 10 |"), "{}", outcome.stdout);
}

#[test]
fn bad_records_are_counted_and_kept_or_stop_the_sync() {
    let (dev, project) = shop(json!({"consumer_group": "bad-records"}));
    produce(&project, &dev, "orders", ["not json".to_owned(), "[1]".to_owned()]);
    let discovered = project.run(&["discover", "--config", "source.json"]).ok();
    assert!(discovered.stderr.contains("warning: topic orders: 2 of 102 sampled records"), "{}", discovered.stderr);
    let mut stop = SYNC.to_vec();
    stop.extend(["--on-bad-record", "stop"]);
    project.run(&stop).fails(1, "error[KN-1401]: record orders/");
    let outcome = project.run(&SYNC).ok();
    assert!(outcome.stderr.contains("warning: 2 records could not become rows"), "{}", outcome.stderr);
    assert_eq!(rows(&project.parquet_files("lake/kafka_topics/orders")), 100);
    assert_eq!(rows(&project.parquet_files("lake/kafka_topics/orders_dead_letters")), 2);
    assert_eq!(project.read("state.json")["global"]["state"]["consumer_group_id"], "bad-records");
}

#[test]
fn discovery_merges_into_the_catalog_that_is_there() {
    let (dev, project) = shop(json!({}));
    let discover = ["discover", "--config", "source.json", "--streams", "streams.json"];
    project.run(&discover).ok();
    normalize(&project);
    project.run(&["topic", "create", "late", "-b", &dev.bootstrap]).ok();
    produce(&project, &dev, "orders", [r#"{"id":"text"}"#.to_owned()]);
    let printed = project.run(&discover).ok().message("CATALOG", "catalog");
    assert_eq!(printed["selected_streams"]["topics"].as_array().unwrap().len(), 2, "printed before the merge");
    let merged = project.read("streams.json");
    let selected = merged["selected_streams"]["topics"].as_array().unwrap();
    assert_eq!((selected.len(), &selected[0]["normalization"]), (1, &json!(true)));
    assert_eq!(merged["streams"].as_array().unwrap().len(), 2);
    let orders = merged["streams"].as_array().unwrap().iter().find(|it| it["stream"]["name"] == "orders").unwrap();
    assert_eq!(orders["stream"]["type_schema"]["properties"]["id"]["type"], json!(["integer", "string"]));
}

#[test]
fn missing_topics_and_groups_in_use_are_one_sentence() {
    let (dev, project) = shop(json!({"topic_pattern": "^nothing"}));
    project
        .run(&["discover", "--config", "source.json"])
        .fails(1, "error[KN-1102]: no streams found in connector: topic_pattern ^nothing matches none of");
    project.write("streams.json", r#"{"streams":[{"stream":{"name":"absent","sync_mode":"cdc"}}]}"#);
    let sentence = format!("error[KN-1202]: topic absent does not exist on {}", dev.bootstrap);
    project.run(&SYNC).fails(1, &sentence);
}

#[test]
fn clearing_removes_the_table_and_keeps_the_group() {
    let (_dev, project) = shop(json!({}));
    project.run(&["discover", "--config", "source.json"]).ok();
    project.run(&SYNC).ok();
    assert!(!project.parquet_files("lake").is_empty());
    let mut clear = SYNC.to_vec();
    clear[0] = "clear-destination";
    let state = project.run(&clear).ok().message("STATE", "state");
    assert_eq!(project.parquet_files("lake"), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(state["global"]["streams"], json!([]));
    assert!(state["global"]["state"]["consumer_group_id"].is_string());
}

#[test]
fn following_writes_what_arrives_and_ends_on_a_signal() {
    let (dev, project) = shop(json!({}));
    project.run(&["discover", "--config", "source.json"]).ok();
    let mut args = SYNC.to_vec();
    args.extend(["--follow", "--seal-interval-ms", "100"]);
    let mut follow = command(project.path(), &args);
    let child = follow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    produce(&project, &dev, "orders", (100..150).map(|id| format!(r#"{{"id":{id}}}"#)));
    wait_for_rows(&project, 150);
    interrupt(&child);
    let outcome = wait(child, Instant::now()).ok();
    assert!(outcome.stdout.contains("Total records read: 150 |"), "{}", outcome.stdout);
    project.run(&SYNC).ok();
    assert_eq!(rows(&project.parquet_files("lake")), 150, "nothing lost, nothing twice");
}

/// Waits until the table holds `expected` rows.
fn wait_for_rows(project: &Project, expected: i64) {
    let started = Instant::now();
    while rows(&project.parquet_files("lake")) < expected {
        assert!(started.elapsed().as_secs() < 60, "the rows do not arrive");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
