//! ElectLeaders, AlterPartitionReassignments and ListPartitionReassignments.
//!
//! Every node has every record, so a reassignment is over at once and none is ever listed.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kanat_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kanat_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};

use super::{Context, Handle, message, text};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};

/// Election of the first replica; the other kind takes any replica that runs.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Handle for ElectLeadersRequest {
    async fn handle(self, context: &Context) -> ElectLeadersResponse {
        context.run(move |context| elect(&self, context)).await
    }
}

fn elect(request: &ElectLeadersRequest, context: &Context) -> ElectLeadersResponse {
    let checked = context.check_cluster(operation::ALTER);
    if checked.is_err() {
        return ElectLeadersResponse::default().with_error_code(wire_code(&checked));
    }
    let kind: Result<(), Refusal> = match request.election_type {
        PREFERRED | UNCLEAN => Ok(()),
        other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("election type {other} is unknown"))),
    };
    let mut wanted = BTreeMap::<String, Vec<i32>>::new();
    match &request.topic_partitions {
        Some(topics) => {
            for topic in topics {
                wanted.entry(topic.topic.to_string()).or_default().extend(&topic.partitions);
            }
        }
        None => {
            for topic in context.cluster.topics() {
                let indexes = topic.partitions().iter().map(|partition| partition.index).collect();
                wanted.insert(topic.name.to_string(), indexes);
            }
        }
    }
    let all = request.topic_partitions.is_none();
    let results = wanted.into_iter().filter_map(|(topic, indexes)| {
        let elected = indexes.into_iter().map(|index| {
            let elected = context.check_partition(&topic, index).and(kind.clone()).and_then(|()| {
                let (known, partition) = context.cluster.partition(&topic, index)?;
                context.cluster.elect_leader(&known, &partition, request.election_type == PREFERRED)
            });
            (index, elected)
        });
        // Who asks for all partitions does not care for those that need nothing.
        let unneeded = |elected: &Result<(), Refusal>| {
            all && elected.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::ElectionNotNeeded)
        };
        let elected = elected.filter(|(_, elected)| !unneeded(elected)).map(|(index, elected)| {
            PartitionResult::default()
                .with_partition_id(index)
                .with_error_code(wire_code(&elected))
                .with_error_message(message(&elected))
        });
        let elected: Vec<_> = elected.collect();
        let result = ReplicaElectionResult::default().with_topic(TopicName(text(topic)));
        (!elected.is_empty()).then(|| result.with_partition_result(elected))
    });
    let results = results.collect();
    ElectLeadersResponse::default().with_error_code(wire_code(&kind)).with_replica_election_results(results)
}

impl Handle for AlterPartitionReassignmentsRequest {
    async fn handle(self, context: &Context) -> AlterPartitionReassignmentsResponse {
        context.run(move |context| reassign(self, context)).await
    }
}

fn reassign(request: AlterPartitionReassignmentsRequest, context: &Context) -> AlterPartitionReassignmentsResponse {
    let checked = context.check_cluster(operation::ALTER);
    let response = AlterPartitionReassignmentsResponse::default()
        .with_error_code(wire_code(&checked))
        .with_error_message(message(&checked));
    if checked.is_err() {
        return response;
    }
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let index = wanted.partition_index;
            let changed = context.check_partition(&topic.name, index).and_then(|()| {
                let (known, partition) = context.cluster.partition(&topic.name, index)?;
                let Some(replicas) = &wanted.replicas else {
                    let reason = "no reassignment is in progress";
                    return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, reason));
                };
                let replicas: Vec<i32> = replicas.iter().map(|node| node.0).collect();
                context.cluster.reassign(&known, &partition, &replicas)
            });
            ReassignablePartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(wire_code(&changed))
                .with_error_message(message(&changed))
        });
        let partitions = partitions.collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    response.with_responses(topics.collect())
}

impl Handle for ListPartitionReassignmentsRequest {
    async fn handle(self, context: &Context) -> ListPartitionReassignmentsResponse {
        let checked = context.check_cluster(operation::DESCRIBE);
        ListPartitionReassignmentsResponse::default()
            .with_error_code(wire_code(&checked))
            .with_error_message(message(&checked))
    }
}
