//! What a person at a terminal is asked and shown.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{Dev, command, interrupt};

/// Longest wait for something to be shown.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with the program at one end and the test at the other.
struct Terminal {
    ours: File,
    theirs: File,
    chunks: mpsc::Receiver<String>,
    shown: String,
}

impl Terminal {
    fn new() -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = std::ffi::OsString::from_vec(ptsname(&ours, Vec::new()).unwrap().into_bytes());
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        let ours = File::from(ours);
        let mut reader = ours.try_clone().unwrap();
        let (sender, chunks) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(length) = reader.read(&mut bytes) {
                // The test may have ended.
                sender.send(String::from_utf8_lossy(&bytes[..length]).into_owned()).ok();
            }
        });
        Terminal { ours, theirs, chunks, shown: String::new() }
    }

    fn start(&self, folder: &std::path::Path, args: &[&str]) -> Child {
        let end = || Stdio::from(self.theirs.try_clone().unwrap());
        command(folder, args).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let chunk = self.chunks.recv_timeout(PATIENCE);
            self.shown += &chunk.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
        }
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.theirs).unwrap().local_modes.contains(LocalModes::ECHO)
    }
}

#[test]
fn a_password_is_not_shown_and_the_terminal_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let set = ["user", "set", "alice", "-b", &dev.bootstrap];
    let mut terminal = Terminal::new();
    let mut child = terminal.start(folder.path(), &set);
    terminal.wait_for("password of alice: ");
    terminal.ours.write_all(b"s3cret\n").unwrap();
    terminal.wait_for("user alice set");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!terminal.shown.contains("s3cret") && terminal.shows_what_is_typed(), "{:?}", terminal.shown);

    let mut terminal = Terminal::new();
    let mut child = terminal.start(folder.path(), &set);
    terminal.wait_for("password of alice: ");
    assert!(!terminal.shows_what_is_typed());
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(terminal.shows_what_is_typed());
}
