//! The bytes of Connect's group protocol: what a worker says when it joins, and what its leader answers.
//!
//! Version 0 replaces everything at each rebalance (`eager`); versions 1 (`compatible`) and 2 (`sessioned`) name what is
//! new and what is to be let go. 2 has the bytes of 1, and obliges workers to sign what they send each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::store::status::WorkId;

/// Task number that stands for the connector itself.
const CONNECTOR: i32 = -1;

/// A dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Version 0.
    Eager,
    /// Version 1.
    Compatible,
    /// Version 2.
    Sessioned,
}

impl Dialect {
    /// Name in `connect.protocol`, and for the later two in the group.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Eager => "eager",
            Dialect::Compatible => "compatible",
            Dialect::Sessioned => "sessioned",
        }
    }

    /// Name among the protocols of the group.
    pub fn protocol(self) -> &'static str {
        if self == Dialect::Eager { "default" } else { self.name() }
    }

    /// The dialect of a protocol of the group.
    pub fn of_protocol(name: &str) -> Option<Dialect> {
        Dialect::all().into_iter().find(|dialect| dialect.protocol() == name)
    }

    /// What a worker offers that is configured for this dialect: it and those before it, the best first.
    pub fn offered(self) -> Vec<Dialect> {
        Dialect::all().into_iter().rev().filter(|dialect| *dialect <= self).collect()
    }

    fn all() -> [Dialect; 3] {
        [Dialect::Eager, Dialect::Compatible, Dialect::Sessioned]
    }

    fn version(self) -> i16 {
        match self {
            Dialect::Eager => 0,
            Dialect::Compatible => 1,
            Dialect::Sessioned => 2,
        }
    }

    /// Whether assignments say what changes, not what is.
    pub fn is_incremental(self) -> bool {
        self != Dialect::Eager
    }
}

/// Connectors and tasks.
pub type Work = BTreeSet<WorkId>;

/// What a worker says when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerMetadata {
    /// URL other workers reach it by, with a slash at its end.
    pub url: String,
    /// How far it has read the configuration log.
    pub config_offset: i64,
    /// What it runs; nothing under version 0.
    pub running: Work,
}

/// What the leader tells a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerAssignment {
    /// The leader could not read as far as some worker has: nothing is assigned, and everybody joins again.
    pub config_mismatch: bool,
    /// Member id of the leader.
    pub leader: String,
    /// URL of the leader.
    pub leader_url: String,
    /// How far the configuration log was read for it.
    pub config_offset: i64,
    /// What to run: all of it under version 0, what is new under the others.
    pub assigned: Work,
    /// What to let go, before joining again.
    pub revoked: Work,
    /// In how many milliseconds to join again, because work waits for a worker that was lost; 0 for never.
    pub delay_ms: i32,
}

/// What a worker sends when it joins.
pub fn encode_metadata(dialect: Dialect, metadata: &WorkerMetadata) -> Result<Vec<u8>> {
    let mut out = dialect.version().to_be_bytes().to_vec();
    put_text(&mut out, &metadata.url)?;
    out.extend(metadata.config_offset.to_be_bytes());
    if dialect.is_incremental() {
        if metadata.running.is_empty() {
            out.extend((-1_i32).to_be_bytes());
        } else {
            let running = WorkerAssignment {
                config_mismatch: false,
                leader: String::new(),
                leader_url: String::new(),
                config_offset: metadata.config_offset,
                assigned: metadata.running.clone(),
                revoked: Work::new(),
                delay_ms: 0,
            };
            let bytes = encode_assignment(dialect, &running)?;
            out.extend(length(bytes.len())?.to_be_bytes());
            out.extend(bytes);
        }
    }
    Ok(out)
}

/// Reads what a worker sent.
///
/// # Errors
/// [`Error::Record`] for bytes that are something else.
pub fn decode_metadata(bytes: &[u8]) -> Result<WorkerMetadata> {
    let (url, config_offset, nested) = split_metadata(bytes).ok_or_else(|| malformed("metadata"))?;
    let running = nested.filter(|bytes| !bytes.is_empty()).map(decode_assignment).transpose()?;
    Ok(WorkerMetadata { url, config_offset, running: running.map(|running| running.assigned).unwrap_or_default() })
}

/// URL, offset of the configuration log and the bytes of what runs.
fn split_metadata(bytes: &[u8]) -> Option<(String, i64, Option<&[u8]>)> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    let (url, config_offset) = (reader.text()?, reader.i64()?);
    let nested = if version > 0 && !reader.0.is_empty() { reader.nullable_bytes()? } else { None };
    Some((url, config_offset, nested))
}

/// What a leader sends.
pub fn encode_assignment(dialect: Dialect, assignment: &WorkerAssignment) -> Result<Vec<u8>> {
    let mut out = dialect.version().to_be_bytes().to_vec();
    out.extend(i16::from(assignment.config_mismatch).to_be_bytes());
    put_text(&mut out, &assignment.leader)?;
    put_text(&mut out, &assignment.leader_url)?;
    out.extend(assignment.config_offset.to_be_bytes());
    put_work(&mut out, &assignment.assigned)?;
    if dialect.is_incremental() {
        put_work(&mut out, &assignment.revoked)?;
        out.extend(assignment.delay_ms.to_be_bytes());
    }
    Ok(out)
}

