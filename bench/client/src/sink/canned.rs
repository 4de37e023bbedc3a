//! The topics: how many partitions a name has, where their ends are, and the batches that are served again and again.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions};
use kanat_protocol::compression::{Codec, Compression, Compressor};

/// Bytes of the base offset in front of a batch, the only ones that differ from one serving to the next.
pub(crate) const BASE_OFFSET_BYTES: usize = 8;

/// A batch without its base offset, and how often it is served.
#[derive(Debug)]
pub(crate) struct Canned {
    pub(crate) batch: Bytes,
    pub(crate) batch_records: i64,
    /// Records of one partition.
    pub(crate) end: i64,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) canned: Option<Canned>,
    ends: Vec<AtomicI64>,
}

impl Topic {
    /// The offset of the first of `records` appended records.
    pub(crate) fn append(&self, partition: i32, records: i32) -> Option<i64> {
        let end = self.ends.get(usize::try_from(partition).ok()?)?;
        Some(end.fetch_add(i64::from(records), Ordering::Relaxed))
    }

    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.ends.len()).unwrap_or(i32::MAX)
    }

    pub(crate) fn end(&self, partition: i32) -> i64 {
        let taken = || self.ends.get(usize::try_from(partition).ok()?).map(|end| end.load(Ordering::Relaxed));
        self.canned.as_ref().map_or_else(|| taken().unwrap_or(0), |canned| canned.end)
    }
}

/// All topics asked for so far.
#[derive(Debug)]
pub(crate) struct Topics {
    payload_folder: PathBuf,
    known: Mutex<HashMap<String, Arc<Topic>>>,
}

impl Topics {
    pub(crate) fn new(payload_folder: PathBuf) -> Topics {
        Topics { payload_folder, known: Mutex::default() }
    }

    /// The topic of a name, `None` when the name does not say how many partitions it has.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = known.get(name) {
            return Some(Arc::clone(topic));
        }
        let partitions: usize = name.rsplit('-').next()?.parse().ok().filter(|count| (1..=100_000).contains(count))?;
        let ends = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        let topic = Arc::new(Topic { canned: self.can(name), ends });
        known.insert(name.to_owned(), Arc::clone(&topic));
        Some(topic)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn can(&self, name: &str) -> Option<Canned> {
        let parts: Vec<&str> = name.split('-').collect();
        let ["canned", value_bytes, codec, records, batch_records, partitions] = parts[..] else { return None };
        let (value_bytes, batch_records): (usize, usize) = (value_bytes.parse().ok()?, batch_records.parse().ok()?);
        let (records, partitions): (i64, i64) = (records.parse().ok()?, partitions.parse().ok()?);
        let codec = Codec::ALL.into_iter().find(|known| known.name() == codec)?;
        let values = std::fs::read(self.payload_folder.join(format!("payload-{value_bytes}.bin"))).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let timestamp = i64::try_from(now.as_millis()).ok()?;
        let mut builder = BatchBuilder::new(BatchOptions { bytes_max: 1 << 30, ..BatchOptions::default() });
        for value in values.chunks_exact(value_bytes).cycle().take(batch_records) {
            builder.append(timestamp, None, Some(value), &[]).ok()?;
        }
        let level = (codec.name() == "zstd").then_some(1);
        let batch = builder.seal(Compression::new(codec, level).ok()?, &mut Compressor::new()).ok()?;
        let batch_records = i64::try_from(batch_records).ok()?;
        let end = records / partitions / batch_records * batch_records;
        Some(Canned { batch: batch.slice(BASE_OFFSET_BYTES..), batch_records, end })
    }
}
