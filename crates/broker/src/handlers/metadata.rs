//! Metadata, DescribeCluster and DescribeTopicPartitions: nodes, topics and who leads what.

use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kanat_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kanat_protocol::messages::metadata_request::MetadataRequestTopic;
use kanat_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kanat_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse, TopicName, Uuid,
};

use super::{Context, Handle, text};
use crate::cluster::{NewTopic, Node, unknown_topic};
use crate::error::{Refusal, wire_code};
use crate::topic::{NO_LEADER, Partition, Topic, check_name};

/// Endpoint type of brokers; the other one is controllers, which have no listener here.
const BROKER_ENDPOINTS: i8 = 1;
/// First version whose answer as a whole can be an error.
const ERROR_VERSION_MIN: i16 = 13;
/// Partitions one DescribeTopicPartitions answer holds at most, as in Kafka.
const DESCRIBED_PARTITIONS_MAX: usize = 2_000;

impl Handle for MetadataRequest {
    fn partitions(&self, context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter().flatten().filter_map(|topic| find_topic(topic, context).ok());
        topics.flat_map(|topic| all_partitions(&topic)).collect()
    }

    async fn handle(self, context: &Context) -> MetadataResponse {
        context.run(move |context| describe(self, context)).await
    }
}

fn all_partitions(topic: &Topic) -> Vec<(String, i32)> {
    topic.partitions().iter().map(|partition| (topic.name.to_string(), partition.index)).collect()
}

fn describe(request: MetadataRequest, context: &Context) -> MetadataResponse {
    let brokers = context.cluster.running_nodes().map(|node| {
        let (host, port) = node.endpoint();
        let broker = MetadataResponseBroker::default().with_node_id(node.id.into()).with_host(text(host));
        broker.with_port(port).with_rack(node.rack.clone().map(text))
    });
    let response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(text(context.cluster.id.clone())))
        .with_controller_id(context.cluster.controller().into());
    if let Some(code) = start_over(context) {
        return response.with_error_code(code);
    }
    // Version 0 asks for all topics with an empty list, later ones with none.
    let wanted = request.topics.filter(|topics| context.version > 0 || !topics.is_empty());
    let topics = match wanted {
        None => {
            let topics = context.cluster.topics().into_iter();
            let visible = topics.filter(|topic| context.authorize_topic(&topic.name).is_ok());
            visible.map(|topic| describe_topic(&topic, context)).collect()
        }
        Some(wanted) => {
            let may_create = request.allow_auto_topic_creation && context.cluster.options.auto_create_topics;
            wanted.iter().map(|topic| describe_wanted(topic, may_create, context)).collect()
        }
    };
    response.with_topics(topics)
}

/// The only error of a whole answer: the client shall begin again at its bootstrap addresses (KIP-1102).
fn start_over(context: &Context) -> Option<i16> {
    let refusal = context.check_request().err()?;
    let knows = context.version >= ERROR_VERSION_MIN && refusal.code == ErrorCode::RebootstrapRequired;
    knows.then(|| refusal.code.code())
}

fn describe_wanted(wanted: &MetadataRequestTopic, may_create: bool, context: &Context) -> MetadataResponseTopic {
    let known = find_topic(wanted, context);
    let name = match &known {
        Ok(topic) => Some(&*topic.name),
        Err(_) => wanted.name.as_ref().map(|name| name.as_str()),
    };
    if let Some(Err(refusal)) = name.map(|name| context.authorize_topic(name)) {
        return MetadataResponseTopic::default().with_name(wanted.name.clone()).with_error_code(refusal.code.code());
    }
    let found = match (known, &wanted.name) {
        (Err(refusal), Some(name)) if may_create && refusal.code == ErrorCode::UnknownTopicOrPartition => {
            create_topic(name, context)
        }
        (found, _) => found,
    };
    match found {
        Ok(topic) => describe_topic(&topic, context),
        Err(refusal) => MetadataResponseTopic::default()
            .with_name(wanted.name.clone())
            .with_topic_id(wanted.topic_id)
            .with_error_code(refusal.code.code()),
    }
}

fn find_topic(wanted: &MetadataRequestTopic, context: &Context) -> Result<Arc<Topic>, Refusal> {
    match &wanted.name {
        Some(name) => {
            check_name(name)?;
            context.cluster.topic(name).ok_or_else(|| unknown_topic(name))
        }
        None => {
            let unknown = || Refusal::new(ErrorCode::UnknownTopicId, "no topic has this id");
            context.cluster.topic_by_id(wanted.topic_id).ok_or_else(unknown)
        }
    }
}

fn create_topic(name: &TopicName, context: &Context) -> Result<Arc<Topic>, Refusal> {
    let new = NewTopic { name: name.to_string(), partitions: -1, replication_factor: -1, ..NewTopic::default() };
    match context.cluster.create_topic(&new, false) {
        // Another client was faster.
        Err(refusal) if refusal.code != ErrorCode::TopicAlreadyExists => Err(refusal),
        _ => context.cluster.topic(name).ok_or_else(|| unknown_topic(name)),
    }
}

