//! A client of one partition: produce, fetch, list offsets, delete records, one call at a time.
//!
//! Produce is idempotent wherever the broker allows it, so a retry after a lost connection never doubles a record.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions};
use kanat_protocol::compression::{Compression, Compressor};
use kanat_protocol::messages::ApiKey;
use kanat_protocol::{ErrorCode, frame};

use crate::broker::ConnectionClass;
use crate::cluster::{Cluster, Leader};
use crate::consumer::{ConsumerOptions, Fetched, SingleFetch};
use crate::error::{Error, Result};
use crate::list_offsets::list_offsets;
use crate::produce::{
    Acks, INLINE_BYTES_MAX, Identity, advance_sequence, init_identity, may_repeat, produce_request, read_answers,
};
use crate::record::{Record, RecordAndOffset};
use crate::stream_consumer::{StartOffset, StreamConsumer};
use crate::types::{Isolation, OffsetSpec, TopicPartition, UnknownTopic};

/// What [`PartitionClient::produce`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Produced {
    /// Offset of each record, in the order given.
    pub offsets: Vec<i64>,
    /// Size of the request that was acknowledged as it went over the wire, in bytes: what a quota counts. 0 when there
    /// was nothing to send.
    pub request_bytes: usize,
}

/// The idempotent producer's state for this partition.
#[derive(Debug, Default)]
struct Sequence {
    /// `None` before the first produce and whenever the broker may have seen something else than we know.
    known: Option<(Identity, i32)>,
}

/// One partition of a topic. Made by [`Client::partition_client`](crate::Client::partition_client).
#[derive(Debug)]
pub struct PartitionClient {
    cluster: Arc<Cluster>,
    partition: TopicPartition,
    unknown: UnknownTopic,
    isolation: Isolation,
    /// Held across a produce: the batches of one sequence go out one after the other.
    sequence: tokio::sync::Mutex<Sequence>,
}

impl PartitionClient {
    pub(crate) async fn new(
        cluster: Arc<Cluster>,
        partition: TopicPartition,
        unknown: UnknownTopic,
    ) -> Result<PartitionClient> {
        let ready = |leader| async move { Ok(leader) };
        cluster.with_leader(&partition.topic, partition.partition, unknown, ready).await?;
        let sequence = tokio::sync::Mutex::new(Sequence::default());
        Ok(PartitionClient { cluster, partition, unknown, isolation: Isolation::ReadCommitted, sequence })
    }

    /// Sets which records of transactions [`fetch_records`](Self::fetch_records) and
    /// [`get_offset`](Self::get_offset) see. Default: read committed.
    pub fn with_isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Topic name.
    pub fn topic(&self) -> &str {
        &self.partition.topic
    }

