//! Offsets of many partitions: one ListOffsets request per broker (two when both ends are asked for), asked at once, retried where a leader moved.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kanat_protocol::messages::{ApiKey, BrokerId, ListOffsetsRequest};
use tokio::task::JoinSet;

use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, Leader, topic_name};
use crate::error::{Error, Result};
use crate::types::{Isolation, ListedOffset, OffsetSpec, TopicPartition};

/// One partition to ask about: where it stands in the caller's list, what to ask, the epoch of its leader.
#[derive(Debug, Clone)]
struct Asked {
    index: usize,
    topic_partition: TopicPartition,
    spec: OffsetSpec,
    leader_epoch: i32,
}

type Answered = (usize, Result<ListedOffset>);

/// Answers in the order of `wanted`.
pub(crate) async fn list_offsets(
    cluster: &Arc<Cluster>,
    wanted: &[(TopicPartition, OffsetSpec)],
    isolation: Isolation,
) -> Result<Vec<(TopicPartition, ListedOffset)>> {
    let mut found: Vec<Option<ListedOffset>> = vec![None; wanted.len()];
    let mut missing: Vec<usize> = (0..wanted.len()).collect();
    let mut retry = cluster.retry();
    let mut wrong_generation = None;
    while !missing.is_empty() {
        let round = ask_leaders(cluster, wanted, &missing, isolation, wrong_generation).await;
        missing.clear();
        let mut last = None;
        let (generation, answers) = match round {
            Ok(round) => round,
            Err(error) => {
                missing = (0..wanted.len()).filter(|index| found[*index].is_none()).collect();
                retry.wait(error).await?;
                continue;
            }
        };
        for (index, answer) in answers {
            match answer {
                Ok(offset) => found[index] = Some(offset),
                Err(error) if error.is_retriable() => {
                    missing.push(index);
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = last {
            wrong_generation = Some(generation);
            retry.wait(error).await?;
        }
    }
    let named = wanted.iter().zip(found);
    Ok(named.filter_map(|((partition, _), offset)| Some((partition.clone(), offset?))).collect())
}

/// One round: every leader is asked once. Returns the metadata generation used.
async fn ask_leaders(
    cluster: &Arc<Cluster>,
    wanted: &[(TopicPartition, OffsetSpec)],
    missing: &[usize],
    isolation: Isolation,
    wrong_generation: Option<u64>,
) -> Result<(u64, Vec<Answered>)> {
    let mut names: Vec<&str> = missing.iter().map(|index| &*wanted[*index].0.topic).collect();
    names.sort_unstable();
    names.dedup();
    let metadata = match wrong_generation {
        None => cluster.topics(&names).await?,
        Some(generation) => cluster.topics_after(&names, generation).await?,
    };
    let mut answers = Vec::with_capacity(missing.len());
    // A request may name a partition once, so one asked for both ends goes into two requests.
    let mut times_asked: HashMap<&TopicPartition, usize> = HashMap::new();
    let mut by_broker: BTreeMap<(i32, usize), (Arc<Broker>, Vec<Asked>)> = BTreeMap::new();
    for &index in missing {
        let (topic_partition, spec) = &wanted[index];
        let times = times_asked.entry(topic_partition).and_modify(|times| *times += 1).or_default();
        match cluster.leader_in(&metadata, &topic_partition.topic, topic_partition.partition) {
            Ok(Leader { broker, epoch, .. }) => {
                let asked = Asked { index, topic_partition: topic_partition.clone(), spec: *spec, leader_epoch: epoch };
                by_broker.entry((broker.node_id(), *times)).or_insert_with(|| (broker, Vec::new())).1.push(asked);
            }
            Err(error) => answers.push((index, Err(error))),
        }
    }
    let mut requests = JoinSet::new();
    for (broker, asked) in by_broker.into_values() {
        let timeout = cluster.options().request_timeout();
        requests.spawn(async move { ask_broker(&broker, asked, isolation, timeout).await });
    }
    while let Some(joined) = requests.join_next().await {
        answers.extend(joined.map_err(|_| Error::Closed { what: "runtime" })?);
    }
    Ok((metadata.generation(), answers))
}

async fn ask_broker(
    broker: &Broker,
    asked: Vec<Asked>,
    isolation: Isolation,
    timeout: std::time::Duration,
) -> Vec<Answered> {
    match try_broker(broker, &asked, isolation, timeout).await {
        Ok(answers) => answers,
        Err(error) => asked.iter().map(|asked| (asked.index, Err(error.clone()))).collect(),
    }
}

async fn try_broker(
    broker: &Broker,
    asked: &[Asked],
    isolation: Isolation,
    timeout: std::time::Duration,
) -> Result<Vec<Answered>> {
    let connection = broker.connection(ConnectionClass::Control).await?;
    let version = connection.version(ApiKey::ListOffsets)?;
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for asked in asked {
        let epoch = if version >= 4 { asked.leader_epoch } else { -1 };
        topics.entry(&asked.topic_partition.topic).or_default().push(
            ListOffsetsPartition::default()
                .with_partition_index(asked.topic_partition.partition)
                .with_current_leader_epoch(epoch)
                .with_timestamp(asked.spec.wire_timestamp()),
        );
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions))
        .collect();
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation.code())
        .with_topics(topics);
    let response = connection.request_version(ApiKey::ListOffsets, version, &request, timeout).await?;
    let mut by_partition = HashMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            by_partition.insert((topic.name.0.as_str(), partition.partition_index), partition);
        }
    }
    let answer = |asked: &Asked| {
        let name = &asked.topic_partition;
        let Some(partition) = by_partition.get(&(&*name.topic, name.partition)) else {
            return Err(connection.malformed(ApiKey::ListOffsets, format!("no answer for {name}")));
        };
        match ErrorCode::from_code(partition.error_code) {
            None => Ok(ListedOffset {
                offset: partition.offset,
                timestamp: partition.timestamp,
                leader_epoch: partition.leader_epoch,
            }),
            Some(code) => Err(connection.server_error(ApiKey::ListOffsets, name.to_string(), code, None)),
        }
    };
    Ok(asked.iter().map(|asked| (asked.index, answer(asked))).collect())
}
