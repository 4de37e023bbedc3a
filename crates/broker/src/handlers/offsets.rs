//! OffsetCommit, OffsetFetch and OffsetDelete.

use std::collections::{BTreeMap, BTreeSet};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kanat_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kanat_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kanat_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kanat_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use super::{Context, Handle, group_code, text};
use crate::cluster::{CoordinatorKind, unknown_partition};
use crate::group::{CommitRequest, CommittedOffset};

/// First version of OffsetFetch that asks for several groups.
const BATCHED_FETCH_VERSION_MIN: i16 = 8;
/// Offset of a partition nothing was committed for.
const NO_OFFSET: i64 = -1;

impl Handle for OffsetCommitRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter();
        topics
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.partition_index))
            })
            .collect()
    }

    async fn handle(self, context: &Context) -> OffsetCommitResponse {
        context.run(move |context| commit(&self, context)).await
    }
}

fn commit(request: &OffsetCommitRequest, context: &Context) -> OffsetCommitResponse {
    let coordinator = &context.cluster.coordinator;
    let allowed = context.check_coordinator(&request.group_id).and_then(|()| {
        coordinator.check_commit(&CommitRequest {
            group_id: &request.group_id,
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            transactional: false,
            version: context.version,
        })
    });
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|partition| {
            let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
            let position = (partition.committed_offset, partition.committed_leader_epoch);
            let index = partition.partition_index;
            let checked = allowed.and_then(|()| check_offset(&topic.name, index, position, metadata, context));
            if let Ok(committed) = &checked {
                offsets.push((topic.name.to_string(), partition.partition_index, committed.clone()));
            }
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(group_code(checked.map(|_| ())))
        });
        let partitions = partitions.collect();
        topics.push(OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    if !offsets.is_empty() && coordinator.commit(&request.group_id, offsets).is_err() {
        for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.error_code = ErrorCode::KafkaStorageError.code();
        }
    }
    OffsetCommitResponse::default().with_topics(topics)
}

