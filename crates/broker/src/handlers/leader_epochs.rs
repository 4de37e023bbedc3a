//! OffsetForLeaderEpoch: where an epoch ended.

use kanat_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kanat_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kanat_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Context, Handle};
use crate::error::Refusal;

impl Handle for OffsetForLeaderEpochRequest {
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic.to_string(), partition.partition)))
            .collect()
    }

    async fn handle(self, context: &Context) -> OffsetForLeaderEpochResponse {
        let topics = self.topics.into_iter().map(|topic| {
            let partitions =
                topic.partitions.iter().map(|partition| answer(&topic.topic, partition, context)).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}

fn answer(topic: &str, wanted: &OffsetForLeaderPartition, context: &Context) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(wanted.partition);
    match find(topic, wanted, context) {
        Ok((epoch, end_offset)) => answer.with_leader_epoch(epoch).with_end_offset(end_offset),
        Err(refusal) => answer.with_error_code(refusal.code.code()).with_leader_epoch(-1).with_end_offset(-1),
    }
}

fn find(topic: &str, wanted: &OffsetForLeaderPartition, context: &Context) -> Result<(i32, i64), Refusal> {
    context.check_partition(topic, wanted.partition)?;
    let (_, partition) = context.cluster.partition(topic, wanted.partition)?;
    let leader_epoch = partition.check_leader(context.node_id, wanted.current_leader_epoch)?;
    let end = partition.log.lock().epoch_end(wanted.leader_epoch, leader_epoch);
    Ok(end)
}