fn describe_topic(topic: &Topic, context: &Context) -> MetadataResponseTopic {
    let partitions = topic.partitions();
    let partitions = partitions.iter().map(|partition| describe_partition(topic, partition, context));
    MetadataResponseTopic::default()
        .with_error_code(wire_code(&context.check_topic(&topic.name)))
        .with_name(Some(TopicName(text(&*topic.name))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
}

fn describe_partition(topic: &Topic, partition: &Partition, context: &Context) -> MetadataResponsePartition {
    let leadership = partition.leadership();
    let (in_sync, offline) = split_replicas(&leadership.replicas, context);
    MetadataResponsePartition::default()
        .with_error_code(partition_code(topic, partition.index, leadership.leader, context))
        .with_partition_index(partition.index)
        .with_leader_id(leadership.leader.into())
        .with_leader_epoch(leadership.epoch)
        .with_replica_nodes(broker_ids(&leadership.replicas))
        .with_isr_nodes(broker_ids(&in_sync))
        .with_offline_replicas(broker_ids(&offline))
}

fn partition_code(topic: &Topic, partition: i32, leader: i32, context: &Context) -> i16 {
    match context.check_partition(&topic.name, partition) {
        Ok(()) if leader == NO_LEADER => ErrorCode::LeaderNotAvailable.code(),
        checked => wire_code(&checked),
    }
}

/// Replicas on running nodes, and the others.
fn split_replicas(replicas: &[i32], context: &Context) -> (Vec<i32>, Vec<i32>) {
    replicas.iter().partition(|replica| context.cluster.node(**replica).is_some_and(Node::is_running))
}

fn broker_ids(nodes: &[i32]) -> Vec<BrokerId> {
    nodes.iter().map(|node| BrokerId(*node)).collect()
}

impl Handle for DescribeClusterRequest {
    async fn handle(self, context: &Context) -> DescribeClusterResponse {
        let checked = context.check_request().and_then(|()| {
            let reason = "controllers have no listener of their own here";
            let brokers = self.endpoint_type == BROKER_ENDPOINTS;
            if brokers { Ok(()) } else { Err(Refusal::new(ErrorCode::MismatchedEndpointType, reason)) }
        });
        let response = DescribeClusterResponse::default()
            .with_error_code(wire_code(&checked))
            .with_error_message(super::message(&checked))
            .with_endpoint_type(BROKER_ENDPOINTS)
            .with_cluster_id(text(context.cluster.id.clone()))
            .with_controller_id(context.cluster.controller().into());
        let brokers = context.cluster.running_nodes().map(|node| {
            let (host, port) = node.endpoint();
            let broker = DescribeClusterBroker::default().with_broker_id(node.id.into()).with_host(text(host));
            broker.with_port(port).with_rack(node.rack.clone().map(text))
        });
        response.with_brokers(brokers.collect())
    }
}

impl Handle for DescribeTopicPartitionsRequest {
    fn partitions(&self, context: &Context) -> Vec<(String, i32)> {
        let topics = self.topics.iter().filter_map(|topic| context.cluster.topic(&topic.name));
        topics.flat_map(|topic| all_partitions(&topic)).collect()
    }

    async fn handle(self, context: &Context) -> DescribeTopicPartitionsResponse {
        describe_topic_partitions(self, context)
    }
}

fn describe_topic_partitions(
    request: DescribeTopicPartitionsRequest,
    context: &Context,
) -> DescribeTopicPartitionsResponse {
    let mut names: Vec<String> = request.topics.iter().map(|topic| topic.name.to_string()).collect();
    if names.is_empty() {
        names = context.cluster.topics().iter().map(|topic| topic.name.to_string()).collect();
    }
    names.sort_unstable();
    names.dedup();
    let (first_topic, first_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => (String::new(), 0),
    };
    let mut room = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, DESCRIBED_PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= first_topic) {
        let topic_name = TopicName(text(name.clone()));
        let described = DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic_name.clone()));
        let Some(topic) = context.cluster.topic(&name) else {
            let code = check_name(&name).err().map_or(ErrorCode::UnknownTopicOrPartition, |refusal| refusal.code);
            response.topics.push(described.with_error_code(code.code()).with_topic_id(Uuid::nil()));
            continue;
        };
        let skipped = if name == first_topic { first_partition } else { 0 };
        let partitions = topic.partitions();
        let listed: Vec<_> = partitions.iter().skip(skipped).take(room).collect();
        room -= listed.len();
        let next = skipped + listed.len();
        let listed = listed.into_iter().map(|partition| describe_topic_partition(&topic, partition, context)).collect();
        response.topics.push(
            described
                .with_error_code(wire_code(&context.check_topic(&name)))
                .with_topic_id(topic.id)
                .with_is_internal(topic.is_internal())
                .with_partitions(listed),
        );
        if next < partitions.len() {
            let next = i32::try_from(next).unwrap_or(i32::MAX);
            let cursor = Cursor::default().with_topic_name(topic_name).with_partition_index(next);
            return response.with_next_cursor(Some(cursor));
        }
    }
    response
}

fn describe_topic_partition(
    topic: &Topic,
    partition: &Partition,
    context: &Context,
) -> DescribeTopicPartitionsResponsePartition {
    let leadership = partition.leadership();
    let (in_sync, offline) = split_replicas(&leadership.replicas, context);
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(partition_code(topic, partition.index, leadership.leader, context))
        .with_partition_index(partition.index)
        .with_leader_id(leadership.leader.into())
        .with_leader_epoch(leadership.epoch)
        .with_replica_nodes(broker_ids(&leadership.replicas))
        .with_isr_nodes(broker_ids(&in_sync))
        // The Java admin client cannot take null here.
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(broker_ids(&offline))
}
