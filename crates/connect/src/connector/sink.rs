//! Sink connectors and their tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConnectorContext, SinkTaskContext};
use crate::config::{ClassNames, ConfigDef, ConfigReport, Properties};
use crate::error::{Error, Result};
use crate::record::{SinkRecord, TopicPartition};

/// The next offset to read of each partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// How a task wants keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Converted, with their schema, in [`Record`](crate::record::Record).
    #[default]
    Value,
    /// As bytes, in [`RawRecord`](crate::record::RawRecord). When a transform has changed the record they are written
    /// anew by the converter, so that a task sees one form only.
    Raw,
}

/// What a task wants of its records. What it does not want is not converted, unless a transform needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Keys.
    pub key: Form,
    /// Values.
    pub value: Form,
    /// Headers.
    pub headers: Form,
}

/// The converters of a sink, by which its task decides what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConverterNames {
    /// Full class name of the key's converter.
    pub key: String,
    /// Its configuration, without prefix.
    pub key_config: Properties,
    /// Full class name of the value's converter.
    pub value: String,
    /// Its configuration, without prefix.
    pub value_config: Properties,
}

/// A record that the system does not take, whatever one does.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedRecord {
    /// The record, as it was given.
    pub record: SinkRecord,
    /// Why.
    pub error: Error,
}

/// Writes records to a system.
pub trait SinkTask: Send + Default + 'static {
    /// Connects. Called once, before partitions are assigned.
    ///
    /// # Errors
    /// Every error fails the task.
    fn start(
        &mut self,
        context: Arc<dyn SinkTaskContext>,
        config: Properties,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What it wants of its records, given who converts them. Asked once, after the start.
    fn wants(&self, converters: &ConverterNames) -> Wants {
        let _ = converters;
        Wants::default()
    }

    /// Partitions have been assigned. A system that keeps offsets itself tells where to go on; what is left out goes on
    /// from the committed offset.
    ///
    /// # Errors
    /// Every error fails the task.
    fn open(&mut self, partitions: &[TopicPartition]) -> impl Future<Output = Result<Offsets>> + Send {
        let _ = partitions;
        async { Ok(Offsets::new()) }
    }

    /// Writes records, or takes them into a bounded buffer. Records of one partition are in order.
    ///
    /// Returns those that the system refuses for good. The worker makes dead letters of them, or fails the task, as
    /// `errors.tolerance` says; the others count as taken.
    ///
    /// # Errors
    /// After a retriable error the same records are given again, after a while, and nothing else before. Any other error
    /// fails the task.
    fn put(&mut self, records: &[SinkRecord]) -> impl Future<Output = Result<Vec<FailedRecord>>> + Send;

    /// Makes everything durable that was taken. `offsets` are those that would then be committed.
    ///
    /// Returns records that the system refused only now.
    ///
    /// # Errors
    /// Nothing is committed, and the partitions are read again from the last committed offsets.
    fn flush(&mut self, offsets: &Offsets) -> impl Future<Output = Result<Vec<FailedRecord>>> + Send {
        let _ = offsets;
        async { Ok(Vec::new()) }
    }

    /// Says which offsets are safe, with every record before them durable: by default all, after a
    /// [`flush`](Self::flush). None means that nothing is committed this time; offsets beyond `offsets` are ignored.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn pre_commit(&mut self, offsets: &Offsets) -> impl Future<Output = Result<(Offsets, Vec<FailedRecord>)>> + Send {
        async {
            let failed = self.flush(offsets).await?;
            Ok((offsets.clone(), failed))
        }
    }

    /// Partitions are taken away, after their last commit. `lost` ones already belong to somebody else: nothing may be
    /// written or committed for them any more.
    ///
    /// # Errors
    /// Every error fails the task.
    fn close(&mut self, partitions: &[TopicPartition], lost: bool) -> impl Future<Output = Result<()>> + Send {
        let _ = (partitions, lost);
        async { Ok(()) }
    }

    /// Lets go of everything. Called once, also after a failed start.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Splits the work of writing to a system.
pub trait SinkConnector: Send + Default + 'static {
    /// Does the work.
    type Task: SinkTask;

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

    /// Offsets of the consumer group are about to be changed by a user; `None` forgets a partition. `true` says that
    /// the connector has done what was to be done in the system; `false` that it does not know.
    ///
    /// # Errors
    /// When the offsets cannot be right: they are not changed then.
    fn alter_offsets(
        config: &Properties,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> impl Future<Output = Result<bool>> + Send {
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

    /// Configurations of at most `max_tasks` tasks. Most sinks give each the same: Kafka splits the work.
    ///
    /// # Errors
    /// The worker tries again, with growing pauses.
    fn task_configs(&mut self, max_tasks: usize) -> impl Future<Output = Result<Vec<Properties>>> + Send;

    /// Lets go of everything. Called once, also after a failed start.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
