//! The sync engine: from selected topics to sealed Parquet files, committed offsets and a state file.
//!
//! [`sync`] plans (`plan`: where each partition starts and ends), starts one compute thread per shard
//! (`shard`), runs the asynchronous `reader` and `committer` between them, and reports. The life
//! of a record is drawn in `DESIGN.md`, the promises are in `docs/delivery.md`.

pub(crate) mod chunk;
mod committer;
mod dead_letter;
mod filter_rows;
mod folders;
mod journal_progress;
mod kafka_time;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod metadata_columns;
mod normalized;
mod olake_id;
mod plan;
mod progress;
mod raw_rows;
mod reader;
mod resume;
mod rows;
mod shard;
pub(crate) mod shards;
mod shutdown;
mod table_sink;
mod tables;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kanat_client::ConsumerOptions;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::catalog::StreamPlan;
use crate::config::{DestinationConfig, SourceConfig};
use crate::error::{Error, Result};
use crate::state::State;
use committer::Sealed;
use limits::{FETCH_BYTES_MAX, INBOX_ITEMS_MAX, SEALED_WAITING_MAX};
use plan::Plan;
pub use progress::SyncProgress;
use reader::{ReadEnd, Reader, Target, ToShard};
use shard::Shard;
pub use shutdown::{ShutdownHandle, ShutdownToken, shutdown_channel};
pub use tables::{check_destination, clear_destination};

/// What happens to a record that cannot become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadRecord {
    /// It goes, whole and with the reason, to the dead-letter table beside the target.
    #[default]
    DeadLetter,
    /// The sync ends with an error that names it; nothing after the last seal becomes visible.
    Stop,
}

/// Where to go on when records expired before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExpiredOffsets {
    /// The sync ends and a person decides.
    #[default]
    Stop,
    /// At the first record there still is; the report counts what is gone.
    Earliest,
}

/// Settings of a sync that stand in no file.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Records turned into rows together; types are settled for all of them at once.
    /// OLake's `--destination-buffer-size`, default 10,000.
    pub chunk_records: usize,
    /// Uncompressed bytes that make a chunk full before its record count does. Default 8 MiB.
    pub chunk_bytes_max: usize,
    /// Bytes all compute threads may hold for records not yet in files. Default 96 MiB.
    pub memory_bytes_max: usize,
    /// Bytes of responses fetched ahead of the compute threads. Default 8 MiB.
    pub fetch_buffer_bytes_max: usize,
    /// Encoded bytes at which a row group is closed. Default 16 MiB.
    pub row_group_bytes_max: usize,
    /// Partition folders one table may have open at a time in one thread. Default 64.
    pub open_files_max: usize,
    /// Columns one table may have. Default 10,000.
    pub columns_max: usize,
    /// Bytes a value may have to become a row; larger ones are bad records. Default 64 MiB.
    pub record_bytes_max: usize,
    /// What happens to bad records.
    pub on_bad_record: OnBadRecord,
    /// What happens when records expired unread.
    pub on_expired_offsets: OnExpiredOffsets,
    /// Keep going after the end, until asked to stop. Partitions added meanwhile are read from their start.
    pub follow: bool,
    /// While following, how often new partitions are looked for. Default 30 s.
    pub partition_check_interval: Duration,
    /// Seal at least this often. `None` seals by size and at the end only.
    pub seal_interval: Option<Duration>,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            chunk_records: 10_000,
            chunk_bytes_max: 8 << 20,
            memory_bytes_max: 96 << 20,
            fetch_buffer_bytes_max: 8 << 20,
            row_group_bytes_max: 16 << 20,
            open_files_max: 64,
            columns_max: kanat_lake::shred::COLUMNS_MAX_DEFAULT,
            record_bytes_max: 64 << 20,
            on_bad_record: OnBadRecord::default(),
            on_expired_offsets: OnExpiredOffsets::default(),
            follow: false,
            partition_check_interval: Duration::from_secs(30),
            seal_interval: None,
        }
    }
}