/// Reads what a leader sent. Fields of later versions that are missing are empty.
///
/// # Errors
/// [`Error::Record`] for bytes that are something else.
pub fn decode_assignment(bytes: &[u8]) -> Result<WorkerAssignment> {
    let mut reader = Reader(bytes);
    let mut parse = || {
        reader.i16()?;
        let config_mismatch = reader.i16()? != 0;
        let (leader, leader_url) = (reader.text()?, reader.text()?);
        let config_offset = reader.i64()?;
        let assigned = reader.work()?;
        let revoked = if reader.0.is_empty() { Work::new() } else { reader.work()? };
        let delay_ms = if reader.0.is_empty() { 0 } else { reader.i32()? };
        Some(WorkerAssignment { config_mismatch, leader, leader_url, config_offset, assigned, revoked, delay_ms })
    };
    parse().ok_or_else(|| malformed("assignment"))
}

fn malformed(what: &str) -> Error {
    Error::Record(format!("the {what} of a worker cannot be read: is another program in the group?"))
}

fn length(length: usize) -> Result<i32> {
    i32::try_from(length).map_err(|_| Error::Record("there is more work than the group protocol can hold".to_owned()))
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let length =
        i16::try_from(text.len()).map_err(|_| Error::Record("a name is too long for the group protocol".to_owned()))?;
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

fn put_work(out: &mut Vec<u8>, work: &Work) -> Result<()> {
    let mut connectors: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for id in work {
        let task = match id.task {
            None => CONNECTOR,
            Some(task) => length(task as usize)?,
        };
        connectors.entry(&id.connector).or_default().push(task);
    }
    out.extend(length(connectors.len())?.to_be_bytes());
    for (connector, tasks) in connectors {
        put_text(out, connector)?;
        out.extend(length(tasks.len())?.to_be_bytes());
        for task in tasks {
            out.extend(task.to_be_bytes());
        }
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }

    /// An array that may be null. Lengths are not believed: each entry takes its bytes.
    fn work(&mut self) -> Option<Work> {
        let mut work = Work::new();
        for _ in 0..self.i32()?.max(0) {
            let connector = self.text()?;
            for _ in 0..self.i32()?.max(0) {
                let task = self.i32()?;
                let task = if task == CONNECTOR { None } else { Some(u32::try_from(task).ok()?) };
                work.insert(WorkId { connector: connector.clone(), task });
            }
        }
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn work(ids: &[(&str, Option<u32>)]) -> Work {
        ids.iter().map(|(connector, task)| WorkId { connector: (*connector).to_owned(), task: *task }).collect()
    }

    #[test]
    fn metadata_has_connects_bytes() {
        let metadata = WorkerMetadata { url: "http://w1:8083/".to_owned(), config_offset: 5, running: Work::new() };
        let bytes = encode_metadata(Dialect::Sessioned, &metadata).unwrap();
        assert_eq!(hex(&bytes), "0002000f687474703a2f2f77313a383038332f0000000000000005ffffffff");
        assert_eq!(decode_metadata(&bytes).unwrap(), metadata);
        let bytes = encode_metadata(Dialect::Eager, &metadata).unwrap();
        assert_eq!(hex(&bytes), "0000000f687474703a2f2f77313a383038332f0000000000000005");
        assert_eq!(decode_metadata(&bytes).unwrap(), metadata);
    }

    #[test]
    fn assignments_have_connects_bytes() {
        let assignment = WorkerAssignment {
            config_mismatch: false,
            leader: "m-1".to_owned(),
            leader_url: "http://w1:8083/".to_owned(),
            config_offset: 5,
            assigned: work(&[("c", None), ("c", Some(0))]),
            revoked: Work::new(),
            delay_ms: 0,
        };
        let bytes = encode_assignment(Dialect::Sessioned, &assignment).unwrap();
        assert_eq!(
            hex(&bytes),
            "0002000000036d2d31000f687474703a2f2f77313a383038332f0000000000000005\
             00000001000163 00000002ffffffff000000000000000000000000"
                .replace(' ', "")
        );
        assert_eq!(decode_assignment(&bytes).unwrap(), assignment);
        let bytes = encode_assignment(Dialect::Eager, &assignment).unwrap();
        assert_eq!(decode_assignment(&bytes).unwrap(), assignment);
    }

    #[test]
    fn what_a_worker_runs_travels_with_its_metadata() {
        let running = work(&[("a-b", None), ("a-b", Some(3)), ("z", Some(0))]);
        let metadata = WorkerMetadata { url: "u".to_owned(), config_offset: -1, running };
        let bytes = encode_metadata(Dialect::Compatible, &metadata).unwrap();
        assert_eq!(decode_metadata(&bytes).unwrap(), metadata);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let metadata = WorkerMetadata { url: "u".to_owned(), config_offset: 1, running: work(&[("c", Some(0))]) };
        let bytes = encode_metadata(Dialect::Sessioned, &metadata).unwrap();
        for end in 0..bytes.len() {
            let cut = decode_metadata(&bytes[..end]);
            assert!(cut.is_err() || cut.unwrap().running.is_empty(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            let _ = decode_metadata(&damaged);
        }
    }

    #[test]
    fn a_dialect_offers_those_before_it() {
        assert_eq!(Dialect::Sessioned.offered(), [Dialect::Sessioned, Dialect::Compatible, Dialect::Eager]);
        assert_eq!(Dialect::Eager.offered(), [Dialect::Eager]);
        assert_eq!(Dialect::of_protocol("default"), Some(Dialect::Eager));
    }
}
