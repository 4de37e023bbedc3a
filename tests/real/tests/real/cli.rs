//! The tools of the command line against Kafka: a topic's whole life, from its creation to its deletion.

use std::io::Write;
use std::process::{Output, Stdio};

use kanat_tests::{Kafka, kanat};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with files, and the program in it.
struct Shell {
    folder: TempDir,
    bootstrap: &'static str,
}

impl Shell {
    fn new() -> Shell {
        Shell { folder: tempfile::tempdir().unwrap(), bootstrap: Kafka::shared().bootstrap() }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs the program with the words of a line; a quoted word may hold spaces.
    fn run(&self, line: &str) -> Output {
        self.run_with_input(line, "")
    }

    fn run_with_input(&self, line: &str, input: &str) -> Output {
        let quoted = line.split('\'').enumerate();
        let words = quoted.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        });
        let mut command = kanat();
        command.args(words).env("KANAT_BOOTSTRAP", self.bootstrap).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Standard output and standard error of a run that must succeed.
    fn ok(&self, line: &str) -> (String, String) {
        let output = self.run(line);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{line}: {}\n{stdout}\n{stderr}", output.status);
        (stdout, stderr)
    }

    /// Standard output of a run that must succeed.
    fn out(&self, line: &str) -> String {
        self.ok(line).0
    }

