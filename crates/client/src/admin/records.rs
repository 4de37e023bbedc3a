//! Deleting records from the start of partitions.

use std::sync::Arc;

use kanat_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kanat_protocol::messages::{ApiKey, DeleteRecordsRequest};

use super::ask::{Home, Node, Repeat};
use super::{Admin, Outcomes};
use crate::cluster::{Cluster, topic_name};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

impl Admin {
    /// Deletes the records of a partition below `offset` (-1: all) and returns its new first offset.
    ///
    /// # Errors
    /// The leader's refusal, such as `OFFSET_OUT_OF_RANGE`; what it failed with until `retry_timeout_ms`.
    pub async fn delete_records(&self, partition: &TopicPartition, offset: i64) -> Result<i64> {
        delete_records(&self.cluster, partition, offset, self.timeout_ms()).await
    }

    /// Deletes the records of many partitions below an offset each (-1: all) and returns their new first offsets.
    ///
    /// # Errors
    /// When no leader answers until `retry_timeout_ms`.
    pub async fn delete_records_of(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Outcomes<TopicPartition, i64>> {
        delete_many(self, partitions, self.timeout_ms()).await
    }
}

/// Deletes the records of a partition below `offset`.
pub(crate) async fn delete_records(
    cluster: &Arc<Cluster>,
    partition: &TopicPartition,
    offset: i64,
    timeout_ms: i32,
) -> Result<i64> {
    let admin = Admin::new(Arc::clone(cluster));
    let outcomes = delete_many(&admin, &[(partition.clone(), offset)], timeout_ms).await?;
    outcomes.into_iter().next().map_or(Err(Error::Closed { what: "runtime" }), |(_, outcome)| outcome)
}

async fn delete_many(
    admin: &Admin,
    partitions: &[(TopicPartition, i64)],
    timeout_ms: i32,
) -> Result<Outcomes<TopicPartition, i64>> {
    let ask = |node: Node, partitions: Vec<(TopicPartition, i64)>| async move {
        let topic = |(partition, offset): &(TopicPartition, i64)| {
            let row = DeleteRecordsPartition::default().with_partition_index(partition.partition).with_offset(*offset);
            DeleteRecordsTopic::default().with_name(topic_name(&partition.topic)).with_partitions(vec![row])
        };
        let request =
            DeleteRecordsRequest::default().with_topics(by_topic(&partitions, topic)).with_timeout_ms(timeout_ms);
        let answer = node.ask(ApiKey::DeleteRecords, &request).await?;
        let outcome = |(partition, _): &(TopicPartition, i64)| {
            let mut topics = answer.body.topics.iter().filter(|topic| topic.name.0.as_str() == &*partition.topic);
            let row =
                topics.find_map(|topic| topic.partitions.iter().find(|row| row.partition_index == partition.partition));
            let row = answer.found(row, || partition.to_string())?;
            answer.check(|| partition.to_string(), row.error_code, None)?;
            Ok(row.low_watermark)
        };
        Ok(partitions.iter().map(outcome).collect())
    };
    let home = |(partition, _): &(TopicPartition, i64)| Home::Leader(partition.clone());
    let outcomes = admin.ask_each(partitions, Repeat::Always, home, ask).await?;
    Ok(partitions.iter().map(|(partition, _)| partition.clone()).zip(outcomes).collect())
}

/// One entry per topic out of one per partition.
fn by_topic(
    partitions: &[(TopicPartition, i64)],
    topic: impl Fn(&(TopicPartition, i64)) -> DeleteRecordsTopic,
) -> Vec<DeleteRecordsTopic> {
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    let mut sorted: Vec<_> = partitions.iter().collect();
    sorted.sort_unstable();
    for partition in sorted {
        let next = topic(partition);
        match topics.last_mut() {
            Some(last) if last.name == next.name => last.partitions.extend(next.partitions),
            _ => topics.push(next),
        }
    }
    topics
}
