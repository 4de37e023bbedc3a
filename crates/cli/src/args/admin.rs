//! Flags of group, config, acl, cluster, user, quota and transaction.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use kanat_client::{AclOperation, AclPatternType, AclResourceType, ConfigResourceType, ScramMechanism};

use super::tools::{Brokers, ToolArgs, brokers, key_value};
use crate::commands::when;

/// Flags of group.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with groups.
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// All groups with their state and protocol
    List {
        /// Only groups in this state, such as Stable or Empty; may be repeated
        #[arg(long = "in-state", value_name = "STATE")]
        states: Vec<String>,
        /// Only groups of this type, such as classic or consumer; may be repeated
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
    },
    /// Offsets, lag and members of groups
    Describe {
        /// Their ids; none for all groups
        groups: Vec<String>,
        /// Show members and what they are assigned instead of offsets
        #[arg(long)]
        members: bool,
    },
    /// Delete groups with their offsets
    Delete {
        /// Their ids
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Set the offsets of a group that has no members; only shows what it would do without --execute
    Reset(ResetArgs),
    /// Print the offsets of a group as reset --from-file reads them: topic,partition,offset
    Export {
        /// Its id
        group: String,
    },
    /// Forget the offsets of topics
    DeleteOffsets {
        /// Its id
        group: String,
        /// TOPIC or TOPIC:PARTITION,...; may be repeated
        #[arg(long = "topic", value_name = "TOPIC[:PARTITIONS]", required = true, value_parser = topic_partitions)]
        topics: Vec<TopicPartitions>,
    },
    /// Remove members from a classic group
    RemoveMembers {
        /// Its id
        group: String,
        /// A member by its id; may be repeated
        #[arg(long = "member", value_name = "ID")]
        members: Vec<String>,
        /// A member by its group.instance.id; may be repeated
        #[arg(long = "instance", value_name = "ID", required_unless_present = "members")]
        instances: Vec<String>,
    },
}

/// Flags of group reset.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("to").required(true))]
pub(crate) struct ResetArgs {
    /// Its id
    pub(crate) group: String,
    /// TOPIC or TOPIC:PARTITION,...; may be repeated; without it every partition with a committed offset
    #[arg(long = "topic", value_name = "TOPIC[:PARTITIONS]", value_parser = topic_partitions)]
    pub(crate) topics: Vec<TopicPartitions>,
    /// To the first record
    #[arg(long, group = "to")]
    pub(crate) to_earliest: bool,
    /// To the end
    #[arg(long, group = "to")]
    pub(crate) to_latest: bool,
    /// To where they are: commits positions anew so that they do not expire
    #[arg(long, group = "to")]
    pub(crate) to_current: bool,
    /// To this offset
    #[arg(long, group = "to", value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) to_offset: Option<i64>,
    /// By this many records, back if negative
    #[arg(long, group = "to", value_name = "RECORDS", allow_negative_numbers = true)]
    pub(crate) shift_by: Option<i64>,
    /// To the first record at or after this time: 2026-01-31T08:00:00Z, milliseconds, or "2h ago"
    #[arg(long, group = "to", value_name = "TIME", value_parser = when::parse)]
    pub(crate) to_datetime: Option<i64>,
    /// To the first record that is not older: 2h, "3 days", PT90M
    #[arg(long, group = "to", value_name = "DURATION", value_parser = when::parse_ago)]
    pub(crate) by_duration: Option<i64>,
    /// To the offsets of this file: lines of topic,partition,offset
    #[arg(long, group = "to", value_name = "FILE", conflicts_with = "topics")]
    pub(crate) from_file: Option<PathBuf>,
    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    /// Only show it; so it is without --execute
    #[arg(long, conflicts_with = "execute")]
    pub(crate) dry_run: bool,
}

/// A topic and some of its partitions; none for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<i32>,
}

/// `TOPIC` or `TOPIC:0,1`.
fn topic_partitions(text: &str) -> Result<TopicPartitions, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, Ok(Vec::new())),
        Some((topic, list)) => (topic, list.split(',').map(str::parse).collect::<Result<Vec<i32>, _>>()),
    };
    match partitions {
        Ok(partitions) if !topic.is_empty() => Ok(TopicPartitions { topic: topic.to_owned(), partitions }),
        _ => Err(format!("must be TOPIC or TOPIC:0,1, not {text}")),
    }
}