/// Everything one sync needs.
#[derive(Debug, Clone)]
pub struct SyncPlan {
    /// The source.
    pub source: SourceConfig,
    /// The destination.
    pub destination: DestinationConfig,
    /// The topics, as [`Catalog::plan`](crate::catalog::Catalog::plan) settled them.
    pub streams: Vec<StreamPlan>,
    /// The state as loaded; its group wins over the source's, as in OLake.
    pub state: State,
    /// Where the state goes; `None` keeps it in memory.
    pub state_path: Option<PathBuf>,
    /// The rest.
    pub options: SyncOptions,
}

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncReport {
    /// The consumer group the offsets belong to.
    pub consumer_group_id: String,
    /// Records written to tables.
    pub rows: u64,
    /// Bytes of keys and values read, uncompressed.
    pub bytes: u64,
    /// Records written to dead-letter tables.
    pub bad_records: u64,
    /// Files that became visible.
    pub files: u64,
    /// Records that expired before they were read, where the options allow to go on.
    pub expired_records: u64,
    /// Wall time.
    pub elapsed: Duration,
}

/// Bounds of one table in one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SinkLimits {
    pub(crate) chunk_records: usize,
    pub(crate) chunk_bytes_max: usize,
    pub(crate) file_bytes_max: u64,
}

/// Connects to the source, as `check` does.
///
/// # Errors
/// [`Error::BrokerUnreachable`] or [`Error::NotSupported`].
pub async fn check_source(source: &SourceConfig) -> Result<()> {
    crate::kafka::connect(source).await.map(drop)
}

/// Syncs every stream of `plan` up to the end offsets of now, or for as long as it follows.
///
/// When `shutdown` asks, what has been read is sealed and committed first; a bounded sync then ends
/// with [`Error::Cancelled`], a following one normally.
///
/// # Errors
/// Every [`Error`] that names Kafka, a position, a table or a record. What was sealed before stays.
pub async fn sync(plan: SyncPlan, progress: Arc<SyncProgress>, shutdown: ShutdownToken) -> Result<SyncReport> {
    let started = Instant::now();
    let plan = Plan::make(plan).await?;
    let mut report = SyncReport {
        consumer_group_id: plan.group_id.clone(),
        expired_records: plan.expired_records,
        ..SyncReport::default()
    };
    let end = Run::start(plan, &progress)?.finish(&progress, shutdown).await?;
    report.rows = progress.rows();
    report.bytes = progress.bytes();
    report.bad_records = progress.bad_records();
    report.files = progress.files();
    report.elapsed = started.elapsed();
    match end {
        RunEnd::Complete => Ok(report),
        RunEnd::Cancelled => Err(Error::Cancelled),
    }
}

/// How a run that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    Complete,
    Cancelled,
}

/// A sync at work.
struct Run {
    plan: Plan,
    targets: HashMap<kanat_client::TopicPartition, Target>,
    inboxes: Vec<mpsc::Sender<ToShard>>,
    shards: Vec<JoinHandle<Result<()>>>,
    committer: JoinHandle<Result<()>>,
    aborted: Arc<AtomicBool>,
}

