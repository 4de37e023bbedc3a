//! ACLs, quotas, elections and reassignments, log folders, lost records, random fault plans.

use std::time::Duration;

use crate::common::*;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultPlan, FaultRule};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kanat_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kanat_protocol::messages::create_acls_request::AclCreation;
use kanat_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kanat_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kanat_protocol::messages::*;
use tokio::time::Instant;

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const WRITE: i8 = 4;
const ALLOW: i8 = 3;

async fn start_with(change: impl FnOnce(BrokerOptions) -> BrokerOptions) -> (BrokerHandle, Client) {
    let broker =
        Broker::start(change(BrokerOptions::default().without_sockets().with_seed(5))).await.expect("broker starts");
    broker.create_topic("t", 1, &[]).await.expect("topic is made");
    let client = Client::dial(&broker, 0);
    (broker, client)
}

fn acl(topic: &str, principal: &str, operation: i8) -> AclCreation {
    AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_resource_pattern_type(LITERAL)
        .with_principal(text(principal))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(ALLOW)
}

#[tokio::test(start_paused = true)]
async fn without_a_right_every_door_is_shut() {
    let (_broker, mut client) = start_with(|options| options.with_authorizer(["User:root"])).await;
    let produced = client.produce("t", 0, batch_of(&["a"])).await;
    assert_eq!(error(produced.error_code), Some(ErrorCode::TopicAuthorizationFailed));
    assert_eq!(error(client.fetch("t", 0, 0, 0).await.error_code), Some(ErrorCode::TopicAuthorizationFailed));
    let all = client.call(12, &MetadataRequest::default().with_topics(None)).await;
    assert!(all.topics.is_empty(), "topics one may not see are not there");
    let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(name("t")));
    let named = client.call(12, &MetadataRequest::default().with_topics(Some(vec![wanted]))).await;
    assert_eq!(error(named.topics[0].error_code), Some(ErrorCode::TopicAuthorizationFailed));
    assert!(named.topics[0].partitions.is_empty());
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let found = client.call(4, &find).await.coordinators.remove(0);
    assert_eq!(error(found.error_code), Some(ErrorCode::GroupAuthorizationFailed));
    let found = client.call(4, &find.with_key_type(1)).await.coordinators.remove(0);
    assert_eq!(error(found.error_code), Some(ErrorCode::TransactionalIdAuthorizationFailed));
    let id = client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_eq!(error(id.error_code), Some(ErrorCode::ClusterAuthorizationFailed));
    let create = CreateAclsRequest::default().with_creations(vec![acl("t", "User:ANONYMOUS", WRITE)]);
    let created = client.call(3, &create).await.results.remove(0);
    assert_eq!(error(created.error_code), Some(ErrorCode::ClusterAuthorizationFailed));
}

#[tokio::test(start_paused = true)]
async fn acls_are_made_listed_and_taken_away() {
    let (_broker, mut client) = start_with(|options| options.with_authorizer(["User:ANONYMOUS"])).await;
    let wrong = acl("t", "nobody", READ);
    let creations = vec![acl("t", "User:ann", READ), acl("t", "User:ann", WRITE), wrong];
    let created = client.call(3, &CreateAclsRequest::default().with_creations(creations)).await;
    let codes: Vec<_> = created.results.iter().map(|result| error(result.error_code)).collect();
    assert_eq!(codes, [None, None, Some(ErrorCode::InvalidRequest)]);
    let describe = DescribeAclsRequest::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(text("t")))
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let found = client.call(3, &describe).await;
    assert_eq!((found.resources.len(), found.resources[0].acls.len()), (1, 2));
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(WRITE)
        .with_permission_type(1);
    let deleted = client.call(3, &DeleteAclsRequest::default().with_filters(vec![filter])).await;
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
    assert_eq!(client.call(3, &describe).await.resources[0].acls.len(), 1);

    let (_open, mut client) = start_with(|options| options).await;
    let refused = client.call(3, &describe).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::SecurityDisabled));
}

#[tokio::test(start_paused = true)]
async fn a_quota_holds_the_connection_back() {
    let (broker, mut client) = start_with(|options| options).await;
    let entity = vec![EntityData::default().with_entity_type(text("client-id")).with_entity_name(None)];
    let change = OpData::default().with_key(text("producer_byte_rate")).with_value(100.0);
    let entry = EntryData::default().with_entity(entity).with_ops(vec![change]);
    let altered = client.call(1, &AlterClientQuotasRequest::default().with_entries(vec![entry])).await;
    assert_eq!(error(altered.entries[0].error_code), None);
    let described = client.call(1, &DescribeClientQuotasRequest::default()).await.entries.unwrap();
    assert_eq!((&*described[0].values[0].key, described[0].values[0].value), ("producer_byte_rate", 100.0));
    let started = Instant::now();
    let long = "x".repeat(500);
    let first = client.call(9, &produce_request("t", 0, batch_of(&[&long]))).await;
    assert!(first.throttle_time_ms > 4_000, "{}", first.throttle_time_ms);
    assert!(started.elapsed() < Duration::from_secs(1), "the answer itself does not wait");
    client.call(12, &MetadataRequest::default()).await;
    assert!(started.elapsed() >= Duration::from_secs(4), "what follows does");

    let rule = FaultRule::new(FaultAction::Throttle(Duration::from_secs(2))).on(ApiKey::Fetch).times(1);
    broker.faults().add(rule);
    let mut other = Client::dial(&broker, 0);
    assert_eq!(other.call(12, &fetch_request("t", 0, 0)).await.throttle_time_ms, 2_000);
}

