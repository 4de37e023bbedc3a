//! Parts of a batch the broker refused, as batches of their own: it was too large, or some of its records were wrong.

use std::ops::Range;

use bytes::Bytes;
use kanat_protocol::batch::{BatchBuilder, BatchOptions, RecordBatch};
use kanat_protocol::compression::Decompressor;

/// A batch is our own and at most this large before compression.
const INFLATED_BYTES_MAX: usize = 1 << 30;

/// The ranges of `records` between `cuts` and without `left_out`.
pub(super) fn ranges(records: &Range<i32>, cuts: &[i32], left_out: impl Iterator<Item = i32>) -> Vec<Range<i32>> {
    // Each cut ends a range; a record left out ends one and the next begins behind it.
    let mut ends: Vec<(i32, i32)> = left_out.map(|place| (place, place + 1)).collect();
    ends.extend(cuts.iter().map(|cut| (*cut, *cut)));
    ends.push((records.end, records.end));
    ends.sort_unstable();
    let mut start = records.start;
    let mut ranges = Vec::new();
    for (end, next) in ends {
        if start < end {
            ranges.push(start..end);
        }
        start = start.max(next);
    }
    ranges
}

/// The records of each range as an open batch. `None` if the batch cannot be read or a part not be written.
pub(super) fn rebuild(batch: &Bytes, first: i32, ranges: &[Range<i32>]) -> Option<Vec<(Range<i32>, BatchBuilder)>> {
    let batch = RecordBatch::parse(batch.clone()).ok()?;
    let records = batch.records(&mut Decompressor::new(INFLATED_BYTES_MAX)).ok()?;
    let options = BatchOptions {
        transactional: batch.header().attributes.is_transactional(),
        bytes_max: INFLATED_BYTES_MAX,
        ..BatchOptions::default()
    };
    let mut parts: Vec<_> = ranges.iter().map(|range| (range.clone(), BatchBuilder::new(options))).collect();
    let mut headers = Vec::new();
    for (place, record) in (first..).zip(records.iter()) {
        let record = record.ok()?;
        let Some((_, builder)) = parts.iter_mut().find(|(range, _)| range.contains(&place)) else { continue };
        headers.clear();
        for header in record.headers() {
            headers.push(header.ok()?);
        }
        builder.append(record.timestamp, record.key, record.value, &headers).ok()?;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_what_was_rejected_and_cover_the_rest() {
        let of = |cuts: &[i32], left_out: &[i32]| ranges(&(3..10), cuts, left_out.iter().copied());
        assert_eq!(of(&[6], &[]), [3..6, 6..10]);
        assert_eq!(of(&[], &[3, 5, 6, 9]), [4..5, 7..9]);
        assert_eq!(of(&[], &[4, 4]), [3..4, 5..10]);
        assert_eq!(ranges(&(0..1), &[], std::iter::once(0)), []);
    }
}
