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
