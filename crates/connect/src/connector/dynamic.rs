//! The traits of connectors as trait objects.
//!
//! A trait with `async fn` cannot be an object. These can, and everything that implements the one has the other.

use std::sync::Arc;

use super::{
    BoxFuture, CommittedRecord, ConnectorContext, ConverterNames, FailedRecord, Offsets, SinkConnector, SinkTask,
    SinkTaskContext, SourceBatch, SourceConnector, SourceTask, SourceTaskContext, Wants,
};
use crate::config::Properties;
use crate::error::Result;
use crate::record::{SinkRecord, TopicPartition};

/// [`SourceTask`] as an object; the methods are explained there.
#[expect(missing_docs, reason = "they are those of SourceTask")]
pub trait AnySourceTask: Send {
    fn start(&mut self, context: Arc<dyn SourceTaskContext>, config: Properties) -> BoxFuture<'_, Result<()>>;
    fn poll(&mut self) -> BoxFuture<'_, Result<SourceBatch>>;
    fn wants_committed(&self) -> bool;
    fn committed<'a>(&'a mut self, records: &'a [CommittedRecord]) -> BoxFuture<'a, Result<()>>;
    fn commit(&mut self) -> BoxFuture<'_, Result<()>>;
    fn stop(&mut self) -> BoxFuture<'_, ()>;
}

impl<T: SourceTask> AnySourceTask for T {
    fn start(&mut self, context: Arc<dyn SourceTaskContext>, config: Properties) -> BoxFuture<'_, Result<()>> {
        Box::pin(SourceTask::start(self, context, config))
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<SourceBatch>> {
        Box::pin(SourceTask::poll(self))
    }

    fn wants_committed(&self) -> bool {
        SourceTask::wants_committed(self)
    }

    fn committed<'a>(&'a mut self, records: &'a [CommittedRecord]) -> BoxFuture<'a, Result<()>> {
        Box::pin(SourceTask::committed(self, records))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(SourceTask::commit(self))
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(SourceTask::stop(self))
    }
}

/// [`SinkTask`] as an object; the methods are explained there.
#[expect(missing_docs, reason = "they are those of SinkTask")]
pub trait AnySinkTask: Send {
    fn start(&mut self, context: Arc<dyn SinkTaskContext>, config: Properties) -> BoxFuture<'_, Result<()>>;
    fn wants(&self, converters: &ConverterNames) -> Wants;
    fn open<'a>(&'a mut self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, Result<Offsets>>;
    fn put<'a>(&'a mut self, records: &'a [SinkRecord]) -> BoxFuture<'a, Result<Vec<FailedRecord>>>;
    fn pre_commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<(Offsets, Vec<FailedRecord>)>>;
    fn close<'a>(&'a mut self, partitions: &'a [TopicPartition], lost: bool) -> BoxFuture<'a, Result<()>>;
    fn stop(&mut self) -> BoxFuture<'_, ()>;
}

impl<T: SinkTask> AnySinkTask for T {
    fn start(&mut self, context: Arc<dyn SinkTaskContext>, config: Properties) -> BoxFuture<'_, Result<()>> {
        Box::pin(SinkTask::start(self, context, config))
    }

    fn wants(&self, converters: &ConverterNames) -> Wants {
        SinkTask::wants(self, converters)
    }

    fn open<'a>(&'a mut self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, Result<Offsets>> {
        Box::pin(SinkTask::open(self, partitions))
    }

    fn put<'a>(&'a mut self, records: &'a [SinkRecord]) -> BoxFuture<'a, Result<Vec<FailedRecord>>> {
        Box::pin(SinkTask::put(self, records))
    }

    fn pre_commit<'a>(&'a mut self, offsets: &'a Offsets) -> BoxFuture<'a, Result<(Offsets, Vec<FailedRecord>)>> {
        Box::pin(SinkTask::pre_commit(self, offsets))
    }

    fn close<'a>(&'a mut self, partitions: &'a [TopicPartition], lost: bool) -> BoxFuture<'a, Result<()>> {
        Box::pin(SinkTask::close(self, partitions, lost))
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(SinkTask::stop(self))
    }
}

/// [`SourceConnector`] as an object; the methods are explained there.
#[expect(missing_docs, reason = "they are those of SourceConnector")]
pub trait AnySourceConnector: Send {
    fn start(&mut self, context: Arc<dyn ConnectorContext>, config: Properties) -> BoxFuture<'_, Result<()>>;
    fn task_configs(&mut self, max_tasks: usize) -> BoxFuture<'_, Result<Vec<Properties>>>;
    fn stop(&mut self) -> BoxFuture<'_, ()>;
}

impl<C: SourceConnector> AnySourceConnector for C {
    fn start(&mut self, context: Arc<dyn ConnectorContext>, config: Properties) -> BoxFuture<'_, Result<()>> {
        Box::pin(SourceConnector::start(self, context, config))
    }

    fn task_configs(&mut self, max_tasks: usize) -> BoxFuture<'_, Result<Vec<Properties>>> {
        Box::pin(SourceConnector::task_configs(self, max_tasks))
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(SourceConnector::stop(self))
    }
}

/// [`SinkConnector`] as an object; the methods are explained there.
#[expect(missing_docs, reason = "they are those of SinkConnector")]
pub trait AnySinkConnector: Send {
    fn start(&mut self, context: Arc<dyn ConnectorContext>, config: Properties) -> BoxFuture<'_, Result<()>>;
    fn task_configs(&mut self, max_tasks: usize) -> BoxFuture<'_, Result<Vec<Properties>>>;
    fn stop(&mut self) -> BoxFuture<'_, ()>;
}

impl<C: SinkConnector> AnySinkConnector for C {
    fn start(&mut self, context: Arc<dyn ConnectorContext>, config: Properties) -> BoxFuture<'_, Result<()>> {
        Box::pin(SinkConnector::start(self, context, config))
    }

    fn task_configs(&mut self, max_tasks: usize) -> BoxFuture<'_, Result<Vec<Properties>>> {
        Box::pin(SinkConnector::task_configs(self, max_tasks))
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(SinkConnector::stop(self))
    }
}
