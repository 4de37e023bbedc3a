//! topic, produce, consume and dev.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Dev, command, interrupt, kanat, kanat_with_input, wait};

#[test]
fn records_go_in_and_come_out_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let bootstrap = dev.bootstrap.as_str();
    let run = |args: &[&str]| kanat(folder.path(), args);
    run(&["topic", "create", "t", "--partitions", "2", "-b", bootstrap]).ok();

    let input = "k1:{\"id\":1}\nk2:two\nk1:\n";
    kanat_with_input(folder.path(), &["produce", "t", "-k", ":", "-p", "1", "-b", bootstrap], input).ok();
    let plain = run(&["consume", "t", "-e", "-k", ":", "-b", bootstrap]).ok();
    assert_eq!(plain.stdout, input);

    let lines = concat!(
        r#"{"partition":0,"timestamp":1700000000123,"key":null,"value":"v","headers":[["h","1"],["h",null]]}"#,
        "\n",
        r#"{"partition":0,"timestamp":1700000000124,"key":"","value":null}"#,
        "\n"
    );
    kanat_with_input(folder.path(), &["produce", "t", "--json", "-b", bootstrap], lines).ok();
    let json_lines = run(&["consume", "t", "-e", "--json", "-p", "0", "-b", bootstrap]).ok();
    let records: Vec<Value> = json_lines.messages();
    assert_eq!(
        records,
        [
            json!({"partition": 0, "offset": 0, "timestamp": 1_700_000_000_123_i64, "key": null, "value": "v",
                   "headers": [["h", "1"], ["h", null]]}),
            json!({"partition": 0, "offset": 1, "timestamp": 1_700_000_000_124_i64, "key": "", "value": null}),
        ]
    );
}

#[test]
fn consume_begins_and_ends_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let run = |args: &[&str]| kanat(folder.path(), &[args, &["-b", &dev.bootstrap]].concat());
    run(&["topic", "create", "t"]).ok();
    let produce = ["produce", "t", "-b", &dev.bootstrap];
    kanat_with_input(folder.path(), &produce, "a\nb\nc\nd\n").ok();
    for (args, expected) in [
        (vec!["-e"], "a\nb\nc\nd\n"),
        (vec!["-e", "-o", "2"], "c\nd\n"),
        (vec!["-e", "-o", "-1"], "d\n"),
        (vec!["-e", "-o", "end"], ""),
        (vec!["-c", "2"], "a\nb\n"),
        (vec!["-c", "1", "-o", "3"], "d\n"),
    ] {
        let outcome = run(&[&["consume", "t"], &args[..]].concat()).ok();
        assert_eq!(outcome.stdout, expected, "{args:?}");
    }
    run(&["consume", "absent", "-e"]).fails(1, "error[KN-1207]: reading absent failed: the topic does not exist");
    run(&["consume", "t", "-p", "7"]).fails(1, "error[KN-1207]: reading t failed: partition 7 does not exist");
}

#[test]
fn topics_are_made_listed_described_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let run = |args: &[&str]| kanat(folder.path(), &[args, &["-b", &dev.bootstrap]].concat());
    run(&["topic", "create", "b", "--partitions", "3", "--set", "cleanup.policy=compact"]).ok();
    run(&["topic", "create", "a"]).ok();
    assert_eq!(
        run(&["topic", "list", "--json"]).ok().messages(),
        [json!({"topic": "a", "partitions": 1, "replicas": 1}), json!({"topic": "b", "partitions": 3, "replicas": 1})]
    );
    let topic = &run(&["topic", "describe", "b", "--json"]).ok().messages()[0];
    assert_eq!(topic["configs"], json!({"cleanup.policy": "compact"}));
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 3);
    assert_eq!((&topic["partitions"][2]["partition"], &topic["partitions"][2]["records"]), (&json!(2), &json!(0)));
    let failed = run(&["topic", "create", "a"]).fails(1, "error[KN-1207]: creating topic a failed: ");
    assert_eq!(failed.stdout, "", "standard output is for data");
    run(&["topic", "delete", "a", "b"]).ok();
    assert_eq!(run(&["topic", "list", "--json"]).ok().stdout, "");
    run(&["topic", "describe", "a"]).fails(1, "error[KN-1207]: describing topic a failed: it does not exist");
}

