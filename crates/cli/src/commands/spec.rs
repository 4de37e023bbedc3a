//! `kanat spec`: what a configuration file may hold.

use kanat_sync::Result;
use kanat_sync::message::Message;
use kanat_sync::spec::{SpecKind, spec};

use crate::args::FileArgs;
use crate::output::Output;

/// Prints the description of the source, or of the destination asked for.
pub(super) fn run(files: &FileArgs, output: Output) -> Result<()> {
    let kind = SpecKind::from_destination_type(files.destination_type.as_deref())?;
    output.message(Message::Spec(&spec(kind)?));
    Ok(())
}
