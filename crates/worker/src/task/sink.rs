//! The loop of a sink task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_client::{
    Client, ClientOptions, Fetched, GroupConsumer, GroupEvent, GroupOptions, OffsetAndMetadata, Subscription,
    TopicPartition as ClientPartition,
};
use kanat_connect::config::Properties;
use kanat_connect::connector::{AnySinkTask, FailedRecord, Offsets, SinkTaskContext, Wants};
use kanat_connect::plugin::SinkPlugin;
use kanat_connect::record::{SinkRecord, TopicPartition};
use kanat_connect::{Error, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use super::dead_letters::DeadLetters;
use super::errors::{ErrorPolicy, Failure, Stage};
use super::pipeline::{Pipeline, SinkBatch};
use super::sink_context::SinkContext;
use super::{TaskStart, Wish, client_error, may_start};
use crate::config::ClientKind;
use crate::store::status::State;

/// Records given to a task at once, unless `max.poll.records` of the consumer says otherwise.
const PUT_RECORDS_MAX: usize = 2000;
/// Wait before a batch is given again that failed for a while, when the task does not say.
const PUT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Bytes from which a fetch is converted on a thread for such work.
const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Runs a sink task until it is to stop.
///
/// # Errors
/// What the task ends with.
pub(super) async fn run(
    start: &TaskStart,
    plugin: &SinkPlugin,
    connector: &Properties,
    config: Properties,
    mut wishes: watch::Receiver<Wish>,
) -> Result<()> {
    if !may_start(start, plugin.version, &mut wishes).await {
        return Ok(());
    }
    let worker = start.herder.config();
    let pipeline = Pipeline::new(worker, start.herder.plugins(), connector)?;
    let dead_letters = DeadLetters::new(start, connector).await?;
    let context = Arc::new(SinkContext::new(&start.connector, start.task));
    let mut task = (plugin.task)();
    let shared: Arc<SinkContext> = Arc::clone(&context);
    let started = task.start(shared, config).await;
    let outcome = match started {
        Ok(()) => {
            let wants = task.wants(pipeline.names());
            let consumer = consumer(start, connector).await?;
            let mut sink = Sink {
                start: start.clone(),
                plugin: plugin.clone(),
                policy: ErrorPolicy::new(connector),
                pipeline: Some(pipeline),
                wants,
                consumer,
                context,
                dead_letters,
                taken: Offsets::new(),
                committed: Offsets::new(),
                put_records_max: put_records_max(start, connector),
                paused: false,
            };
            sink.work(&mut *task, &mut wishes).await
        }
        Err(error) => Err(error),
    };
    task.stop().await;
    outcome
}

/// The consumer of a task, in the group of its connector.
async fn consumer(start: &TaskStart, config: &Properties) -> Result<GroupConsumer> {
    let text = |key: &str| config.get(key).cloned().flatten().unwrap_or_default();
    let topics: Vec<String> =
        text("topics").split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(str::to_owned).collect();
    let subscription = if topics.is_empty() {
        Subscription::Regex(text("topics.regex").trim().to_owned())
    } else {
        Subscription::Topics(topics)
    };
    let worker = start.herder.config();
    let properties = worker.connector_client(ClientKind::Consumer, &start.connector, Some(start.task), config);
    let client = Client::connect(ClientOptions::from_properties(&properties).map_err(client_error)?).await;
    let options = GroupOptions::from_properties(&properties, subscription).map_err(client_error)?;
    client.map_err(client_error)?.group_consumer(options).map_err(client_error)
}

fn put_records_max(start: &TaskStart, config: &Properties) -> usize {
    let overridden = config.get("consumer.override.max.poll.records").cloned().flatten();
    let own = || start.herder.config().given("consumer.max.poll.records").map(str::to_owned);
    let records = overridden.or_else(own).and_then(|text| text.trim().parse().ok());
    records.filter(|records| *records > 0).unwrap_or(PUT_RECORDS_MAX)
}

struct Sink {
    start: TaskStart,
    plugin: SinkPlugin,
    policy: ErrorPolicy,
    /// `None` while it is at work on another thread.
    pipeline: Option<Pipeline>,
    wants: Wants,
    consumer: GroupConsumer,
    context: Arc<SinkContext>,
    dead_letters: Option<DeadLetters>,
    /// The next offset behind what the task has taken, by partition.
    taken: Offsets,
    /// What was committed last.
    committed: Offsets,
    put_records_max: usize,
    /// Whether the connector is paused.
    paused: bool,
}

fn to_client(partition: &TopicPartition) -> ClientPartition {
    ClientPartition::new(&*partition.topic, partition.partition)
}

fn from_client(partition: &ClientPartition) -> TopicPartition {
    TopicPartition::new(&*partition.topic, partition.partition)
}

impl Sink {
    async fn work(&mut self, task: &mut dyn AnySinkTask, wishes: &mut watch::Receiver<Wish>) -> Result<()> {
        self.start.say(State::Running, None, self.plugin.version);
        let outcome = self.read_until_stopped(task, wishes).await;
        let closed = match &outcome {
            Ok(()) => self.close_all(task).await,
            // What was taken before the failure is committed by nobody: it is read again.
            Err(_) => task.close(&self.context.assignment(), false).await,
        };
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.close().await;
        }
        outcome.and(closed)
    }

    async fn read_until_stopped(
        &mut self,
        task: &mut dyn AnySinkTask,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<()> {
        let interval = self.start.herder.config().millis("offset.flush.interval.ms").max(Duration::from_millis(1));
        let mut commit = tokio::time::interval_at(Instant::now() + interval, interval);
        commit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let context = Arc::clone(&self.context);
        loop {
            self.apply_wishes(task).await?;
            match *wishes.borrow_and_update() {
                Wish::Stop => return Ok(()),
                wish => self.set_paused(wish == Wish::Pause),
            }
            tokio::select! {
                biased;
                changed = wishes.changed() => if changed.is_err() { return Ok(()) },
                () = context.notify.notified() => {}
                _ = commit.tick() => self.commit(task, None).await?,
                event = self.consumer.next() => {
                    let event = event.map_err(client_error)?;
                    self.handle(task, event, wishes).await?;
                }
            }
        }
    }

    fn set_paused(&mut self, paused: bool) {
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        let state = if paused { State::Paused } else { State::Running };
        self.start.say(state, None, self.plugin.version);
        self.apply_pauses();
    }

    /// Stops and resumes the flow of partitions as connector and task want it.
    fn apply_pauses(&mut self) {
        for partition in self.context.assignment() {
            let client = to_client(&partition);
            let pause = self.paused || self.context.has_paused(&partition);
            // A partition without a position yet is told when it gets one.
            let _ = if pause { self.consumer.pause(&client) } else { self.consumer.resume(&client) };
        }
    }

    async fn apply_wishes(&mut self, task: &mut dyn AnySinkTask) -> Result<()> {
        let wishes = self.context.take();
        if wishes.pauses_changed {
            self.apply_pauses();
        }
        for (partition, offset) in wishes.seeks {
            self.seek(&partition, offset)?;
        }
        if wishes.commit {
            self.commit(task, None).await?;
        }
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.consumer.seek(&to_client(partition), offset).map_err(client_error)?;
        self.taken.insert(partition.clone(), offset);
        Ok(())
    }

    async fn handle(
        &mut self,
        task: &mut dyn AnySinkTask,
        event: GroupEvent,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<()> {
        match event {
            GroupEvent::Fetched(fetched) => self.take(task, fetched, wishes).await,
            GroupEvent::Assigned(partitions) => {
                let partitions: Vec<TopicPartition> = partitions.iter().map(from_client).collect();
                self.context.assign(&partitions);
                let offsets = task.open(&partitions).await?;
                for (partition, offset) in offsets {
                    self.seek(&partition, offset)?;
                }
                self.apply_pauses();
                Ok(())
            }
            GroupEvent::Revoked(revocation) => {
                let partitions: Vec<TopicPartition> = revocation.partitions().iter().map(from_client).collect();
                self.commit(task, Some(&partitions)).await?;
                self.let_go(task, &partitions, false).await?;
                revocation.release();
                Ok(())
            }
            GroupEvent::Lost(partitions) => {
                let partitions: Vec<TopicPartition> = partitions.iter().map(from_client).collect();
                self.let_go(task, &partitions, true).await
            }
        }
    }

    async fn let_go(&mut self, task: &mut dyn AnySinkTask, partitions: &[TopicPartition], lost: bool) -> Result<()> {
        self.context.unassign(partitions);
        for partition in partitions {
            self.taken.remove(partition);
            self.committed.remove(partition);
        }
        task.close(partitions, lost).await
    }

    /// Converts what was fetched and gives it to the task.
    async fn take(
        &mut self,
        task: &mut dyn AnySinkTask,
        fetched: Fetched,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<()> {
        let partition = from_client(&fetched.tp);
        let next_offset = fetched.next_offset;
        self.start.herder.uses_topic(&self.start.connector, self.start.task, &partition.topic);
        let batch = self.convert(fetched).await?;
        for (record, failure) in batch.failed {
            self.fail(&record, &failure).await?;
        }
        for records in batch.records.chunks(self.put_records_max) {
            if !self.put(task, &partition, records, wishes).await? {
                // The partition went to another member, or the task is to stop: what is left is read again.
                return Ok(());
            }
        }
        self.taken.insert(partition, next_offset);
        Ok(())
    }

    /// Converts what was fetched, and all of it again while something fails that may pass.
    async fn convert(&mut self, fetched: Fetched) -> Result<SinkBatch> {
        let began = Instant::now();
        for attempt in 1.. {
            let batch = self.convert_once(fetched.clone()).await?;
            let may_pass = batch.failed.iter().any(|(_, failure)| failure.error.is_retriable());
            match self.policy.retry_delay(attempt, began, Instant::now()) {
                Some(delay) if may_pass => tokio::time::sleep(delay).await,
                _ => return Ok(batch),
            }
        }
        Err(Error::connect("a record was tried too often"))
    }

    async fn convert_once(&mut self, fetched: Fetched) -> Result<SinkBatch> {
        let (wants, stop) = (self.wants, !self.policy.tolerates());
        let mut pipeline =
            self.pipeline.take().ok_or_else(|| Error::connect("the task was interrupted while it converted"))?;
        let (pipeline, batch) = if fetched.bytes() <= INLINE_BYTES_MAX {
            let batch = pipeline.read(&fetched, wants, stop);
            (pipeline, batch)
        } else {
            let converting = tokio::task::spawn_blocking(move || {
                let batch = pipeline.read(&fetched, wants, stop);
                (pipeline, batch)
            });
            converting.await.map_err(|error| Error::connect(format!("a converter failed: {error}")))?
        };
        self.pipeline = Some(pipeline);
        batch.map_err(client_error)
    }

    /// Makes a dead letter of a record, or ends the task.
    async fn fail(&mut self, record: &SinkRecord, failure: &Failure) -> Result<()> {
        let timestamp = record.record.timestamp.unwrap_or(-1);
        let id = self.start.id().to_string();
        // Before the verdict, as in Connect: a record that ends the task is a dead letter too.
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.send(record, failure).await?;
        }
        self.policy.judge(&id, failure, Some((&record.raw, record.timestamp_type, timestamp)))
    }

    /// Gives records to the task until it takes them. `false` when they are not to be given any more.
    async fn put(
        &mut self,
        task: &mut dyn AnySinkTask,
        partition: &TopicPartition,
        records: &[SinkRecord],
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<bool> {
        loop {
            match task.put(records).await {
                Ok(failed) => {
                    self.refused(failed).await?;
                    if let Some(last) = records.last() {
                        self.taken.insert(partition.clone(), last.raw.offset.saturating_add(1));
                    }
                    return Ok(true);
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, task = %self.start.id(), "the same records are given again after a while");
                    let delay = self.context.take().retry_after.unwrap_or(PUT_RETRY_DELAY);
                    if !self.wait(task, partition, delay, wishes).await? {
                        return Ok(false);
                    }
                }
                Err(error) => {
                    let reason = format!(
                        "Exiting WorkerSinkTask due to unrecoverable exception.\nCaused by: {}: {error}",
                        error.java_class()
                    );
                    return Err(Error::connect(reason));
                }
            }
        }
    }

    async fn refused(&mut self, failed: Vec<FailedRecord>) -> Result<()> {
        for FailedRecord { record, error } in failed {
            let failure = Failure { stage: Stage::TaskPut, class: self.plugin.task_class.to_owned(), error };
            self.fail(&record, &failure).await?;
        }
        Ok(())
    }

    /// Stays in the group for a while without taking records. `false` when the partition is gone or the task is to
    /// stop.
    async fn wait(
        &mut self,
        task: &mut dyn AnySinkTask,
        partition: &TopicPartition,
        delay: Duration,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<bool> {
        let until = Instant::now() + delay;
        let paused: Vec<TopicPartition> = self.context.assignment();
        for partition in &paused {
            let _ = self.consumer.pause(&to_client(partition));
        }
        let stays = loop {
            if *wishes.borrow() == Wish::Stop {
                break false;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => break true,
                changed = wishes.changed() => if changed.is_err() { break false },
                event = self.consumer.next() => match event.map_err(client_error)? {
                    // A paused partition delivers nothing; one that was just assigned is read again from here.
                    GroupEvent::Fetched(fetched) => {
                        self.consumer.seek(&fetched.tp, fetched.first_offset).map_err(client_error)?;
                        let _ = self.consumer.pause(&fetched.tp);
                    }
                    event => Box::pin(self.handle(task, event, &mut wishes.clone())).await?,
                },
            }
            if !self.context.assignment().contains(partition) {
                break false;
            }
        };
        self.apply_pauses();
        Ok(stays)
    }
}

impl Sink {
    /// Commits what the task says is safe: of these partitions and waiting for it, or of all without waiting.
    async fn commit(&mut self, task: &mut dyn AnySinkTask, closing: Option<&[TopicPartition]>) -> Result<()> {
        let is_meant = |partition: &TopicPartition| closing.is_none_or(|closing| closing.contains(partition));
        let taken: Offsets =
            self.taken.iter().filter(|(partition, _)| is_meant(partition)).map(|(p, o)| (p.clone(), *o)).collect();
        if taken.is_empty() {
            return Ok(());
        }
        let (safe, failed) = match task.pre_commit(&taken).await {
            Ok(safe) => safe,
            Err(error) => {
                tracing::error!(%error, task = %self.start.id(), "nothing is committed, reading goes back");
                return if closing.is_some() { Err(error) } else { self.rewind() };
            }
        };
        self.refused(failed).await?;
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.flush().await?;
        }
        let valid =
            safe.into_iter().filter(|(partition, offset)| taken.get(partition).is_some_and(|end| offset <= end));
        let new: BTreeMap<TopicPartition, i64> =
            valid.filter(|(partition, offset)| self.committed.get(partition) != Some(offset)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let offsets: Vec<(ClientPartition, OffsetAndMetadata)> =
            new.iter().map(|(partition, offset)| (to_client(partition), OffsetAndMetadata::new(*offset))).collect();
        let timeout = self.start.herder.config().millis("offset.flush.timeout.ms");
        match tokio::time::timeout(timeout, self.consumer.commit_sync(offsets)).await {
            Ok(Ok(())) => self.committed.extend(new),
            Ok(Err(error)) => tracing::error!(%error, task = %self.start.id(), "offsets were not committed"),
            Err(_) => tracing::error!(task = %self.start.id(), "offsets were not committed in time"),
        }
        Ok(())
    }

    /// Reads again from what was committed last.
    fn rewind(&mut self) -> Result<()> {
        for (partition, offset) in self.committed.clone() {
            self.seek(&partition, offset)?;
        }
        Ok(())
    }

    /// Commits and lets go of everything, and leaves the group.
    async fn close_all(&mut self, task: &mut dyn AnySinkTask) -> Result<()> {
        let partitions = self.context.assignment();
        self.commit(task, Some(&partitions)).await?;
        self.let_go(task, &partitions, false).await
    }
}
