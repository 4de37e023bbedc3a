//! Apache Kafka clusters, one and three nodes, and topics filled by Kafka's own producer.

use std::io::{BufWriter, Write};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use kanat_bench::Shape;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::program::{peers_dir, run, run_with_input};

/// A running cluster on 127.0.0.1. Stops when dropped, and by itself when the test process ends in any other way.
#[derive(Debug)]
pub struct Kafka {
    dir: TempDir,
    bootstrap: String,
}

/// What a topic is filled with: `count` records of a shape, round-robin over the partitions.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The shape of the records; their `id`, where they have one, is the record number.
    pub shape: Shape,
    /// How many records.
    pub count: u64,
    /// How many partitions the topic is created with.
    pub partitions: u32,
    /// Further options of `tests/peers/java/Load.java`: codec, transactions, compaction.
    pub options: Vec<&'static str>,
}

/// The cluster of [`Kafka::three`], for as long as this is held.
#[derive(Debug)]
pub struct ThreeNodes {
    kafka: &'static Kafka,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for ThreeNodes {
    type Target = &'static Kafka;

    fn deref(&self) -> &&'static Kafka {
        &self.kafka
    }
}

impl Kafka {
    /// Starts a cluster of one or three nodes.
    ///
    /// # Panics
    /// When it does not start; the message holds what the script said.
    pub fn start(nodes: u32) -> Kafka {
        Kafka::start_with(nodes, &[])
    }

    /// Starts a cluster of one or three nodes with further broker settings, each `key=value`.
    ///
    /// # Panics
    /// When it does not start; the message holds what the script said.
    pub fn start_with(nodes: u32, settings: &[&str]) -> Kafka {
        Kafka::start_listening(nodes, &[], settings)
    }

    /// Starts a cluster with a listener of each of these protocols beside the plain one, and with further settings.
    ///
    /// # Panics
    /// When it does not start; the message holds what the script said.
    pub fn start_listening(nodes: u32, protocols: &[&str], settings: &[&str]) -> Kafka {
        let dir = tempfile::Builder::new().prefix("kanat-kafka-").tempdir().expect("a temporary folder");
        let mut command = script("kafka.sh");
        command.arg("start").arg(dir.path()).args(["--nodes", &nodes.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        for protocol in protocols {
            command.args(["--listener", protocol]);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let bootstrap = run(&mut command);
        Kafka { dir, bootstrap: bootstrap.trim().to_owned() }
    }

    /// The one-node cluster that the tests of a process share. Clients that do not log in may do everything, and it has an
    /// authorizer to keep access control entries.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        let settings = [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ];
        SHARED.get_or_init(|| Kafka::start_with(1, &settings))
    }

    /// The cluster of three nodes that the tests of a process have in turn, with all nodes running.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn three() -> ThreeNodes {
        static CLUSTER: OnceLock<Kafka> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let kafka = CLUSTER.get_or_init(|| Kafka::start(3));
        // A test that failed may have left some of them dead.
        (1..=3).for_each(|node| kafka.start_node(node));
        ThreeNodes { kafka, _turn: turn }
    }

    /// `host:port` of every node, separated by commas.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of the first node's listener of a protocol it was started with.
    ///
    /// # Panics
    /// When there is none.
    pub fn listener(&self, protocol: &str) -> String {
        let port = std::fs::read_to_string(self.dir.path().join(format!("1/port.{protocol}")));
        format!("127.0.0.1:{}", port.expect("the cluster has such a listener").trim())
    }

    /// Creates `topic` and fills it.
    ///
    /// # Panics
    /// When Kafka's producer reports an error.
    pub fn load(&self, topic: &str, contents: &Contents) {
        self.produce(topic, contents, &[]);
    }

    /// Adds records to a topic that exists.
    ///
    /// # Panics
    /// When Kafka's producer reports an error.
    pub fn append(&self, topic: &str, contents: &Contents) {
        self.produce(topic, contents, &["--existing"]);
    }

    fn produce(&self, topic: &str, contents: &Contents, options: &[&str]) {
        let mut command = script("java.sh");
        command.args(["Load", &self.bootstrap, topic, &contents.partitions.to_string()]);
        command.args(&contents.options).args(options);
        let sent = run_with_input(&mut command, |input| {
            let mut input = BufWriter::with_capacity(1 << 18, input);
            let mut line = Vec::new();
            for number in 0..contents.count {
                line.clear();
                contents.shape.write(1, number, &mut line);
                line.push(b'\n');
                input.write_all(&line)?;
            }
            input.flush()
        });
        assert_eq!(sent.trim(), contents.count.to_string(), "records sent to topic {topic}");
    }

    /// A file with the line "partition offset" for every record that Kafka's own consumer sees in `topic`.
    ///
    /// # Panics
    /// When the topic cannot be read.
    pub fn offsets_file(&self, topic: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{topic}.offsets"));
        std::fs::write(&path, self.java("Offsets", &[topic])).expect("the temporary folder takes a file");
        path
    }

    /// Runs a program of `tests/peers/java`, which gets the bootstrap servers as its first argument.
    ///
    /// # Panics
    /// When it fails.
    pub fn java(&self, class: &str, arguments: &[&str]) -> String {
        run(script("java.sh").args([class, &self.bootstrap]).args(arguments))
    }

    /// Ends a node with SIGKILL. Nodes count from 1.
    ///
    /// # Panics
    /// When the script fails.
    pub fn kill_node(&self, node: u32) {
        self.control("kill-node", node);
    }

    /// Ends a node with SIGTERM: it hands over what it leads. Nodes count from 1.
    ///
    /// # Panics
    /// When the script fails.
    pub fn stop_node(&self, node: u32) {
        self.control("stop-node", node);
    }

    /// Starts a node that was killed or stopped, and waits until it answers. One that runs is left alone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_node(&self, node: u32) {
        self.control("start-node", node);
    }

    fn control(&self, verb: &str, node: u32) {
        run(script("kafka.sh").arg(verb).arg(self.dir.path()).arg(node.to_string()));
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Errors are left to the watcher that kafka.sh has put beside the cluster.
        let _ = script("kafka.sh").arg("destroy").arg(self.dir.path()).output();
    }
}

fn script(name: &str) -> Command {
    Command::new(peers_dir().join(name))
}
