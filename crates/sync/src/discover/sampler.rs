//! The compute side of discovery: records of sampled batches into one inference per topic.

use std::collections::HashMap;
use std::sync::Arc;

use kanat_client::{Fetched, TopicPartition};
use kanat_lake::DataType;
use kanat_lake::infer::Inference;
use kanat_lake::types::TypeSet;
use kanat_protocol::compression::Decompressor;
use tokio::sync::mpsc;

use crate::engine::chunk::Chunk;
use crate::engine::key::registry_prefix_bytes;
use crate::engine::limits::BATCH_BYTES_MAX;
use crate::error::{Error, Result};

/// What was seen of one topic.
#[derive(Debug)]
pub(super) struct SampledTopic {
    pub(super) inference: Inference,
    /// Types of the record timestamps.
    pub(super) timestamps: TypeSet,
    pub(super) records: u64,
    pub(super) bad_records: u64,
}

impl SampledTopic {
    pub(super) fn new(columns_max: usize) -> Self {
        Self { inference: Inference::new(columns_max), timestamps: TypeSet::default(), records: 0, bad_records: 0 }
    }

    /// Adds what another thread saw of the same topic.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.records += other.records;
        self.bad_records += other.bad_records;
        self.timestamps.extend(other.timestamps);
        self.inference.merge(other.inference).map_err(|source| Error::table("discovery", source))
    }

    fn observe(&mut self, timestamp_ms: i64, value: Option<&[u8]>) -> Result<()> {
        self.records += 1;
        let Some(value) = value else {
            self.bad_records += 1;
            return Ok(());
        };
        match self.inference.observe(&value[registry_prefix_bytes(value)..]) {
            Ok(_) => {
                let whole_seconds = timestamp_ms % 1_000 == 0;
                let precision = if whole_seconds { DataType::Timestamp } else { DataType::TimestampMilli };
                self.timestamps.insert(precision);
                Ok(())
            }
            Err(kanat_lake::Error::Record(_)) => {
                self.bad_records += 1;
                Ok(())
            }
            Err(source) => Err(Error::table("discovery", source)),
        }
    }
}

/// Looks at the batches of its partitions.
#[derive(Debug)]
pub(super) struct Sampler {
    columns_max: usize,
    records_per_partition_max: u64,
    topics: HashMap<Arc<str>, SampledTopic>,
    seen: HashMap<TopicPartition, u64>,
}

impl Sampler {
    pub(super) fn new(columns_max: usize, records_per_partition_max: u64) -> Self {
        Self { columns_max, records_per_partition_max, topics: HashMap::new(), seen: HashMap::new() }
    }

    /// Runs until the sending side is gone.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Fetched>) -> Result<HashMap<Arc<str>, SampledTopic>> {
        let mut decompressor = Decompressor::new(BATCH_BYTES_MAX);
        let mut chunk = Chunk::default();
        while let Some(fetched) = inbox.blocking_recv() {
            chunk.push(&fetched, &mut decompressor)?;
            self.look_at(&fetched.tp, &chunk)?;
            chunk.clear();
        }
        Ok(self.topics)
    }

    fn look_at(&mut self, partition: &TopicPartition, chunk: &Chunk) -> Result<()> {
        let seen = self.seen.entry(partition.clone()).or_default();
        let topic =
            self.topics.entry(Arc::clone(&partition.topic)).or_insert_with(|| SampledTopic::new(self.columns_max));
        for record in chunk.views(&partition.topic)? {
            if *seen == self.records_per_partition_max {
                break;
            }
            *seen += 1;
            topic.observe(record.envelope.timestamp_ms, record.value)?;
        }
        Ok(())
    }
}
