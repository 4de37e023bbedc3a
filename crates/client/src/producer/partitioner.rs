//! Which partition a record goes to: the Java client's murmur2 for keys, so that both agree; without a key all records
//! of a batch to one partition, the next batch to another.

use std::fmt::Debug;
use std::sync::Arc;

use super::ProduceRecord;

/// Chooses partitions in the application's own way.
pub trait Partitioner: Debug + Send + Sync {
    /// The partition of a record among `partitions` of its topic (above 0), from 0. Called for every record that does
    /// not name its partition; it must be quick and must not block.
    fn partition(&self, record: &ProduceRecord<'_>, partitions: usize) -> usize;
}

/// How records that name no partition get one.
#[derive(Debug, Clone, Default)]
pub enum Partitioning {
    /// By key as the Java client does; records without a key fill one partition's batch and then go to another one
    /// (KIP-480, KIP-794), which makes large batches and spreads bytes evenly.
    #[default]
    Default,
    /// Each record to the next partition, whether it has a key or not.
    RoundRobin,
    /// The application chooses.
    Custom(Arc<dyn Partitioner>),
}

impl PartialEq for Partitioning {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Partitioning::Default, Partitioning::Default) | (Partitioning::RoundRobin, Partitioning::RoundRobin) => {
                true
            }
            (Partitioning::Custom(left), Partitioning::Custom(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }
}

/// Where the next record of a topic goes that is placed by neither its key nor the application.
#[derive(Debug)]
pub(super) enum Keyless {
    /// To the partition whose batch is being filled.
    Sticky(usize),
    /// To this one, and then to the next.
    RoundRobin(usize),
}

impl Keyless {
    pub(super) fn new(partitioning: &Partitioning, partitions: usize) -> Keyless {
        match partitioning {
            Partitioning::RoundRobin => Keyless::RoundRobin(0),
            _ => Keyless::Sticky(fastrand::usize(..partitions.max(1))),
        }
    }

    /// The partition of the next record among `partitions` (above 0).
    pub(super) fn next(&mut self, partitions: usize) -> usize {
        match self {
            Keyless::Sticky(partition) => *partition,
            Keyless::RoundRobin(next) => {
                let partition = *next % partitions;
                *next = partition + 1;
                partition
            }
        }
    }
}

/// The partition of a key among `partitions` (above 0).
pub(super) fn key_partition(key: &[u8], partitions: usize) -> usize {
    let positive = usize::try_from(murmur2(key) & 0x7fff_ffff).unwrap_or(0);
    positive % partitions
}

/// MurmurHash2, 32 bits, with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = chunk.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Another partition than `current`, drawn at random.
pub(super) fn other_partition(current: usize, partitions: usize) -> usize {
    if partitions < 2 {
        return 0;
    }
    let drawn = fastrand::usize(..partitions - 1);
    if drawn >= current { drawn + 1 } else { drawn }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Java client's own hash, as signed there.
    #[test]
    fn hashes_as_the_java_client_does() {
        let known: [(&[u8], i32); 6] = [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key).cast_signed(), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn the_other_partition_is_another_one() {
        assert_eq!(other_partition(0, 1), 0);
        for current in 0..5 {
            for _ in 0..50 {
                let other = other_partition(current, 5);
                assert!(other != current && other < 5);
            }
        }
    }
}
