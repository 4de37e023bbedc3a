//! Flags of `kanat worker`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// How workers run.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// One worker on its own: connectors from files, offsets in a file
    Standalone(StandaloneArgs),
}

/// Flags of `kanat worker standalone`.
#[derive(Debug, Args)]
pub(crate) struct StandaloneArgs {
    /// Worker configuration, the .properties file of a Java worker; variables such as CONNECT_LISTENERS win over it
    pub(crate) properties: PathBuf,
    /// Connectors to start: .properties, a flat JSON object, or a JSON object with name and config
    pub(crate) connectors: Vec<PathBuf>,
}