impl Run {
    /// Starts the compute threads and the committer.
    fn start(mut plan: Plan, progress: &Arc<SyncProgress>) -> Result<Run> {
        let threads = plan.threads();
        let sizes: Vec<u64> = plan.partitions.iter().map(|it| it.range.end.abs_diff(it.range.start)).collect();
        let owners = shards::assign(&sizes, threads);
        progress.add_offsets_total(sizes.iter().sum());
        progress.set_writer_threads(threads as u64);
        let mut targets = HashMap::new();
        let mut topics_of_shard = vec![std::collections::HashSet::new(); threads];
        for (partition, shard) in plan.partitions.iter().zip(owners) {
            topics_of_shard[shard].insert(Arc::clone(&partition.tp.topic));
            let end = (!plan.options.follow).then_some(partition.range.end);
            targets.insert(partition.tp.clone(), Target { shard, position: partition.range.start, end });
        }
        let aborted = Arc::new(AtomicBool::new(false));
        let (sealed, sealed_inbox) = mpsc::channel::<Sealed>(SEALED_WAITING_MAX);
        let mut inboxes = Vec::with_capacity(threads);
        let mut shards = Vec::with_capacity(threads);
        for topics in topics_of_shard {
            let mut sinks = HashMap::new();
            for topic in topics {
                sinks.insert(Arc::clone(&topic), plan.open_sink(&topic, progress)?);
            }
            let memory_bytes_max = plan.options.memory_bytes_max / threads;
            let shard = Shard::new(sinks, memory_bytes_max, sealed.clone(), Arc::clone(&aborted));
            let (inbox, messages) = mpsc::channel(INBOX_ITEMS_MAX);
            inboxes.push(inbox);
            shards.push(tokio::task::spawn_blocking(move || shard.run(messages)));
        }
        let committer = tokio::spawn(plan.take_committer()?.run(sealed_inbox));
        Ok(Run { plan, targets, inboxes, shards, committer, aborted })
    }

    /// Reads to the end and waits until everything is committed.
    async fn finish(self, progress: &SyncProgress, shutdown: ShutdownToken) -> Result<RunEnd> {
        let Run { plan, targets, inboxes, shards, committer, aborted } = self;
        // A shard takes the end of its inbox for the end of the data and seals: a failure must be told before.
        let held = inboxes.clone();
        let read = read(&plan, targets, inboxes, progress, shutdown).await;
        if !matches!(read, Ok(ReadEnd::Complete | ReadEnd::Shutdown)) {
            aborted.store(true, Ordering::Release);
        }
        drop(held);
        let mut first_error = None;
        for shard in shards {
            let result = shard.await.unwrap_or_else(|error| Err(Error::Internal { reason: error.to_string() }));
            if let Err(error) = result {
                aborted.store(true, Ordering::Release);
                first_error.get_or_insert(error);
            }
        }
        let committed = committer.await.unwrap_or_else(|error| Err(Error::Internal { reason: error.to_string() }));
        // The committer's failure is the cause when shards lost it; a shard's when the reader lost the shard.
        committed?;
        if let Some(error) = first_error {
            return Err(error);
        }
        match read? {
            ReadEnd::Complete => Ok(RunEnd::Complete),
            ReadEnd::Shutdown if plan.options.follow => Ok(RunEnd::Complete),
            ReadEnd::Shutdown => Ok(RunEnd::Cancelled),
            ReadEnd::ShardLost => Err(Error::Internal { reason: "a compute thread ended early".to_owned() }),
        }
    }
}

async fn read(
    plan: &Plan,
    targets: HashMap<kanat_client::TopicPartition, Target>,
    inboxes: Vec<mpsc::Sender<ToShard>>,
    progress: &SyncProgress,
    shutdown: ShutdownToken,
) -> Result<ReadEnd> {
    let options = ConsumerOptions {
        // Shards verify checksums, where the bytes are read anyway.
        check_crc: false,
        buffer_bytes_max: plan.options.fetch_buffer_bytes_max,
        // Any item that waits for a shard keeps its whole response in memory: small responses, little waste.
        fetch_bytes_max: FETCH_BYTES_MAX,
        ..ConsumerOptions::default()
    };
    let mut consumer = plan.client.consumer(options).map_err(|error| Error::kafka("opening a consumer", error))?;
    let unfinished = targets.iter().filter(|(_, target)| target.end.is_none_or(|end| target.position < end));
    consumer.assign(unfinished.map(|(partition, target)| (partition.clone(), target.position)));
    let SyncOptions { follow, seal_interval, partition_check_interval, .. } = plan.options;
    Reader {
        client: &plan.client,
        group_id: &plan.group_id,
        consumer,
        targets,
        inboxes,
        seal_interval,
        partition_check_interval: follow.then_some(partition_check_interval),
        progress,
        shutdown,
    }
    .run()
    .await
}
