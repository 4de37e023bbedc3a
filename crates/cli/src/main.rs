//! The kanat command line.
//!
//! [`args`] says what can be asked, [`commands`] does it (one module a verb), [`output`] tells the
//! person or program at standard output, [`progress`] draws the bar. Exit codes: 0 done, 1 failed,
//! 3 failed and a person has to decide (see `docs/errors/`).

mod args;
mod commands;
mod demo;
mod interrupt;
mod output;
mod progress;
mod prompt;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;
use kanat_sync::error::EXIT_FAILURE;
use kanat_worker::LevelSink;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Environment variable that chooses what is logged to standard error, such as `kanat_client=debug`.
const LOG_VARIABLE: &str = "KANAT_LOG";

fn main() -> ExitCode {
    keep_to_small_pages();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let levels = init_log(if matches!(cli.command, Command::Worker(_)) { "info" } else { "error" });
    let output = if cli.command.is_tool() { Output::Data } else { Output::detect() };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&kanat_sync::Error::Internal { reason: format!("no runtime: {error}") });
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let result = runtime.block_on(commands::run(&cli, &output, levels));
    // Blocking readers of standard input must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Asks the kernel for pages of the usual size. Encoders reserve buffers that most columns never fill; a huge
/// page under each would be resident whole, tens of megabytes in all, and cleared before its first use.
#[cfg(target_os = "linux")]
fn keep_to_small_pages() {
    // A kernel that cannot do this uses a little more memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
fn keep_to_small_pages() {}

/// Help and version are no failure; a wrong command line is one like any other.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done when the terminal is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_FAILURE),
    }
}

/// Logs to standard error what the environment asks for, or else from `level` up. What is returned changes the levels.
fn init_log(level: &str) -> LevelSink {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let log = log.with_filter_reloading();
    let handle = log.reload_handle();
    log.init();
    Arc::new(move |levels| {
        let directives = levels.iter().filter_map(|(logger, level)| {
            let level = match level.as_str() {
                "FATAL" => "error".to_owned(),
                "ALL" => "trace".to_owned(),
                other => other.to_lowercase(),
            };
            match logger.as_str() {
                "root" => Some(level),
                // Loggers of Java classes have no meaning here.
                own if own.starts_with("kanat") => Some(format!("{own}={level}")),
                _ => None,
            }
        });
        let filter = EnvFilter::builder().parse_lossy(directives.collect::<Vec<_>>().join(","));
        if handle.reload(filter).is_err() {
            tracing::warn!("the levels of loggers could not be changed");
        }
    })
}
