//! What a connector is written with: four traits, and the contexts through which a task speaks to its worker.
//!
//! A **connector** looks at its system and splits the work ([`SourceConnector::task_configs`]); its **tasks**, which may
//! run in other processes, do it. A source task is asked for records ([`SourceTask::poll`]), a sink task is given them
//! ([`SinkTask::put`]) and says when they are safe ([`SinkTask::pre_commit`]).
//!
//! Rules that hold for all of them:
//! * The worker calls one method at a time. No method of a task runs while another one does.
//! * [`SourceTask::poll`] may be dropped at any await point, to commit or to stop; every other method runs to its end,
//!   but a worker that shuts down gives up on it after `task.shutdown.graceful.timeout.ms`.
//! * [`Error::Retriable`](crate::Error::Retriable) means "the same call again, later"; any other error ends the task
//!   with its message as the trace of its status.
//! * A panic ends the task it happens in, and nothing else.
//!
//! The traits are written with `async fn`. A worker holds them as trait objects: the `Any…` traits, which every
//! implementation has by itself.
//!
//! # A source that counts
//!
//! ```
//! use std::sync::Arc;
//!
//! use kanat_connect::Result;
//! use kanat_connect::config::{ConfigDef, ConfigOptions, Properties, at_least};
//! use kanat_connect::connector::{ConnectorContext, SourceBatch, SourceConnector, SourceTask, SourceTaskContext};
//! use kanat_connect::converter::SchemaAndValue;
//! use kanat_connect::data::{Map, Schema, Text, Type, Value};
//! use kanat_connect::plugin::Plugins;
//! use kanat_connect::record::{Record, SourceRecord};
//!
//! /// The keys of its configuration, with their documentation.
//! #[derive(ConfigOptions)]
//! struct Options {
//!     /// Topic to write to.
//!     #[config(importance = High)]
//!     topic: String,
//!     /// Where to stop.
//!     #[config(default = 1000_i64, validator = at_least(1))]
//!     limit: i64,
//! }
//!
//! /// One task does it all, so every task would get the same configuration.
//! #[derive(Default)]
//! struct Counter {
//!     config: Properties,
//! }
//!
//! impl SourceConnector for Counter {
//!     type Task = CounterTask;
//!     const CLASS: &'static str = "com.example.Counter";
//!     const TASK_CLASS: &'static str = "com.example.CounterTask";
//!
//!     fn config_def() -> ConfigDef {
//!         Options::config_def()
//!     }
//!
//!     async fn start(&mut self, _context: Arc<dyn ConnectorContext>, config: Properties) -> Result<()> {
//!         self.config = config;
//!         Ok(())
//!     }
//!
//!     async fn task_configs(&mut self, _max_tasks: usize) -> Result<Vec<Properties>> {
//!         Ok(vec![self.config.clone()])
//!     }
//! }
//!
//! #[derive(Default)]
//! struct CounterTask {
//!     topic: Text,
//!     next: i64,
//!     limit: i64,
//!     partition: Arc<Map>,
//! }
//!
//! impl SourceTask for CounterTask {
//!     async fn start(&mut self, context: Arc<dyn SourceTaskContext>, config: Properties) -> Result<()> {
//!         let options = Options::from_config(&config)?;
//!         let partition: Map = [("counter".into(), Value::from(options.topic.as_str()))].into_iter().collect();
//!         // Where the task that ran before, here or elsewhere, was when it stopped.
//!         let stored = context.stored_offsets(std::slice::from_ref(&partition)).await?;
//!         let position = stored.first().and_then(|stored| stored.as_ref()?.get_str("next")?.as_i64());
//!         *self = CounterTask {
//!             topic: options.topic.into(),
//!             next: position.unwrap_or(0),
//!             limit: options.limit,
//!             partition: Arc::new(partition),
//!         };
//!         Ok(())
//!     }
//!
//!     async fn poll(&mut self) -> Result<SourceBatch> {
//!         let end = self.limit.min(self.next + 100);
//!         let records = (self.next..end).map(|number| SourceRecord {
//!             record: Record {
//!                 topic: self.topic.clone(),
//!                 value: SchemaAndValue::new(Schema::of(Type::Int64), number),
//!                 ..Record::default()
//!             },
//!             source_partition: Arc::clone(&self.partition),
//!             // Stored once the record is in Kafka.
//!             source_offset: Arc::new([("next".into(), Value::from(number + 1))].into_iter().collect()),
//!         });
//!         let batch = records.collect::<Vec<_>>().into();
//!         self.next = end;
//!         Ok(batch)
//!     }
//! }
//!
//! let plugins = Plugins::builtin().with_source::<Counter>();
//! assert!(plugins.source("Counter").is_some());
//! ```

mod context;
mod dynamic;
mod sink;
mod source;

use std::pin::Pin;

pub use self::context::{ConnectorContext, SinkTaskContext, SourceTaskContext};
pub use self::dynamic::{AnySinkConnector, AnySinkTask, AnySourceConnector, AnySourceTask};
pub use self::sink::{ConverterNames, FailedRecord, Form, Offsets, SinkConnector, SinkTask, Wants};
pub use self::source::{
    CommittedRecord, ExactlyOnceSupport, KafkaPosition, SourceBatch, SourceConnector, SourceOffsets, SourceTask,
    TransactionEnd,
};

/// A future on the heap, as trait objects return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
