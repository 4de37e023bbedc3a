//! `kanat discover`: which topics there are, which columns they have, and `streams.json`.

use std::path::Path;
use std::time::Duration;

use kanat_sync::catalog::difference::difference;
use kanat_sync::catalog::merge::merge;
use kanat_sync::catalog::{Catalog, DATABASE_PREFIX};
use kanat_sync::discover::{DiscoverOptions, Discovery, TopicSample, discover};
use kanat_sync::message::Message;
use kanat_sync::{Error, Result, write_atomically};

use super::files;
use crate::args::FileArgs;
use crate::output::{Output, grouped};

/// Seconds discovery may take when nothing else is asked for.
const TIMEOUT_SECONDS_DEFAULT: u64 = 300;

/// Time beyond the sampling budget in which discovery has to come to its end, seconds.
const GRACE_SECONDS: u64 = 60;

/// Samples every topic, prints the catalog and merges it over the file; or compares two files.
pub(super) async fn run(files: &FileArgs, output: Output) -> Result<()> {
    if let Some(newer) = &files.difference {
        return compare(files, newer, output);
    }
    let source = files::source(files, output)?;
    let seconds = u64::try_from(files.timeout).ok().filter(|seconds| *seconds > 0).unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    let options = DiscoverOptions {
        topics_at_once: usize::try_from(files.max_discover_threads).unwrap_or(usize::MAX),
        time_max: Duration::from_secs(seconds),
        ..DiscoverOptions::default()
    };
    let limit = options.time_max + Duration::from_secs(GRACE_SECONDS);
    let Ok(discovery) = tokio::time::timeout(limit, discover(&source, &options)).await else {
        return Err(Error::TimedOut { verb: "discover", seconds });
    };
    let discovery = discovery?;
    report(&discovery, output);
    let prefix = files.destination_database_prefix.as_deref().unwrap_or(DATABASE_PREFIX);
    let catalog = Catalog::from_discovered(&discovery.streams, prefix);
    output.message(Message::Catalog(&catalog));
    let path = files::artifact(files, files.catalog.as_deref(), "streams.json");
    let merged = match &files.catalog {
        Some(old) if old.exists() => merge(&files::catalog(files, output)?, catalog),
        _ => catalog,
    };
    save(&merged, &path, output)
}

/// Says what the columns stand for.
fn report(discovery: &Discovery, output: Output) {
    for sample in &discovery.samples {
        output.info(&describe(sample));
        if sample.bad_records > 0 {
            output.warn(&format!(
                "topic {}: {} of {} sampled records are no JSON objects; a sync puts such records into a dead-letter table",
                sample.topic,
                grouped(sample.bad_records),
                grouped(sample.records)
            ));
        }
    }
}

fn describe(sample: &TopicSample) -> String {
    let mut text = format!(
        "topic {}: {} records sampled in {} partitions",
        sample.topic,
        grouped(sample.records),
        sample.partitions
    );
    if sample.partitions_cut > 0 {
        text.push_str(&format!(", {} of which have more", sample.partitions_cut));
    }
    text
}

/// `discover --streams OLD --difference NEW`: no broker is asked.
fn compare(files: &FileArgs, newer: &Path, output: Output) -> Result<()> {
    let old = files::catalog(files, output)?;
    let (new, warnings) = Catalog::load(newer)?;
    output.warnings(&warnings);
    let delta = difference(&old, &new);
    output.message(Message::Catalog(&delta));
    let beside = files::catalog_path(files)?.parent().map(|folder| folder.join("difference_streams.json"));
    let flag = if files.config.is_some() || files.destination.is_some() { None } else { beside };
    save(&delta, &files::artifact(files, flag.as_deref(), "difference_streams.json"), output)
}

fn save(catalog: &Catalog, path: &Path, output: Output) -> Result<()> {
    write_atomically(path, catalog.to_json().to_string().as_bytes())?;
    output.info(&format!("catalog of {} streams written to {}", catalog.streams.len(), path.display()));
    Ok(())
}
