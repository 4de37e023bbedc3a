//! Verbs that need no broker: their files, flags, sentences and exit codes.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Project, kanat};

/// An address nobody listens on.
fn closed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn catalog(topics: &[(&str, bool)]) -> String {
    let selected: Vec<Value> = topics
        .iter()
        .map(|(name, normalization)| json!({"stream_name": name, "normalization": normalization}))
        .collect();
    let streams: Vec<Value> =
        topics.iter().map(|(name, _)| json!({"stream": {"name": name, "sync_mode": "strict_cdc"}})).collect();
    json!({"selected_streams": {"topics": selected}, "streams": streams}).to_string()
}

#[test]
fn spec_prints_one_message_with_schema_and_layout() {
    let folder = tempfile::tempdir().unwrap();
    for (args, key) in [
        (vec!["spec"], "bootstrap_servers"),
        (vec!["spec", "--destination-type", "parquet"], "writer"),
        (vec!["--destination-type", "PARQUET", "spec"], "writer"),
    ] {
        let spec = kanat(folder.path(), &args).ok().message("SPEC", "spec");
        assert!(spec["jsonschema"]["properties"][key].is_object());
        let layout: Value = serde_json::from_str(spec["uischema"].as_str().unwrap()).unwrap();
        assert!(layout["ui:order"].as_array().unwrap().contains(&json!(key)));
    }
    kanat(folder.path(), &["spec", "--destination-type", "iceberg"])
        .fails(1, "error[KN-1006]: command line: --destination-type: iceberg is not supported in this version");
}

#[test]
fn a_wrong_command_line_exits_1_and_help_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    assert!(kanat(folder.path(), &["--help"]).ok().stdout.contains("clear-destination"));
    assert!(kanat(folder.path(), &["--version"]).ok().stdout.starts_with("kanat "));
    kanat(folder.path(), &["no-such-verb"]).fails(1, "error: unrecognized subcommand 'no-such-verb'");
    kanat(folder.path(), &["sync", "--no-such-flag"]).fails(1, "error: unexpected argument '--no-such-flag'");
    kanat(folder.path(), &[]).fails(1, "Usage: kanat");
}

#[test]
fn a_missing_flag_is_named() {
    let project = Project::new("127.0.0.1:1", json!({}));
    project.write("streams.json", &catalog(&[("t", false)]));
    for (args, sentence) in [
        (vec!["check"], "error[KN-1009]: --config is required"),
        (vec!["discover"], "error[KN-1009]: --config is required"),
        (vec!["sync"], "error[KN-1009]: --config is required"),
        (vec!["sync", "--config", "source.json"], "error[KN-1009]: --catalog is required"),
        (
            vec!["sync", "--config", "source.json", "--streams", "streams.json"],
            "error[KN-1009]: --destination is required",
        ),
        (vec!["clear-destination"], "error[KN-1009]: --destination is required"),
        (vec!["discover", "--difference", "streams.json"], "error[KN-1009]: --catalog is required"),
    ] {
        project.run(&args).fails(1, sentence);
    }
}

#[test]
fn an_unreachable_broker_fails_fast_with_its_address() {
    let address = closed_address();
    let project = Project::new(&address, json!({}));
    let outcome = project.run(&["check", "--config", "source.json"]);
    let sentence = format!("error[KN-1201]: no broker of bootstrap_servers {address} answered: ");
    let outcome = outcome.fails(1, &sentence);
    let status = outcome.message("CONNECTION_STATUS", "connectionStatus");
    assert_eq!((&status["status"], &status["code"]), (&json!("FAILED"), &json!("KN-1201")));
    assert!(status["message"].as_str().unwrap().contains(&address));
    assert!(outcome.elapsed < Duration::from_secs(10), "{:?}", outcome.elapsed);

    project.run(&["discover", "--config", "source.json"]).fails(1, &sentence);
    assert!(!project.path().join("streams.json").exists(), "a failed discovery writes nothing");
}

