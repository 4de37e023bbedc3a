//! The loop of a source task.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kanat_client::{
    Admin, Client, ClientOptions, DeliveryFuture, ProduceRecord, Producer, ProducerOptions, RecordMetadata,
    UnknownTopic,
};
use kanat_connect::config::Properties;
use kanat_connect::connector::{
    AnySourceTask, BoxFuture, CommittedRecord, KafkaPosition, SourceBatch, SourceTaskContext,
};
use kanat_connect::data::{Map, Text};
use kanat_connect::plugin::SourcePlugin;
use kanat_connect::record::SourceRecord;
use kanat_connect::{Error, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use super::errors::{ErrorPolicy, Failure, Stage};
use super::pipeline::{EncodedRecord, Pipeline};
use super::submitted::{Submitted, SubmittedRecords};
use super::topics::TopicCreation;
use super::{TaskStart, Wish, client_error, may_start, stored_offsets};
use crate::config::ClientKind;
use crate::store::status::State;

/// Wait after a poll that brought nothing, so that a source that returns at once does not take a processor.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// What a source task may ask.
#[derive(Debug)]
struct Context(TaskStart);

impl SourceTaskContext for Context {
    fn connector(&self) -> &str {
        &self.0.connector
    }

    fn task(&self) -> usize {
        self.0.task as usize
    }

    fn stored_offsets<'a>(&'a self, partitions: &'a [Map]) -> BoxFuture<'a, Result<Vec<Option<Map>>>> {
        Box::pin(async move { stored_offsets(&self.0.herder, &self.0.connector, partitions) })
    }

    fn defines_transactions(&self) -> bool {
        false
    }
}

/// Runs a source task until it is to stop.
///
/// # Errors
/// What the task ends with.
pub(super) async fn run(
    start: &TaskStart,
    plugin: &SourcePlugin,
    connector: &Properties,
    config: Properties,
    mut wishes: watch::Receiver<Wish>,
) -> Result<()> {
    if !may_start(start, plugin.version, &mut wishes).await {
        return Ok(());
    }
    let worker = start.herder.config();
    let pipeline = Pipeline::new(worker, start.herder.plugins(), connector)?;
    let topics = TopicCreation::new(connector, worker.flag("topic.creation.enable"))?;
    let properties = worker.connector_client(ClientKind::Producer, &start.connector, Some(start.task), connector);
    let options = ClientOptions::from_properties(&properties).map_err(client_error)?;
    let mut producer_options = ProducerOptions::from_properties(&properties).map_err(client_error)?;
    // A topic that was just created may not be known everywhere yet.
    producer_options.unknown_topic = UnknownTopic::Retry;
    let client = Client::connect(options).await.map_err(client_error)?;
    let mut running = Source {
        start: start.clone(),
        version: plugin.version,
        policy: ErrorPolicy::new(connector),
        pipeline,
        topics,
        producer: client.producer(producer_options).map_err(client_error)?,
        admin: client.admin(),
        submitted: SubmittedRecords::default(),
        committed: Vec::new(),
        wants_committed: false,
    };
    let mut task = (plugin.task)();
    let outcome = match task.start(Arc::new(Context(start.clone())), config).await {
        Ok(()) => running.work(&mut *task, &mut wishes).await,
        Err(error) => Err(error),
    };
    task.stop().await;
    outcome
}

struct Source {
    start: TaskStart,
    version: &'static str,
    policy: ErrorPolicy,
    pipeline: Pipeline,
    topics: TopicCreation,
    producer: Producer,
    admin: Admin,
    submitted: SubmittedRecords<DeliveryFuture>,
    committed: Vec<CommittedRecord>,
    wants_committed: bool,
}

impl Source {
    /// Polls until it is to stop, and stores offsets at intervals and at the end.
    async fn work(&mut self, task: &mut dyn AnySourceTask, wishes: &mut watch::Receiver<Wish>) -> Result<()> {
        self.wants_committed = task.wants_committed();
        self.start.say(State::Running, None, self.version);
        let outcome = self.poll_until_stopped(task, wishes).await;
        // What is on its way arrives or fails by this time; offsets behind it are stored all the same.
        let timeout = self.start.herder.config().millis("offset.flush.timeout.ms");
        let flushed = tokio::time::timeout(timeout, self.producer.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(task = %self.start.id(), "not everything was written when the task stopped");
        }
        let settled = self.settle(task).await;
        self.store_offsets(task).await?;
        outcome.and(settled)
    }

    async fn poll_until_stopped(
        &mut self,
        task: &mut dyn AnySourceTask,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<()> {
        let interval = self.start.herder.config().millis("offset.flush.interval.ms");
        let mut commit = tokio::time::interval_at(Instant::now() + interval, interval.max(Duration::from_millis(1)));
        commit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wish = *wishes.borrow_and_update();
        let mut idle_until = Instant::now();
        loop {
            if wish == Wish::Stop {
                return Ok(());
            }
            tokio::select! {
                biased;
                changed = wishes.changed() => {
                    let before = std::mem::replace(&mut wish, *wishes.borrow_and_update());
                    if changed.is_err() {
                        return Ok(());
                    }
                    match (before, wish) {
                        (Wish::Run, Wish::Pause) => self.start.say(State::Paused, None, self.version),
                        (Wish::Pause, Wish::Run) => self.start.say(State::Running, None, self.version),
                        _ => {}
                    }
                }
                _ = commit.tick() => {
                    self.settle(task).await?;
                    self.store_offsets(task).await?;
                }
                batch = poll(task, idle_until), if wish == Wish::Run => {
                    let batch = match batch {
                        Err(error) if error.is_retriable() => {
                            tracing::warn!(%error, task = %self.start.id(), "a poll brought nothing");
                            SourceBatch::default()
                        }
                        batch => batch?,
                    };
                    if batch.records.is_empty() {
                        idle_until = Instant::now() + IDLE_WAIT;
                    } else {
                        self.send(&batch.records).await?;
                        self.settle(task).await?;
                    }
                }
            }
        }
    }

    /// Hands records to the producer; waits while its buffer is full.
    async fn send(&mut self, records: &[SourceRecord]) -> Result<()> {
        let mut used: Option<Text> = None;
        for record in records {
            let encoded = match self.encode(record).await {
                Ok(encoded) => encoded,
                Err(failure) => {
                    self.policy.judge(&self.start.id().to_string(), &failure, None)?;
                    None
                }
            };
            let delivery = match encoded {
                Some(encoded) => {
                    if used.as_ref() != Some(&encoded.topic) {
                        self.start.herder.uses_topic(&self.start.connector, self.start.task, &encoded.topic);
                        used = Some(encoded.topic.clone());
                    }
                    self.produce(&encoded).await?
                }
                None => None,
            };
            let submitted = Submitted {
                source_partition: Arc::clone(&record.source_partition),
                source_offset: Arc::clone(&record.source_offset),
                delivery,
            };
            self.submitted.push(submitted).map_err(Error::connect)?;
        }
        Ok(())
    }

    /// Transforms and writes a record, and again while that fails and may pass.
    async fn encode(&mut self, record: &SourceRecord) -> Result<Option<EncodedRecord>, Failure> {
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            let failure = match self.pipeline.write(record) {
                Err(failure) if failure.error.is_retriable() => failure,
                outcome => return outcome,
            };
            let Some(delay) = self.policy.retry_delay(attempt, began, Instant::now()) else { return Err(failure) };
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    /// `None` for a record that cannot be written and is left out.
    async fn produce(&mut self, record: &EncodedRecord) -> Result<Option<DeliveryFuture>> {
        if !self.topics.knows(&record.topic) {
            self.topics.ensure(&self.admin, &record.topic).await.map_err(client_error)?;
        }
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|(key, value)| (key.as_bytes().as_ref(), value.as_deref())).collect();
        let sent = self.producer.send(ProduceRecord {
            topic: &record.topic,
            partition: record.partition,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp: record.timestamp,
        });
        match sent.await {
            Ok(delivery) => Ok(Some(delivery)),
            Err(error) => self.refused(error).map(|()| None),
        }
    }

    /// A record that Kafka does not take.
    fn refused(&self, error: kanat_client::Error) -> Result<()> {
        if self.policy.tolerates() {
            let error = Error::connect(error.to_string());
            let failure = Failure { stage: Stage::KafkaProduce, class: "kanat_client::Producer".to_owned(), error };
            return self.policy.judge(&self.start.id().to_string(), &failure, None);
        }
        Err(Error::connect(format!("Unrecoverable exception from producer send callback\nCaused by: {error}")))
    }

    /// Takes note of what has been acknowledged.
    async fn settle(&mut self, task: &mut dyn AnySourceTask) -> Result<()> {
        let mut submitted = std::mem::take(&mut self.submitted);
        let mut committed = std::mem::take(&mut self.committed);
        let settled = submitted.settle(
            |delivery| match outcome(delivery) {
                Ok(Ok(metadata)) => Ok(Ok(Some(metadata))),
                Ok(Err(error)) => Ok(self.refused(error).map(|()| None)),
                Err(open) => Err(open),
            },
            |record, metadata| {
                if self.wants_committed {
                    committed.push(CommittedRecord {
                        source_partition: Arc::clone(&record.source_partition),
                        source_offset: Arc::clone(&record.source_offset),
                        position: metadata.flatten().map(position),
                    });
                }
                Ok(())
            },
        );
        self.submitted = submitted;
        if !committed.is_empty() {
            task.committed(&committed).await?;
            committed.clear();
        }
        self.committed = committed;
        settled
    }

    /// Stores the offsets that are safe.
    async fn store_offsets(&mut self, task: &mut dyn AnySourceTask) -> Result<()> {
        let offsets = self.submitted.take_safe().map_err(Error::connect)?;
        if offsets.is_empty() {
            return Ok(());
        }
        let stored = self.start.herder.offset_store().set(&self.start.connector, &offsets).await;
        stored.map_err(|error| Error::connect(error.to_string()))?;
        if let Err(error) = task.commit().await {
            tracing::error!(%error, task = %self.start.id(), "the task failed to note that offsets were stored");
        }
        Ok(())
    }
}

async fn poll(task: &mut dyn AnySourceTask, idle_until: Instant) -> Result<SourceBatch> {
    tokio::time::sleep_until(idle_until).await;
    task.poll().await
}

/// The outcome of a delivery that is decided, or the delivery back.
fn outcome(mut delivery: DeliveryFuture) -> Result<kanat_client::Result<RecordMetadata>, DeliveryFuture> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if !delivery.is_done() {
        return Err(delivery);
    }
    match std::pin::Pin::new(&mut delivery).poll(&mut context) {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => Err(delivery),
    }
}

fn position(metadata: RecordMetadata) -> KafkaPosition {
    KafkaPosition {
        topic: Text::from(&*metadata.tp.topic),
        partition: metadata.tp.partition,
        offset: (metadata.offset >= 0).then_some(metadata.offset),
        timestamp: (metadata.timestamp >= 0).then_some(metadata.timestamp),
    }
}
