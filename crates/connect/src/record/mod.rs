//! Records on their way through a connector.
//!
//! A source task makes a [`SourceRecord`]; transforms change its [`Record`]; converters write it to Kafka. On the way to
//! a sink the bytes come first: a [`SinkRecord`] holds them as they stand in Kafka, and its key and value are converted
//! only when the task or a transform asks for them.

mod headers;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::headers::{Header, Headers};
use crate::converter::SchemaAndValue;
use crate::data::{Map, Text};

/// Who set a record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// Nobody: the record has none.
    #[default]
    NoTimestampType,
    /// The producer.
    CreateTime,
    /// The broker, when it appended the record.
    LogAppendTime,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TimestampType::NoTimestampType => "NoTimestampType",
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        })
    }
}

/// What sources and sinks have in common, and transforms work on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Where it goes to, or came from. Transforms may change it.
    pub topic: Text,
    /// Partition of the topic; `None` lets the producer choose.
    pub partition: Option<i32>,
    /// Offset in Kafka; `None` for a record of a source.
    pub offset: Option<i64>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: SchemaAndValue,
    /// Value.
    pub value: SchemaAndValue,
    /// Headers in order.
    pub headers: Headers,
}

impl fmt::Display for Record {
    /// As Java shows it in messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConnectRecord{{topic='{}', kafkaPartition=", self.topic)?;
        write_optional(formatter, self.partition.as_ref())?;
        write!(formatter, ", key={}, keySchema=", self.key.value)?;
        write_optional(formatter, self.key.schema.as_ref())?;
        write!(formatter, ", value={}, valueSchema=", self.value.value)?;
        write_optional(formatter, self.value.schema.as_ref())?;
        formatter.write_str(", timestamp=")?;
        write_optional(formatter, self.timestamp.as_ref())?;
        formatter.write_str(", headers=ConnectHeaders(headers=")?;
        for (index, header) in self.headers.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(formatter, "{separator}ConnectHeader(key={}, value={}, schema=", header.key, header.value.value)?;
            write_optional(formatter, header.value.schema.as_ref())?;
            formatter.write_str(")")?;
        }
        formatter.write_str(")}")
    }
}

fn write_optional(formatter: &mut fmt::Formatter<'_>, value: Option<&impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => value.fmt(formatter),
        None => formatter.write_str("null"),
    }
}

/// A record that a source read from its system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceRecord {
    /// What is to be written to Kafka.
    pub record: Record,
    /// Which part of the source it is from. Text keys; values are null, booleans, numbers or text.
    ///
    /// It is stored as JSON in the order of its entries and found again by these bytes: always make it in one order.
    pub source_partition: Arc<Map>,
    /// Where the part is to be read on from once this record is in Kafka. As `source_partition`.
    pub source_offset: Arc<Map>,
}

/// A header as it stands in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawHeader {
    /// Name.
    pub key: Text,
    /// Bytes, or null.
    pub value: Option<Bytes>,
}

/// A record of Kafka on its way into a sink.
///
/// `raw` holds the record as it was read, whatever transforms did to `record`: it is what a dead letter is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SinkRecord {
    /// What the transforms left. Key and value are null without a schema when the task asked for bytes alone.
    pub record: Record,
    /// Who set the timestamp.
    pub timestamp_type: TimestampType,
    /// The record as it stands in Kafka.
    pub raw: RawRecord,
}

impl SinkRecord {
    /// Offset in Kafka.
    pub fn offset(&self) -> i64 {
        self.raw.offset
    }
}

/// A record as it stands in Kafka. The bytes are shared with the response they came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Topic.
    pub topic: Text,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Bytes of the key.
    pub key: Option<Bytes>,
    /// Bytes of the value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers; `None` when there are none, which is the usual case.
    pub headers: Option<Arc<[RawHeader]>>,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Text,
    /// Partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<Text>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    /// As Java: `orders-0`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}
