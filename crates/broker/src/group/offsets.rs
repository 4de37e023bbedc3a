//! Offsets a group committed.

use std::collections::BTreeMap;

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    /// -1 when the client did not know it.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Committed offsets by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    by_topic: BTreeMap<String, BTreeMap<i32, CommittedOffset>>,
    /// Offsets of open transactions by producer id.
    pending: BTreeMap<i64, BTreeMap<(String, i32), CommittedOffset>>,
}

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_topic.get(topic)?.get(&partition)
    }

    pub(crate) fn set(&mut self, topic: &str, partition: i32, offset: CommittedOffset) {
        match self.by_topic.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, offset);
            }
            None => {
                self.by_topic.insert(topic.to_owned(), BTreeMap::from([(partition, offset)]));
            }
        }
    }

    /// Forgets one offset; tells whether there was one.
    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.by_topic.get_mut(topic) else { return false };
        let removed = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
        removed
    }

    /// Forgets all offsets of a topic.
    pub(crate) fn remove_topic(&mut self, topic: &str) {
        self.by_topic.remove(topic);
        for offsets in self.pending.values_mut() {
            offsets.retain(|(name, _), _| name != topic);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_topic.is_empty() && self.pending.is_empty()
    }

    /// Keeps an offset until the producer's transaction ends.
    pub(crate) fn set_pending(&mut self, producer_id: i64, topic: &str, partition: i32, offset: CommittedOffset) {
        self.pending.entry(producer_id).or_default().insert((topic.to_owned(), partition), offset);
    }

    /// Whether an open transaction holds an offset of this partition.
    pub(crate) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        let has = |(name, index): &(String, i32)| name == topic && *index == partition;
        self.pending.values().any(|offsets| offsets.keys().any(has))
    }

    /// Takes out what the producer's transaction held.
    pub(crate) fn take_pending(&mut self, producer_id: i64) -> BTreeMap<(String, i32), CommittedOffset> {
        self.pending.remove(&producer_id).unwrap_or_default()
    }

    /// Offsets of open transactions, by producer id.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (i64, &str, i32, &CommittedOffset)> {
        let by_producer = self.pending.iter();
        by_producer.flat_map(|(producer_id, offsets)| {
            let offsets = offsets.iter();
            offsets.map(|((topic, partition), offset)| (*producer_id, topic.as_str(), *partition, offset))
        })
    }

    /// All offsets, by topic.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, CommittedOffset>)> {
        self.by_topic.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }
}
