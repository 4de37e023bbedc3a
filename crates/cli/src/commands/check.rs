//! `kanat check`: can the source, or the destination, be used?

use kanat_sync::Result;
use kanat_sync::engine;
use kanat_sync::message::Message;

use super::files;
use crate::args::FileArgs;
use crate::output::Output;

/// Checks the destination when one is given, else the source, and prints the outcome.
pub(super) async fn run(files: &FileArgs, output: Output) -> Result<()> {
    let outcome =
        if files.destination.is_some() { check_destination(files, output) } else { check_source(files, output).await };
    output.message(Message::ConnectionStatus(outcome.as_ref().err()));
    outcome
}

fn check_destination(files: &FileArgs, output: Output) -> Result<()> {
    engine::check_destination(&files::destination(files, output)?)
}

async fn check_source(files: &FileArgs, output: Output) -> Result<()> {
    engine::check_source(&files::source(files, output)?).await
}