/// Flags of config.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with configurations.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What to do with configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what is set
    Describe {
        /// Whose.
        #[command(flatten)]
        resource: ResourceArgs,
        /// Show defaults too
        #[arg(long)]
        all: bool,
        /// Show what the keys mean
        #[arg(long)]
        documentation: bool,
    },
    /// Set keys
    Set {
        /// Whose.
        #[command(flatten)]
        resource: ResourceArgs,
        /// KEY=VALUE, one or several
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
        /// Add the values to lists instead of replacing them
        #[arg(long, conflicts_with = "subtract")]
        append: bool,
        /// Take the values out of lists
        #[arg(long)]
        subtract: bool,
        /// Only say whether it could be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Take keys back to their defaults
    Delete {
        /// Whose.
        #[command(flatten)]
        resource: ResourceArgs,
        /// Their names
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

/// Whose configuration.
#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    /// topic, broker, group, client-metrics or broker-logger
    #[arg(value_name = "TYPE", value_parser = resource_type)]
    pub(crate) kind: ConfigResourceType,
    /// Name or broker id; for brokers, default means what all share
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

fn resource_type(text: &str) -> Result<ConfigResourceType, String> {
    let singular = text.strip_suffix('s').filter(|_| !text.ends_with("metrics")).unwrap_or(text);
    ConfigResourceType::from_name(singular)
        .ok_or_else(|| format!("must be topic, broker, group, client-metrics or broker-logger, not {text}"))
}

/// Flags of acl.
#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with entries.
    #[command(subcommand)]
    pub(crate) command: AclCommand,
}

/// What to do with entries.
#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Entries that match every flag given
    List(AclMatchArgs),
    /// Add entries: one for each resource, principal, host and operation
    Add(AclAddArgs),
    /// Remove the entries that match every flag given
    Remove {
        /// Which.
        #[command(flatten)]
        entries: AclMatchArgs,
        /// Remove everything if no other flag is given
        #[arg(long)]
        all: bool,
        /// Only show them
        #[arg(long)]
        dry_run: bool,
    },
}

/// What entries are about.
#[derive(Debug, Args)]
pub(crate) struct AclResourceArgs {
    /// A topic, or * for all; may be repeated
    #[arg(long = "topic", value_name = "NAME")]
    pub(crate) topics: Vec<String>,
    /// A consumer group, or * for all; may be repeated
    #[arg(long = "group", value_name = "ID")]
    pub(crate) groups: Vec<String>,
    /// A transactional id, or * for all; may be repeated
    #[arg(long = "transactional-id", value_name = "ID")]
    pub(crate) transactional_ids: Vec<String>,
    /// The cluster
    #[arg(long)]
    pub(crate) cluster: bool,
}

impl AclResourceArgs {
    /// Types and names.
    pub(crate) fn resources(&self) -> Vec<(AclResourceType, String)> {
        let named = |kind, names: &[String]| names.iter().map(|name| (kind, name.clone())).collect::<Vec<_>>();
        let mut all = named(AclResourceType::Topic, &self.topics);
        all.extend(named(AclResourceType::Group, &self.groups));
        all.extend(named(AclResourceType::TransactionalId, &self.transactional_ids));
        if self.cluster {
            all.push((AclResourceType::Cluster, "kafka-cluster".to_owned()));
        }
        all
    }
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct AclMatchArgs {
    /// What about.
    #[command(flatten)]
    pub(crate) resource: AclResourceArgs,
    /// Whom, such as User:alice
    #[arg(long, value_name = "TYPE:NAME")]
    pub(crate) principal: Option<String>,
    /// From which host
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// What: read, write, create, delete, alter, describe, ...
    #[arg(long, value_parser = operation)]
    pub(crate) operation: Option<AclOperation>,
    /// How names are meant: literal, prefixed, or match for whatever applies to the names given
    #[arg(long, value_parser = pattern)]
    pub(crate) pattern: Option<AclPatternType>,
}

/// Entries to add.
#[derive(Debug, Args)]
pub(crate) struct AclAddArgs {
    /// What about.
    #[command(flatten)]
    pub(crate) resource: AclResourceArgs,
    /// Whom, such as User:alice or User:*; may be repeated
    #[arg(long = "principal", value_name = "TYPE:NAME", required = true)]
    pub(crate) principals: Vec<String>,
    /// From which host; may be repeated
    #[arg(long = "host", value_name = "ADDRESS", default_value = "*")]
    pub(crate) hosts: Vec<String>,
    /// What: read, write, create, delete, alter, describe, all, ...; may be repeated
    #[arg(long = "operation", value_name = "OPERATION", required_unless_present_any = ["producer", "consumer"], value_parser = operation)]
    pub(crate) operations: Vec<AclOperation>,
    /// What a producer needs: write, describe and create on the topics, write and describe on the transactional ids
    #[arg(long)]
    pub(crate) producer: bool,
    /// What a consumer needs: read and describe on the topics, read on the groups
    #[arg(long)]
    pub(crate) consumer: bool,
    /// The names are beginnings of names
    #[arg(long)]
    pub(crate) prefixed: bool,
    /// Deny instead of allow
    #[arg(long)]
    pub(crate) deny: bool,
}

fn operation(text: &str) -> Result<AclOperation, String> {
    AclOperation::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = AclOperation::ALL.iter().map(|operation| operation.as_str()).collect();
        format!("must be one of {}, not {text}", names.join(", "))
    })
}

fn pattern(text: &str) -> Result<AclPatternType, String> {
    AclPatternType::from_name(text).ok_or_else(|| format!("must be literal, prefixed or match, not {text}"))
}