    /// Partition number.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// Writes records as one batch, acknowledged by every copy in sync. No records are no request.
    ///
    /// Retried within `retry_timeout_ms` under an idempotent producer id, so nothing is doubled. On a broker without
    /// idempotent producers a failure with unknown outcome is returned, not retried.
    ///
    /// # Errors
    /// The broker's refusal (for example `MESSAGE_TOO_LARGE`);
    /// [`Error::is_outcome_unknown`] tells whether the batch may have been written.
    pub async fn produce(&self, records: Vec<Record>, compression: Compression) -> Result<Produced> {
        if records.is_empty() {
            return Ok(Produced::default());
        }
        let mut sequence = self.sequence.lock().await;
        // Taken out: a future dropped half-way leaves no sequence behind, and the next call starts a new one.
        let (identity, base_sequence) = match sequence.known.take() {
            Some(known) => known,
            None => (self.identity().await?, 0),
        };
        let count = records.len();
        let base_sequence = if identity.is_some() { base_sequence } else { -1 };
        let batch = self.encode(records, compression, identity, base_sequence).await?;
        let (base_offset, request_bytes) = self.send(batch, identity).await?;
        if base_offset < 0 {
            return Err(Error::SequenceBroken {
                topic: Arc::clone(&self.partition.topic),
                partition: self.partition.partition,
                code: ErrorCode::DuplicateSequenceNumber,
            });
        }
        if identity.is_some() {
            sequence.known = Some((identity, advance_sequence(base_sequence, count)));
        }
        let end = base_offset + i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Produced { offsets: (base_offset..end).collect(), request_bytes })
    }

    async fn identity(&self) -> Result<Identity> {
        match init_identity(&self.cluster).await {
            Err(Error::UnsupportedApi { .. }) => Ok(Identity::NONE),
            other => other,
        }
    }

    async fn encode(
        &self,
        records: Vec<Record>,
        compression: Compression,
        identity: Identity,
        base_sequence: i32,
    ) -> Result<Bytes> {
        let bytes: usize = records.iter().map(Record::approximate_bytes).sum();
        let encode = move || encode_batch(&records, compression, identity, base_sequence);
        let encoded = if bytes <= INLINE_BYTES_MAX {
            encode()
        } else {
            tokio::task::spawn_blocking(encode).await.map_err(|_| Error::Closed { what: "runtime" })?
        };
        encoded.map_err(|source| Error::EncodeRecord {
            topic: Arc::clone(&self.partition.topic),
            partition: self.partition.partition,
            source: Arc::new(source),
        })
    }

    /// Sends one batch until it is acknowledged; returns its base offset and the bytes of the request.
    async fn send(&self, batch: Bytes, identity: Identity) -> Result<(i64, usize)> {
        let (partition, timeout) = (&self.partition, self.cluster.options().request_timeout());
        let client_id = &*self.cluster.options().client_id;
        let timeout_ms = i32::try_from(self.cluster.options().request_timeout_ms).unwrap_or(i32::MAX);
        // What must not be repeated comes out as an inner error, which the retry loop around passes on.
        let attempt = |leader: Leader| {
            let batch = batch.clone();
            let attempted = async move {
                let connection = leader.broker.connection(ConnectionClass::Produce).await?;
                let request = produce_request(Acks::All, timeout_ms, std::iter::once((partition, batch)));
                let version = connection.version(ApiKey::Produce)?;
                let request_bytes = frame::request_bytes(version, client_id, &request).map_err(|error| {
                    let address = Arc::clone(connection.address());
                    Error::Encode { address, api: ApiKey::Produce, reason: error.to_string() }
                })?;
                let response = connection.request_version(ApiKey::Produce, version, &request, timeout).await?;
                let answer = read_answers(&connection, response).into_values().next();
                let missing = || connection.malformed(ApiKey::Produce, format!("no answer for {partition}"));
                Ok((answer.ok_or_else(missing)??.base_offset, request_bytes))
            };
            async move {
                match attempted.await {
                    Err(error) if may_repeat(&error, identity) => Err(error),
                    decided => Ok(decided),
                }
            }
        };
        self.cluster.with_leader(&partition.topic, partition.partition, self.unknown, attempt).await?
    }

    /// Fetches records from `offset` on: at least `bytes.start` bytes unless `max_wait_ms` pass first, at most about
    /// `bytes.end`. Returns the records at and above `offset`, and the high watermark.
    ///
    /// A stretch of the log without records (compacted away, aborted, transaction markers) gives an empty result; use
    /// [`fetch`](Self::fetch) to learn the next offset.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`]; [`Error::CorruptBatch`]; what the leader failed with until `retry_timeout_ms`.
    pub async fn fetch_records(
        &self,
        offset: i64,
        bytes: Range<i32>,
        max_wait_ms: i32,
    ) -> Result<(Vec<RecordAndOffset>, i64)> {
        let fetched = self.fetch(offset, bytes, max_wait_ms).await?;
        let high_watermark = fetched.high_watermark;
        let records = fetched.into_records(self.cluster.options().decompressed_bytes_max).await?;
        Ok((records, high_watermark))
    }

    /// The records of this partition from `start` on, as a stream that fetches ahead. Its isolation level is that of
    /// the options, not that of this client.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn stream(&self, start: StartOffset, options: ConsumerOptions) -> Result<StreamConsumer> {
        StreamConsumer::new(Arc::clone(&self.cluster), self.partition.clone(), start, options)
    }

    /// As [`fetch_records`](Self::fetch_records), with the batches still compressed and the offset to go on from.
    ///
    /// # Errors
    /// As [`fetch_records`](Self::fetch_records).
    pub async fn fetch(&self, offset: i64, bytes: Range<i32>, max_wait_ms: i32) -> Result<Fetched> {
        let fetch = SingleFetch { partition: &self.partition, offset, bytes, max_wait_ms, isolation: self.isolation };
        let (fetch, timeout) = (&fetch, self.cluster.options().request_timeout());
        let wait = Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0));
        let attempt = |leader: Leader| async move { fetch.run(leader, timeout + wait).await };
        let fetched =
            self.cluster.with_leader(&self.partition.topic, self.partition.partition, self.unknown, attempt).await;
        match fetched {
            Err(Error::OffsetOutOfRange { topic, partition, offset, .. }) => {
                let (log_start, high_watermark) = self.range().await.unwrap_or((-1, -1));
                Err(Error::OffsetOutOfRange { topic, partition, offset, log_start, high_watermark })
            }
            other => other,
        }
    }

    async fn range(&self) -> Result<(i64, i64)> {
        let ends = [(self.partition.clone(), OffsetSpec::Earliest), (self.partition.clone(), OffsetSpec::Latest)];
        let found = list_offsets(&self.cluster, &ends, Isolation::ReadUncommitted).await?;
        Ok(found.first().zip(found.get(1)).map_or((-1, -1), |((_, first), (_, end))| (first.offset, end.offset)))
    }

    /// The first offset, the one after the last, or that of the first record at or after a timestamp (-1: none).
    ///
    /// # Errors
    /// What the leader failed with until `retry_timeout_ms`.
    pub async fn get_offset(&self, at: OffsetSpec) -> Result<i64> {
        let wanted = [(self.partition.clone(), at)];
        let found = list_offsets(&self.cluster, &wanted, self.isolation).await?;
        Ok(found.first().map_or(-1, |(_, listed)| listed.offset))
    }

    /// Deletes the records below `offset` and returns the new first offset. `timeout_ms` bounds the broker's wait for
    /// its followers.
    ///
    /// # Errors
    /// The leader's refusal, such as `OFFSET_OUT_OF_RANGE`; what it failed with until `retry_timeout_ms`.
    pub async fn delete_records(&self, offset: i64, timeout_ms: i32) -> Result<i64> {
        crate::admin::delete_records(&self.cluster, &self.partition, offset, timeout_ms).await
    }
}

fn encode_batch(
    records: &[Record],
    compression: Compression,
    identity: Identity,
    base_sequence: i32,
) -> kanat_protocol::Result<Bytes> {
    // One call is one batch; the broker's limit decides whether it is too large.
    let bytes_max = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
    let mut builder = BatchBuilder::new(BatchOptions { bytes_max, ..BatchOptions::default() });
    builder.set_producer(identity.id, identity.epoch, base_sequence);
    let mut headers = Vec::new();
    for record in records {
        headers.clear();
        headers.extend(record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())));
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)?;
    }
    builder.seal(compression, &mut Compressor::new())
}
