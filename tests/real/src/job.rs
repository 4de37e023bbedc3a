//! `kanat discover` and `kanat sync` as child processes, configured by files as a user would.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{describe, peers_dir, run};
use crate::{Kafka, Table};

/// How the records become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One column per key.
    Normalized,
    /// The record as one JSON column.
    Raw,
}

/// A sync job: a folder with `source.json`, `destination.json`, what `kanat discover` and `kanat sync` write, and the tables.
#[derive(Debug)]
pub struct Job {
    dir: TempDir,
    topic: String,
    group: String,
}

/// What a whole run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From start to exit.
    pub wall: Duration,
    /// High-water mark of the resident memory, in millions of bytes.
    pub peak_rss_mb: f64,
}

/// What became of a child process.
#[derive(Debug)]
pub enum Outcome {
    /// It ended by itself.
    Ended(Output),
    /// It was killed.
    Killed,
}

impl Job {
    /// Writes the configuration of a job that copies one topic and lets `kanat discover` find its columns.
    ///
    /// # Panics
    /// When discovery fails.
    pub fn new(kafka: &Kafka, topic: &str, layout: Layout, max_file_size_mb: f64) -> Job {
        let dir = tempfile::Builder::new().prefix("kanat-job-").tempdir().expect("a temporary folder");
        let job = Job { dir, topic: topic.to_owned(), group: format!("{topic}-{}", fastrand::u64(..)) };
        let source = json!({
            "bootstrap_servers": kafka.bootstrap(),
            "protocol": {"security_protocol": "PLAINTEXT"},
            "consumer_group_id": job.group,
            "max_threads": 4,
            "topic_pattern": format!("^{topic}$"),
        });
        let tables = job.path("tables");
        let writer = json!({"local_path": tables, "max_file_size_mb": max_file_size_mb});
        job.write("source.json", &source);
        job.write("destination.json", &json!({"type": "PARQUET", "writer": writer}));
        run(kanat().arg("discover").arg("--config").arg(job.path("source.json")));
        job.set_layout(layout);
        job
    }

    /// Runs `kanat sync` to its end.
    ///
    /// # Panics
    /// When it exits with another code than 0.
    pub fn sync(&self) {
        run(&mut self.sync_command());
    }

    /// Runs `kanat sync` to its end and says what it took.
    ///
    /// # Panics
    /// When it exits with another code than 0.
    pub fn sync_measured(&self) -> Cost {
        let sync = self.sync_command();
        let mut command = Command::new(peers_dir().join("python.sh"));
        command.arg(peers_dir().join("measure.py")).arg(sync.get_program()).args(sync.get_args());
        let printed = run(&mut command);
        let figures: Value = serde_json::from_str(printed.lines().last().expect("measure.py prints a line"))
            .expect("measure.py prints JSON");
        let figure = |name: &str| figures[name].as_f64().expect("measure.py prints numbers");
        Cost { wall: Duration::from_secs_f64(figure("wall_s")), peak_rss_mb: figure("peak_rss_mb") }
    }

    /// Runs `kanat sync` and ends it with SIGKILL after `patience`, unless it ends before.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn sync_at_most(&self, patience: Duration) -> Outcome {
        let child = self.spawn_sync();
        match finish_within(child, patience) {
            Some(output) => Outcome::Ended(output),
            None => Outcome::Killed,
        }
    }

    /// Starts `kanat sync` with its output captured.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_sync(&self) -> Child {
        let mut command = self.sync_command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
    }

    /// Waits for a run that [`Job::spawn_sync`] started.
    ///
    /// # Panics
    /// When it takes longer than `patience` or exits with another code than 0.
    pub fn finish(&self, running: Child, patience: Duration) {
        let output = finish_within(running, patience);
        assert!(
            output.is_some_and(|output| Outcome::Ended(output).is_done()),
            "kanat sync is not done in {patience:?}"
        );
    }

    /// The consumer group that the job commits its offsets to.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The table that the job writes.
    pub fn table(&self) -> Table {
        Table::new(self.path("tables").join("kafka_topics").join(self.topic.replace(['-', '.'], "_")))
    }

    fn sync_command(&self) -> Command {
        let mut command = kanat();
        command.arg("sync").arg("--config").arg(self.path("source.json"));
        command.arg("--streams").arg(self.path("streams.json"));
        command.arg("--destination").arg(self.path("destination.json"));
        if self.path("state.json").exists() {
            command.arg("--state").arg(self.path("state.json"));
        }
        command
    }

    /// The columns that discovery found, as `type_schema.properties` of the catalog has them.
    ///
    /// # Panics
    /// When discovery left no catalog.
    pub fn discovered_properties(&self) -> Value {
        self.catalog()["streams"][0]["stream"]["type_schema"]["properties"].take()
    }

    fn catalog(&self) -> Value {
        let text = std::fs::read_to_string(self.path("streams.json")).expect("discover leaves a streams.json");
        serde_json::from_str(&text).expect("streams.json is JSON")
    }

    fn set_layout(&self, layout: Layout) {
        let mut catalog = self.catalog();
        let selected = &mut catalog["selected_streams"]["topics"][0];
        assert_eq!(selected["stream_name"], self.topic, "discover selects the topic");
        selected["normalization"] = json!(layout == Layout::Normalized);
        self.write("streams.json", &catalog);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &Value) {
        std::fs::write(self.path(name), content.to_string()).expect("the temporary folder takes a file");
    }
}

impl Outcome {
    /// Whether the process ended by itself with exit code 0.
    ///
    /// # Panics
    /// When it ended by itself with another code: killed before, a run must still find its way.
    pub fn is_done(&self) -> bool {
        match self {
            Outcome::Killed => false,
            Outcome::Ended(output) => {
                assert!(output.status.success(), "kanat sync failed: {}", describe(output));
                true
            }
        }
    }
}

/// The output of `child` if it ends within `patience`; otherwise it is killed.
fn finish_within(child: Child, patience: Duration) -> Option<Output> {
    let deadline = Instant::now() + patience;
    let process_id = child.id();
    let (ended, end) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output().expect("a child can be waited for");
        let _ = ended.send(());
        output
    });
    let timed_out = end.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err();
    if timed_out {
        // The waiter holds the child, so its id cannot belong to another process yet.
        let _ = Command::new("kill").args(["-KILL", &process_id.to_string()]).output();
    }
    let output = waiter.join().expect("the waiter does not panic");
    // It may have ended by itself at the very instant.
    (output.status.code().is_some()).then_some(output)
}

/// The program under test: `KANAT_BIN`, or the debug build of this work tree, which is brought up to date first.
pub fn kanat() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| match std::env::var_os("KANAT_BIN") {
        Some(path) => PathBuf::from(path),
        None => build_kanat(),
    });
    Command::new(program)
}

fn build_kanat() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "-p", "kanat-cli", "--bin", "kanat", "--message-format=json"]).current_dir(workspace);
    let messages = run(&mut cargo);
    let executable = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let is_kanat = message["target"]["name"] == "kanat";
        message["executable"].as_str().filter(|_| is_kanat).map(PathBuf::from)
    });
    executable.expect("cargo names the executable it built")
}
