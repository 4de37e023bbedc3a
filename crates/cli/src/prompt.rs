//! Secrets from whoever is at the terminal, which does not show them, or from standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use kanat_sync::{Error, Result};

use crate::interrupt::until_signal;

/// The first line of standard input; at a terminal `prompt` is written before, and what is typed is not shown.
///
/// # Errors
/// Standard input that cannot be read, or whose terminal cannot be kept from showing what is typed; Ctrl-C.
pub(crate) async fn secret(prompt: &str) -> Result<String> {
    let _hidden = if io::stdin().is_terminal() {
        let hidden = Hidden::new().map_err(|error| fail(&error))?;
        // Without the prompt it is still read.
        let _ = io::stderr().write_all(prompt.as_bytes());
        Some(hidden)
    } else {
        None
    };
    // A line that never comes keeps its thread; the process does not wait for it.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    until_signal(async {
        let line = read.await.map_err(|error| fail(&error))?.map_err(|error| fail(&error))?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    })
    .await
}

fn fail(error: &dyn std::fmt::Display) -> Error {
    Error::kafka("reading the password", error.to_string())
}

/// A terminal that does not show what is typed, until this is dropped.
#[cfg(unix)]
struct Hidden {
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Hidden {
    fn new() -> io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        let _ = io::stderr().write_all(b"\n");
    }
}

#[cfg(not(unix))]
struct Hidden;

#[cfg(not(unix))]
impl Hidden {
    fn new() -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this terminal shows what is typed; use --password-file"))
    }
}
