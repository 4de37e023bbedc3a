//! Which partition a record goes to: the Java client's murmur2 for keys, so that both agree; without a key all records
//! of a batch to one partition, the next batch to another.

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
