//! `kanat sync`: the selected topics into tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kanat_sync::engine::{self, OnBadRecord, OnExpiredOffsets, SyncOptions, SyncPlan, SyncProgress, SyncReport};
use kanat_sync::message::Message;
use kanat_sync::state::State;
use kanat_sync::stats::{ProcessUsage, Stats};
use kanat_sync::{Error, Result};

use super::files;
use crate::args::{self, FileArgs, SyncArgs};
use crate::interrupt::on_signals;
use crate::output::{Output, bytes, grouped};
use crate::progress::{Position, Progress, remaining};

/// Pause between two looks at the counters for the bar, milliseconds.
const BAR_INTERVAL_MS: u64 = 200;

/// Pause between two versions of `stats.json`, milliseconds.
const STATS_INTERVAL_MS: u64 = 2_000;

/// Runs a sync to its end, or until a signal asks for it.
pub(super) async fn run(files: &FileArgs, args: &SyncArgs, output: Output) -> Result<()> {
    let plan = plan(files, args, output)?;
    let stats_path = files::artifact(files, None, "stats.json");
    let state_path = plan.state_path.clone();
    let report = sync(plan, stats_path, output).await?;
    describe(&report, output);
    if let Some(path) = state_path.filter(|path| path.exists()) {
        let (state, _) = State::load(&path)?;
        output.message(Message::State(&state));
    }
    Ok(())
}

fn plan(files: &FileArgs, args: &SyncArgs, output: Output) -> Result<SyncPlan> {
    let source = files::source(files, output)?;
    let catalog = files::catalog(files, output)?;
    let destination = files::destination(files, output)?;
    let (streams, warnings) = catalog.plan(&files::catalog_path(files)?.display().to_string())?;
    output.warnings(&warnings);
    let state_path = files::artifact(files, files.state.as_deref(), "state.json");
    if files.state.is_none() && state_path.exists() {
        let hint = "--state was not given, so this sync starts without it";
        output.warn(&format!("{} is replaced: {hint}", state_path.display()));
    }
    let options = SyncOptions {
        chunk_records: usize::try_from(files.destination_buffer_size).unwrap_or(usize::MAX),
        on_bad_record: match args.on_bad_record {
            args::OnBadRecord::DeadLetter => OnBadRecord::DeadLetter,
            args::OnBadRecord::Stop => OnBadRecord::Stop,
        },
        on_expired_offsets: match args.on_expired_offsets {
            args::OnExpiredOffsets::Stop => OnExpiredOffsets::Stop,
            args::OnExpiredOffsets::Earliest => OnExpiredOffsets::Earliest,
        },
        follow: args.follow,
        seal_interval: args.follow.then(|| Duration::from_millis(args.seal_interval_ms)),
        ..SyncOptions::default()
    };
    let state = files::state(files, output)?;
    Ok(SyncPlan { source, destination, streams, state, state_path: Some(state_path), options })
}

/// Runs the engine beside the bar, `stats.json` and the signals.
pub(crate) async fn sync(plan: SyncPlan, stats_path: PathBuf, output: Output) -> Result<SyncReport> {
    let started = Instant::now();
    let counters = Arc::new(SyncProgress::default());
    let bar = Progress::start(output, plan.options.follow);
    let (handle, token) = engine::shutdown_channel();
    let watch = on_signals(|| {
        output.warn("stopping: what has been read is sealed and committed first; another signal ends at once");
        handle.shutdown();
    });
    let report = watch_counters(&counters, &bar, started, stats_path.clone());
    let result = tokio::select! {
        result = engine::sync(plan, Arc::clone(&counters), token) => result,
        () = watch => Err(Error::Cancelled),
        () = report => Err(Error::Cancelled),
    };
    bar.finish();
    save_stats(snapshot(&counters, started).0, stats_path).await?;
    result
}

/// Draws the bar and writes `stats.json` until it is dropped.
async fn watch_counters(counters: &SyncProgress, bar: &Progress, started: Instant, stats_path: PathBuf) {
    let mut ticks = tokio::time::interval(Duration::from_millis(BAR_INTERVAL_MS));
    let mut next_save = Duration::from_millis(STATS_INTERVAL_MS);
    loop {
        ticks.tick().await;
        let (stats, position) = snapshot(counters, started);
        bar.update(&stats, position);
        if stats.elapsed >= next_save {
            next_save = stats.elapsed + Duration::from_millis(STATS_INTERVAL_MS);
            if let Err(error) = save_stats(stats, stats_path.clone()).await {
                // The sync matters more than its statistics; the write at the end reports.
                tracing::warn!(%error, "statistics not written");
            }
        }
    }
}

fn snapshot(counters: &SyncProgress, started: Instant) -> (Stats, Position) {
    let elapsed = started.elapsed();
    let position = Position {
        done: counters.offsets_done(),
        total: counters.offsets_total(),
        bad_records: counters.bad_records(),
    };
    let stats = Stats {
        writer_threads: counters.writer_threads(),
        synced_records: counters.rows(),
        bytes_read: counters.bytes(),
        elapsed,
        remaining: remaining(position, elapsed),
        usage: ProcessUsage::now(),
    };
    (stats, position)
}

/// Writing waits for the disk, so it is kept off the runtime.
async fn save_stats(stats: Stats, path: PathBuf) -> Result<()> {
    let written = tokio::task::spawn_blocking(move || stats.save(&path)).await;
    written.unwrap_or_else(|error| Err(Error::Internal { reason: error.to_string() }))
}

/// Says what was done.
fn describe(report: &SyncReport, output: Output) {
    if report.expired_records > 0 {
        output.warn(&format!("{} records expired before they were read", grouped(report.expired_records)));
    }
    if report.bad_records > 0 {
        let count = grouped(report.bad_records);
        output
            .warn(&format!("{count} records could not become rows; they are in dead-letter tables beside the targets"));
    }
    output.info(&summary(report));
    output.info(&format!(
        "Total records read: {} | Total bytes read: {}",
        report.rows + report.bad_records,
        report.bytes
    ));
}

/// `1,000 rows in 4 files, 0.5 s: 2,000 rows/s, 1.0 MB/s (consumer group g)`.
pub(crate) fn summary(report: &SyncReport) -> String {
    let seconds = report.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    format!(
        "{} rows in {} files, {seconds:.2} s: {} rows/s, {}/s (consumer group {})",
        grouped(report.rows),
        grouped(report.files),
        grouped((report.rows as f64 / seconds) as u64),
        bytes((report.bytes as f64 / seconds) as u64),
        report.consumer_group_id
    )
}
