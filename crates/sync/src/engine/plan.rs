//! From a [`SyncPlan`] to a decided run: the group, the journals, and a range for every partition.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kanat_client::{Client, ErrorCode, Group, TopicInfo, TopicPartition};

use super::committer::{Committer, Sealed, noted_topic_id};
use super::resume::{Committed, PartitionFacts, Resume, resume};
use super::table_sink::TableSink;
use super::tables::{self, Table};
use super::{OnExpiredOffsets, SyncOptions, SyncPlan, SyncProgress};
use crate::config::SourceConfig;
use crate::error::{Error, Result};
use crate::kafka;

/// A run with nothing left to decide.
pub(crate) struct Plan {
    pub(crate) client: Client,
    pub(crate) group_id: String,
    pub(crate) options: SyncOptions,
    /// Partitions with something to read (all of them when following).
    pub(crate) partitions: Vec<PlannedPartition>,
    /// Records that are gone although nobody read them, where the options allow that.
    pub(crate) expired_records: u64,
    tables: HashMap<Arc<str>, Table>,
    committer: Option<Committer>,
    readers: usize,
}

/// What to read of one partition.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPartition {
    pub(crate) tp: TopicPartition,
    pub(crate) range: Range<i64>,
}

impl Plan {
    /// Asks Kafka and the journals, commits what a crashed run left uncommitted, and writes the state so
    /// that a generated group id survives whatever follows.
    pub(crate) async fn make(plan: SyncPlan) -> Result<Plan> {
        let SyncPlan { source, destination, streams, mut state, state_path, options } = plan;
        let group_id = group_id(&source, state.consumer_group_id.as_deref());
        let client = kafka::connect(&source).await?;
        let names: Vec<&str> = streams.iter().map(|stream| stream.topic.as_str()).collect();
        let topics = kafka::describe_topics(&client, &names, &source).await?;
        let group = client.group(&group_id);
        ensure_unused(&group, &group_id).await?;

        let opened = {
            let (streams, destination, group_id) = (streams.clone(), destination.clone(), group_id.clone());
            let options = options.clone();
            super::committer::blocking(move || tables::open(streams, &destination, &group_id, &options)).await?
        };
        state.consumer_group_id = Some(group_id.clone());
        streams.iter().for_each(|stream| state.add_stream(&stream.id));
        let committer = Committer {
            group,
            group_id: group_id.clone(),
            topic_ids: topics.iter().filter_map(|it| Some((Arc::clone(&it.name), it.id?.to_string()))).collect(),
            state,
            state_path,
        };
        committer.write_state().await?;

        let facts = facts(&client, &committer, &topics, &opened.recovered).await?;
        let decided = decide(facts, &group_id, &options)?;
        let partitions = decided.partitions;
        recover(&committer, decided.recovered, opened.recovered).await?;
        let readers =
            if source.threads_equal_total_partitions { partitions.len() } else { source.max_threads as usize };
        Ok(Plan {
            client,
            group_id,
            partitions: partitions.into_iter().filter(|it| options.follow || !it.range.is_empty()).collect(),
            options,
            expired_records: decided.expired_records,
            tables: opened.tables,
            committer: Some(committer),
            readers,
        })
    }

    /// Compute threads: as many as readers were configured, but no more than there are partitions or cores.
    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.readers.min(self.partitions.len()).min(cores).max(1)
    }

    /// A sink for `topic` in one shard.
    pub(crate) fn open_sink(&self, topic: &Arc<str>, progress: &Arc<SyncProgress>) -> Result<TableSink> {
        let unknown = || Error::Internal { reason: format!("no table for {topic}") };
        self.tables.get(topic).ok_or_else(unknown)?.open_sink(topic, &self.options, progress)
    }

    /// Hands over the committer, once.
    pub(crate) fn take_committer(&mut self) -> Result<Committer> {
        self.committer.take().ok_or_else(|| Error::Internal { reason: "the committer was taken twice".to_owned() })
    }
}

/// The group: of the state, else of the source, else a new name, as in OLake.
fn group_id(source: &SourceConfig, of_state: Option<&str>) -> String {
    let configured = of_state.or(source.consumer_group_id.as_deref());
    configured.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("olake-consumer-group-{}", now.as_secs())
        },
        str::to_owned,
    )
}

