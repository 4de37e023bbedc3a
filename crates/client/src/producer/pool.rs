//! Memory of batches that left, kept for those to come.

use std::collections::BTreeMap;

/// Memory of earlier batches, for those to come: fresh memory costs a page fault every 4 KiB.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// By capacity.
    idle: BTreeMap<usize, Vec<Vec<u8>>>,
    idle_bytes: usize,
}

impl Pool {
    /// The smallest buffer of at least `bytes`; a much larger one stays for those who need it. Fresh memory, when there
    /// is none, takes the place of idle memory.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let fitting = self.idle.range(bytes..=bytes.saturating_mul(2)).next().map(|(capacity, _)| *capacity);
        fitting.and_then(|capacity| self.remove(capacity)).unwrap_or_else(|| {
            self.shrink(self.idle_bytes.saturating_sub(bytes));
            Vec::with_capacity(bytes)
        })
    }

    /// Keeps a buffer, and of all that is kept at most `bytes_max`.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>, bytes_max: usize) {
        let capacity = buffer.capacity();
        if capacity > 0 && capacity <= bytes_max {
            buffer.clear();
            self.idle_bytes += capacity;
            self.idle.entry(capacity).or_default().push(buffer);
            self.shrink(bytes_max);
        }
    }

    /// Gives the largest buffers back to the system until at most `bytes_max` are kept.
    fn shrink(&mut self, bytes_max: usize) {
        while self.idle_bytes > bytes_max
            && let Some(largest) = self.idle.keys().next_back().copied()
        {
            drop(self.remove(largest));
        }
    }

    fn remove(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let same = self.idle.get_mut(&capacity)?;
        let buffer = same.pop();
        if same.is_empty() {
            self.idle.remove(&capacity);
        }
        self.idle_bytes -= buffer.as_ref().map_or(0, Vec::capacity);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_fitting_buffer_is_taken_and_the_largest_go_first() {
        let mut pool = Pool::default();
        for bytes in [100, 400, 200] {
            pool.give(Vec::with_capacity(bytes), 1000);
        }
        assert_eq!(pool.take(150).capacity(), 200);
        // 400 is more than twice as much as is asked for.
        assert_eq!((pool.take(101).capacity(), pool.idle_bytes), (101, 100));
        pool.give(Vec::with_capacity(500), 600);
        pool.give(Vec::with_capacity(300), 600);
        // 500 went: 100 and 300 are left.
        assert_eq!((pool.idle_bytes, pool.take(300).capacity()), (400, 300));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut pool = Pool::default();
        pool.give(Vec::with_capacity(64), 63);
        assert_eq!(pool.idle_bytes, 0);
    }
}
