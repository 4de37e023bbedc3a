//! group, config, cluster, acl, user, quota and transaction, and the forms of what they print.

use serde_json::{Value, json};

use crate::support::{Dev, kanat, kanat_with_input};

/// A broker with topic `orders` of two partitions, ten records in each, and a way to run the program against it.
struct Shop {
    folder: tempfile::TempDir,
    dev: Dev,
}

impl Shop {
    fn open() -> Shop {
        Self::open_with(&[])
    }

    /// With these flags of `kanat dev`.
    fn open_with(flags: &[&str]) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let dev = Dev::start(folder.path(), flags);
        let shop = Shop { folder, dev };
        // The records are of 1970, which is older than what a topic keeps by default.
        shop.run("topic create orders --partitions 2 --set retention.ms=60000000000000").ok();
        for partition in ["0", "1"] {
            let line = |id| format!("{{\"partition\":{partition},\"timestamp\":{},\"value\":\"{id}\"}}\n", 1_000 * id);
            let input: String = (1..=10).map(line).collect();
            shop.run_with_input("produce orders --json", &input).ok();
        }
        shop
    }

    fn run(&self, line: &str) -> crate::support::Outcome {
        self.run_with_input(line, "")
    }

    fn run_with_input(&self, line: &str, input: &str) -> crate::support::Outcome {
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-b", &self.dev.bootstrap]);
        kanat_with_input(self.folder.path(), &args, input)
    }

    /// Standard output without the spaces at line ends.
    fn table(&self, line: &str) -> String {
        self.run(line).ok().stdout
    }
}

#[test]
fn a_group_is_reset_only_when_told_to_and_never_under_its_members() {
    let shop = Shop::open();
    let preview = shop.run("group reset readers --topic orders --to-earliest").ok();
    assert_eq!(
        preview.stdout,
        "topic   partition  current  new  end\n\
         orders          0  -          0   10\n\
         orders          1  -          0   10\n"
    );
    assert!(preview.stderr.contains("nothing was changed; add --execute"), "{preview:?}");
    shop.run("group describe readers").fails(1, "error[KN-1207]: describing group readers failed: it does not exist");

    shop.run("group reset readers --topic orders --to-datetime 1970-01-01T00:00:04Z --execute").ok();
    assert_eq!(
        shop.table("group describe readers"),
        format!(
            "group readers, Empty, 0 members, type classic, coordinator {}\n\
             topic   partition  committed  end  lag  member  host\n\
             orders          0          3   10    7  -       -\n\
             orders          1          3   10    7  -       -\n",
            coordinator(&shop)
        )
    );
    shop.run("group reset readers --shift-by 2 --execute").ok();
    shop.run("group reset readers --topic orders:1 --to-latest --execute").ok();
    assert_eq!(shop.table("group export readers"), "orders,0,5\norders,1,10\n");
    let beyond = shop.run("group reset readers --topic orders:0 --to-offset 99").ok();
    assert!(beyond.stderr.contains("warning: 99 is outside orders-0, which holds 0 to 10"), "{beyond:?}");

    std::fs::write(shop.folder.path().join("offsets.csv"), "orders,0,1\norders,1,2\n").unwrap();
    shop.run("group reset copy --from-file offsets.csv --execute").ok();
    assert_eq!(shop.table("group export copy"), "orders,0,1\norders,1,2\n");
    std::fs::write(shop.folder.path().join("bad.csv"), "orders,0\n").unwrap();
    shop.run("group reset copy --from-file bad.csv")
        .fails(1, "error[KN-1207]: reading bad.csv failed: line 1 must be topic,partition,offset");
    shop.run("group reset copy --topic orders:7 --to-latest")
        .fails(1, "error[KN-1207]: asking for topic orders failed: it has no partition 7");
    // One reason, one line.
    let gone = shop.run("topic delete one two three");
    assert_eq!(gone.stderr.lines().count(), 1, "{gone:?}");
    gone.fails(1, "error[KN-1207]: deleting topic one, topic two, topic three failed: UNKNOWN_TOPIC_OR_PARTITION (3)");

    shop.run("group export absent").fails(1, "error[KN-1207]: describing group absent failed: it does not exist");

    let listed: Vec<Value> = shop.run("group list --json").ok().messages();
    let names: Vec<&str> = listed.iter().map(|group| group["group"].as_str().unwrap()).collect();
    assert_eq!(names, ["copy", "readers"]);
    shop.run("group delete copy absent").fails(1, "error[KN-1207]: deleting group absent failed: ");
    assert_eq!(shop.run("group list --json").ok().messages().len(), 1, "the group that was there is deleted");
}

