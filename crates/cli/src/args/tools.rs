//! Flags of topic, produce and consume.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kanat_client::{Acks, Codec, Compression};

use crate::commands::consume::{Start, start};
use crate::commands::when;

/// Which cluster a tool talks to.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Brokers to contact first; without it those of --config, else $KANAT_BOOTSTRAP, else 127.0.0.1:9092
    #[arg(short, long, global = true, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap: Option<String>,
    /// A property of the Java client such as security.protocol=SASL_SSL; may be repeated
    #[arg(short = 'X', long = "property", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) properties: Vec<(String, String)>,
}

/// Which cluster, and who reads the answer.
#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    /// The cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Print JSON, one object a line, instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Flags of topic.
#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with topics.
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Names, partition counts and copies of all topics
    List {
        /// Show internal topics too
        #[arg(long)]
        internal: bool,
    },
    /// Make a topic
    Create(CreateTopicArgs),
    /// Delete topics
    Delete {
        /// Their names
        #[arg(required = true)]
        topics: Vec<String>,
        /// Be content if a topic is not there
        #[arg(long)]
        if_exists: bool,
    },
    /// Leaders, copies and offsets of each partition, and what is configured
    Describe {
        /// Their names; none for all topics
        topics: Vec<String>,
    },
    /// Add partitions, change the configuration
    Alter {
        /// Its name
        topic: String,
        /// Number of partitions altogether, more than there are
        #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A topic config to set; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<(String, String)>,
        /// A topic config to take back to its default; may be repeated
        #[arg(long = "unset", value_name = "KEY")]
        unset: Vec<String>,
    },
    /// First and end offsets of each partition, or the offsets of a point in time
    Offsets {
        /// Its name
        topic: String,
        /// The first offset at or after this time: 2026-01-31T08:00:00Z, milliseconds, or "2h ago"
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        time: Option<i64>,
    },
    /// Delete records below an offset
    DeleteRecords {
        /// Its name
        topic: String,
        /// Partition and first offset to keep, such as 0:1500; end keeps nothing; may be repeated
        #[arg(long = "before", value_name = "PARTITION:OFFSET", required = true, value_parser = partition_offset)]
        before: Vec<(i32, i64)>,
    },
}

/// Flags of topic create.
#[derive(Debug, Args)]
pub(crate) struct CreateTopicArgs {
    /// Its name
    pub(crate) topic: String,
    /// Number of partitions
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Copies of each partition; -1 lets the cluster choose
    #[arg(short, long, default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) replication_factor: i16,
    /// A topic config such as cleanup.policy=compact; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) configs: Vec<(String, String)>,
    /// Brokers of a partition, the preferred leader first; once for each partition, instead of the counts
    #[arg(long = "assign", value_name = "BROKER,...", value_parser = brokers, conflicts_with_all = ["partitions", "replication_factor"])]
    pub(crate) assignments: Vec<Brokers>,
    /// Be content if the topic is there already
    #[arg(long)]
    pub(crate) if_not_exists: bool,
    /// Only say whether it could be made
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Ids of brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brokers(pub(crate) Vec<i32>);

/// Flags of produce.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The topic
    pub(crate) topic: String,
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What separates key and value in a line; without it lines are values and keys are null
    #[arg(short = 'k', long, value_name = "TEXT")]
    pub(crate) key_separator: Option<String>,
    /// Partition; without it the key or chance decides
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) headers: Vec<(String, String)>,
    /// Lines are JSON objects with key, value, headers, partition and timestamp, as consume --json prints them
    #[arg(long)]
    pub(crate) json: bool,
    /// Send an empty value as null (a tombstone)
    #[arg(short = 'Z', long)]
    pub(crate) null_values: bool,
    /// Send keys and values that are this text as null
    #[arg(long, value_name = "TEXT")]
    pub(crate) null_marker: Option<String>,
    /// Codec and level: none, gzip, snappy, lz4, zstd or such as zstd:9
    #[arg(short = 'z', long, value_name = "CODEC[:LEVEL]", value_parser = compression)]
    pub(crate) compression: Option<Compression>,
    /// Send all records in one transaction under this name; a reader sees all or none
    #[arg(long, value_name = "ID")]
    pub(crate) transactional_id: Option<String>,
    /// Copies that must have a record before it counts as written: all (unless a property says otherwise) or 1
    #[arg(long, value_parser = acks, conflicts_with = "transactional_id")]
    pub(crate) acks: Option<Acks>,
    /// Longest wait for more records before a batch goes, milliseconds; 5 unless a property says otherwise
    #[arg(long, value_name = "MS")]
    pub(crate) linger_ms: Option<u64>,
}

