//! One fetch of one partition outside any session, for the partition client.

use std::ops::Range;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

use super::fetched::Fetched;
use super::filter::{Aborted, Filter};
use super::options::ConsumerOptions;
use super::session::{FetchSession, Want};
use super::state::out_of_range;
use super::wire::{fetch_request, fetch_version};
use crate::broker::{ConnectionClass, LongPoll};
use crate::cluster::Leader;
use crate::error::Result;
use crate::types::{Isolation, TopicPartition};
use crate::versions::FETCH_TOPIC_IDS;

/// What to fetch.
#[derive(Debug)]
pub(crate) struct SingleFetch<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) offset: i64,
    /// Bytes to wait for, and most bytes to return.
    pub(crate) bytes: Range<i32>,
    pub(crate) max_wait_ms: i32,
    pub(crate) isolation: Isolation,
}

impl SingleFetch<'_> {
    /// Asks one leader once.
    pub(crate) async fn run(&self, leader: Leader, timeout: Duration) -> Result<Fetched> {
        let connection = leader.broker.connection(ConnectionClass::Fetch).await?;
        let mut want = Want {
            partition: self.partition.clone(),
            topic_id: leader.topic_id,
            offset: self.offset,
            leader_epoch: leader.epoch,
            bytes_max: self.bytes.end,
        };
        let version = fetch_version(connection.version(ApiKey::Fetch)?, std::slice::from_ref(&want));
        if version < FETCH_TOPIC_IDS {
            want.topic_id = None;
        }
        let session = FetchSession::default().sessionless_request(vec![want]);
        let options = ConsumerOptions {
            isolation: self.isolation,
            fetch_wait_ms_max: u32::try_from(self.max_wait_ms).unwrap_or(0),
            fetch_bytes_min: u32::try_from(self.bytes.start).unwrap_or(0),
            ..ConsumerOptions::default()
        };
        let request = fetch_request(version, &session, &options, self.bytes.end);
        let waiting = LongPoll::new(&leader.broker, &connection);
        let response = connection.request_version(ApiKey::Fetch, version, &request, timeout).await;
        waiting.answered();
        let response = response?;
        let refused = |code| connection.server_error(ApiKey::Fetch, self.partition.to_string(), code, None);
        if let Some(code) = ErrorCode::from_code(response.error_code) {
            return Err(refused(code));
        }
        let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let missing = || connection.malformed(ApiKey::Fetch, format!("no answer for {}", self.partition));
        let data = data.ok_or_else(missing)?;
        match ErrorCode::from_code(data.error_code) {
            None => {}
            Some(ErrorCode::OffsetOutOfRange) => return Err(out_of_range(self.partition, self.offset, -1, -1)),
            Some(code) => return Err(refused(code)),
        }
        let aborted = data.aborted_transactions.unwrap_or_default();
        let aborted = aborted
            .iter()
            .map(|aborted| Aborted { first_offset: aborted.first_offset, producer_id: aborted.producer_id.0 })
            .collect();
        let filter = Filter { isolation: self.isolation, check_crc: true };
        let filtered = filter.apply(self.partition, self.offset, data.records.unwrap_or_default(), aborted)?;
        Ok(Fetched {
            tp: self.partition.clone(),
            batches: filtered.batches,
            first_offset: self.offset,
            next_offset: filtered.next_offset,
            leader_epoch: filtered.leader_epoch,
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
            gap: None,
        })
    }
}