fn coordinator(shop: &Shop) -> i64 {
    shop.run("group list --json").ok().messages()[0]["coordinator"].as_i64().unwrap()
}

#[test]
fn configurations_are_shown_and_changed() {
    let shop = Shop::open();
    shop.run("config set topic orders retention.ms=86400000 cleanup.policy=compact").ok();
    assert_eq!(
        shop.table("config describe topic orders"),
        "key             value     source  read_only\n\
         cleanup.policy  compact   topic   no\n\
         retention.ms    86400000  topic   no\n"
    );
    shop.run("config delete topic orders cleanup.policy").ok();
    let rows = shop.run("config describe topics orders --json").ok().messages();
    let expected = json!({"key": "retention.ms", "value": "86400000", "source": "topic", "read_only": false});
    assert_eq!(rows, [expected]);
    assert!(shop.run("config describe topic orders --all --json").ok().messages().len() > 5);
    shop.run("config set topic absent retention.ms=1")
        .fails(1, "error[KN-1207]: changing configuration of topic absent failed: ");
    shop.run("config set table orders a=b").fails(1, "error: invalid value 'table' for '<TYPE>'");
}

#[test]
fn topics_are_shown_as_tables_and_changed() {
    let shop = Shop::open();
    assert_eq!(shop.table("topic list"), "topic   partitions  replicas\norders           2         1\n");
    shop.run("topic alter orders --partitions 3 --set retention.ms=60000000000000").ok();
    let described = shop.table("topic describe orders");
    let (head, table) = described.split_once('\n').unwrap();
    assert!(head.starts_with("topic orders, 3 partitions, id "), "{head}");
    assert!(
        table.starts_with(
            "  retention.ms = 60000000000000\npartition  leader  replicas  in_sync  first  end  records\n"
        )
    );
    shop.run("topic alter orders").fails(1, "error[KN-1009]: ");
    assert_eq!(
        shop.table("topic offsets orders --time 1970-01-01T00:00:08Z"),
        "topic   partition  offset  timestamp\n\
         orders          0       7  1970-01-01T00:00:08.000Z\n\
         orders          1       7  1970-01-01T00:00:08.000Z\n\
         orders          2       0  -\n"
    );
    shop.run("topic delete-records orders --before 0:4 --before 1:end").ok();
    let offsets = shop.run("topic offsets orders --json").ok().messages();
    let first: Vec<i64> = offsets.iter().map(|row| row["first"].as_i64().unwrap()).collect();
    assert_eq!(first, [4, 10, 0]);

    shop.run("topic create orders").fails(1, "error[KN-1207]: creating topic orders failed: ");
    shop.run("topic create orders --if-not-exists").ok();
    shop.run("topic create other --dry-run").ok();
    shop.run("topic create two --assign 0 --assign 0 --dry-run").ok();
    assert_eq!(shop.run("topic list --json").ok().messages().len(), 1);
    shop.run("topic delete absent").fails(1, "error[KN-1207]: deleting topic absent failed: ");
    shop.run("topic delete absent --if-exists").ok();
}