/// Flags of consume.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// The cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The topic, or several
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Print the key and this text before each value
    #[arg(short = 'k', long, value_name = "TEXT", conflicts_with_all = ["format", "json"])]
    pub(crate) key_separator: Option<String>,
    /// Print this for each record: %k key, %v value, %h headers, %t topic, %p partition, %o offset, %T timestamp in
    /// milliseconds, %D date, %K and %V lengths; \n, \t, %%
    #[arg(short, long, value_name = "TEXT", conflicts_with = "json", value_parser = crate::commands::consume::Format::parse)]
    pub(crate) format: Option<crate::commands::consume::Format>,
    /// Print this for a key or value that is null
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "json")]
    pub(crate) null_marker: String,
    /// Read as a member of this consumer group, and commit what was printed
    #[arg(short, long, value_name = "ID", conflicts_with = "partitions")]
    pub(crate) group: Option<String>,
    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Where to begin: beginning, end, an offset, or -N for the last N
    #[arg(short, long, default_value = "beginning", allow_hyphen_values = true, value_parser = start)]
    pub(crate) offset: Start,
    /// Begin at the first record at or after this time: 2026-01-31T08:00:00Z, milliseconds, or "2h ago"
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "offset")]
    pub(crate) from_time: Option<i64>,
    /// Stop before the first record at or after this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) until: Option<i64>,
    /// Stop after this many records
    #[arg(short, long, value_name = "RECORDS")]
    pub(crate) count: Option<u64>,
    /// Stop at the end of every partition, as it was at the start
    #[arg(short = 'e', long)]
    pub(crate) exit_at_end: bool,
    /// One JSON object a record, with partition, offset, timestamp, key, value and headers
    #[arg(long)]
    pub(crate) json: bool,
    /// Show records of open and aborted transactions too
    #[arg(long)]
    pub(crate) read_uncommitted: bool,
}

/// `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        // Without its text: it may be a secret.
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// `PARTITION:OFFSET`.
fn partition_offset(text: &str) -> Result<(i32, i64), String> {
    let parsed = text.split_once(':').and_then(|(partition, offset)| {
        let offset = if offset == "end" { -1 } else { offset.parse().ok().filter(|offset| *offset >= 0)? };
        Some((partition.parse().ok().filter(|partition| *partition >= 0)?, offset))
    });
    parsed.ok_or_else(|| format!("must be PARTITION:OFFSET or PARTITION:end, not {text}"))
}

/// `1,2,3`.
pub(super) fn brokers(text: &str) -> Result<Brokers, String> {
    let ids: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
    ids.map(Brokers).map_err(|_| format!("must be broker ids such as 1,2,3, not {text}"))
}

fn compression(text: &str) -> Result<Compression, String> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level.parse().map_err(|_| format!("{level} is no level"))?)),
        None => (text, None),
    };
    let codec = Codec::ALL.into_iter().find(|codec| codec.name() == name);
    let codec = codec.ok_or("must be none, gzip, snappy, lz4 or zstd, with a level such as zstd:9")?;
    Compression::new(codec, level).map_err(|error| error.to_string())
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" | "leader" => Ok(Acks::Leader),
        _ => Err(format!("must be all or 1, not {text}")),
    }
}
