//! Runs the program, and a broker to run it against.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest a child may take, in a debug build on a busy machine.
const CHILD_TIMEOUT: Duration = Duration::from_secs(120);

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Standard output as messages; each line must be a JSON object.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The body of the only message of a type.
    pub(crate) fn message(&self, kind: &str, body: &str) -> Value {
        let found: Vec<Value> = self.messages().into_iter().filter(|message| message["type"] == kind).collect();
        assert_eq!(found.len(), 1, "{kind} in {self:?}");
        found[0][body].clone()
    }

    /// Fails the test unless the run succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails the test unless the run ended with `code` and this line on standard error.
    pub(crate) fn fails(self, code: i32, line: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.stderr.lines().any(|it| it.starts_with(line)), "no line {line:?} in\n{}", self.stderr);
        self
    }
}

/// The program with these arguments, in `folder`.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kanat"));
    command.current_dir(folder).args(args).env_remove("KANAT_LOG").env_remove("KANAT_ENCRYPTION_KEY");
    command
}

/// Runs the program in `folder` to its end.
pub(crate) fn kanat(folder: &Path, args: &[&str]) -> Outcome {
    kanat_with_input(folder, args, "")
}

/// Runs the program in `folder` with this text on standard input.
pub(crate) fn kanat_with_input(folder: &Path, args: &[&str], input: &str) -> Outcome {
    let mut command = command(folder, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A child that never reads closes the pipe: no fault.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let outcome = wait(child, started);
    writer.join().unwrap();
    outcome
}

/// Waits for a child whose outputs are piped.
pub(crate) fn wait(mut child: Child, started: Instant) -> Outcome {
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let received = |output: mpsc::Receiver<String>, child: &mut Child| {
        output.recv_timeout(CHILD_TIMEOUT).unwrap_or_else(|_| {
            child.kill().unwrap();
            panic!("the program did not end within {CHILD_TIMEOUT:?}");
        })
    };
    let stdout = received(stdout, &mut child);
    let stderr = received(stderr, &mut child);
    let status = child.wait().unwrap();
    Outcome { code: status.code(), stdout, stderr, elapsed: started.elapsed() }
}

/// Reads a pipe to its end on a thread.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        // The test may have given up waiting.
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).ok();
    });
    receiver
}

/// Sends SIGINT, as Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// `kanat dev` on a free port; killed when dropped.
#[derive(Debug)]
pub(crate) struct Dev {
    pub(crate) child: Child,
    pub(crate) bootstrap: String,
    // Kept open: a broker must not find its standard output closed.
    _stdout: BufReader<ChildStdout>,
}

impl Dev {
    /// Starts it and waits for the line that says where it listens.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut all = vec!["dev", "--port", "0"];
        all.extend(args);
        let mut child = command(folder, &all).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        let text = message["log"]["message"].as_str().unwrap();
        let address = text.strip_prefix("broker listens on ").unwrap().split(',').next().unwrap();
        Self { child, bootstrap: address.to_owned(), _stdout: stdout }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A folder with `source.json` and `destination.json`.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) folder: tempfile::TempDir,
}

impl Project {
    /// Files for a broker at `bootstrap`, with `keys` added to the source.
    pub(crate) fn new(bootstrap: &str, keys: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut source = json!({"bootstrap_servers": bootstrap, "protocol": {"security_protocol": "PLAINTEXT"}});
        source.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let destination = json!({"type": "PARQUET", "writer": {"local_path": folder.path().join("lake")}});
        let project = Self { folder };
        project.write("source.json", &source.to_string());
        project.write("destination.json", &destination.to_string());
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path().join(name)).unwrap()).unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        kanat(self.path(), args)
    }

    /// Parquet files below `folder`.
    pub(crate) fn parquet_files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// Rows of Parquet files, from their footers.
pub(crate) fn rows(files: &[PathBuf]) -> i64 {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let rows = |path: &PathBuf| {
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        reader.metadata().file_metadata().num_rows()
    };
    files.iter().map(rows).sum()
}
