//! Where to start in partitions just assigned: at the committed offset, else where the options say.

use std::sync::Arc;

use super::core::{Core, Pending, Start};
use crate::error::{Error, Result};
use crate::group::offsets;
use crate::group::options::GroupStart;
use crate::list_offsets::list_offsets;
use crate::types::{OffsetAndMetadata, OffsetSpec, TopicPartition};

/// Looks every partition up for as long as it takes: an error of which the next attempt may be free goes to the
/// application, any other one to the partitions, which then wait for a seek.
pub(super) async fn find_all(core: &Core, partitions: &[TopicPartition]) -> Vec<Start> {
    loop {
        match find(core, partitions).await {
            Ok(starts) => return starts,
            Err(error @ Error::RetryTimeout { .. }) => core.push(Pending::Error(error)),
            Err(error) => {
                let start =
                    |partition: &TopicPartition| Start { partition: partition.clone(), position: Err(error.clone()) };
                return partitions.iter().map(start).collect();
            }
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
