//! The one asynchronous loop of a sync: takes batches from the consumer and hands each to the shard
//! that owns its partition, until every partition has reached its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_client::{Client, Consumer, Fetched, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::progress::SyncProgress;
use super::shutdown::ShutdownToken;
use crate::error::{Error, Result};
use crate::kafka;

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// Batches of one partition.
    Fetched(Fetched),
    /// The seal interval is over: make what there is visible.
    Seal,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// Every partition reached its end.
    Complete,
    /// Someone asked for it.
    Shutdown,
    /// A shard is gone; it knows why.
    ShardLost,
}

/// A partition being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Index of the shard that owns it.
    pub(crate) shard: usize,
    /// Where the position is now.
    pub(crate) position: i64,
    /// Done when the position reaches this; `None` follows forever.
    pub(crate) end: Option<i64>,
}

/// Reads until done. The inboxes are dropped on return, which tells the shards to finish.
pub(crate) struct Reader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) group_id: &'a str,
    pub(crate) consumer: Consumer,
    pub(crate) targets: HashMap<TopicPartition, Target>,
    pub(crate) inboxes: Vec<mpsc::Sender<ToShard>>,
    pub(crate) seal_interval: Option<Duration>,
    /// How often partitions are looked for that were not there at the start; `None` never.
    pub(crate) partition_check_interval: Option<Duration>,
    pub(crate) progress: &'a SyncProgress,
    pub(crate) shutdown: ShutdownToken,
}

impl Reader<'_> {
    pub(crate) async fn run(mut self) -> Result<ReadEnd> {
        let mut unfinished = self.targets.values().filter(|target| !target.done()).count();
        let mut seal_tick = self.seal_interval.map(ticker);
        let mut partition_tick = self.partition_check_interval.map(ticker);
        while unfinished > 0 {
            let fetched = tokio::select! {
                biased;
                () = self.shutdown.wait() => return Ok(ReadEnd::Shutdown),
                () = next_tick(&mut seal_tick) => {
                    if self.tell_all_to_seal().await.is_err() {
                        return Ok(ReadEnd::ShardLost);
                    }
                    continue;
                }
                () = next_tick(&mut partition_tick) => {
                    unfinished += self.adopt_new_partitions().await?;
                    continue;
                }
                fetched = self.consumer.next() => fetched.map_err(|error| self.fetch_error(error))?,
            };
            let Some(target) = self.targets.get_mut(&fetched.tp) else {
                return Err(Error::Internal { reason: format!("batches of {} were never asked for", fetched.tp) });
            };
            if advance(target, &fetched, self.progress) {
                unfinished -= 1;
                self.consumer.unassign(&fetched.tp).map_err(|source| Error::kafka("fetching records", source))?;
            }
            if self.inboxes[target.shard].send(ToShard::Fetched(fetched)).await.is_err() {
                return Ok(ReadEnd::ShardLost);
            }
        }
        Ok(ReadEnd::Complete)
    }

    /// A failed fetch; a position that is lost on the way is as much a person's matter as one lost before (rule 6).
    fn fetch_error(&self, error: kanat_client::Error) -> Error {
        let group = self.group_id.to_owned();
        match error {
            kanat_client::Error::OffsetOutOfRange { topic, partition, offset, log_start, .. } if offset < log_start => {
                Error::OffsetsExpired { topic: topic.to_string(), partition, group, committed: offset, log_start }
            }
            kanat_client::Error::OffsetOutOfRange { topic, partition, offset, high_watermark, .. } => {
                let (topic, end) = (topic.to_string(), high_watermark);
                Error::CommittedAheadOfEnd { topic, partition, group, committed: offset, end }
            }
            kanat_client::Error::TopicRecreated { topic, partition, offset, .. } => {
                Error::TopicRecreated { topic: topic.to_string(), partition, group, committed: offset }
            }
            other => Error::kafka("fetching records", other),
        }
    }

    /// Starts to read partitions that were added to the topics, each from its start and in a shard that
    /// has the topic's table. Returns how many there are.
    async fn adopt_new_partitions(&mut self) -> Result<usize> {
        let mut shard_of_topic: HashMap<Arc<str>, usize> = HashMap::new();
        for (tp, target) in &self.targets {
            shard_of_topic.insert(Arc::clone(&tp.topic), target.shard);
        }
        let names: Vec<&str> = shard_of_topic.keys().map(|topic| &**topic).collect();
        // Asked of the cluster itself: the client's own snapshot may be minutes old.
        let topics = self.client.admin().describe_topics(&names).await;
        let topics = topics.map_err(|error| Error::kafka("looking for new partitions", error))?;
        let added: Vec<TopicPartition> =
            kafka::partitions(&topics).into_iter().filter(|tp| !self.targets.contains_key(tp)).collect();
        if added.is_empty() {
            return Ok(0);
        }
        let bounds = kafka::log_bounds(self.client, &added).await?;
        for (tp, bounds) in &bounds {
            let shard = shard_of_topic.get(&tp.topic).copied().unwrap_or_default();
            self.targets.insert(tp.clone(), Target { shard, position: bounds.start, end: None });
        }
        self.consumer.assign(bounds.into_iter().map(|(tp, bounds)| (tp, bounds.start)));
        Ok(added.len())
    }

    async fn tell_all_to_seal(&self) -> Result<(), mpsc::error::SendError<ToShard>> {
        for inbox in &self.inboxes {
            inbox.send(ToShard::Seal).await?;
        }
        Ok(())
    }
}

impl Target {
    fn done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }
}

/// Moves a partition to where the fetch ended (rule 5: the batch header's next offset) and says
/// whether that finished it.
fn advance(target: &mut Target, fetched: &Fetched, progress: &SyncProgress) -> bool {
    let was_done = target.done();
    let covered = fetched.next_offset.saturating_sub(target.position);
    progress.add_offsets_done(covered.max(0).unsigned_abs());
    if target.end.is_none() {
        progress.add_offsets_total(covered.max(0).unsigned_abs());
    }
    target.position = fetched.next_offset;
    !was_done && target.done()
}

fn ticker(period: Duration) -> Interval {
    let mut ticker = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

async fn next_tick(ticker: &mut Option<Interval>) {
    match ticker {
        Some(ticker) => {
            ticker.tick().await;
        }
        None => std::future::pending().await,
    }
}
