//! Topics, their partitions and configurations.

use kanat_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kanat_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kanat_protocol::messages::delete_topics_request::DeleteTopicState;
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::*;

use super::peer::{Peer, name, text};

/// The topic most rows are about: two partitions, small records only, compacted one beside it.
pub(super) const TOPIC: &str = "refusals.t";
pub(super) const COMPACTED: &str = "refusals.compacted";

/// What no topic, group or producer is called.
pub(super) const ABSENT: &str = "refusals-absent";

/// Types of resources as the wire has them.
const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;

pub(super) async fn ask(peer: &mut Peer) {
    prepare(peer).await;
    creations(peer).await;
    growth_and_deletion(peer).await;
    configs(peer).await;
    metadata(peer).await;
}

fn topic(topic: &str, partitions: i32, replication: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replication)
}

fn configured(topic_name: &str, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    topic(topic_name, 2, 1).with_configs(configs.iter().map(config).collect())
}

fn assigned(topic_name: &str, replicas: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(partition, brokers): &(i32, &[i32])| {
        let brokers = brokers.iter().copied().map(BrokerId).collect();
        CreatableReplicaAssignment::default().with_partition_index(*partition).with_broker_ids(brokers)
    };
    topic(topic_name, -1, -1).with_assignments(replicas.iter().map(assignment).collect())
}

fn creation(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(10_000)
}

async fn prepare(peer: &mut Peer) {
    let topics = vec![
        configured(TOPIC, &[("max.message.bytes", "1000"), ("message.timestamp.after.max.ms", "3600000")]),
        configured(COMPACTED, &[("cleanup.policy", "compact")]),
    ];
    let is_done = |answer: &CreateTopicsResponse| answer.topics.iter().all(|topic| [0, 36].contains(&topic.error_code));
    peer.prepare(7, creation(topics), is_done).await;
    let asked = [TOPIC, COMPACTED].map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
    let request = MetadataRequest::default().with_topics(Some(asked.into()));
    let is_there = |topic: &metadata_response::MetadataResponseTopic| {
        topic.error_code == 0 && topic.partitions.iter().all(|partition| partition.error_code == 0)
    };
    let answer = peer.prepare(12, request, |answer| answer.topics.iter().all(is_there)).await;
    peer.node = answer.brokers[0].node_id.0;
}

async fn creations(peer: &mut Peer) {
    let (long, node) = ("x".repeat(250), peer.node);
    for (what, topics) in [
        ("create: there already", vec![topic(TOPIC, 1, 1)]),
        ("create: a space in the name", vec![topic("a b", 1, 1)]),
        ("create: two dots as name", vec![topic("..", 1, 1)]),
        ("create: no name", vec![topic("", 1, 1)]),
        ("create: a name too long", vec![topic(&long, 1, 1)]),
        ("create: a name that collides", vec![topic("refusals_t", 1, 1)]),
        ("create: no partitions", vec![topic("refusals-n", 0, 1)]),
        ("create: negative partitions", vec![topic("refusals-n", -2, 1)]),
        ("create: no copies", vec![topic("refusals-n", 1, 0)]),
        ("create: negative copies", vec![topic("refusals-n", 1, -2)]),
        ("create: more copies than brokers", vec![topic("refusals-n", 1, 9)]),
        ("create: unknown config", vec![configured("refusals-n", &[("no.such.config", "1")])]),
        ("create: config that is no number", vec![configured("refusals-n", &[("retention.ms", "long")])]),
        ("create: config out of range", vec![configured("refusals-n", &[("min.insync.replicas", "0")])]),
        ("create: unknown compression", vec![configured("refusals-n", &[("compression.type", "rar")])]),
        ("create: unknown cleanup policy", vec![configured("refusals-n", &[("cleanup.policy", "burn")])]),
        ("create: an unknown broker", vec![assigned("refusals-n", &[(0, &[77])])]),
        ("create: a broker twice", vec![assigned("refusals-n", &[(0, &[node, node])])]),
        ("create: no broker", vec![assigned("refusals-n", &[(0, &[])])]),
        ("create: a gap in the assignment", vec![assigned("refusals-n", &[(0, &[node]), (2, &[node])])]),
        ("create: assignment and counts", vec![assigned("refusals-n", &[(0, &[node])]).with_num_partitions(1)]),
        ("create: named twice", vec![topic("refusals-twice", 1, 1), topic("refusals-twice", 2, 1)]),
    ] {
        let codes = |answer: &CreateTopicsResponse| answer.topics.iter().map(|topic| topic.error_code).collect();
        peer.row(what, 7, creation(topics), codes).await;
    }
}

