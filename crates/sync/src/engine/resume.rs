//! Where each partition starts: the decision of one sync, from what the broker and the seal journal say.
//!
//! Inputs per partition are the log's bounds, the group's committed offset and the ranges of journal
//! entries a crash left behind (files that are complete but whose offsets never reached the group).
//! The output is a range to read, or the reason why a person has to decide. No I/O happens here.

use std::ops::Range;

/// What is known of one partition before the first fetch.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionFacts {
    /// First offset the broker still has.
    pub(crate) log_start: i64,
    /// Where this sync ends: the last stable offset.
    pub(crate) end: i64,
    /// End of the log, open transactions included.
    pub(crate) high_watermark: i64,
    /// The group's committed offset and the topic id noted with it, if any.
    pub(crate) committed: Option<Committed>,
    /// The topic's id today, if the broker tells.
    pub(crate) topic_id: Option<String>,
    /// Ranges sealed by a run that died before it committed them.
    pub(crate) sealed: Vec<Range<i64>>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// From the commit's metadata; absent when another program committed.
    pub(crate) topic_id: Option<String>,
}

/// What to do with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Read `range`; it may be empty. `recovered` is the offset to commit first, when the journal was ahead.
    Read { range: Range<i64>, recovered: Option<i64> },
    /// The topic was deleted and created again: the committed offset belongs to other data.
    Recreated { committed: i64 },
    /// The committed offset lies beyond the end of the log.
    AheadOfEnd { committed: i64 },
    /// Retention removed records that were never read.
    Expired { committed: i64 },
}

/// Decides where one partition starts.
pub(crate) fn resume(facts: &PartitionFacts) -> Resume {
    let Some(committed) = &facts.committed else {
        return first_read(facts);
    };
    if let (Some(noted), Some(today)) = (&committed.topic_id, &facts.topic_id)
        && noted != today
    {
        return Resume::Recreated { committed: committed.offset };
    }
    let position = follow_sealed(committed.offset, &facts.sealed);
    if position > facts.high_watermark {
        return Resume::AheadOfEnd { committed: position };
    }
    if position < facts.log_start {
        return Resume::Expired { committed: position };
    }
    let recovered = (position != committed.offset).then_some(position);
    Resume::Read { range: position..facts.end.max(position), recovered }
}

/// A partition the group has never committed: from the first sealed range on, else from the log's start.
fn first_read(facts: &PartitionFacts) -> Resume {
    let Some(first) = facts.sealed.iter().map(|range| range.start).min() else {
        return Resume::Read { range: facts.log_start..facts.end.max(facts.log_start), recovered: None };
    };
    let position = follow_sealed(first, &facts.sealed);
    if position > facts.high_watermark {
        return Resume::AheadOfEnd { committed: position };
    }
    if position < facts.log_start {
        return Resume::Expired { committed: position };
    }
    Resume::Read { range: position..facts.end.max(position), recovered: Some(position) }
}

/// Moves `position` over every sealed range that continues it. Ranges that start beyond it are left
/// alone: whoever set the group's offset back wants those records read again.
fn follow_sealed(mut position: i64, sealed: &[Range<i64>]) -> i64 {
    let mut ranges: Vec<&Range<i64>> = sealed.iter().collect();
    ranges.sort_by_key(|range| range.start);
    for range in ranges {
        if range.contains(&position) {
            position = range.end;
        }
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(log_start: i64, end: i64, committed: Option<i64>) -> PartitionFacts {
        PartitionFacts {
            log_start,
            end,
            high_watermark: end,
            committed: committed.map(|offset| Committed { offset, topic_id: None }),
            ..PartitionFacts::default()
        }
    }

    fn read(range: Range<i64>) -> Resume {
        Resume::Read { range, recovered: None }
    }

    #[test]
    fn starts_at_the_log_start_without_a_commit_and_at_the_commit_with_one() {
        assert_eq!(resume(&facts(5, 10, None)), read(5..10));
        assert_eq!(resume(&facts(5, 10, Some(7))), read(7..10));
        assert_eq!(resume(&facts(5, 10, Some(10))), read(10..10));
        assert_eq!(resume(&facts(0, 0, None)), read(0..0));
    }

    #[test]
    fn a_commit_between_the_stable_offset_and_the_end_reads_nothing() {
        let facts = PartitionFacts { high_watermark: 20, ..facts(0, 10, Some(15)) };
        assert_eq!(resume(&facts), read(15..15));
    }

    #[test]
    fn positions_that_lost_their_data_stop_the_sync() {
        assert_eq!(resume(&facts(5, 10, Some(4))), Resume::Expired { committed: 4 });
        assert_eq!(resume(&facts(0, 10, Some(11))), Resume::AheadOfEnd { committed: 11 });
    }

    #[test]
    fn a_recreated_topic_is_noticed_by_its_id() {
        let mut facts = facts(0, 10, Some(5));
        facts.topic_id = Some("new".into());
        facts.committed = Some(Committed { offset: 5, topic_id: Some("old".into()) });
        assert_eq!(resume(&facts), Resume::Recreated { committed: 5 });
        facts.committed = Some(Committed { offset: 5, topic_id: Some("new".into()) });
        assert_eq!(resume(&facts), read(5..10));
    }

    #[test]
    fn sealed_ranges_carry_the_position_forward() {
        let mut facts = facts(0, 100, Some(10));
        facts.sealed = vec![30..60, 10..30];
        assert_eq!(resume(&facts), Resume::Read { range: 60..100, recovered: Some(60) });
        facts.committed = None;
        assert_eq!(resume(&facts), Resume::Read { range: 60..100, recovered: Some(60) });
    }

    #[test]
    fn a_group_set_back_on_purpose_reads_again() {
        let mut facts = facts(0, 100, Some(2));
        facts.sealed = vec![Range { start: 10, end: 30 }];
        assert_eq!(resume(&facts), read(2..100));
        facts.committed = Some(Committed { offset: 40, topic_id: None });
        assert_eq!(resume(&facts), read(40..100));
    }
}
