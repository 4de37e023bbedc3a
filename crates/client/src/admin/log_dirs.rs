//! The folders brokers keep their logs in.

use kanat_protocol::messages::{ApiKey, DescribeLogDirsRequest};

use super::ask::{Node, text};
use super::{Admin, Outcomes};
use crate::error::Result;
use crate::types::TopicPartition;

/// One partition's copy in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// Size of its log, in bytes.
    pub size_bytes: i64,
    /// Records by which this copy is behind: the leader's high watermark for a usual copy, the usual copy for a future
    /// one.
    pub offset_lag: i64,
    /// Whether it is being moved here from another folder of the same broker.
    pub is_future: bool,
}

/// A folder of a broker.
#[derive(Debug)]
pub struct LogDir {
    /// Its path at the broker.
    pub path: String,
    /// Whether it can be used.
    pub state: Result<()>,
    /// Size of the volume, in bytes; `None` when the broker does not say (before Kafka 3.3).
    pub total_bytes: Option<i64>,
    /// Free space of the volume, in bytes; `None` when the broker does not say.
    pub usable_bytes: Option<i64>,
    /// Copies in it, sorted.
    pub partitions: Vec<LogDirPartition>,
}

impl Admin {
    /// The folders of these brokers (`None`: all) with every copy in them.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`.
    pub async fn describe_log_dirs(&self, brokers: Option<&[i32]>) -> Result<Outcomes<i32, Vec<LogDir>>> {
        let ask = |node: Node| async move {
            let request = DescribeLogDirsRequest::default().with_topics(None);
            let answer = node.ask(ApiKey::DescribeLogDirs, &request).await?;
            let subject = || format!("log folders of broker {}", node.id());
            answer.check(subject, answer.body.error_code, None)?;
            let mut folders = Vec::with_capacity(answer.body.results.len());
            for row in &answer.body.results {
                let path = text(&row.log_dir);
                let state = answer.check(|| format!("log folder {path}"), row.error_code, None);
                let mut partitions: Vec<LogDirPartition> = Vec::new();
                for topic in &row.topics {
                    partitions.extend(topic.partitions.iter().map(|row| LogDirPartition {
                        partition: TopicPartition::new(topic.name.0.as_str(), row.partition_index),
                        size_bytes: row.partition_size,
                        offset_lag: row.offset_lag,
                        is_future: row.is_future_key,
                    }));
                }
                partitions.sort_unstable_by(|left, right| left.partition.cmp(&right.partition));
                let known = |bytes: i64| Some(bytes).filter(|bytes| *bytes >= 0);
                let (total_bytes, usable_bytes) = (known(row.total_bytes), known(row.usable_bytes));
                folders.push(LogDir { path, state, total_bytes, usable_bytes, partitions });
            }
            Ok(folders)
        };
        self.ask_brokers(brokers, ask).await
    }
}
