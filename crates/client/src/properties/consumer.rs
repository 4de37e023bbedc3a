//! Keys of consumers, alone and in groups.

use std::sync::Arc;

use super::row::{Checked, INT_MAX, LONG_MAX, Row, Value, simple_name};
use crate::consumer::{ConsumerOptions, OutOfRangePolicy};
use crate::group::{
    Assignor, CooperativeStickyAssignor, GroupOptions, GroupProtocol, GroupStart, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};
use crate::types::Isolation;

const BYTES: &str = "records are bytes: your code makes its types of them";
/// Commits of Java's clients when they are to commit by themselves and nothing is said of how often, in milliseconds.
const AUTO_COMMIT_INTERVAL_MS: u64 = 5_000;

/// What the keys say about fetching, and where to start.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) options: ConsumerOptions,
    start: GroupStart,
}

/// What the keys say about the group.
#[derive(Debug)]
pub(super) struct GroupDraft {
    options: GroupOptions,
    commits: bool,
    commit_interval_ms: u64,
}

impl GroupDraft {
    pub(super) fn new(options: GroupOptions) -> GroupDraft {
        GroupDraft { options, commits: false, commit_interval_ms: AUTO_COMMIT_INTERVAL_MS }
    }

    pub(super) fn finish(self, consumer: Draft) -> GroupOptions {
        let mut options = self.options;
        options.auto_commit_interval_ms = self.commits.then_some(self.commit_interval_ms);
        options.start = consumer.start;
        options.rack.clone_from(&consumer.options.client_rack);
        options.consumer = consumer.options;
        options
    }
}

pub(super) const ROWS: &[Row<Draft>] = &[
    Row::sets("isolation.level", "`ConsumerOptions::isolation`", |draft, value| {
        let levels = [("read_uncommitted", Isolation::ReadUncommitted), ("read_committed", Isolation::ReadCommitted)];
        draft.options.isolation = value.choice(&levels)?;
        Ok(())
    }),
    Row::sets("fetch.min.bytes", "`ConsumerOptions::fetch_bytes_min`", |draft, value| {
        value.number(&mut draft.options.fetch_bytes_min, 0..=INT_MAX)
    }),
    Row::sets("fetch.max.wait.ms", "`ConsumerOptions::fetch_wait_ms_max`", |draft, value| {
        value.millis(&mut draft.options.fetch_wait_ms_max)
    }),
    Row::sets(
        "fetch.max.bytes",
        "`ConsumerOptions::fetch_bytes_max`; `buffer_bytes_max` bounds it too",
        |draft, value| value.number(&mut draft.options.fetch_bytes_max, 1_024..=INT_MAX),
    ),
    Row::sets("max.partition.fetch.bytes", "`ConsumerOptions::partition_fetch_bytes_max`", |draft, value| {
        value.number(&mut draft.options.partition_fetch_bytes_max, 1_024..=INT_MAX)
    }),
    Row::sets("check.crcs", "`ConsumerOptions::check_crc`", |draft, value| {
        draft.options.check_crc = value.flag()?;
        Ok(())
    }),
    Row::sets("client.rack", "`ConsumerOptions::client_rack`, `GroupOptions::rack`", |draft, value| {
        draft.options.client_rack = value.text();
        Ok(())
    }),
    Row::sets(
        "auto.offset.reset",
        "`GroupOptions::start` and `ConsumerOptions::out_of_range`: `earliest`, `latest`, `none`",
        |draft, value| {
            (draft.start, draft.options.out_of_range) = reset(value)?;
            Ok(())
        },
    ),
    Row::nothing("max.poll.records", "records come by batches, decoded as you go"),
    Row::nothing("allow.auto.create.topics", "reading never creates a topic"),
    Row::nothing("key.deserializer", BYTES),
    Row::nothing("value.deserializer", BYTES),
];

pub(super) const GROUP_ROWS: &[Row<GroupDraft>] = &[
    Row::sets("group.id", "`GroupOptions::group_id`", |draft, value| {
        draft.options.group_id = value.0.to_owned();
        Ok(())
    }),
    Row::sets("group.instance.id", "`GroupOptions::instance_id`", |draft, value| {
        draft.options.instance_id = value.text();
        Ok(())
    }),
    Row::sets("group.protocol", "`GroupOptions::protocol`", |draft, value| {
        let protocols = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
        draft.options.protocol = value.choice(&protocols)?;
        Ok(())
    }),
    Row::sets("group.remote.assignor", "`GroupOptions::server_assignor`", |draft, value| {
        draft.options.server_assignor = value.text();
        Ok(())
    }),
    Row::sets(
        "partition.assignment.strategy",
        "`GroupOptions::assignors`: Java's four; others are refused",
        |draft, value| {
            let assignors = value.list().map(assignor).collect::<Checked<Vec<_>>>()?;
            if assignors.is_empty() {
                return value.wrong("names no assignor");
            }
            draft.options.assignors = assignors;
            Ok(())
        },
    ),
    Row::sets("session.timeout.ms", "`GroupOptions::session_timeout_ms`", |draft, value| {
        value.some_millis(&mut draft.options.session_timeout_ms)
    }),
    Row::sets("heartbeat.interval.ms", "`GroupOptions::heartbeat_interval_ms`", |draft, value| {
        value.some_millis(&mut draft.options.heartbeat_interval_ms)
    }),
    Row::sets("max.poll.interval.ms", "`GroupOptions::max_poll_interval_ms`", |draft, value| {
        value.some_millis(&mut draft.options.max_poll_interval_ms)
    }),
    Row::sets(
        "enable.auto.commit",
        "`GroupOptions::auto_commit_interval_ms`: whether; off when absent, unlike in Java",
        |draft, value| {
            draft.commits = value.flag()?;
            Ok(())
        },
    ),
    Row::sets(
        "auto.commit.interval.ms",
        "`GroupOptions::auto_commit_interval_ms`: how often, 5000 when absent",
        |draft, value| value.number(&mut draft.commit_interval_ms, 1..=LONG_MAX),
    ),
    Row::nothing("exclude.internal.topics", "a pattern never matches internal topics under the classic protocol"),
];

fn reset(value: Value<'_>) -> Checked<(GroupStart, OutOfRangePolicy)> {
    if value.0.starts_with("by_duration") {
        return value.wrong("is not read: set GroupStart::Timestamp and OutOfRangePolicy::ByDurationMs");
    }
    value.choice(&[
        ("earliest", (GroupStart::Earliest, OutOfRangePolicy::Earliest)),
        ("latest", (GroupStart::Latest, OutOfRangePolicy::Latest)),
        ("none", (GroupStart::Error, OutOfRangePolicy::Fail)),
    ])
}

fn assignor(class: &str) -> Checked<Arc<dyn Assignor>> {
    Ok(match simple_name(class) {
        "RangeAssignor" => Arc::new(RangeAssignor),
        "RoundRobinAssignor" => Arc::new(RoundRobinAssignor),
        "StickyAssignor" => Arc::new(StickyAssignor),
        "CooperativeStickyAssignor" => Arc::new(CooperativeStickyAssignor),
        _ => return Value(class).wrong("is a class of Java's: give GroupOptions::assignors one of your own"),
    })
}
