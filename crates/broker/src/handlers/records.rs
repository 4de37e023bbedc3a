//! DeleteRecords.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kanat_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kanat_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Context, Handle};
use crate::error::Refusal;

impl Handle for DeleteRecordsRequest {
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter();
        topics
            .flat_map(|topic| {
                topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.partition_index))
            })
            .collect()
    }

    async fn handle(self, context: &Context) -> DeleteRecordsResponse {
        context
            .run(move |context| {
                let topics = self.topics.into_iter().map(|topic| {
                    let partitions = topic.partitions.iter().map(|partition| {
                        let result =
                            DeleteRecordsPartitionResult::default().with_partition_index(partition.partition_index);
                        match delete(&topic.name, partition, context) {
                            Ok(low_watermark) => result.with_low_watermark(low_watermark),
                            Err(refusal) => result.with_error_code(refusal.code.code()).with_low_watermark(-1),
                        }
                    });
                    let partitions = partitions.collect();
                    DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
                });
                DeleteRecordsResponse::default().with_topics(topics.collect())
            })
            .await
    }
}

fn delete(topic: &str, wanted: &DeleteRecordsPartition, context: &Context) -> Result<i64, Refusal> {
    context.check_partition(topic, wanted.partition_index)?;
    let (topic, partition) = context.cluster.partition(topic, wanted.partition_index)?;
    partition.check_leader(context.node_id, -1)?;
    if !topic.configs().log.delete {
        let reason = format!("topic {} has cleanup.policy=compact only", topic.name);
        return Err(Refusal::new(ErrorCode::PolicyViolation, reason));
    }
    context.cluster.delete_records(&topic, &partition, wanted.offset)
}