    /// Objects that a run printed.
    fn json(&self, line: &str) -> Vec<Value> {
        self.out(line).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs until the objects are as they should be: what the controller changed reaches the broker a moment later.
    fn json_becomes(&self, line: &str, expected: &[Value]) {
        let started = std::time::Instant::now();
        loop {
            let found = self.json(line);
            if found == expected {
                return;
            }
            assert!(started.elapsed().as_secs() < 30, "{line}: {found:?}");
        }
    }

    /// The first line on standard error of a run that must fail with code 1.
    fn refusal(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{line}: standard output is for data");
        text(&output.stderr).lines().next().unwrap_or_default().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn records_are_produced_and_consumed() {
    let shell = Shell::new();
    shell.ok("topic create cli-records --partitions 2 --set retention.ms=-1");
    shell.write("orders.txt", "k1:first\nk2:second\nk1:\n");
    let (_, said) = shell.ok("produce cli-records -f orders.txt -k : -p 0 -H source=shop -z lz4");
    assert_eq!(said, "3 records sent to cli-records\n");
    shell.write(
        "more.jsonl",
        concat!(
            r#"{"partition":1,"timestamp":1769846400000,"key":"a","value":"old","headers":[["h","1"],["h",null]]}"#,
            "\n",
            r#"{"partition":1,"timestamp":1769846460000,"key":null,"value_base64":"/wA="}"#,
            "\n"
        ),
    );
    shell.ok("produce cli-records -f more.jsonl --json -z zstd:5 --transactional-id cli-loader");
    assert_eq!(shell.out("consume cli-records -p 0 -e -k :"), "k1:first\nk2:second\nk1:\n");
    assert_eq!(
        shell.out(r"consume cli-records -p 0 -c 2 -f '%t/%p@%o %k(%K)=%v(%V) [%h]\n'"),
        "cli-records/0@0 k1(2)=first(5) [source=shop]\ncli-records/0@1 k2(2)=second(6) [source=shop]\n"
    );
    let printed = shell.json("consume cli-records -p 1 -e --json");
    let headers = json!([["h", "1"], ["h", null]]);
    let old = json!({"partition": 1, "offset": 0, "timestamp": 1_769_846_400_000_i64, "key": "a", "value": "old", "headers": headers});
    assert_eq!(printed[0], old);
    assert_eq!((&printed[1]["key"], &printed[1]["value_base64"]), (&Value::Null, &json!("/wA=")));
    for (range, expected) in [
        ("--from-time 2026-01-31T08:00:30Z", "1"),
        ("--from-time 2026-01-31 --until 1769846460000", "0"),
        ("--until 2026-01-31T08:00:00Z", ""),
        ("-o 1", "1"),
    ] {
        assert_eq!(shell.out(&format!("consume cli-records -p 1 -e -f %o {range}")), expected, "{range}");
    }
    let refused = shell.refusal("consume cli-absent -e");
    assert_eq!(refused, "error[KN-1207]: reading cli-absent failed: the topic does not exist");
    let refused = shell.refusal("produce cli-absent -f orders.txt");
    assert!(refused.starts_with("error[KN-1207]: ") && refused.contains("cli-absent"), "{refused}");
}

#[test]
fn groups_are_read_by_shown_and_reset() {
    let shell = Shell::new();
    shell.ok("topic create cli-groups --set retention.ms=-1");
    let line = |id: u64| format!("{{\"timestamp\":{},\"value\":\"{id}\"}}\n", 1_769_846_400_000 + 1_000 * id);
    let lines: String = (0..10).map(line).collect();
    assert!(shell.run_with_input("produce cli-groups --json", &lines).status.success());
    assert_eq!(shell.out("consume cli-groups -g cli-readers -c 4 -f '%v '"), "0 1 2 3 ");
    let described = shell.out("group describe cli-readers");
    let (head, table) = described.split_once('\n').unwrap();
    assert!(head.starts_with("group cli-readers, Empty, 0 members, type classic, coordinator 1"), "{head}");
    assert_eq!(
        table,
        "topic       partition  committed  end  lag  member  host\n\
         cli-groups          0          4   10    6  -       -\n"
    );
    assert_eq!(shell.json("group describe cli-readers --json")[0]["offsets"][0]["lag"], json!(6));

    let preview = shell.ok("group reset cli-readers --to-datetime 2026-01-31T08:00:07Z --dry-run");
    let expected = "topic       partition  current  new  end\ncli-groups          0        4    7   10\n";
    assert_eq!(preview.0, expected);
    assert_eq!(preview.1, "nothing was changed; add --execute to commit these offsets\n");
    assert_eq!(shell.out("group export cli-readers"), "cli-groups,0,4\n", "a dry run changes nothing");
    assert_eq!(shell.out("group reset cli-readers --to-datetime 2026-01-31T08:00:07Z --execute"), expected);
    assert_eq!(shell.out("consume cli-groups -g cli-readers -e -f '%v '"), "7 8 9 ");
    assert_eq!(shell.out("group export cli-readers"), "cli-groups,0,10\n");

    let absent = "describing group cli-absent failed: it does not exist";
    assert_eq!(shell.refusal("group export cli-absent"), format!("error[KN-1207]: {absent}"));
    assert_eq!(shell.refusal("group describe cli-absent"), format!("error[KN-1207]: {absent}"));
    shell.ok("group delete cli-readers");
    let refused = shell.refusal("group delete cli-readers");
    assert!(refused.starts_with("error[KN-1207]: deleting group cli-readers failed: GROUP_ID_NOT_FOUND"), "{refused}");
}

/// A member that a group of Kafka has no partition for ends with the others' work untouched, under both protocols.
#[test]
fn a_member_without_partitions_ends() {
    let shell = Shell::new();
    shell.ok("topic create cli-idle --set retention.ms=-1");
    assert!(shell.run_with_input("produce cli-idle", "seen\n").status.success());
    for protocol in ["classic", "consumer"] {
        let line = format!("consume cli-idle -g cli-idle-{protocol} -X group.protocol={protocol}");
        let mut owner = kanat();
        owner.args(line.split(' ')).env("KANAT_BOOTSTRAP", shell.bootstrap).stdout(Stdio::piped());
        let mut owner = owner.spawn().unwrap();
        let mut seen = [0; 5];
        std::io::Read::read_exact(owner.stdout.as_mut().unwrap(), &mut seen).unwrap();
        let (out, said) = shell.ok(&format!("{line} -e"));
        assert_eq!((out.as_str(), said.as_str()), ("", ""), "{protocol}");
        owner.kill().unwrap();
        owner.wait().unwrap();
    }
}

#[test]
fn a_topic_is_configured_guarded_and_deleted() {
    let shell = Shell::new();
    let (_, said) = shell.ok("topic create cli-topic --partitions 3 --set cleanup.policy=compact");
    assert_eq!(said, "topic cli-topic created\n");
    let refused = shell.refusal("topic create cli-topic");
    assert_eq!(
        refused,
        "error[KN-1207]: creating topic cli-topic failed: TOPIC_ALREADY_EXISTS (36): Topic 'cli-topic' already exists."
    );
    let refused = shell.refusal("topic create cli-other --set retention.ms=long");
    assert!(refused.starts_with("error[KN-1207]: creating topic cli-other failed: INVALID_CONFIG (40): "), "{refused}");
    let topic = &shell.json("topic describe cli-topic --json")[0];
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(topic["configs"], json!({"cleanup.policy": "compact"}));

    shell.ok("config set topic cli-topic retention.ms=5000 cleanup.policy=delete");
    let row = |key: &str, value: &str| json!({"key": key, "value": value, "source": "topic", "read_only": false});
    shell.json_becomes(
        "config describe topic cli-topic --json",
        &[row("cleanup.policy", "delete"), row("retention.ms", "5000")],
    );
    shell.ok("config delete topic cli-topic retention.ms");
    shell.json_becomes("config describe topic cli-topic --json", &[row("cleanup.policy", "delete")]);

    let (_, said) = shell.ok("acl add --principal User:cli --consumer --topic cli-topic --group cli-team");
    assert_eq!(said.lines().count(), 3, "{said}");
    let entry = |operation: &str| {
        json!({"resource": "topic", "name": "cli-topic", "pattern": "literal", "principal": "User:cli", "host": "*",
               "operation": operation, "permission": "allow"})
    };
    shell.json_becomes("acl list --topic cli-topic --json", &[entry("read"), entry("describe")]);
    assert_eq!(shell.json("acl remove --principal User:cli --dry-run --json").len(), 3);
    assert_eq!(shell.json("acl remove --principal User:cli --json").len(), 3);
    shell.json_becomes("acl list --principal User:cli --json", &[]);

    shell.ok("quota set --user cli producer_byte_rate=1048576");
    let quota =
        json!({"user": "cli", "client_id": null, "ip": null, "quota": "producer_byte_rate", "value": 1_048_576});
    shell.json_becomes("quota list --user cli --json", &[quota]);
    let refused = shell.refusal("quota delete --user nobody producer_byte_rate");
    assert_eq!(refused, "error[KN-1207]: changing quotas of user nobody failed: producer_byte_rate is not set");
    shell.ok("quota delete --user cli producer_byte_rate");

    assert!(shell.run_with_input("user set cli", "s3cret\n").status.success());
    shell.json_becomes("user list --json", &[json!({"user": "cli", "mechanism": "SCRAM-SHA-512", "iterations": 8192})]);
    shell.ok("user delete cli");

    shell.ok("topic delete cli-topic");
    let refused = shell.refusal("topic delete cli-topic cli-other");
    assert!(
        refused.starts_with(
            "error[KN-1207]: deleting topic cli-topic, topic cli-other failed: UNKNOWN_TOPIC_OR_PARTITION (3)"
        ),
        "{refused}"
    );
}