async fn growth_and_deletion(peer: &mut Peer) {
    let grow = |topic: &str, count| CreatePartitionsTopic::default().with_name(name(topic)).with_count(count);
    let to = |brokers: &[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    };
    for (what, topic) in [
        ("grow: unknown topic", grow(ABSENT, 3).with_assignments(None)),
        ("grow: fewer partitions", grow(TOPIC, 1).with_assignments(None)),
        ("grow: as many partitions", grow(TOPIC, 2).with_assignments(None)),
        ("grow: negative partitions", grow(TOPIC, -1).with_assignments(None)),
        ("grow: too few assignments", grow(TOPIC, 4).with_assignments(Some(vec![to(&[peer.node])]))),
        ("grow: to an unknown broker", grow(TOPIC, 3).with_assignments(Some(vec![to(&[77])]))),
    ] {
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        peer.row(what, 3, request, |answer| answer.results.iter().map(|topic| topic.error_code).collect()).await;
    }
    for (what, state) in [
        ("delete: unknown topic", DeleteTopicState::default().with_name(Some(name(ABSENT)))),
        ("delete: unknown id", DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(7))),
        ("delete: neither name nor id", DeleteTopicState::default().with_name(None)),
    ] {
        let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(10_000);
        peer.row(what, 6, request, |answer| answer.responses.iter().map(|topic| topic.error_code).collect()).await;
    }
}

async fn configs(peer: &mut Peer) {
    let set = |key: &str, value: Option<&str>| {
        AlterableConfig::default().with_name(text(key)).with_value(value.map(text)).with_config_operation(0)
    };
    let append = |key: &str, value: &str| set(key, Some(value)).with_config_operation(2);
    let of = |kind: i8, name: &str, configs: Vec<AlterableConfig>| {
        AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs)
    };
    let retention = || vec![set("retention.ms", Some("1"))];
    for (what, resource) in [
        ("alter config: unknown topic", of(TOPIC_RESOURCE, ABSENT, retention())),
        ("alter config: bad topic name", of(TOPIC_RESOURCE, "a b", retention())),
        ("alter config: unknown key", of(TOPIC_RESOURCE, TOPIC, vec![set("no.such.config", Some("1"))])),
        ("alter config: no number", of(TOPIC_RESOURCE, TOPIC, vec![set("retention.ms", Some("long"))])),
        ("alter config: no value", of(TOPIC_RESOURCE, TOPIC, vec![set("retention.ms", None)])),
        ("alter config: append to a number", of(TOPIC_RESOURCE, TOPIC, vec![append("retention.ms", "1")])),
        ("alter config: key twice", of(TOPIC_RESOURCE, TOPIC, [retention(), retention()].concat())),
        ("alter config: unknown broker", of(BROKER_RESOURCE, "77", vec![set("log.cleaner.threads", Some("1"))])),
        (
            "alter config: broker that is no number",
            of(BROKER_RESOURCE, "x", vec![set("log.cleaner.threads", Some("1"))]),
        ),
        ("alter config: unknown type", of(77, "x", vec![set("a", Some("1"))])),
        (
            "alter config: unknown operation",
            of(TOPIC_RESOURCE, TOPIC, vec![set("retention.ms", Some("1")).with_config_operation(9)]),
        ),
    ] {
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        peer.row(what, 1, request, |answer| answer.responses.iter().map(|one| one.error_code).collect()).await;
    }
    for (what, kind, name) in [
        ("describe config: unknown topic", TOPIC_RESOURCE, ABSENT),
        ("describe config: bad topic name", TOPIC_RESOURCE, "a b"),
        ("describe config: unknown broker", BROKER_RESOURCE, "77"),
        ("describe config: broker that is no number", BROKER_RESOURCE, "x"),
        ("describe config: unknown type", 77, "x"),
    ] {
        let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)]);
        peer.row(what, 4, request, |answer| answer.results.iter().map(|one| one.error_code).collect()).await;
    }
}

async fn metadata(peer: &mut Peer) {
    let by_name = |topic: &str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    for (what, topic) in [
        ("metadata: unknown topic", by_name(ABSENT)),
        ("metadata: bad name", by_name("a b")),
        ("metadata: unknown id", MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(7))),
    ] {
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        peer.row(what, 12, request, |answer| answer.topics.iter().map(|topic| topic.error_code).collect()).await;
    }
    let nameless = ApiVersionsRequest::default().with_client_software_name(text("a b"));
    peer.row("versions: bad client name", 3, nameless, |answer| vec![answer.error_code]).await;
}
