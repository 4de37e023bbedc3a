//! Source connectors and their tasks.

use std::sync::Arc;

use super::{ConnectorContext, SourceTaskContext};
use crate::config::{ClassNames, ConfigDef, ConfigReport, Properties};
use crate::data::{Map, Text};
use crate::error::Result;
use crate::record::SourceRecord;

/// Parts of a source with their new offsets; `None` forgets a part.
pub type SourceOffsets = Vec<(Map, Option<Map>)>;

/// Whether every record can be written exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExactlyOnceSupport {
    /// The connector does not say. Java: the method is not overridden, or returns null.
    #[default]
    Undeclared,
    /// Yes, with this configuration.
    Supported,
    /// No, with this configuration.
    Unsupported,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEnd {
    /// Its records become visible.
    Commit,
    /// Its records, and their offsets, never were.
    Abort,
}

/// What one poll brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceBatch {
    /// Records in order. None means that there is nothing for now.
    pub records: Vec<SourceRecord>,
    /// Where transactions end, by the number of records before the end, ascending; only looked at when the task
    /// defines transactions.
    pub ends: Vec<(usize, TransactionEnd)>,
}

impl From<Vec<SourceRecord>> for SourceBatch {
    fn from(records: Vec<SourceRecord>) -> SourceBatch {
        SourceBatch { records, ends: Vec::new() }
    }
}

/// Where a record is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaPosition {
    /// Topic, after transforms.
    pub topic: Text,
    /// Partition.
    pub partition: i32,
    /// Offset; `None` when the broker did not tell it.
    pub offset: Option<i64>,
    /// Timestamp in milliseconds, if it has one.
    pub timestamp: Option<i64>,
}

/// A record that is done with.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedRecord {
    /// As the task gave it.
    pub source_partition: Arc<Map>,
    /// As the task gave it.
    pub source_offset: Arc<Map>,
    /// Where it went; `None` when a transform dropped it, or its failure was tolerated.
    pub position: Option<KafkaPosition>,
}

/// Reads records from a system.
pub trait SourceTask: Send + Default + 'static {
    /// Connects and finds where to go on. Called once.
    ///
    /// # Errors
    /// Every error fails the task.
    fn start(
        &mut self,
        context: Arc<dyn SourceTaskContext>,
        config: Properties,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Waits for records and returns them. It should return within seconds, with an empty batch if need be.
    ///
    /// The worker may drop the future at any await point and poll anew: no record may be lost by that. It is not called
    /// while the connector is paused.
    ///
    /// # Errors
    /// A retriable error counts as an empty batch.
    fn poll(&mut self) -> impl Future<Output = Result<SourceBatch>> + Send;

    /// Whether [`committed`](Self::committed) is wanted: the worker keeps a list for it.
    fn wants_committed(&self) -> bool {
        false
    }

    /// Records that are durable in Kafka, or were dropped on the way, in the order in which that became known.
    ///
    /// # Errors
    /// Every error fails the task.
    fn committed(&mut self, records: &[CommittedRecord]) -> impl Future<Output = Result<()>> + Send {
        let _ = records;
        async { Ok(()) }
    }

    /// Source offsets have been stored: everything up to them may be forgotten by the system.
    ///
    /// # Errors
    /// Reported and otherwise ignored, as in Connect.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Lets go of everything. Called once, also after a failed start.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Splits the work of reading from a system.
pub trait SourceConnector: Send + Default + 'static {
    /// Does the work.
    type Task: SourceTask;

    /// Name by which configurations name it: for a replacement of a Java connector, the Java class.
    const CLASS: &'static str;

    /// Name of the task's class, stored with the configuration of each task.
    const TASK_CLASS: &'static str;

    /// Version, as `/connector-plugins` shows it.
    const VERSION: &'static str = crate::VERSION;

    /// Keys of its configuration, without those that every connector has.
    fn config_def() -> ConfigDef;

    /// Checks a configuration, by default key by key. A connector that can also looks at the system.
    fn validate(config: &Properties, classes: &dyn ClassNames) -> impl Future<Output = ConfigReport> + Send {
        let report = Self::config_def().validate(config, classes);
        async { report }
    }

    /// Whether it delivers exactly once with this configuration.
    fn exactly_once_support(config: &Properties) -> ExactlyOnceSupport {
        let _ = config;
        ExactlyOnceSupport::Undeclared
    }

    /// Whether its tasks can say where transactions end with this configuration.
    fn can_define_transaction_boundaries(config: &Properties) -> bool {
        let _ = config;
        false
    }

    /// Offsets are about to be changed by a user. `true` says that the connector has looked at them and that nothing
    /// else is to be done; `false` that it does not know.
    ///
    /// # Errors
    /// When the offsets cannot be right: they are not changed then.
    fn alter_offsets(config: &Properties, offsets: &SourceOffsets) -> impl Future<Output = Result<bool>> + Send {
        let _ = (config, offsets);
        async { Ok(false) }
    }

    /// Connects, and may begin to watch the system.
    ///
    /// # Errors
    /// Every error fails the connector; its tasks go on.
    fn start(
        &mut self,
        context: Arc<dyn ConnectorContext>,
        config: Properties,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Configurations of at most `max_tasks` tasks.
    ///
    /// # Errors
    /// The worker tries again, with growing pauses.
    fn task_configs(&mut self, max_tasks: usize) -> impl Future<Output = Result<Vec<Properties>>> + Send;

    /// Lets go of everything. Called once, also after a failed start.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
