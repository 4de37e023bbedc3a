//! `kanat clear-destination`: the tables of the selected topics are deleted.

use kanat_sync::message::Message;
use kanat_sync::state::State;
use kanat_sync::{Result, engine};

use super::files;
use crate::args::FileArgs;
use crate::output::Output;

/// Deletes the tables and forgets in the state that they were synced. The consumer group stays: a later
/// sync with this state goes on from its offsets, one with another group reads everything again.
pub(super) async fn run(files: &FileArgs, output: Output) -> Result<()> {
    let destination = files::destination(files, output)?;
    let catalog = files::catalog(files, output)?;
    let (streams, warnings) = catalog.plan(&files::catalog_path(files)?.display().to_string())?;
    output.warnings(&warnings);
    engine::clear_destination(&destination, &streams)?;
    for stream in &streams {
        output.info(&format!("table {}/{} cleared", stream.database, stream.table));
    }
    let path = files::artifact(files, files.state.as_deref(), "state.json");
    if !path.exists() {
        return Ok(());
    }
    let (mut state, warnings) = State::load(&path)?;
    output.warnings(&warnings);
    for stream in &streams {
        state.remove_stream(&stream.id);
    }
    state.save(&path)?;
    output.message(Message::State(&state));
    Ok(())
}