#[test]
fn the_cluster_is_shown() {
    let shop = Shop::open();
    let cluster = &shop.run("cluster describe --json").ok().messages()[0];
    let port: i64 = shop.dev.bootstrap.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(cluster["brokers"][0]["port"], json!(port));
    let table = shop.table("cluster describe");
    assert!(table.contains("broker  host") && table.contains("127.0.0.1"), "{table}");
    // The environment names the cluster when no flag does.
    let mut command = crate::support::command(shop.folder.path(), &["topic", "list", "--json"]);
    let output = command.env("KANAT_BOOTSTRAP", &shop.dev.bootstrap).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"topic\":\"orders\",\"partitions\":2,\"replicas\":1}\n");
}

#[test]
fn access_control_entries_are_added_listed_and_removed() {
    let shop = Shop::open();
    shop.run("acl list").fails(1, "error[KN-1207]: listing access control entries failed: ");

    let shop = Shop::open_with(&["--super-user", "User:ANONYMOUS"]);
    shop.run("acl add --principal User:alice --consumer --topic orders --group lake").ok();
    assert_eq!(
        shop.table("acl list"),
        "resource  name    pattern  principal   host  operation  permission\n\
         topic     orders  literal  User:alice  *     read       allow\n\
         topic     orders  literal  User:alice  *     describe   allow\n\
         group     lake    literal  User:alice  *     read       allow\n"
    );
    shop.run("acl remove").fails(1, "error[KN-1009]: ");
    let preview = shop.run("acl remove --topic orders --operation read --dry-run --json").ok().messages();
    let removed = shop.run("acl remove --topic orders --operation read --json").ok().messages();
    assert_eq!((preview.len(), &preview), (1, &removed));
    assert_eq!(shop.run("acl list --json").ok().messages().len(), 2);
    shop.run("acl remove --all").ok();
    assert_eq!(shop.run("acl list --json").ok().stdout, "");
    shop.run("acl add --principal User:alice --consumer --cluster").fails(1, "error[KN-1207]: ");
}

#[test]
fn users_and_quotas_are_set_listed_and_deleted() {
    let shop = Shop::open();
    let set = shop.run_with_input("user set alice --iterations 4096", "s3cret\n").ok();
    assert_eq!((set.stdout.as_str(), set.stderr.as_str()), ("", "user alice set\n"));
    assert_eq!(shop.table("user list"), "user   mechanism      iterations\nalice  SCRAM-SHA-512        4096\n");
    shop.run("user delete alice").ok();
    assert_eq!(shop.run("user list --json").ok().stdout, "");

    shop.run("quota set --user alice producer_byte_rate=1048576").ok();
    shop.run("quota set --client-id= request_percentage=12.5").ok();
    assert_eq!(
        shop.run("quota list --json").ok().messages(),
        [
            json!({"user": null, "client_id": "(default)", "ip": null, "quota": "request_percentage", "value": 12.5}),
            json!({"user": "alice", "client_id": null, "ip": null, "quota": "producer_byte_rate", "value": 1_048_576}),
        ]
    );
    shop.run("quota delete --user bob producer_byte_rate")
        .fails(1, "error[KN-1207]: changing quotas of user bob failed: producer_byte_rate is not set");
    shop.run("quota delete --user alice producer_byte_rate").ok();
    assert_eq!(shop.run("quota list --json").ok().messages().len(), 1);
    shop.run("quota set producer_byte_rate=1").fails(1, "error[KN-1009]: ");
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (line, message) in [
        ("group reset g", "error: the following required arguments were not provided"),
        ("group reset g --to-datetime someday", "error: invalid value 'someday'"),
        ("consume t --from-time never", "error: invalid value 'never'"),
        ("consume t -f %q", "error: invalid value '%q'"),
        ("produce t -z zstd:99", "error: invalid value 'zstd:99'"),
        ("topic create t --assign x", "error: invalid value 'x'"),
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        kanat(folder.path(), &args).fails(1, message);
    }
}
