//! DescribeQuorum: the controllers of the cluster, as KRaft shows them.
//!
//! Up to three nodes are voters and the others observers. The log they agree on is the journal, which all of them share.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::describe_quorum_request::TopicData as WantedTopic;
use kanat_protocol::messages::describe_quorum_response::{
    Listener, Node as QuorumNode, PartitionData, ReplicaState, TopicData,
};
use kanat_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use super::{Context, Handle, message, text};
use crate::acl::operation;
use crate::cluster::Node;
use crate::error::{Refusal, wire_code};

/// The topic of the cluster's own records, of one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// Nodes that vote.
const VOTERS_MAX: usize = 3;
/// What is not known of a node that does not run.
const UNKNOWN: i64 = -1;
/// Listener the voters are reached by.
const LISTENER: &str = "CONTROLLER";

impl Handle for DescribeQuorumRequest {
    async fn handle(self, context: &Context) -> DescribeQuorumResponse {
        let checked = context.check_cluster(operation::DESCRIBE);
        let response = DescribeQuorumResponse::default()
            .with_error_code(wire_code(&checked))
            .with_error_message(message(&checked));
        if checked.is_err() {
            return response;
        }
        let voters = context.cluster.nodes.iter().take(VOTERS_MAX);
        let nodes = voters.map(|node| {
            let (host, port) = node.endpoint();
            let port = u16::try_from(port).unwrap_or(0);
            let listener = Listener::default().with_name(text(LISTENER)).with_host(text(host)).with_port(port);
            QuorumNode::default().with_node_id(node.id.into()).with_listeners(vec![listener])
        });
        let topics = self.topics.iter().map(|topic| describe(topic, context));
        response.with_nodes(nodes.collect()).with_topics(topics.collect())
    }
}

fn describe(wanted: &WantedTopic, context: &Context) -> TopicData {
    let partitions = wanted.partitions.iter().map(|partition| {
        let data = PartitionData::default().with_partition_index(partition.partition_index);
        if wanted.topic_name.as_str() == METADATA_TOPIC && partition.partition_index == 0 {
            return describe_metadata(data, context);
        }
        let reason = "This server does not host this topic-partition.";
        let unknown: Result<(), _> = Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, reason));
        data.with_error_code(wire_code(&unknown)).with_error_message(message(&unknown))
    });
    TopicData::default().with_topic_name(wanted.topic_name.clone()).with_partitions(partitions.collect())
}

fn describe_metadata(data: PartitionData, context: &Context) -> PartitionData {
    let cluster = &context.cluster;
    let (end_offset, now_ms) = (cluster.metadata_offset(), cluster.now_ms());
    let state = |node: &Node| {
        let state = ReplicaState::default().with_replica_id(node.id.into());
        let (offset, time_ms) = if node.is_running() { (end_offset, now_ms) } else { (UNKNOWN, UNKNOWN) };
        state.with_log_end_offset(offset).with_last_fetch_timestamp(time_ms).with_last_caught_up_timestamp(time_ms)
    };
    let (voters, observers) = cluster.nodes.split_at(VOTERS_MAX.min(cluster.nodes.len()));
    data.with_leader_id(cluster.controller().into())
        .with_leader_epoch(cluster.controller_epoch())
        .with_high_watermark(end_offset)
        .with_current_voters(voters.iter().map(state).collect())
        .with_observers(observers.iter().map(state).collect())
}