#[tokio::test(start_paused = true)]
async fn leaders_and_replicas_are_moved() {
    let (broker, _) = start_with(|options| options.with_nodes(3)).await;
    let mut client = Client::dial(&broker, 0);
    let elect = |kind: i8| {
        let topic = elect_leaders_request::TopicPartitions::default().with_topic(name("t")).with_partitions(vec![0]);
        ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(Some(vec![topic]))
    };
    let code =
        |response: ElectLeadersResponse| error(response.replica_election_results[0].partition_result[0].error_code);
    let preferred = broker.leader("t", 0).unwrap().unwrap().0;
    assert_eq!(code(client.call(2, &elect(0)).await), Some(ErrorCode::ElectionNotNeeded));
    broker.move_leader("t", 0, (preferred + 1) % 3).await.unwrap();
    assert_eq!(code(client.call(2, &elect(0)).await), None);
    assert_eq!(broker.leader("t", 0).unwrap(), Some((preferred, 2)));

    let other = (preferred + 1) % 3;
    let partition = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(other)]));
    let topic = ReassignableTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let moved = client.call(0, &AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])).await;
    assert_eq!(error(moved.responses[0].partitions[0].error_code), None);
    assert_eq!(broker.leader("t", 0).unwrap(), Some((other, 3)));
    let listed = client.call(0, &ListPartitionReassignmentsRequest::default().with_topics(None)).await;
    assert!(listed.topics.is_empty());
    let dirs = Client::dial(&broker, other).call(4, &DescribeLogDirsRequest::default().with_topics(None)).await;
    assert_eq!(dirs.results[0].topics[0].partitions.len(), 1);
    let dirs = Client::dial(&broker, preferred).call(4, &DescribeLogDirsRequest::default().with_topics(None)).await;
    assert!(dirs.results[0].topics.is_empty(), "its replica moved away");
}

#[tokio::test(start_paused = true)]
async fn lost_records_and_new_topics_can_be_told() {
    let (broker, mut client) = start_with(|options| options).await;
    for value in ["a", "b", "c"] {
        client.produce_values("t", 0, &[value]).await;
    }
    assert_eq!(broker.truncate("t", 0, 1).await.unwrap(), 1);
    assert_eq!(client.produce_values("t", 0, &["d"]).await, 1);
    let read = client.read_all("t", 0, 0).await;
    assert_eq!(values(&read), ["a", "d"]);
    let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(0);
    let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let end = client.call(4, &request).await.topics.remove(0).partitions.remove(0);
    assert_eq!((end.leader_epoch, end.end_offset), (0, 1), "the old epoch ends where its records were lost");

    let id = |metadata: MetadataResponse| metadata.topics[0].topic_id;
    let before = id(client.call(12, &MetadataRequest::default().with_topics(None)).await);
    broker.recreate_topic("t").await.unwrap();
    assert_ne!(id(client.call(12, &MetadataRequest::default().with_topics(None)).await), before);
    assert!(client.read_all("t", 0, 0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn coordinators_move_under_a_request() {
    let (broker, _) = start_with(|options| options.with_nodes(2)).await;
    let old = broker.group_coordinator("g").unwrap();
    broker.faults().add(FaultRule::new(FaultAction::MoveCoordinator { to: 1 - old }).on(ApiKey::Heartbeat).times(1));
    let beat = HeartbeatRequest::default().with_group_id(GroupId(text("g"))).with_member_id(text("m"));
    let answer = Client::dial(&broker, old).call(4, &beat).await;
    assert_eq!(error(answer.error_code), Some(ErrorCode::NotCoordinator));
    assert_eq!(broker.group_coordinator("g"), Some(1 - old));
    broker.move_transaction_coordinator("writer", 1).unwrap();
    assert_eq!(broker.transaction_coordinator("writer"), Some(1));
}

#[test]
fn random_plans_repeat_themselves() {
    assert_eq!(format!("{:?}", rules(7)), format!("{:?}", rules(7)));
    assert_ne!(format!("{:?}", rules(7)), format!("{:?}", rules(8)));
}

/// The rules of a plan without the times they were added at.
fn rules(seed: u64) -> String {
    let shown = format!("{:?}", FaultPlan::random(seed, 0.5));
    shown.split("added").map(|part| part.split_once("matches").map_or(part, |(_, rest)| rest)).collect()
}
