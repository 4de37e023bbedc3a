//! Fetch requests and answers: from what partitions want to the message, and back to partitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kanat_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kanat_protocol::messages::fetch_response::FetchableTopicResponse;
use kanat_protocol::messages::{BrokerId, FetchRequest, Uuid};

use super::options::ConsumerOptions;
use super::session::{SessionRequest, Want};
use crate::cluster::{str_bytes, topic_name};
use crate::types::{TopicId, TopicPartition};
use crate::versions::{FETCH_RACKS, FETCH_SESSIONS, FETCH_TOPIC_IDS};

/// The version to fetch in: names instead of ids when a topic has no id.
pub(super) fn fetch_version(negotiated: i16, wants: &[Want]) -> i16 {
    if wants.iter().all(|want| want.topic_id.is_some()) { negotiated } else { negotiated.min(FETCH_TOPIC_IDS - 1) }
}

/// The request of one round.
pub(super) fn fetch_request(
    version: i16,
    session: &SessionRequest,
    options: &ConsumerOptions,
    bytes_max: i32,
) -> FetchRequest {
    let wait_ms = i32::try_from(options.fetch_wait_ms_max).unwrap_or(i32::MAX);
    let bytes_min = i32::try_from(options.fetch_bytes_min).unwrap_or(i32::MAX);
    let mut request = FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(bytes_min)
        .with_max_bytes(bytes_max)
        .with_isolation_level(options.isolation.code())
        .with_topics(topics(version, &session.send));
    // Version 15 moved the replica id into a tagged field whose default says "a consumer".
    if version < 15 {
        request = request.with_replica_id(BrokerId(-1));
    }
    if let Some(rack) = options.client_rack.as_deref().filter(|_| version >= FETCH_RACKS) {
        request = request.with_rack_id(str_bytes(rack));
    }
    if version >= FETCH_SESSIONS {
        request = request
            .with_session_id(session.session_id)
            .with_session_epoch(session.session_epoch)
            .with_forgotten_topics_data(forgotten(version, session));
    }
    request
}

fn uuid(id: Option<TopicId>) -> Uuid {
    Uuid::from_u128(id.map_or(0, |id| id.0))
}

/// Groups partitions by topic, both in the order given: the order is what makes a full answer fair.
fn topics(version: i16, wants: &[Want]) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for want in wants {
        let place = *places.entry(&want.partition.topic).or_insert_with(|| {
            topics.push(if version >= FETCH_TOPIC_IDS {
                FetchTopic::default().with_topic_id(uuid(want.topic_id))
            } else {
                FetchTopic::default().with_topic(topic_name(&want.partition.topic))
            });
            topics.len() - 1
        });
        let mut partition = FetchPartition::default()
            .with_partition(want.partition.partition)
            .with_fetch_offset(want.offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(want.bytes_max);
        // Version 9 brought the epoch that lets a broker tell a stale leader from a stale client.
        if version >= 9 {
            partition = partition.with_current_leader_epoch(want.leader_epoch);
        }
        topics[place].partitions.push(partition);
    }
    topics
}

fn forgotten(version: i16, session: &SessionRequest) -> Vec<ForgottenTopic> {
    let mut topics: BTreeMap<(&str, Option<TopicId>), Vec<i32>> = BTreeMap::new();
    for forget in &session.forget {
        topics.entry((&forget.partition.topic, forget.topic_id)).or_default().push(forget.partition.partition);
    }
    let topic = |((name, id), partitions): ((&str, Option<TopicId>), Vec<i32>)| {
        let topic = ForgottenTopic::default().with_partitions(partitions);
        if version >= FETCH_TOPIC_IDS { topic.with_topic_id(uuid(id)) } else { topic.with_topic(topic_name(name)) }
    };
    topics.into_iter().map(topic).collect()
}

/// Finds the partition an answer is about, by topic id or by name.
#[derive(Debug)]
pub(super) struct Names {
    by_id: HashMap<u128, Arc<str>>,
    by_name: HashMap<Arc<str>, Arc<str>>,
}

impl Names {
    pub(super) fn new<'a>(wants: impl Iterator<Item = &'a Want>) -> Names {
        let mut names = Names { by_id: HashMap::new(), by_name: HashMap::new() };
        for want in wants {
            let name = &want.partition.topic;
            if let Some(id) = want.topic_id {
                names.by_id.entry(id.0).or_insert_with(|| Arc::clone(name));
            }
            if !names.by_name.contains_key(name) {
                names.by_name.insert(Arc::clone(name), Arc::clone(name));
            }
        }
        names
    }

    pub(super) fn topic(&self, topic: &FetchableTopicResponse) -> Option<&Arc<str>> {
        let id = topic.topic_id.as_u128();
        if id != 0 { self.by_id.get(&id) } else { self.by_name.get(topic.topic.0.as_str()) }
    }

    pub(super) fn partition(topic: &Arc<str>, partition: i32) -> TopicPartition {
        TopicPartition { topic: Arc::clone(topic), partition }
    }
}
