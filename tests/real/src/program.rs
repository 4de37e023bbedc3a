//! Running other programs, with everything they said in the message when they fail.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The folder `tests/peers` of the work tree that these tests were built from.
pub fn peers_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers")
}

/// Runs `command` to its end and returns its standard output.
///
/// # Panics
/// When it cannot be started, exits with another code than 0, or prints something that is not UTF-8.
pub fn run(command: &mut Command) -> String {
    run_with_input(command, |_| Ok(()))
}

/// As [`run`], with `write_input` filling the standard input.
///
/// # Panics
/// As [`run`], and when the input cannot be written.
pub fn run_with_input(
    command: &mut Command,
    write_input: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut input = child.stdin.take().expect("stdin was asked for");
    let written = write_input(&mut input);
    drop(input);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command:?} was lost: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", describe(&output));
    match written {
        // A program that needs no input may end before it has read any.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{command:?} takes no input: {error}"),
        _ => String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{command:?} prints no UTF-8: {error}")),
    }
}

/// Exit status and everything printed, for a message.
pub(crate) fn describe(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n--- stdout\n{}\n--- stderr\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
