//! What a batch must look like to be stored.

use kanat_protocol::ErrorCode;
use kanat_protocol::batch::{ControlRecord, RecordBatch, TimestampType};
use kanat_protocol::compression::Decompressor;

use super::partition::{AppendContext, Origin};
use crate::error::Refusal;

/// Checks `batch` against the rules of its topic and returns its marker if it is a control batch.
pub(super) fn check(batch: &RecordBatch, context: &AppendContext<'_>) -> Result<Option<ControlRecord>, Refusal> {
    batch.verify_crc().map_err(|error| Refusal::new(ErrorCode::CorruptMessage, error.to_string()))?;
    let control = batch.control().map_err(|error| invalid(error.to_string()))?;
    if context.origin == Origin::Client {
        check_client_batch(batch, context)?;
    }
    Ok(control)
}

fn check_client_batch(batch: &RecordBatch, context: &AppendContext<'_>) -> Result<(), Refusal> {
    let (header, config) = (batch.header(), context.config);
    let size_bytes = batch.bytes().len();
    if size_bytes > config.message_bytes_max {
        return Err(Refusal::new(
            ErrorCode::MessageTooLarge,
            format!("a batch of {size_bytes} bytes is over max.message.bytes = {}", config.message_bytes_max),
        ));
    }
    if header.attributes.is_control() {
        return Err(invalid("clients cannot write control batches"));
    }
    if header.attributes.is_transactional() && header.producer_id < 0 {
        return Err(invalid("a transactional batch names its producer"));
    }
    if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
        return Err(invalid(format!(
            "{} records do not fit a last offset delta of {}",
            header.record_count, header.last_offset_delta
        )));
    }
    if config.timestamp_type == TimestampType::CreateTime {
        let ahead_ms = header.max_timestamp.saturating_sub(context.now_ms);
        let behind_ms = context.now_ms.saturating_sub(header.base_timestamp);
        if ahead_ms > config.timestamp_after_ms_max || behind_ms > config.timestamp_before_ms_max {
            return Err(Refusal::new(
                ErrorCode::InvalidTimestamp,
                format!("timestamps up to {} are too far from the broker's clock", header.max_timestamp),
            ));
        }
    }
    if config.compact { check_keys(batch, context) } else { Ok(()) }
}

/// A compacted topic takes records with keys only. This is the one place where produced records are looked into.
fn check_keys(batch: &RecordBatch, context: &AppendContext<'_>) -> Result<(), Refusal> {
    let mut decompressor = Decompressor::new(context.decompressed_bytes_max);
    let records = batch.records(&mut decompressor).map_err(|error| invalid(error.to_string()))?;
    for record in records.iter() {
        let record = record.map_err(|error| invalid(error.to_string()))?;
        if record.key.is_none() {
            return Err(invalid("a compacted topic cannot take a record without a key"));
        }
    }
    Ok(())
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRecord, reason)
}
