//! `kanat dev` as a child process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::job::kanat;

/// The embedded broker in a process and a folder of its own, on a free port; ends when dropped.
#[derive(Debug)]
pub struct DevBroker {
    child: Child,
    bootstrap: String,
    _dir: TempDir,
}

impl DevBroker {
    /// Starts it and waits until it says where it listens.
    ///
    /// # Panics
    /// When it ends before.
    pub fn start() -> DevBroker {
        let dir = tempfile::Builder::new().prefix("kanat-dev-").tempdir().expect("a temporary folder");
        let mut command = kanat();
        command.args(["dev", "--port", "0", "--dir"]).arg(dir.path().join("topics"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("stdout was asked for")).lines();
        let address = |line: String| {
            let (_, rest) = line.split_once("listens on ")?;
            Some(rest.split([' ', ',']).next()?.to_owned())
        };
        let bootstrap = lines.by_ref().map_while(Result::ok).find_map(address);
        let bootstrap = bootstrap.unwrap_or_else(|| panic!("{command:?} does not say where it listens"));
        DevBroker { child, bootstrap, _dir: dir }
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