/// Flags of cluster.
#[derive(Debug, Args)]
pub(crate) struct ClusterVerbArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with the cluster.
    #[command(subcommand)]
    pub(crate) command: ClusterCommand,
}

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Its id and its brokers
    Describe,
    /// Feature levels
    Features,
    /// Log folders with their sizes
    LogDirs {
        /// Only this broker; may be repeated
        #[arg(long = "broker", value_name = "ID")]
        brokers: Vec<i32>,
        /// Show every copy
        #[arg(long)]
        partitions: bool,
    },
    /// Elect leaders
    Elect {
        /// TOPIC or TOPIC:PARTITION,...; none for every partition that needs it
        #[arg(value_name = "TOPIC[:PARTITIONS]", value_parser = topic_partitions)]
        topics: Vec<TopicPartitions>,
        /// Elect copies that lack records too, which loses those
        #[arg(long)]
        unclean: bool,
    },
    /// Show, begin or call off moves of copies
    Reassign {
        /// TOPIC or TOPIC:PARTITION,...; none shows all moves under way
        #[arg(value_name = "TOPIC[:PARTITIONS]", value_parser = topic_partitions)]
        topics: Vec<TopicPartitions>,
        /// Brokers that shall hold them, the preferred leader first
        #[arg(long, value_name = "BROKER,...", value_parser = brokers, requires = "topics")]
        to: Option<Brokers>,
        /// Call the moves off
        #[arg(long, conflicts_with = "to", requires = "topics")]
        cancel: bool,
    },
}

/// Flags of user.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with users.
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Users and their mechanisms
    List,
    /// Make a user or change its password, which is asked for, or read from the first line of standard input
    Set {
        /// Its name
        user: String,
        /// SCRAM-SHA-256 or SCRAM-SHA-512
        #[arg(long, default_value = "SCRAM-SHA-512", value_parser = mechanism)]
        mechanism: ScramMechanism,
        /// Rounds of hashing, 4096 to 16384
        #[arg(long, default_value_t = 8_192)]
        iterations: u32,
        /// Read the password from the first line of this file instead
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Take mechanisms away from a user
    Delete {
        /// Its name
        user: String,
        /// SCRAM-SHA-256 or SCRAM-SHA-512; may be repeated; without it all it has
        #[arg(long = "mechanism", value_parser = mechanism)]
        mechanisms: Vec<ScramMechanism>,
    },
}

fn mechanism(text: &str) -> Result<ScramMechanism, String> {
    ScramMechanism::from_name(text).ok_or_else(|| format!("must be SCRAM-SHA-256 or SCRAM-SHA-512, not {text}"))
}

/// Flags of quota.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with quotas.
    #[command(subcommand)]
    pub(crate) command: QuotaCommand,
}

/// What to do with quotas.
#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// Quotas of everybody, or of those named
    List(QuotaEntityArgs),
    /// Set quotas
    Set {
        /// Whose.
        #[command(flatten)]
        entity: QuotaEntityArgs,
        /// Such as producer_byte_rate=1048576 or request_percentage=200
        #[arg(required = true, value_name = "QUOTA=VALUE", value_parser = quota)]
        quotas: Vec<(String, f64)>,
    },
    /// Remove quotas
    Delete {
        /// Whose.
        #[command(flatten)]
        entity: QuotaEntityArgs,
        /// Their names
        #[arg(required = true, value_name = "QUOTA")]
        quotas: Vec<String>,
    },
}

/// Whose quotas; an empty name is the default of its type.
#[derive(Debug, Args)]
pub(crate) struct QuotaEntityArgs {
    /// A user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// A client id
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// An address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
}

fn quota(text: &str) -> Result<(String, f64), String> {
    let parsed = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    parsed.ok_or_else(|| format!("must be QUOTA=NUMBER, not {text}"))
}

/// Flags of transaction.
#[derive(Debug, Args)]
pub(crate) struct TransactionArgs {
    /// Cluster and form.
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
    /// What to do with transactions.
    #[command(subcommand)]
    pub(crate) command: TransactionCommand,
}

/// What to do with transactions.
#[derive(Debug, Subcommand)]
pub(crate) enum TransactionCommand {
    /// Transactional ids with their states
    List {
        /// Only those in this state, such as Ongoing; may be repeated
        #[arg(long = "in-state", value_name = "STATE")]
        states: Vec<String>,
    },
    /// State, producer and partitions of transactional ids
    Describe {
        /// They
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Producers that the partitions of a topic remember, with their open transactions
    Producers {
        /// TOPIC or TOPIC:PARTITION,...
        #[arg(value_name = "TOPIC[:PARTITIONS]", value_parser = topic_partitions)]
        topic: TopicPartitions,
    },
    /// Abort the transaction that is open in a partition and whose coordinator has forgotten it
    Abort {
        /// The topic
        topic: String,
        /// The partition
        #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
        partition: i32,
        /// The first offset of the transaction, as producers shows it
        #[arg(long, value_name = "OFFSET")]
        start_offset: i64,
    },
    /// Shut out the producers of transactional ids; their open transactions are aborted
    Fence {
        /// They
        #[arg(required = true)]
        ids: Vec<String>,
    },
}