#[test]
fn wrong_files_are_one_sentence() {
    let project = Project::new("127.0.0.1:1", json!({"consumer_group": "a", "consumer_group_id": "b"}));
    let check = ["check", "--config", "source.json"];
    project.run(&check).fails(1, "error[KN-1005]: source.json: consumer_group_id and consumer_group");
    project.write("source.json", "{");
    project.run(&check).fails(1, "error[KN-1002]: source.json is not valid JSON: ");
    let registry = r#"{"bootstrap_servers":"a:1","protocol":{"security_protocol":"PLAINTEXT"},"schema_registry":{"endpoint":"http://r"}}"#;
    project.write("source.json", registry);
    project
        .run(&check)
        .fails(1, "error[KN-1006]: source.json: schema_registry.endpoint: a schema registry is not supported");
    project.run(&["check", "--config", "absent.json"]).fails(1, "error[KN-1001]: cannot read absent.json: ");
    project.write("destination.json", r#"{"type":"PARQUET","writer":{"s3_bucket":"b"}}"#);
    project
        .run(&["check", "--destination", "destination.json"])
        .fails(1, "error[KN-1006]: destination.json: writer.s3_bucket: writing to S3 is not supported in this version");
}

#[test]
fn unknown_keys_are_warned_of() {
    let project = Project::new("127.0.0.1:1", json!({}));
    project.write("destination.json", r#"{"type":"PARQUET","writer":{"local_path":"lake","max_file_size":1}}"#);
    let outcome = project.run(&["check", "--destination", "destination.json"]).ok();
    let sentence =
        "destination.json: writer.max_file_size is not a known key and has no effect; did you mean max_file_size_mb?";
    assert_eq!(outcome.stderr, format!("warning: {sentence}\n"));
    assert_eq!(outcome.message("LOG", "log"), json!({"level": "warn", "message": sentence}));
}

#[test]
fn check_tries_the_destination_and_leaves_nothing_there() {
    let project = Project::new("127.0.0.1:1", json!({}));
    let check = ["check", "--destination", "destination.json"];
    let status = project.run(&check).ok().message("CONNECTION_STATUS", "connectionStatus");
    assert_eq!(status, json!({"status": "SUCCEEDED"}));
    assert_eq!(std::fs::read_dir(project.path().join("lake")).unwrap().count(), 0);

    project.write("taken", "a file, not a folder");
    project.write("destination.json", r#"{"type":"PARQUET","writer":{"local_path":"taken"}}"#);
    let outcome = project.run(&check).fails(1, "error[KN-1301]: destination folder taken cannot be written: ");
    assert_eq!(outcome.message("CONNECTION_STATUS", "connectionStatus")["status"], "FAILED");
}

#[test]
fn difference_compares_two_files_without_a_broker() {
    let project = Project::new("127.0.0.1:1", json!({}));
    project.write("old.json", &catalog(&[("same", false), ("changed", false), ("gone", false)]));
    project.write("new.json", &catalog(&[("same", false), ("changed", true), ("added", false)]));
    let outcome = project.run(&["discover", "--streams", "old.json", "--difference", "new.json"]).ok();
    let names = |catalog: &Value| -> Vec<Value> {
        catalog["streams"].as_array().unwrap().iter().map(|entry| entry["stream"]["name"].clone()).collect()
    };
    let printed = outcome.message("CATALOG", "catalog");
    assert_eq!(names(&printed), ["changed", "added"]);
    assert_eq!(project.read("difference_streams.json"), printed);
}

#[test]
fn a_catalog_with_nothing_to_do_is_refused() {
    let project = Project::new("127.0.0.1:1", json!({}));
    project.write("streams.json", r#"{"selected_streams":{"topics":[]},"streams":[{"stream":{"name":"t"}}]}"#);
    let sync = ["sync", "--config", "source.json", "--catalog", "streams.json", "--destination", "destination.json"];
    project.run(&sync).fails(1, "error[KN-1101]: no valid streams found in catalog streams.json: ");
}

#[test]
fn encrypted_files_need_their_key() {
    let project = Project::new("127.0.0.1:1", json!({}));
    // {"type":"PARQUET","writer":{"local_path":"lake"}} under "open sesame", made by another
    // implementation (Python's cryptography).
    project.write("destination.json", include_str!("encrypted_destination.json"));
    let check = ["check", "--destination", "destination.json", "--encryption-key"];
    project.run(&[&check[..], &["open sesame"]].concat()).ok();
    let outcome = project.run(&[&check[..], &["hunter2"]].concat());
    let outcome = outcome.fails(1, "error[KN-1007]: cannot decrypt destination.json: --encryption-key is not the key");
    assert!(!outcome.stderr.contains("hunter2") && !outcome.stdout.contains("hunter2"));
    project
        .run(&[&check[..], &["arn:aws:kms:eu-west-1:1:key/2"]].concat())
        .fails(1, "error[KN-1006]: command line: --encryption-key: a key in AWS KMS is not supported in this version");
}
