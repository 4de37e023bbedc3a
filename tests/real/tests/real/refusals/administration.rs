//! Access control entries, quotas, users, leaders and copies.

use bytes::Bytes;
use kanat_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kanat_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kanat_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kanat_protocol::messages::create_acls_request::AclCreation;
use kanat_protocol::messages::describe_user_scram_credentials_request::UserName;
use kanat_protocol::messages::elect_leaders_request::TopicPartitions;
use kanat_protocol::messages::*;

use super::peer::{Peer, name, text};
use super::topics::{ABSENT, TOPIC};

pub(super) async fn ask(peer: &mut Peer) {
    entries(peer).await;
    quotas(peer).await;
    users(peer).await;
    elections(peer).await;
    moves(peer).await;
}

async fn entries(peer: &mut Peer) {
    // Numbers as the wire has them: a topic, by its literal name, may be read.
    let entry = || {
        AclCreation::default()
            .with_resource_type(2)
            .with_resource_name(text("refusals"))
            .with_resource_pattern_type(3)
            .with_principal(text("User:nobody"))
            .with_host(text("*"))
            .with_operation(3)
            .with_permission_type(3)
    };
    for (what, entry) in [
        ("entry: no name", entry().with_resource_name(text(""))),
        ("entry: any resource", entry().with_resource_type(1)),
        ("entry: unknown resource", entry().with_resource_type(99)),
        ("entry: a pattern of searches", entry().with_resource_pattern_type(2)),
        ("entry: any operation", entry().with_operation(1)),
        ("entry: unknown operation", entry().with_operation(99)),
        ("entry: any permission", entry().with_permission_type(1)),
        ("entry: a principal without a type", entry().with_principal(text("nobody"))),
        ("entry: no host", entry().with_host(text(""))),
        ("entry: another cluster", entry().with_resource_type(4)),
    ] {
        let request = CreateAclsRequest::default().with_creations(vec![entry]);
        peer.row(what, 3, request, |answer| answer.results.iter().map(|one| one.error_code).collect()).await;
    }
}

async fn quotas(peer: &mut Peer) {
    let of = |kind: &str, name: Option<&str>| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
    };
    let set = |key: &str, value| OpData::default().with_key(text(key)).with_value(value);
    for (what, entity, change) in [
        ("quota: unknown key", vec![of("user", Some("nobody"))], set("no_such_quota", 1.0)),
        ("quota: unknown type", vec![of("shoe", Some("nobody"))], set("producer_byte_rate", 1.0)),
        ("quota: of nobody", vec![], set("producer_byte_rate", 1.0)),
        ("quota: type twice", vec![of("user", Some("a")), of("user", Some("b"))], set("producer_byte_rate", 1.0)),
        ("quota: empty name", vec![of("user", Some(""))], set("producer_byte_rate", 1.0)),
        (
            "quota: of an address that is none",
            vec![of("ip", Some("not.an.address."))],
            set("connection_creation_rate", 1.0),
        ),
        ("quota: of a user, for addresses", vec![of("user", Some("a"))], set("connection_creation_rate", 1.0)),
        ("quota: a fraction of a byte", vec![of("user", Some("a"))], set("producer_byte_rate", 0.5)),
    ] {
        let entry = EntryData::default().with_entity(entity).with_ops(vec![change]);
        let request = AlterClientQuotasRequest::default().with_entries(vec![entry]).with_validate_only(true);
        peer.row(what, 1, request, |answer| answer.entries.iter().map(|one| one.error_code).collect()).await;
    }
}

async fn users(peer: &mut Peer) {
    let set = |user: &str, mechanism, iterations| {
        ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(mechanism)
            .with_iterations(iterations)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(b"password"))
    };
    let gone =
        |user: &str, mechanism| ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism);
    let (sha256, unknown) = (1, 9);
    for (what, deletions, upsertions) in [
        ("user: too few iterations", vec![], vec![set("nobody", sha256, 10)]),
        ("user: too many iterations", vec![], vec![set("nobody", sha256, 1_000_000)]),
        ("user: unknown mechanism", vec![], vec![set("nobody", unknown, 8_192)]),
        ("user: no name", vec![], vec![set("", sha256, 8_192)]),
        ("user: delete what is not there", vec![gone("nobody", sha256)], vec![]),
        ("user: delete an unknown mechanism", vec![gone("nobody", unknown)], vec![]),
        ("user: delete no name", vec![gone("", sha256)], vec![]),
        ("user: set and deleted", vec![gone("nobody", sha256)], vec![set("nobody", sha256, 8_192)]),
    ] {
        let request = AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
        peer.row(what, 0, request, |answer| answer.results.iter().map(|one| one.error_code).collect()).await;
    }
    for (what, users) in
        [("describe user: unknown", vec!["nobody"]), ("describe user: twice", vec!["nobody", "nobody"])]
    {
        let users = users.into_iter().map(|user| UserName::default().with_name(text(user))).collect();
        let request = DescribeUserScramCredentialsRequest::default().with_users(Some(users));
        let codes = |answer: &DescribeUserScramCredentialsResponse| {
            [answer.error_code].into_iter().chain(answer.results.iter().map(|one| one.error_code)).collect()
        };
        peer.row(what, 0, request, codes).await;
    }
}

async fn elections(peer: &mut Peer) {
    for (what, kind, topic, partition) in [
        ("elect: unknown topic", 0, ABSENT, 0),
        ("elect: unknown partition", 0, TOPIC, 9),
        ("elect: leads already", 0, TOPIC, 0),
        ("elect: unclean without need", 1, TOPIC, 0),
        ("elect: unknown kind", 9, TOPIC, 0),
    ] {
        let topic = TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![partition]);
        let request = ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(Some(vec![topic]));
        let codes = |answer: &ElectLeadersResponse| {
            let partitions = answer.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
            [answer.error_code].into_iter().chain(partitions.map(|one| one.error_code)).collect()
        };
        peer.row(what, 2, request.with_timeout_ms(10_000), codes).await;
    }
}

async fn moves(peer: &mut Peer) {
    let node = peer.node;
    for (what, topic, partition, replicas) in [
        ("move: unknown topic", ABSENT, 0, Some(vec![node])),
        ("move: unknown partition", TOPIC, 9, Some(vec![node])),
        ("move: to an unknown broker", TOPIC, 0, Some(vec![77])),
        ("move: to a broker twice", TOPIC, 0, Some(vec![node, node])),
        ("move: to nobody", TOPIC, 0, Some(vec![])),
        ("move: nothing to call off", TOPIC, 0, None),
    ] {
        let replicas = replicas.map(|replicas| replicas.into_iter().map(BrokerId).collect());
        let partition = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
        let topic = ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let codes = |answer: &AlterPartitionReassignmentsResponse| {
            let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            [answer.error_code].into_iter().chain(partitions.map(|one| one.error_code)).collect()
        };
        peer.row(what, 0, request, codes).await;
    }
}
