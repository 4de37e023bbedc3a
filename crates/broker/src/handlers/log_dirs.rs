//! DescribeLogDirs and AlterReplicaLogDirs: each node has one folder.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kanat_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kanat_protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};

use super::{Context, Handle, text};
use crate::acl::operation;
use crate::error::wire_code;
use crate::topic::Topic;

/// Folder of a broker that keeps everything in memory.
const MEMORY: &str = "/memory";

impl Handle for DescribeLogDirsRequest {
    async fn handle(self, context: &Context) -> DescribeLogDirsResponse {
        let checked = context.check_cluster(operation::DESCRIBE);
        if checked.is_err() {
            return DescribeLogDirsResponse::default().with_error_code(wire_code(&checked));
        }
        let wants = |topic: &Topic, index: i32| match &self.topics {
            None => true,
            Some(wanted) => {
                wanted.iter().any(|wanted| wanted.topic.as_str() == &*topic.name && wanted.partitions.contains(&index))
            }
        };
        let topics = context.cluster.topics();
        let described = topics.iter().map(|topic| {
            let partitions = topic.partitions();
            let mine = partitions.iter().filter(|partition| {
                wants(topic, partition.index) && partition.leadership().replicas.contains(&context.node_id)
            });
            let mine = mine.map(|partition| {
                let size_bytes = i64::try_from(partition.log.lock().len_bytes()).unwrap_or(i64::MAX);
                let described = DescribeLogDirsPartition::default().with_partition_index(partition.index);
                described.with_partition_size(size_bytes)
            });
            DescribeLogDirsTopic::default().with_name(TopicName(text(&*topic.name))).with_partitions(mine.collect())
        });
        let described: Vec<_> = described.filter(|topic| !topic.partitions.is_empty()).collect();
        let dir = context.cluster.options.dir.as_ref().map_or(MEMORY.to_owned(), |dir| dir.display().to_string());
        let result = DescribeLogDirsResult::default().with_log_dir(text(dir)).with_topics(described);
        let result = result.with_total_bytes(-1).with_usable_bytes(-1);
        DescribeLogDirsResponse::default().with_results(vec![result])
    }
}

impl Handle for AlterReplicaLogDirsRequest {
    async fn handle(self, context: &Context) -> AlterReplicaLogDirsResponse {
        // There is no second folder to move to.
        let code = match context.check_cluster(operation::ALTER) {
            Ok(()) => ErrorCode::LogDirNotFound,
            Err(refusal) => refusal.code,
        };
        let topics = self.dirs.into_iter().flat_map(|dir| dir.topics).map(|topic| {
            let partitions = topic.partitions.iter().map(|index| {
                AlterReplicaLogDirPartitionResult::default().with_partition_index(*index).with_error_code(code.code())
            });
            let partitions = partitions.collect();
            AlterReplicaLogDirTopicResult::default().with_topic_name(topic.name).with_partitions(partitions)
        });
        AlterReplicaLogDirsResponse::default().with_results(topics.collect())
    }
}
