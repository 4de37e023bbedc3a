//! ListOffsets: earliest, latest, by timestamp, and of the largest timestamp.

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{Batches, RecordBatch};
use kanat_protocol::compression::Decompressor;
use kanat_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kanat_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kanat_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Context, Handle};
use crate::error::Refusal;
use crate::log::{BatchEntry, Isolation, StoredBytes};
use crate::topic::Partition;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// Offset found, its timestamp and leader epoch; -1 where there is none.
struct Found {
    offset: i64,
    timestamp_ms: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found { offset: -1, timestamp_ms: -1, leader_epoch: -1 };

impl Handle for ListOffsetsRequest {
    fn partitions(&self, _context: &Context) -> Vec<(String, i32)> {
        let named = self.topics.iter().map(|topic| (topic.name.to_string(), &topic.partitions));
        named
            .flat_map(|(name, partitions)| {
                partitions.iter().map(move |partition| (name.clone(), partition.partition_index))
            })
            .collect()
    }

    async fn handle(self, context: &Context) -> ListOffsetsResponse {
        context.run(move |context| list(self, context)).await
    }
}

fn list(request: ListOffsetsRequest, context: &Context) -> ListOffsetsResponse {
    let isolation = Isolation::from_wire(request.isolation_level);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let response = ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
            partitions.push(match find(&topic.name, &partition, isolation, context) {
                Ok(found) => response
                    .with_offset(found.offset)
                    .with_timestamp(found.timestamp_ms)
                    .with_leader_epoch(found.leader_epoch),
                Err(refusal) => response.with_error_code(refusal.code.code()),
            });
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

fn find(topic: &str, wanted: &ListOffsetsPartition, isolation: Isolation, context: &Context) -> Result<Found, Refusal> {
    context.check_partition(topic, wanted.partition_index)?;
    let (_, partition) = context.cluster.partition(topic, wanted.partition_index)?;
    let leader_epoch = partition.check_leader(context.node_id, wanted.current_leader_epoch)?;
    let bounds = partition.log.lock().bounds();
    let end_offset = match isolation {
        Isolation::ReadUncommitted => bounds.high_watermark,
        Isolation::ReadCommitted => bounds.last_stable_offset,
    };
    let without_timestamp = |offset, leader_epoch| Found { offset, timestamp_ms: -1, leader_epoch };
    match wanted.timestamp {
        LATEST => Ok(without_timestamp(end_offset, leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => {
            let epoch = partition.log.lock().epoch_at(bounds.log_start_offset);
            Ok(without_timestamp(bounds.log_start_offset, epoch))
        }
        LATEST_TIERED => Ok(NOTHING),
        MAX_TIMESTAMP => {
            let batch = partition.log.lock().batch_with_max_timestamp();
            match batch {
                Some((entry, bytes)) => {
                    let newest = entry.max_timestamp;
                    let found = first_record(entry, bytes, bounds.log_start_offset, newest, context)?;
                    Ok(found.filter(|found| found.offset < end_offset).unwrap_or(NOTHING))
                }
                None => Ok(NOTHING),
            }
        }
        timestamp_ms if timestamp_ms >= 0 => {
            let found = first_at(&partition, bounds.log_start_offset, timestamp_ms, context)?;
            Ok(found.filter(|found| found.offset < end_offset).unwrap_or(NOTHING))
        }
        timestamp_ms => {
            Err(Refusal::new(ErrorCode::UnsupportedVersion, format!("timestamp {timestamp_ms} has no meaning")))
        }
    }
}

/// The first record from `offset` on that is not older than `timestamp_ms`.
fn first_at(
    partition: &Partition,
    mut offset: i64,
    timestamp_ms: i64,
    context: &Context,
) -> Result<Option<Found>, Refusal> {
    loop {
        let batch = partition.log.lock().batch_with_timestamp(offset, timestamp_ms);
        let Some((entry, bytes)) = batch else { return Ok(None) };
        if let Some(found) = first_record(entry, bytes, offset, timestamp_ms, context)? {
            return Ok(Some(found));
        }
        // The batch's maximum was a record that compaction or DeleteRecords took.
        offset = entry.last_offset + 1;
    }
}

fn first_record(
    entry: BatchEntry,
    bytes: StoredBytes,
    offset: i64,
    timestamp_ms: i64,
    context: &Context,
) -> Result<Option<Found>, Refusal> {
    let bytes = bytes.load().map_err(|error| Refusal::storage(&error))?;
    let corrupt = |error: kanat_protocol::Error| Refusal::new(ErrorCode::CorruptMessage, error.to_string());
    let Some(batch) = Batches::new(bytes).next() else { return Ok(None) };
    let batch: RecordBatch = batch.map_err(corrupt)?;
    let mut decompressor = Decompressor::new(context.cluster.options.limits.decompressed_bytes_max);
    for record in &batch.records(&mut decompressor).map_err(corrupt)? {
        let record = record.map_err(corrupt)?;
        if record.offset >= offset && record.timestamp >= timestamp_ms {
            return Ok(Some(Found {
                offset: record.offset,
                timestamp_ms: record.timestamp,
                leader_epoch: entry.leader_epoch,
            }));
        }
    }
    Ok(None)
}
