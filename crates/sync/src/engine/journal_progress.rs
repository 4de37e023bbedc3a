//! What a journal entry remembers: the offset ranges its files hold.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

/// Offset ranges of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedRanges {
    pub(crate) topic: String,
    pub(crate) ranges: BTreeMap<i32, Range<i64>>,
}

impl SealedRanges {
    pub(crate) fn new(topic: &str, ranges: &BTreeMap<i32, Range<i64>>) -> Self {
        Self { topic: topic.to_owned(), ranges: ranges.clone() }
    }

    /// `{"topic":"t","partitions":{"0":[from,to]}}`, `to` exclusive.
    pub(crate) fn to_json(&self) -> Value {
        let partitions: Map<String, Value> = self
            .ranges
            .iter()
            .map(|(partition, range)| (partition.to_string(), json!([range.start, range.end])))
            .collect();
        json!({"topic": self.topic, "partitions": partitions})
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` for anything else.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let topic = value.get("topic")?.as_str()?.to_owned();
        let mut ranges = BTreeMap::new();
        for (partition, range) in value.get("partitions")?.as_object()? {
            let bounds = range.as_array()?;
            let [from, to] = bounds.as_slice() else { return None };
            let (from, to) = (from.as_i64()?, to.as_i64()?);
            if from < 0 || to < from {
                return None;
            }
            ranges.insert(partition.parse().ok()?, from..to);
        }
        Some(Self { topic, ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let ranges = BTreeMap::from([(0, 5..9), (12, 0..i64::MAX)]);
        let sealed = SealedRanges::new("orders", &ranges);
        assert_eq!(SealedRanges::from_json(&sealed.to_json()), Some(sealed));
        for wrong in [
            json!({}),
            json!({"topic": "t", "partitions": {"x": [0, 1]}}),
            json!({"topic": "t", "partitions": {"0": [0]}}),
            json!({"topic": "t", "partitions": {"0": [5, 1]}}),
            json!({"topic": "t", "partitions": {"0": [-1, 1]}}),
        ] {
            assert_eq!(SealedRanges::from_json(&wrong), None, "{wrong}");
        }
    }
}
