//! Where to start in partitions just assigned: at the committed offset, else where the options say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Core, Pending, Start};
use super::topics::named;
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::group::offsets;
use crate::group::options::GroupStart;
use crate::list_offsets::list_offsets;
use crate::types::{OffsetAndMetadata, OffsetSpec, TopicPartition};

/// Looks every partition up for as long as it takes: an error of which the next attempt may be free goes to the
/// application, any other one to the partitions, which then wait for a seek.
pub(super) async fn find_all(core: &Core, partitions: &[TopicPartition]) -> Vec<Start> {
    let mut unknown = Unknown::new(core);
    loop {
        match find(core, partitions).await {
            Ok(starts) => return starts,
            Err(error @ Error::RetryTimeout { .. }) => core.push(Pending::Error(error)),
            Err(error) if unknown.may_appear(core, &error) => unknown.refresh(core, partitions).await,
            Err(error) => {
                let start =
                    |partition: &TopicPartition| Start { partition: partition.clone(), position: Err(error.clone()) };
                return partitions.iter().map(start).collect();
            }
        }
    }
}

/// Partitions that are assigned and that this client does not know: whoever assigned them has newer metadata, as
/// after partitions were added.
struct Unknown {
    /// When they are unknown for good, from the first time they were.
    until: Option<Instant>,
    attempts: u32,
    backoff: Backoff,
}

impl Unknown {
    fn new(core: &Core) -> Unknown {
        let backoff = Backoff::new(&core.coordinator.cluster().options().backoff);
        Unknown { until: None, attempts: 0, backoff }
    }

    fn may_appear(&mut self, core: &Core, error: &Error) -> bool {
        let (now, wait) = (Instant::now(), Duration::from_millis(core.options.consumer.unknown_topic_wait_ms));
        let is_unknown = matches!(error, Error::UnknownTopic { .. } | Error::UnknownPartition { .. });
        is_unknown && now < *self.until.get_or_insert(now + wait)
    }

    /// Asks for newer metadata: at once the first time, then with waits.
    async fn refresh(&mut self, core: &Core, partitions: &[TopicPartition]) {
        if self.attempts > 0 {
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
        self.attempts += 1;
        let mut names: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        names.sort_unstable();
        names.dedup();
        if let Err(error) = named(core.coordinator.cluster(), &names, true).await {
            tracing::debug!(%error, "topics of an assignment are looked up again");
        }
    }
}

/// Looks every partition up: one OffsetFetch for all, and one ListOffsets per broker for those without a commit.
async fn find(core: &Core, partitions: &[TopicPartition]) -> Result<Vec<Start>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut committed = offsets::fetch(&core.coordinator, Some(partitions)).await?;
    let mut starts = Vec::with_capacity(partitions.len());
    let mut missing = Vec::new();
    for partition in partitions {
        match committed.remove(partition) {
            Some(position) => starts.push(Start { partition: partition.clone(), position: Ok(position) }),
            None => missing.push(partition.clone()),
        }
    }
    starts.extend(find_uncommitted(core, missing).await?);
    Ok(starts)
}

async fn find_uncommitted(core: &Core, partitions: Vec<TopicPartition>) -> Result<Vec<Start>> {
    let spec = match core.options.start {
        GroupStart::Earliest => OffsetSpec::Earliest,
        GroupStart::Latest => OffsetSpec::Latest,
        GroupStart::Timestamp(timestamp) => OffsetSpec::Timestamp(timestamp),
        GroupStart::Error => {
            let refused = |partition: TopicPartition| {
                let group = core.coordinator.key();
                let error = Error::NoCommittedOffset { group: Arc::clone(group), topic_partition: partition.clone() };
                Start { partition, position: Err(error) }
            };
            return Ok(partitions.into_iter().map(refused).collect());
        }
    };
    let mut starts = list(core, &partitions, spec).await?;
    // No record is that young: behind the last one.
    let young = |start: &Start| start.position.as_ref().is_ok_and(|position| position.offset < 0);
    let behind: Vec<TopicPartition> =
        starts.iter().filter(|start| young(start)).map(|start| start.partition.clone()).collect();
    if !behind.is_empty() {
        starts.retain(|start| !young(start));
        starts.extend(list(core, &behind, OffsetSpec::Latest).await?);
    }
    Ok(starts)
}

async fn list(core: &Core, partitions: &[TopicPartition], spec: OffsetSpec) -> Result<Vec<Start>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let listed = list_offsets(core.coordinator.cluster(), &wanted, core.options.consumer.isolation).await?;
    // The epoch belongs to the record at the offset, not to the one before it, which is what a committed epoch means.
    let start = |(partition, listed): (TopicPartition, crate::types::ListedOffset)| Start {
        partition,
        position: Ok(OffsetAndMetadata::new(listed.offset)),
    };
    Ok(listed.into_iter().map(start).collect())
}
