//! What the cluster does on its own: retention, compaction, a short journal.

use kanat_protocol::ErrorCode;

use super::Cluster;
use crate::journal::Entry;
use crate::log::{CompactionError, CompactionLimits};
use crate::topic::Partition;
use crate::topic_config::LogConfig;
use crate::{Error, Result};

impl Cluster {
    /// Applies retention and compaction to all partitions, and keeps the journal short.
    pub(crate) fn maintain(&self) {
        let now_ms = self.now_ms();
        for topic in self.topics() {
            let configs = topic.configs();
            for partition in topic.partitions().iter() {
                if configs.log.delete {
                    let retained = partition.log.lock().apply_retention(&configs.log, now_ms);
                    if let Err(error) = retained {
                        tracing::warn!(topic = &*topic.name, partition = partition.index, %error, "retention failed");
                    }
                }
                if configs.log.compact
                    && let Err(error) = self.compact(partition, &configs.log, now_ms, false)
                {
                    tracing::warn!(topic = &*topic.name, partition = partition.index, %error, "compaction failed");
                }
            }
        }
        self.coordinator.forget_dead_groups();
        if let Err(error) = self.journal.rewrite_if_due(|| self.snapshot()) {
            tracing::warn!(%error, "the journal could not be written anew");
        }
    }

    /// Compacts one partition at once, its newest records included.
    pub(crate) fn compact_now(&self, topic: &str, partition: i32) -> Result<()> {
        let unknown = |_| Error::UnknownPartition { topic: topic.to_owned(), partition };
        let (topic, partition) = self.partition(topic, partition).map_err(unknown)?;
        let storage = |error| self.storage_error(error);
        partition.log.lock().roll().map_err(storage)?;
        self.compact(&partition, &topic.configs().log, self.now_ms(), true).map_err(|error| {
            let code = ErrorCode::CorruptMessage;
            Error::Refused { code, reason: format!("topic {}: {error}", topic.name) }
        })
    }

    fn compact(
        &self,
        partition: &Partition,
        config: &LogConfig,
        now_ms: i64,
        force: bool,
    ) -> Result<(), CompactionError> {
        let _turn = partition.compacting.lock();
        let Some(compaction) = partition.log.lock().start_compaction(config, now_ms, force) else { return Ok(()) };
        let limits = CompactionLimits {
            keys_bytes_max: self.options.limits.compaction_keys_bytes_max,
            decompressed_bytes_max: self.options.limits.decompressed_bytes_max,
        };
        let compacted = compaction.run(limits)?;
        partition.log.lock().finish_compaction(compacted)?;
        Ok(())
    }

    fn snapshot(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::Cluster { id: self.id.clone() },
            Entry::ProducerIds { next: self.producer_ids.lock().reserved_to },
        ];
        for topic in self.topics() {
            entries.push(topic.entry());
            for partition in topic.partitions().iter() {
                let offset = partition.log.lock().bounds().log_start_offset;
                entries.push(Entry::LogStart { topic: topic.id, partition: partition.index, offset });
            }
        }
        entries.extend(self.coordinator.snapshot());
        entries.extend(self.transactions.snapshot());
        entries.extend(self.scram.snapshot());
        entries.extend(self.authorizer.snapshot());
        entries.extend(self.quotas.snapshot());
        entries.extend(self.features.snapshot());
        entries.extend(self.config_snapshot());
        entries
    }
}
