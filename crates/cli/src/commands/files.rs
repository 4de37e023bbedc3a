//! The files a verb reads and writes, from its flags.

use std::path::{Path, PathBuf};

use kanat_sync::catalog::Catalog;
use kanat_sync::config::{DestinationConfig, Secret, SourceConfig};
use kanat_sync::state::State;
use kanat_sync::{Error, Result};

use crate::args::FileArgs;
use crate::output::Output;

/// Reads the source configuration.
pub(crate) fn source(files: &FileArgs, output: Output) -> Result<SourceConfig> {
    let path = required(files.config.as_deref(), "--config", "the source configuration, source.json")?;
    let (config, warnings) = SourceConfig::load(path, key(files))?;
    output.warnings(&warnings);
    Ok(config)
}

/// Reads the destination configuration.
pub(crate) fn destination(files: &FileArgs, output: Output) -> Result<DestinationConfig> {
    let path =
        required(files.destination.as_deref(), "--destination", "the destination configuration, destination.json")?;
    let (config, warnings) = DestinationConfig::load(path, key(files))?;
    output.warnings(&warnings);
    Ok(config)
}

/// Reads the catalog.
pub(crate) fn catalog(files: &FileArgs, output: Output) -> Result<Catalog> {
    let (catalog, warnings) = Catalog::load(catalog_path(files)?)?;
    output.warnings(&warnings);
    Ok(catalog)
}

/// Where the catalog is.
pub(crate) fn catalog_path(files: &FileArgs) -> Result<&Path> {
    required(files.catalog.as_deref(), "--catalog", "the catalog, streams.json, as discover writes it")
}

/// Reads the state the flags name; without `--state` there is none, as with OLake.
pub(crate) fn state(files: &FileArgs, output: Output) -> Result<State> {
    let Some(path) = &files.state else { return Ok(State::default()) };
    let (state, warnings) = State::load(path)?;
    output.warnings(&warnings);
    Ok(state)
}

/// Where `name` is written: where the flag says, else beside the configuration, else (with `--no-save`)
/// in the temporary folder.
pub(crate) fn artifact(files: &FileArgs, flag: Option<&Path>, name: &str) -> PathBuf {
    match flag {
        Some(path) if !files.no_save => path.to_owned(),
        _ => folder(files).join(name),
    }
}

fn folder(files: &FileArgs) -> PathBuf {
    if files.no_save {
        return std::env::temp_dir();
    }
    let beside = files.config.as_deref().or(files.destination.as_deref()).and_then(Path::parent);
    beside.map(Path::to_owned).unwrap_or_default()
}

fn key(files: &FileArgs) -> Option<&str> {
    files.encryption_key.as_ref().map(Secret::reveal)
}

fn required<'a>(path: Option<&'a Path>, flag: &'static str, purpose: &'static str) -> Result<&'a Path> {
    path.ok_or(Error::MissingFlag { flag, purpose })
}
