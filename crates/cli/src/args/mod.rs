//! The command line: OLake's verbs and flags, and ours.

mod admin;
mod tools;
mod worker;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kanat_sync::config::Secret;

pub(crate) use self::admin::*;
pub(crate) use self::tools::*;
pub(crate) use self::worker::*;

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

impl Command {
    /// Whether standard output holds data only, and everything said goes to standard error.
    pub(crate) fn is_tool(&self) -> bool {
        match self {
            Command::Spec
            | Command::Check
            | Command::Discover
            | Command::Sync(_)
            | Command::ClearDestination
            | Command::Dev(_)
            | Command::Demo(_) => false,
            Command::Topic(_)
            | Command::Produce(_)
            | Command::Consume(_)
            | Command::Group(_)
            | Command::Config(_)
            | Command::Acl(_)
            | Command::Cluster(_)
            | Command::User(_)
            | Command::Quota(_)
            | Command::Transaction(_)
            | Command::Worker(_) => true,
        }
    }
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
    /// List, describe, create, change and delete topics
    Topic(TopicArgs),
    /// Send the lines of a file or of standard input as records
    Produce(ProduceArgs),
    /// Print the records of topics
    Consume(ConsumeArgs),
    /// List, describe, reset and delete consumer groups
    Group(GroupArgs),
    /// Show and change configurations of topics, brokers and groups
    Config(ConfigArgs),
    /// List, add and remove access control entries
    Acl(AclArgs),
    /// Show brokers, features and log folders, elect leaders, move copies
    Cluster(ClusterVerbArgs),
    /// List, set and delete users that log in with SCRAM
    User(UserArgs),
    /// List, set and remove quotas
    Quota(QuotaArgs),
    /// List, describe and end transactions
    Transaction(TransactionArgs),
    /// Run connectors, as Kafka Connect does
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Run a broker for development
    Dev(DevArgs),
    /// See it work: broker, records, discovery, sync and a table, in one go
    Demo(DemoArgs),
}

/// Where help shows the flags of OLake.
const FILES_HEADING: &str = "Flags of spec, check, discover, sync and clear-destination";

/// Flags that every verb accepts, with OLake's names.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Source configuration, source.json; for the tools also a properties file of the Java client
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Destination configuration, destination.json
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "FILE")]
    pub(crate) destination: Option<PathBuf>,
    /// For spec: describe this destination instead of the source [parquet]
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "TYPE")]
    pub(crate) destination_type: Option<String>,
    /// Catalog of topics, streams.json
    #[arg(long, help_heading = FILES_HEADING, visible_alias = "streams", global = true, value_name = "FILE")]
    pub(crate) catalog: Option<PathBuf>,
    /// State of earlier syncs, state.json; without it a sync starts without one
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// For discover: compare this catalog with --streams and ask no broker
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "FILE")]
    pub(crate) difference: Option<PathBuf>,
    /// Records that are turned into columns at once
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) destination_buffer_size: u32,
    /// Topics that discovery looks at at the same time
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "TOPICS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_discover_threads: u32,
    /// Put streams.json, state.json and stats.json into the temporary folder of the system
    #[arg(long, help_heading = FILES_HEADING, global = true, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) no_save: bool,
    /// Key that --config and --destination were encrypted with
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "KEY", env = "KANAT_ENCRYPTION_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) encryption_key: Option<Secret>,
    /// First half of destination_database for topics that discovery finds [default: kafka]
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "NAME")]
    pub(crate) destination_database_prefix: Option<String>,
    /// Seconds that discovery may take; below 1 means 300
    #[arg(long, help_heading = FILES_HEADING, global = true, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
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
    /// Check access control entries, which this principal needs none of, such as User:ANONYMOUS; may be repeated
    #[arg(long = "super-user", value_name = "TYPE:NAME")]
    pub(crate) super_users: Vec<String>,
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
