//! Topic configs: which exist, what they default to, which values they take, and what the log needs of them.
//!
//! All configs of a Kafka 4 topic are known, so that tools can set and show them. Those that steer disks, replicas or
//! tiers have nothing to steer here and are only kept.

use std::collections::BTreeMap;

use kanat_protocol::batch::TimestampType;

/// Type of a config value, with the numbers of the DescribeConfigs answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

impl ConfigType {
    pub(crate) fn wire(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
        }
    }
}

/// A config a topic can have.
#[derive(Debug)]
pub(crate) struct ConfigDef {
    pub(crate) name: &'static str,
    /// What nodes call the value of topics that do not set it.
    pub(crate) broker_name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) config_type: ConfigType,
    accepts: Accepts,
    pub(crate) documentation: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Accepts {
    Between(i64, i64),
    Fraction,
    OneOf(&'static [&'static str]),
    /// A list; empty only if the flag says so.
    ListOf(&'static [&'static str]),
}

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

macro_rules! configs {
    ($($name:literal, $broker_name:literal, $type:ident, $default:literal, $accepts:expr, $documentation:literal;)*) => {
        &[$(ConfigDef {
            name: $name,
            broker_name: $broker_name,
            default: $default,
            config_type: ConfigType::$type,
            accepts: $accepts,
            documentation: $documentation,
        }),*]
    };
}

/// Every known topic config, sorted by name.
pub(crate) const CONFIGS: &[ConfigDef] = configs! {
    "cleanup.policy", "log.cleanup.policy", List, "delete", Accepts::ListOf(&["delete", "compact"]), "delete old segments, compact by key, or both";
    "compression.type", "compression.type", String, "producer", Accepts::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]), "kept, without effect here: batches are stored as they came";
    "delete.retention.ms", "log.cleaner.delete.retention.ms", Long, "86400000", Accepts::Between(0, LONG_MAX), "how long a compacted topic keeps tombstones";
    "file.delete.delay.ms", "log.segment.delete.delay.ms", Long, "60000", Accepts::Between(0, LONG_MAX), "kept, without effect here";
    "flush.messages", "log.flush.interval.messages", Long, "9223372036854775807", Accepts::Between(1, LONG_MAX), "kept, without effect here";
    "flush.ms", "log.flush.interval.ms", Long, "9223372036854775807", Accepts::Between(0, LONG_MAX), "kept, without effect here";
    "index.interval.bytes", "log.index.interval.bytes", Int, "4096", Accepts::Between(0, INT_MAX), "kept, without effect here";
    "max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807", Accepts::Between(1, LONG_MAX), "kept, without effect here";
    "max.message.bytes", "message.max.bytes", Int, "1048588", Accepts::Between(0, INT_MAX), "largest record batch";
    "message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Long, "3600000", Accepts::Between(0, LONG_MAX), "how far ahead of the broker's clock a timestamp may be";
    "message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", Long, "9223372036854775807", Accepts::Between(0, LONG_MAX), "how far behind the broker's clock a timestamp may be";
    "message.timestamp.type", "log.message.timestamp.type", String, "CreateTime", Accepts::OneOf(&["CreateTime", "LogAppendTime"]), "whose clock stamps records";
    "min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Double, "0.5", Accepts::Fraction, "share of new bytes that starts a compaction";
    "min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Long, "0", Accepts::Between(0, LONG_MAX), "age before which records are not compacted";
    "min.insync.replicas", "min.insync.replicas", Int, "1", Accepts::Between(1, INT_MAX), "kept, without effect here";
    "preallocate", "log.preallocate", Boolean, "false", Accepts::OneOf(&["true", "false"]), "kept, without effect here";
    "retention.bytes", "log.retention.bytes", Long, "-1", Accepts::Between(-1, LONG_MAX), "bytes a partition keeps, -1 for no bound";
    "retention.ms", "log.retention.ms", Long, "604800000", Accepts::Between(-1, LONG_MAX), "age at which segments are dropped, -1 for never";
    "segment.bytes", "log.segment.bytes", Int, "1073741824", Accepts::Between(14, INT_MAX), "size at which a new segment begins";
    "segment.index.bytes", "log.index.size.max.bytes", Int, "10485760", Accepts::Between(4, INT_MAX), "kept, without effect here";
    "segment.jitter.ms", "log.roll.jitter.ms", Long, "0", Accepts::Between(0, LONG_MAX), "kept, without effect here";
    "segment.ms", "log.roll.ms", Long, "604800000", Accepts::Between(1, LONG_MAX), "age at which a new segment begins";
    "unclean.leader.election.enable", "unclean.leader.election.enable", Boolean, "false", Accepts::OneOf(&["true", "false"]), "kept, without effect here";
};