#[test]
fn records_are_printed_as_the_format_says() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let run = |args: &[&str]| kanat(folder.path(), &[args, &["-b", &dev.bootstrap]].concat());
    // The records are older than what a topic keeps by default.
    run(&["topic", "create", "t", "--set", "retention.ms=-1"]).ok();
    let lines = concat!(
        r#"{"timestamp":1769846400000,"key":"k","value":"v1","headers":[["a","1"],["b",null]]}"#,
        "\n",
        r#"{"timestamp":1769846460000,"key":null,"value_base64":"/wA="}"#,
        "\n",
        r#"{"timestamp":1769846520000,"key":"k","value":null}"#,
        "\n"
    );
    std::fs::write(folder.path().join("records.jsonl"), lines).unwrap();
    run(&["produce", "t", "--json", "-f", "records.jsonl", "-z", "zstd:5"]).ok();
    let read = |args: &[&str]| run(&[&["consume", "t", "-e"], args].concat()).ok().stdout;
    assert_eq!(
        read(&["-f", r"%t/%p@%o %D %T %k(%K) %V [%h]\n", "--null-marker", "NULL"]),
        "t/0@0 2026-01-31T08:00:00.000Z 1769846400000 k(1) 2 [a=1,b=NULL]\n\
         t/0@1 2026-01-31T08:01:00.000Z 1769846460000 NULL(-1) 2 []\n\
         t/0@2 2026-01-31T08:02:00.000Z 1769846520000 k(1) -1 []\n"
    );
    // What was printed as JSON is what was sent, bytes that are no text included.
    let printed = read(&["--json"]);
    assert!(printed.contains(r#""value_base64":"/wA=""#), "{printed}");
    run(&["topic", "create", "copy", "--set", "retention.ms=-1"]).ok();
    kanat_with_input(folder.path(), &["produce", "copy", "--json", "-b", &dev.bootstrap], &printed).ok();
    assert_eq!(run(&["consume", "copy", "-e", "--json"]).ok().stdout, printed);

    for (args, expected) in [
        (["--from-time", "2026-01-31T08:01:00Z"], "1 2 "),
        (["--from-time", "2030-01-01"], ""),
        (["--until", "1769846520000"], "0 1 "),
        (["--until", "now"], "0 1 2 "),
    ] {
        assert_eq!(read(&[&args[..], &["-f", "%o "]].concat()), expected, "{args:?}");
    }
    let both = run(&["consume", "t", "copy", "-e", "--json", "-o", "-1"]).ok().messages();
    let mut topics: Vec<&str> = both.iter().map(|record| record["topic"].as_str().unwrap()).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["copy", "t"]);
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let run = |args: &[&str]| kanat(folder.path(), &[args, &["-b", &dev.bootstrap]].concat());
    run(&["topic", "create", "t"]).ok();
    let produce = ["produce", "t", "--json", "--transactional-id", "loader", "-b", &dev.bootstrap];
    kanat_with_input(folder.path(), &produce, "{\"value\":\"a\"}\n{\"value\":\"b\"}\n").ok();
    kanat_with_input(folder.path(), &produce, "{\"value\":\"c\"}\nnot JSON\n")
        .fails(1, "error[KN-1207]: producing to t failed: line 2: ");
    assert_eq!(run(&["consume", "t", "-e"]).ok().stdout, "a\nb\n");
    let listed = run(&["transaction", "list", "--json"]).ok().messages();
    assert_eq!(listed[0]["transactional_id"], json!("loader"));
}

#[test]
fn a_group_goes_on_where_it_stopped_printing() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let run = |args: &[&str]| kanat(folder.path(), &[args, &["-b", &dev.bootstrap]].concat());
    run(&["topic", "create", "t"]).ok();
    let produce = ["produce", "t", "-b", &dev.bootstrap];
    kanat_with_input(folder.path(), &produce, "a\nb\nc\nd\n").ok();
    assert_eq!(run(&["consume", "t", "-g", "readers", "-c", "3"]).ok().stdout, "a\nb\nc\n");
    assert_eq!(run(&["group", "export", "readers"]).ok().stdout, "t,0,3\n");
    assert_eq!(run(&["consume", "t", "-g", "readers", "-e"]).ok().stdout, "d\n");
    assert_eq!(run(&["group", "export", "readers"]).ok().stdout, "t,0,4\n");
    run(&["consume", "t", "-g", "readers", "-o", "7"]).fails(1, "error[KN-1207]: reading in a group failed: ");
}

#[test]
fn a_member_that_the_group_has_nothing_for_ends_too() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    kanat(folder.path(), &["topic", "create", "t", "-b", &dev.bootstrap]).ok();
    kanat_with_input(folder.path(), &["produce", "t", "-b", &dev.bootstrap], "seen\n").ok();
    let consume = ["consume", "t", "-g", "readers", "-b", &dev.bootstrap];
    let owner = command(folder.path(), &consume).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut owner = owner.unwrap();
    let mut seen = [0; 5];
    std::io::Read::read_exact(owner.stdout.as_mut().unwrap(), &mut seen).unwrap();
    let without = kanat(folder.path(), &[&consume[..], &["-e"]].concat()).ok();
    assert_eq!((without.stdout.as_str(), without.stderr.as_str()), ("", ""));
    interrupt(&owner);
    assert_eq!(owner.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    kanat(folder.path(), &["topic", "create", "t", "-b", &dev.bootstrap]).ok();
    let input: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    kanat_with_input(folder.path(), &["produce", "t", "-b", &dev.bootstrap], &input).ok();
    let mut consume = command(folder.path(), &["consume", "t", "-b", &dev.bootstrap]);
    let mut child = consume.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
    assert_eq!(&seen, b"line 0\n");
    drop(child.stdout.take());
    let outcome = wait(child, Instant::now()).ok();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn dev_keeps_topics_in_a_folder_and_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &["--dir", "data"]);
    kanat(folder.path(), &["topic", "create", "kept", "-b", &dev.bootstrap]).ok();
    interrupt(&dev.child);
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
    let dev = Dev::start(folder.path(), &["--dir", "data"]);
    let listed = kanat(folder.path(), &["topic", "list", "--json", "-b", &dev.bootstrap]).ok().messages();
    assert_eq!(listed, [json!({"topic": "kept", "partitions": 1, "replicas": 1})]);
}

#[test]
fn a_waiting_consumer_ends_cleanly_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    kanat(folder.path(), &["topic", "create", "t", "-b", &dev.bootstrap]).ok();
    let produce = ["produce", "t", "-b", &dev.bootstrap];
    kanat_with_input(folder.path(), &produce, "seen\n").ok();
    for how in [&[][..], &["-g", "readers"]] {
        let mut consume = command(folder.path(), &[&["consume", "t", "-b", &dev.bootstrap], how].concat());
        let mut child = consume.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut seen = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
        assert_eq!(&seen, b"seen\n");
        interrupt(&child);
        let outcome = wait(child, Instant::now()).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    }
    let exported = kanat(folder.path(), &["group", "export", "readers", "-b", &dev.bootstrap]).ok();
    assert_eq!(exported.stdout, "t,0,1\n", "what was printed is committed");
}
