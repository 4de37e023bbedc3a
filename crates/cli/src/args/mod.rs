//! The command line: OLake's verbs and flags, and ours.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kanat_sync::config::Secret;

/// Kafka topics into tables, with an embedded broker to try it on.
#[derive(Debug, Parser)]
#[command(name = "kanat", version, about, disable_help_subcommand = false, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what source.json (or destination.json, with --destination-type) may hold
    Spec,
    /// Check that the source (or, with --destination, the destination) can be used
    Check,
    /// Look at every topic, find its columns and write streams.json
    Discover,
    /// Read the selected topics to their end and write them as tables
    Sync(SyncArgs),
    /// Delete the tables of the selected topics
    ClearDestination,
    /// List, create, delete and describe topics
    Topic(TopicArgs),
    /// Send the lines of standard input as records
    Produce(ProduceArgs),
    /// Print the records of a topic
    Consume(ConsumeArgs),
    /// Run a broker for development
    Dev(DevArgs),
    /// See it work: broker, records, discovery, sync and a table, in one go
    Demo(DemoArgs),
}

/// Flags that every verb accepts, with OLake's names.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Source configuration, source.json
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Destination configuration, destination.json
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) destination: Option<PathBuf>,
    /// For spec: describe this destination instead of the source [parquet]
    #[arg(long, global = true, value_name = "TYPE")]
    pub(crate) destination_type: Option<String>,
    /// Catalog of topics, streams.json
    #[arg(long, visible_alias = "streams", global = true, value_name = "FILE")]
    pub(crate) catalog: Option<PathBuf>,
    /// State of earlier syncs, state.json; without it a sync starts without one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// For discover: compare this catalog with --streams and ask no broker
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) difference: Option<PathBuf>,
    /// Records that are turned into columns at once
    #[arg(long, global = true, value_name = "RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) destination_buffer_size: u32,
    /// Topics that discovery looks at at the same time
    #[arg(long, global = true, value_name = "TOPICS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_discover_threads: u32,
    /// Put streams.json, state.json and stats.json into the temporary folder of the system
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) no_save: bool,
    /// Key that --config and --destination were encrypted with
    #[arg(long, global = true, value_name = "KEY", env = "KANAT_ENCRYPTION_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) encryption_key: Option<Secret>,
    /// First half of destination_database for topics that discovery finds [default: kafka]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) destination_database_prefix: Option<String>,
    /// Seconds that discovery may take; below 1 means 300
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    pub(crate) timeout: i64,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// What becomes of a record that cannot be a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadRecord {
    /// It is written to a dead-letter table beside the target.
    DeadLetter,
    /// The sync stops.
    Stop,
}

/// Where a sync goes on when records expired before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnExpiredOffsets {
    /// Nowhere: it stops and a person decides.
    Stop,
    /// At the first record there still is; what is gone is counted.
    Earliest,
}

/// Flags of sync.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Keep going when the end is reached, sealing files by size and interval
    #[arg(long)]
    pub(crate) follow: bool,
    /// What becomes of a record that cannot be a row
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnBadRecord::DeadLetter)]
    pub(crate) on_bad_record: OnBadRecord,
    /// Where to go on when records expired before they were read
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = OnExpiredOffsets::Stop)]
    pub(crate) on_expired_offsets: OnExpiredOffsets,
    /// With --follow: longest time rows wait before their file is sealed, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seal_interval_ms: u64,
}

/// Which cluster a tool talks to.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Brokers to contact first; without it those of --config, else 127.0.0.1:9092
    #[arg(short, long, value_name = "HOST:PORT,...")]
    pub(crate) bootstrap: Option<String>,
}

/// Flags of topic.
#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    /// What to do with topics.
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Names and partition counts of all topics
    List {
        /// The cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
        /// Show internal topics too
        #[arg(long)]
        internal: bool,
    },
    /// Make a topic
    Create {
        /// The cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
        /// Its name
        topic: String,
        /// Number of partitions
        #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
        /// Copies of each partition; -1 lets the cluster choose
        #[arg(short, long, default_value_t = -1, allow_negative_numbers = true)]
        replication_factor: i16,
        /// A topic config such as cleanup.policy=compact; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
    },
    /// Delete topics
    Delete {
        /// The cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
        /// Their names
        #[arg(required = true)]
        topics: Vec<String>,
    },
    /// Leaders and offsets of each partition
    Describe {
        /// The cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
        /// Its name
        topic: String,
    },
}

/// Flags of produce.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The topic
    pub(crate) topic: String,
    /// What separates key and value in a line; without it lines are values and keys are null
    #[arg(short = 'k', long, value_name = "TEXT")]
    pub(crate) key_separator: Option<String>,
    /// Partition; without it the key or chance decides
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) headers: Vec<(String, String)>,
    /// Lines are JSON objects with key, value, headers, partition and timestamp
    #[arg(long)]
    pub(crate) json: bool,
    /// Send an empty value as null (a tombstone)
    #[arg(short = 'Z', long)]
    pub(crate) null_values: bool,
}

/// Flags of consume.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// The cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The topic
    pub(crate) topic: String,
    /// Print the key and this text before each value
    #[arg(short = 'k', long, value_name = "TEXT")]
    pub(crate) key_separator: Option<String>,
    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Where to begin: beginning, end, an offset, or -N for the last N
    #[arg(short, long, default_value = "beginning", allow_hyphen_values = true, value_parser = crate::commands::consume::start)]
    pub(crate) offset: crate::commands::consume::Start,
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

/// Flags of dev.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Keep topics in this folder; without it they are gone at the end
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 9092)]
    pub(crate) port: u16,
    /// Partitions of topics that come into being on first use
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Brokers to play, each on its own port
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: i32,
}

/// Flags of demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the table and its files
    #[arg(long, value_name = "FOLDER", default_value = "kanat-demo")]
    pub(crate) dir: PathBuf,
    /// Records to produce
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) records: u64,
}

/// `KEY=VALUE`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("must be KEY=VALUE, not {text}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_olake_is_accepted_by_every_verb() {
        for verb in ["spec", "check", "discover", "sync", "clear-destination"] {
            for streams in ["--catalog", "--streams"] {
                let line = format!(
                    "kanat {verb} --config a --destination b --destination-type parquet {streams} c --state d --difference e \
                     --destination-buffer-size 5 --max-discover-threads 6 --no-save --encryption-key f \
                     --destination-database-prefix g --timeout -1"
                );
                let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
                assert_eq!(cli.files.catalog, Some("c".into()));
                assert!(cli.files.no_save && cli.files.timeout == -1);
            }
        }
        let cli = Cli::try_parse_from(["kanat", "--config", "a", "check", "--no-save=false"]).unwrap();
        assert!(!cli.files.no_save && cli.files.config == Some("a".into()));
    }

    #[test]
    fn the_encryption_key_is_hidden() {
        let cli = Cli::try_parse_from(["kanat", "check", "--encryption-key", "hunter2"]).unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
    }
}