/// The config called `name`.
pub(crate) fn find(name: &str) -> Option<&'static ConfigDef> {
    CONFIGS.binary_search_by(|config| config.name.cmp(name)).ok().map(|index| &CONFIGS[index])
}

/// The config whose value for topics that do not set it nodes call `name`.
pub(crate) fn find_by_broker_name(name: &str) -> Option<&'static ConfigDef> {
    CONFIGS.iter().find(|config| config.broker_name == name)
}

/// Checks a value; the error is a sentence for the user.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(config) = find(name) else { return Err(format!("unknown topic config {name}")) };
    let refuse = |wanted: String| Err(format!("{name} = {value}: must be {wanted}"));
    match config.accepts {
        Accepts::Between(min, max) => match value.trim().parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            _ => refuse(format!("a number from {min} to {max}")),
        },
        Accepts::Fraction => match value.trim().parse::<f64>() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
            _ => refuse("a number from 0 to 1".to_owned()),
        },
        Accepts::OneOf(values) if values.contains(&value) => Ok(()),
        Accepts::OneOf(values) => refuse(values.join(" or ")),
        Accepts::ListOf(values) if list(value).all(|item| values.contains(&item)) => Ok(()),
        Accepts::ListOf(values) => refuse(format!("a list of {}", values.join(", "))),
    }
}

/// Items of a list value.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// What the log needs to know, read out of the configs of a topic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogConfig {
    pub(crate) message_bytes_max: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: i64,
    /// Negative for no bound.
    pub(crate) retention_bytes: i64,
    /// Negative for never.
    pub(crate) retention_ms: i64,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) timestamp_after_ms_max: i64,
    pub(crate) timestamp_before_ms_max: i64,
    /// Old segments are dropped.
    pub(crate) delete: bool,
    /// Only the newest record of a key is kept.
    pub(crate) compact: bool,
    pub(crate) delete_retention_ms: i64,
    pub(crate) compaction_lag_ms_min: i64,
    pub(crate) cleanable_dirty_ratio_min: f64,
}

impl LogConfig {
    /// Reads checked configs: the topic's own, else the broker's defaults, else Kafka's.
    pub(crate) fn new(own: &BTreeMap<String, String>, defaults: &TopicDefaults) -> Self {
        let text = |name: &str| effective(name, own, defaults).0;
        let long = |name: &str| text(name).trim().parse::<i64>().expect("checked when it was set");
        let policies: Vec<&str> = list(text("cleanup.policy")).collect();
        Self {
            message_bytes_max: usize::try_from(long("max.message.bytes")).expect("checked when it was set"),
            segment_bytes: long("segment.bytes").unsigned_abs(),
            segment_ms: long("segment.ms"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            timestamp_type: match text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_after_ms_max: long("message.timestamp.after.max.ms"),
            timestamp_before_ms_max: long("message.timestamp.before.max.ms"),
            delete: policies.contains(&"delete"),
            compact: policies.contains(&"compact"),
            delete_retention_ms: long("delete.retention.ms"),
            compaction_lag_ms_min: long("min.compaction.lag.ms"),
            cleanable_dirty_ratio_min: text("min.cleanable.dirty.ratio")
                .trim()
                .parse()
                .expect("checked when it was set"),
        }
    }
}

/// Where a value comes from, with the numbers of the DescribeConfigs answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigSource {
    Topic,
    /// Set for all nodes while they run.
    DynamicDefault,
    BrokerDefault,
    Default,
    Group,
}

impl ConfigSource {
    pub(crate) fn wire(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicDefault => 3,
            Self::BrokerDefault => 4,
            Self::Default => 5,
            Self::Group => 8,
        }
    }
}

/// Values of topics that do not set a config themselves, by topic config.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicDefaults {
    /// Set while the broker runs.
    pub(crate) dynamic: BTreeMap<String, String>,
    /// Set by the options.
    pub(crate) fixed: BTreeMap<String, String>,
}

/// The value of a known config and where it comes from.
pub(crate) fn effective<'a>(
    name: &str,
    own: &'a BTreeMap<String, String>,
    defaults: &'a TopicDefaults,
) -> (&'a str, ConfigSource) {
    let layers = [
        (own, ConfigSource::Topic),
        (&defaults.dynamic, ConfigSource::DynamicDefault),
        (&defaults.fixed, ConfigSource::BrokerDefault),
    ];
    let set = layers.into_iter().find_map(|(layer, source)| Some((layer.get(name)?.as_str(), source)));
    set.unwrap_or_else(|| (find(name).map_or("", |config| config.default), ConfigSource::Default))
}
