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
        run(&["topic", "list"]).ok().messages(),
        [json!({"topic": "a", "partitions": 1}), json!({"topic": "b", "partitions": 3})]
    );
    let partitions = run(&["topic", "describe", "b"]).ok().messages();
    assert_eq!(partitions.len(), 3);
    assert_eq!((&partitions[2]["partition"], &partitions[2]["records"]), (&json!(2), &json!(0)));
    run(&["topic", "create", "a"]).fails(1, "error[KN-1207]: creating topic a failed: ");
    run(&["topic", "delete", "a", "b"]).ok();
    assert_eq!(run(&["topic", "list"]).ok().stdout, "");
    run(&["topic", "describe", "a"]).fails(1, "error[KN-1207]: describing topic a failed: it does not exist");
}

#[test]
fn dev_keeps_topics_in_a_folder_and_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &["--dir", "data"]);
    kanat(folder.path(), &["topic", "create", "kept", "-b", &dev.bootstrap]).ok();
    interrupt(&dev.child);
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
    let dev = Dev::start(folder.path(), &["--dir", "data"]);
    let listed = kanat(folder.path(), &["topic", "list", "-b", &dev.bootstrap]).ok().messages();
    assert_eq!(listed, [json!({"topic": "kept", "partitions": 1})]);
}

#[test]
fn a_waiting_consumer_ends_cleanly_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    kanat(folder.path(), &["topic", "create", "t", "-b", &dev.bootstrap]).ok();
    let produce = ["produce", "t", "-b", &dev.bootstrap];
    kanat_with_input(folder.path(), &produce, "seen\n").ok();
    let mut consume = command(folder.path(), &["consume", "t", "-b", &dev.bootstrap]);
    let mut child = consume.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
    assert_eq!(&seen, b"seen\n");
    interrupt(&child);
    wait(child, Instant::now()).ok();
}
