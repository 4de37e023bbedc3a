//! Which compute thread takes which partition.
//!
//! A partition belongs to one shard for the whole sync, so its order is kept without coordination.

/// Assigns every partition to one of `shards` shards so that the offsets left to read are spread
/// evenly: largest first, each to the shard with the least so far. Returns the shard of each input.
pub(crate) fn assign(remaining_offsets: &[u64], shards: usize) -> Vec<usize> {
    let mut largest_first: Vec<usize> = (0..remaining_offsets.len()).collect();
    largest_first.sort_by_key(|partition| std::cmp::Reverse(remaining_offsets[*partition]));
    let mut loads = vec![(0_u64, 0_usize); shards.max(1)];
    let mut owner = vec![0; remaining_offsets.len()];
    for partition in largest_first {
        // The partition count breaks ties, so that empty partitions spread as well.
        let Some((shard, load)) = loads.iter_mut().enumerate().min_by_key(|(_, load)| **load) else { break };
        load.0 += remaining_offsets[partition];
        load.1 += 1;
        owner[partition] = shard;
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(remaining: &[u64], shards: usize) -> Vec<u64> {
        let mut loads = vec![0; shards];
        for (partition, shard) in assign(remaining, shards).into_iter().enumerate() {
            loads[shard] += remaining[partition];
        }
        loads
    }

    #[test]
    fn spreads_the_work_and_uses_every_shard() {
        assert_eq!(loads(&[10, 10, 10, 10], 2), [20, 20]);
        assert_eq!(loads(&[30, 10, 10, 10], 2), [30, 30]);
        assert_eq!(loads(&[5], 3), [5, 0, 0]);
        let mut owners = assign(&[0, 0, 0], 3);
        owners.sort_unstable();
        assert_eq!(owners, [0, 1, 2]);
    }

    #[test]
    fn no_partitions_need_no_shards() {
        assert!(assign(&[], 0).is_empty());
    }
}
