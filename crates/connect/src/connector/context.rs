//! What connectors and tasks may ask of their worker.

use std::fmt;
use std::time::Duration;

use super::BoxFuture;
use crate::data::Map;
use crate::error::{Error, Result};
use crate::record::TopicPartition;

/// What a connector may ask.
pub trait ConnectorContext: fmt::Debug + Send + Sync {
    /// Name of the connector.
    fn connector(&self) -> &str;

    /// Asks for `task_configs` to be called again, because the system has changed. Returns at once.
    fn request_task_reconfiguration(&self);

    /// Ends the connector as failed, from a background activity. Returns at once.
    fn raise_error(&self, error: Error);

    /// What is stored for parts of a source, in the order asked; `None` for a part without an offset. A sink gets none.
    fn stored_offsets<'a>(&'a self, partitions: &'a [Map]) -> BoxFuture<'a, Result<Vec<Option<Map>>>>;
}

/// What a source task may ask.
pub trait SourceTaskContext: fmt::Debug + Send + Sync {
    /// Name of the connector.
    fn connector(&self) -> &str;

    /// Number of the task, from 0.
    fn task(&self) -> usize;

    /// What is stored for parts of the source, in the order asked; `None` for a part without an offset.
    fn stored_offsets<'a>(&'a self, partitions: &'a [Map]) -> BoxFuture<'a, Result<Vec<Option<Map>>>>;

    /// Whether the records of this task are written in transactions whose ends the task defines itself
    /// (`transaction.boundary=connector`): then [`SourceBatch::ends`](super::SourceBatch::ends) counts.
    fn defines_transactions(&self) -> bool;
}

/// What a sink task may ask. Every call returns at once; the worker acts before it calls the task again.
pub trait SinkTaskContext: fmt::Debug + Send + Sync {
    /// Name of the connector.
    fn connector(&self) -> &str;

    /// Number of the task, from 0.
    fn task(&self) -> usize;

    /// Partitions of this task now.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Asks for offsets to be committed soon, before their time.
    fn request_commit(&self);

    /// Goes on reading a partition at an offset. Ignored for partitions of others.
    fn seek(&self, partition: &TopicPartition, offset: i64);

    /// Stops the flow of partitions until they are resumed. The task keeps them.
    fn pause(&self, partitions: &[TopicPartition]);

    /// Resumes the flow of partitions.
    fn resume(&self, partitions: &[TopicPartition]);

    /// How long to wait until the batch of a retriable error is given again; without it the worker decides.
    fn retry_after(&self, delay: Duration);
}
