//! Records of a source that were handed to the producer: which offsets are safe, per source partition.
//!
//! A position counts when every record before it of the same source partition is durable (delivery rule 1).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use kanat_connect::data::Map;

use crate::store::compact;
use crate::store::offsets::JsonObject;

/// A record, and what tells its outcome.
#[derive(Debug)]
pub(super) struct Submitted<D> {
    pub(super) source_partition: Arc<Map>,
    pub(super) source_offset: Arc<Map>,
    /// `None` for a record that was dropped on the way: done already.
    pub(super) delivery: Option<D>,
}

#[derive(Debug)]
struct Queue<D> {
    partition: JsonObject,
    records: VecDeque<Submitted<D>>,
}

/// Records in the order of their source partitions.
#[derive(Debug)]
pub(super) struct SubmittedRecords<D> {
    queues: Vec<Queue<D>>,
    by_partition: HashMap<Vec<u8>, usize>,
    /// The partition of the last record, which the next is most often of too.
    last: Option<(Arc<Map>, usize)>,
    /// Offsets that are safe and not stored yet, by queue.
    safe: BTreeMap<usize, Arc<Map>>,
}

impl<D> Default for SubmittedRecords<D> {
    fn default() -> Self {
        SubmittedRecords { queues: Vec::new(), by_partition: HashMap::new(), last: None, safe: BTreeMap::new() }
    }
}

impl<D> SubmittedRecords<D> {
    /// Adds a record behind those of its source partition.
    ///
    /// # Errors
    /// When the source partition cannot be stored.
    pub(super) fn push(&mut self, record: Submitted<D>) -> Result<(), String> {
        let known = self.last.as_ref().filter(|(partition, _)| {
            Arc::ptr_eq(partition, &record.source_partition) || **partition == *record.source_partition
        });
        let index = match known {
            Some((_, index)) => *index,
            None => self.queue_of(&record.source_partition)?,
        };
        self.last = Some((Arc::clone(&record.source_partition), index));
        self.queues[index].records.push_back(record);
        Ok(())
    }

    fn queue_of(&mut self, partition: &Map) -> Result<usize, String> {
        let partition = crate::json_map::from_map(partition)?;
        let key = compact(&serde_json::Value::Object(partition.clone()));
        let next = self.queues.len();
        let index = *self.by_partition.entry(key).or_insert(next);
        if index == next {
            self.queues.push(Queue { partition, records: VecDeque::new() });
        }
        Ok(index)
    }

    /// Takes the records off whose outcome is known, as far as none before them is open. `decided` gives the outcome of
    /// a delivery, or the delivery back while it is open; `done` hears of every record taken off.
    ///
    /// # Errors
    /// The first that `decided` or `done` returns.
    pub(super) fn settle<T, E>(
        &mut self,
        mut decided: impl FnMut(D) -> Result<Result<T, E>, D>,
        mut done: impl FnMut(&Submitted<()>, Option<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (index, queue) in self.queues.iter_mut().enumerate() {
            while let Some(record) = queue.records.pop_front() {
                let Submitted { source_partition, source_offset, delivery } = record;
                let outcome = match delivery.map(&mut decided) {
                    None => None,
                    Some(Ok(outcome)) => Some(outcome?),
                    Some(Err(open)) => {
                        let record = Submitted { source_partition, source_offset, delivery: Some(open) };
                        queue.records.push_front(record);
                        break;
                    }
                };
                self.safe.insert(index, Arc::clone(&source_offset));
                done(&Submitted { source_partition, source_offset, delivery: None }, outcome)?;
            }
        }
        Ok(())
    }

    /// How many records are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.queues.iter().map(|queue| queue.records.len()).sum()
    }

    /// The safe offsets that were not taken yet, by source partition.
    ///
    /// # Errors
    /// An offset that cannot be stored.
    pub(super) fn take_safe(&mut self) -> Result<Vec<(JsonObject, Option<JsonObject>)>, String> {
        let safe = std::mem::take(&mut self.safe);
        let pair = |(index, offset): (usize, Arc<Map>)| {
            Ok((self.queues[index].partition.clone(), Some(crate::json_map::from_map(&offset)?)))
        };
        safe.into_iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use kanat_connect::data::Value;

    use super::*;

    fn map(key: &str, value: i64) -> Arc<Map> {
        Arc::new([(Value::from(key), Value::from(value))].into_iter().collect())
    }

    fn record(partition: i64, offset: i64, delivery: Option<i64>) -> Submitted<i64> {
        Submitted { source_partition: map("p", partition), source_offset: map("o", offset), delivery }
    }

    /// Deliveries up to this one are done.
    fn settle(records: &mut SubmittedRecords<i64>, done_up_to: &[i64]) -> Vec<String> {
        records
            .settle(|id| if done_up_to.contains(&id) { Ok(Ok::<_, ()>(id)) } else { Err(id) }, |_, _| Ok(()))
            .unwrap();
        let safe = records.take_safe().unwrap();
        safe.iter().map(|(partition, offset)| format!("{}:{}", partition["p"], offset.as_ref().unwrap()["o"])).collect()
    }

    #[test]
    fn an_offset_is_safe_when_all_before_it_are_done() {
        let mut records = SubmittedRecords::default();
        for (partition, offset, id) in [(1, 10, 1), (1, 11, 2), (2, 20, 3), (1, 12, 4)] {
            records.push(record(partition, offset, Some(id))).unwrap();
        }
        assert_eq!(settle(&mut records, &[2, 3]), ["2:20"]);
        assert_eq!(settle(&mut records, &[1, 2, 3]), ["1:11"]);
        assert_eq!(settle(&mut records, &[]), Vec::<String>::new());
        assert_eq!(records.open(), 1);
        assert_eq!(settle(&mut records, &[4]), ["1:12"]);
    }

    #[test]
    fn dropped_records_count_as_done_in_their_turn() {
        let mut records = SubmittedRecords::default();
        records.push(record(1, 10, Some(1))).unwrap();
        records.push(record(1, 11, None)).unwrap();
        assert_eq!(settle(&mut records, &[]), Vec::<String>::new());
        assert_eq!(settle(&mut records, &[1]), ["1:11"]);
    }

    #[test]
    fn a_failed_delivery_stops_the_count() {
        let mut records = SubmittedRecords::default();
        records.push(record(1, 10, Some(1))).unwrap();
        records.push(record(1, 11, Some(2))).unwrap();
        let failed = records.settle(|id| Ok(if id == 1 { Err("lost") } else { Ok(id) }), |_, _| Ok(()));
        assert_eq!(failed, Err("lost"));
        assert!(records.take_safe().unwrap().is_empty());
    }
}