/// Whether an offset, given with its leader epoch, can be committed.
pub(super) fn check_offset(
    topic: &str,
    index: i32,
    (offset, leader_epoch): (i64, i32),
    metadata: &str,
    context: &Context,
) -> Result<CommittedOffset, ErrorCode> {
    context.check_partition(topic, index).map_err(|refusal| refusal.code)?;
    let known = context.cluster.topic(topic).and_then(|topic| topic.partition(index));
    known.ok_or_else(|| unknown_partition(topic, index).code)?;
    if metadata.len() > context.cluster.options.limits.offset_metadata_bytes_max {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    Ok(CommittedOffset { offset, leader_epoch, metadata: metadata.to_owned() })
}

impl Handle for OffsetFetchRequest {
    async fn handle(self, context: &Context) -> OffsetFetchResponse {
        if context.version >= BATCHED_FETCH_VERSION_MIN {
            let groups = self.groups.into_iter().map(|group| fetch_group(group, self.require_stable, context));
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        if let Err(code) = context.check_coordinator(&self.group_id) {
            return OffsetFetchResponse::default().with_error_code(code.code());
        }
        let wanted = self
            .topics
            .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect::<Vec<_>>());
        let topics = find(&self.group_id, wanted, self.require_stable, context).into_iter().map(|(name, offsets)| {
            let partitions = offsets.into_iter().map(|(index, found)| {
                let (offset, code) = found_parts(found);
                OffsetFetchResponsePartition::default()
                    .with_error_code(code)
                    .with_partition_index(index)
                    .with_committed_offset(offset.offset)
                    .with_committed_leader_epoch(offset.leader_epoch)
                    .with_metadata(Some(text(offset.metadata)))
            });
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        OffsetFetchResponse::default().with_topics(topics.collect())
    }
}

fn fetch_group(group: OffsetFetchRequestGroup, require_stable: bool, context: &Context) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
    if let Err(code) = context.check_coordinator(&group.group_id) {
        return response.with_error_code(code.code());
    }
    if let Some(member_id) = &group.member_id {
        let coordinator = &context.cluster.coordinator;
        if let Err(code) = coordinator.check_member_epoch(&group.group_id, member_id, group.member_epoch) {
            return response.with_error_code(code.code());
        }
    }
    let wanted = group
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect::<Vec<_>>());
    let topics = find(&group.group_id, wanted, require_stable, context).into_iter().map(|(name, offsets)| {
        let partitions = offsets.into_iter().map(|(index, found)| {
            let (offset, code) = found_parts(found);
            OffsetFetchResponsePartitions::default()
                .with_error_code(code)
                .with_partition_index(index)
                .with_committed_offset(offset.offset)
                .with_committed_leader_epoch(offset.leader_epoch)
                .with_metadata(Some(text(offset.metadata)))
        });
        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
    });
    response.with_topics(topics.collect())
}

/// A committed offset, or why it cannot be told yet.
type Found = Result<CommittedOffset, ErrorCode>;
type TopicOffsets = (TopicName, Vec<(i32, Found)>);

fn found_parts(found: Found) -> (CommittedOffset, i16) {
    let none = CommittedOffset { offset: NO_OFFSET, leader_epoch: -1, metadata: String::new() };
    match found {
        Ok(offset) => (offset, 0),
        Err(code) => (none, code.code()),
    }
}

/// Offsets of the wanted partitions, or of all.
fn find(
    group_id: &str,
    wanted: Option<Vec<(TopicName, Vec<i32>)>>,
    require_stable: bool,
    context: &Context,
) -> Vec<TopicOffsets> {
    context.cluster.coordinator.with_offsets(group_id, |offsets| {
        let settled = |topic: &str, index: i32, offset: CommittedOffset| {
            context.authorize_topic(topic).map_err(|refusal| refusal.code)?;
            let pending = require_stable && offsets.is_pending(topic, index);
            if pending { Err(ErrorCode::UnstableOffsetCommit) } else { Ok(offset) }
        };
        match wanted {
            Some(topics) => {
                let find_topic = |(name, partitions): (TopicName, Vec<i32>)| {
                    let found = partitions.into_iter().map(|index| {
                        let none = CommittedOffset { offset: NO_OFFSET, leader_epoch: -1, metadata: String::new() };
                        (index, settled(&name, index, offsets.get(&name, index).cloned().unwrap_or(none)))
                    });
                    let found = found.collect();
                    (name, found)
                };
                topics.into_iter().map(find_topic).collect()
            }
            None => {
                let owned = |name: &str, partitions: &BTreeMap<i32, CommittedOffset>| {
                    partitions.iter().map(|(index, offset)| (*index, settled(name, *index, offset.clone()))).collect()
                };
                offsets.topics().map(|(name, partitions)| (TopicName(text(name)), owned(name, partitions))).collect()
            }
        }
    })
}

impl Handle for OffsetDeleteRequest {
    async fn handle(self, context: &Context) -> OffsetDeleteResponse {
        context.run(move |context| delete(&self, context)).await
    }
}

fn delete(request: &OffsetDeleteRequest, context: &Context) -> OffsetDeleteResponse {
    let topics = request.topics.iter();
    let named: Vec<(String, i32)> = topics
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.partition_index)))
        .collect();
    let is_known = |(topic, index): &(String, i32)| context.cluster.partition(topic, *index).is_ok();
    let unknown: BTreeSet<&(String, i32)> = named.iter().filter(|partition| !is_known(partition)).collect();
    let known: Vec<(String, i32)> = named.iter().filter(|partition| !unknown.contains(partition)).cloned().collect();
    // Kafka does not even look for the group when none of the partitions exist.
    let deleted = context.check_coordinator(&request.group_id).and_then(|()| match known.is_empty() {
        true if !unknown.is_empty() => Ok(Vec::new()),
        _ => context.cluster.coordinator.delete_offsets(&request.group_id, &known),
    });
    let mut deleted = match deleted {
        Ok(results) => results.into_iter(),
        Err(code) => return OffsetDeleteResponse::default().with_error_code(code.code()),
    };
    let mut codes = named.iter().map(|partition| match unknown.contains(partition) {
        true => Err(ErrorCode::UnknownTopicOrPartition),
        false => deleted.next().unwrap_or(Ok(())),
    });
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(group_code(codes.next().unwrap_or(Ok(()))))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
