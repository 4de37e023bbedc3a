//! What happened in a run, and the rules it has to obey.

use std::collections::{BTreeMap, BTreeSet};

/// A record as its producer sees it: who sent it, and which of that producer's records it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) producer: usize,
    pub(crate) number: u32,
}

impl Sent {
    /// The value that carries it.
    pub(crate) fn to_value(self, bytes: usize) -> Vec<u8> {
        let mut value = format!("{} {} ", self.producer, self.number).into_bytes();
        value.resize(bytes.max(value.len()), b'.');
        value
    }

    pub(crate) fn from_value(value: &[u8]) -> Sent {
        let text = std::str::from_utf8(value).unwrap();
        let mut parts = text.split(' ').map(str::parse);
        let producer = parts.next().unwrap().unwrap();
        Sent { producer: usize::try_from(producer).unwrap(), number: parts.next().unwrap().unwrap() }
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Acknowledged at this offset; -1 when the broker did not say where.
    Acknowledged(i64),
    /// Failed, and it is not in the log.
    Refused(String),
    /// Failed, and nobody knows.
    Unknown(String),
}

/// The history of one run.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By partition.
    pub(crate) fates: BTreeMap<(Sent, i32), Fate>,
    /// What the consumer was given, by partition, in order.
    pub(crate) consumed: BTreeMap<i32, Vec<(i64, Sent)>>,
    /// The log at the end, by partition.
    pub(crate) logs: BTreeMap<i32, Vec<(i64, Sent)>>,
    /// When it was over, in milliseconds after the start.
    pub(crate) ended_ms: u128,
}

impl History {
    /// Panics when a rule is broken.
    pub(crate) fn check(&self) {
        let everywhere = self.logs.values().flatten();
        let mut seen = BTreeSet::new();
        for (offset, sent) in everywhere {
            assert!(seen.insert(*sent), "{sent:?} is in the log twice, the second time at offset {offset}");
        }
        for ((sent, partition), fate) in &self.fates {
            let log = self.logs.get(partition).map_or(&[][..], Vec::as_slice);
            let found = log.iter().find(|(_, logged)| logged == sent);
            match (fate, found) {
                (Fate::Acknowledged(_), None) => panic!("{sent:?} was acknowledged and is not in {partition}"),
                (Fate::Acknowledged(offset), Some((at, _))) if *offset >= 0 && offset != at => {
                    panic!("{sent:?} was acknowledged at {offset} of {partition} and is at {at}")
                }
                (Fate::Refused(error), Some((at, _))) => panic!("{sent:?} was refused ({error}) and is at {at}"),
                _ => {}
            }
        }
        for (partition, log) in &self.logs {
            self.check_order(*partition, log);
            let consumed = self.consumed.get(partition).map_or(&[][..], Vec::as_slice);
            assert_eq!(consumed, log, "what was consumed of {partition} is not its log");
        }
    }

    fn check_order(&self, partition: i32, log: &[(i64, Sent)]) {
        let mut last = BTreeMap::new();
        for (offset, sent) in log {
            if let Some(before) = last.insert(sent.producer, sent.number) {
                assert!(before < sent.number, "{sent:?} at {offset} of {partition} comes behind number {before}");
            }
        }
    }

    /// How many records were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.fates.values().filter(|fate| matches!(fate, Fate::Acknowledged(_))).count()
    }

    /// The history as text, the same for the same run.
    pub(crate) fn lines(&self) -> Vec<String> {
        let fates = self.fates.iter().map(|((sent, partition), fate)| format!("{sent:?} to {partition}: {fate:?}"));
        let logs = self.logs.iter().flat_map(|(partition, log)| {
            log.iter().map(move |(offset, sent)| format!("{partition}@{offset}: {sent:?}"))
        });
        fates.chain(logs).chain([format!("over after {} ms", self.ended_ms)]).collect()
    }
}
