//! The one asynchronous loop of a sync: takes batches from the consumer and hands each to the shard
//! that owns its partition, until every partition has reached its end.

use std::collections::HashMap;
use std::time::Duration;

use kanat_client::{Consumer, Fetched, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::progress::SyncProgress;
use super::shutdown::ShutdownToken;
use crate::error::{Error, Result};

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
    pub(crate) consumer: Consumer,
    pub(crate) targets: HashMap<TopicPartition, Target>,
    pub(crate) inboxes: Vec<mpsc::Sender<ToShard>>,
    pub(crate) seal_interval: Option<Duration>,
    pub(crate) progress: &'a SyncProgress,
    pub(crate) shutdown: ShutdownToken,
}

impl Reader<'_> {
    pub(crate) async fn run(mut self) -> Result<ReadEnd> {
        let mut unfinished = self.targets.values().filter(|target| !target.done()).count();
        let mut seal_tick = self.seal_interval.map(seal_ticker);
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
                fetched = self.consumer.next() => fetched.map_err(|source| Error::kafka("fetching records", source))?,
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

fn seal_ticker(period: Duration) -> Interval {
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