/// Offsets can only be committed from outside while the group has no members; OLake removes them by force.
async fn ensure_unused(group: &Group, group_id: &str) -> Result<()> {
    let described = match group.describe().await {
        Ok(described) => described,
        // The first commit makes it.
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Ok(()),
        Err(error) => return Err(Error::kafka(format!("describing group {group_id}"), error)),
    };
    if described.members.is_empty() {
        return Ok(());
    }
    Err(Error::GroupInUse { group: group_id.to_owned(), members: described.members.len(), state: described.state })
}

/// Everything known about every partition.
async fn facts(
    client: &Client,
    committer: &Committer,
    topics: &[Arc<TopicInfo>],
    recovered: &[tables::Recovered],
) -> Result<Vec<(TopicPartition, PartitionFacts)>> {
    let partitions = kafka::partitions(topics);
    let committed = async {
        let action = || format!("reading the offsets of group {}", committer.group_id);
        committer.group.committed(&partitions).await.map_err(|error| Error::kafka(action(), error))
    };
    let (bounds, committed) = tokio::try_join!(kafka::log_bounds(client, &partitions), committed)?;
    let facts_of = |tp: TopicPartition| {
        let bounds = bounds
            .get(&tp)
            .copied()
            .ok_or_else(|| Error::Internal { reason: format!("the broker listed no offsets for {tp}") })?;
        let facts = PartitionFacts {
            log_start: bounds.start,
            end: bounds.stable_end,
            high_watermark: bounds.high_watermark,
            committed: committed
                .get(&tp)
                .filter(|it| it.offset >= 0)
                .map(|it| Committed { offset: it.offset, topic_id: noted_topic_id(&it.metadata) }),
            topic_id: committer.topic_ids.get(&tp.topic).cloned(),
            sealed: sealed_ranges(recovered, &tp),
        };
        Ok((tp, facts))
    };
    partitions.iter().cloned().map(facts_of).collect()
}

fn sealed_ranges(recovered: &[tables::Recovered], tp: &TopicPartition) -> Vec<Range<i64>> {
    let of_topic = recovered.iter().filter(|it| it.held.topic == *tp.topic);
    of_topic.filter_map(|it| it.held.ranges.get(&tp.partition).cloned()).collect()
}

/// Where every partition goes on.
struct Decided {
    partitions: Vec<PlannedPartition>,
    /// Offsets the journal holds beyond the group's.
    recovered: Vec<(TopicPartition, i64)>,
    expired_records: u64,
}

fn decide(facts: Vec<(TopicPartition, PartitionFacts)>, group: &str, options: &SyncOptions) -> Result<Decided> {
    let mut decided = Decided { partitions: Vec::new(), recovered: Vec::new(), expired_records: 0 };
    for (tp, facts) in facts {
        let (topic, partition, group) = (tp.topic.to_string(), tp.partition, group.to_owned());
        let range = match resume(&facts) {
            Resume::Read { range, recovered } => {
                decided.recovered.extend(recovered.map(|offset| (tp.clone(), offset)));
                range
            }
            Resume::Expired { committed } if options.on_expired_offsets == OnExpiredOffsets::Earliest => {
                decided.expired_records += facts.log_start.abs_diff(committed);
                facts.log_start..facts.end.max(facts.log_start)
            }
            Resume::Expired { committed } => {
                let log_start = facts.log_start;
                return Err(Error::OffsetsExpired { topic, partition, group, committed, log_start });
            }
            Resume::Recreated { committed } => {
                return Err(Error::TopicRecreated { topic, partition, group, committed });
            }
            Resume::AheadOfEnd { committed } => {
                let end = facts.high_watermark;
                return Err(Error::CommittedAheadOfEnd { topic, partition, group, committed, end });
            }
        };
        decided.partitions.push(PlannedPartition { tp, range });
    }
    Ok(decided)
}

/// Commits what the journals hold beyond the group's offsets, then closes their entries.
async fn recover(
    committer: &Committer,
    offsets: Vec<(TopicPartition, i64)>,
    entries: Vec<tables::Recovered>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut seals: Vec<Sealed> = offsets
        .into_iter()
        .map(|(tp, offset)| Sealed {
            topic: Arc::clone(&tp.topic),
            ranges: [(tp.partition, offset..offset)].into(),
            entry: None,
        })
        .collect();
    seals.extend(entries.into_iter().map(|it| Sealed {
        topic: it.held.topic.as_str().into(),
        ranges: std::collections::BTreeMap::new(),
        entry: Some((it.journal, it.entry)),
    }));
    committer.commit(seals).await
}
