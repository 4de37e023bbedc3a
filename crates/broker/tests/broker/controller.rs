//! What controllers do: features, the quorum, quotas of changes, configs of nodes and groups, racks. All of it survives a
//! restart.

use std::path::Path;
use std::time::Duration;

use crate::common::*;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_protocol::ErrorCode;
use kanat_protocol::batch::BatchOptions;
use kanat_protocol::compression::Compression;
use kanat_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kanat_protocol::messages::create_acls_request::AclCreation;
use kanat_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kanat_protocol::messages::create_topics_request::CreatableTopic;
use kanat_protocol::messages::delete_topics_request::DeleteTopicState;
use kanat_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kanat_protocol::messages::describe_quorum_request::{PartitionData as WantedPartition, TopicData as WantedTopic};
use kanat_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kanat_protocol::messages::update_features_request::FeatureUpdateKey;
use kanat_protocol::messages::*;

const BROKER: i8 = 4;
const GROUP: i8 = 32;

async fn start(change: impl FnOnce(BrokerOptions) -> BrokerOptions) -> (BrokerHandle, Client) {
    let options = change(BrokerOptions::default().without_sockets().with_seed(5));
    let broker = Broker::start(options).await.expect("broker starts");
    let client = Client::dial(&broker, 0);
    (broker, client)
}

fn update(feature: &str, level: i16, upgrade_type: i8) -> UpdateFeaturesRequest {
    let update = FeatureUpdateKey::default().with_feature(text(feature)).with_max_version_level(level);
    UpdateFeaturesRequest::default().with_feature_updates(vec![update.with_upgrade_type(upgrade_type)])
}

/// Finalized level of a feature, and the epoch of all.
async fn level(client: &mut Client, feature: &str) -> (Option<i16>, i64) {
    let answer = client.call(4, &api_versions()).await;
    let found = answer.finalized_features.iter().find(|finalized| finalized.name.as_str() == feature);
    (found.map(|finalized| finalized.max_version_level), answer.finalized_features_epoch)
}

#[tokio::test(start_paused = true)]
async fn features_are_updated_and_take_effect() {
    let (_broker, mut client) = start(|options| options).await;
    assert_eq!(level(&mut client, "group.version").await, (Some(1), 1));
    let refused = client.call(2, &update("group.version", 0, 1)).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::InvalidUpdateVersion));
    assert!(refused.error_message.unwrap().contains("without setting the upgrade type"));
    let rehearsal = client.call(2, &update("group.version", 0, 2).with_validate_only(true)).await;
    assert_eq!((error(rehearsal.error_code), level(&mut client, "group.version").await.0), (None, Some(1)));
    let done = client.call(1, &update("group.version", 0, 2)).await;
    assert_eq!((error(done.error_code), error(done.results[0].error_code)), (None, None));
    assert_eq!(level(&mut client, "group.version").await, (None, 2), "level 0 is not listed");
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(1_000)
        .with_subscribed_topic_names(Some(vec![name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let answer = client.call(1, &beat).await;
    assert_eq!(error(answer.error_code), Some(ErrorCode::UnsupportedVersion), "KIP-848 is off now");
}

#[tokio::test(start_paused = true)]
async fn the_quorum_has_a_leader_voters_and_observers() {
    let (broker, _) = start(|options| options.with_nodes(4)).await;
    let partition = WantedPartition::default().with_partition_index(0);
    let topic = |topic| WantedTopic::default().with_topic_name(name(topic)).with_partitions(vec![partition.clone()]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic("__cluster_metadata"), topic("t")]);
    let mut answers = Vec::new();
    for stopped in [false, true] {
        if stopped {
            broker.create_topic("t", 1, &[]).await.unwrap();
            broker.stop_node(0).await.unwrap();
        }
        let answer = Client::dial(&broker, 3).call(2, &request).await;
        assert_eq!(error(answer.error_code), None);
        assert_eq!(answer.nodes.len(), 3);
        assert_eq!(error(answer.topics[1].partitions[0].error_code), Some(ErrorCode::UnknownTopicOrPartition));
        answers.push(answer.topics[0].partitions[0].clone());
    }
    let ids = |states: &[describe_quorum_response::ReplicaState]| -> Vec<i32> {
        states.iter().map(|state| state.replica_id.0).collect()
    };
    assert_eq!((ids(&answers[0].current_voters), ids(&answers[0].observers)), (vec![0, 1, 2], vec![3]));
    assert_eq!((answers[0].leader_id.0, answers[1].leader_id.0), (0, 1));
    assert_eq!(answers[1].leader_epoch, answers[0].leader_epoch + 1);
    assert!(answers[1].high_watermark > answers[0].high_watermark, "a topic was made");
    assert_eq!(answers[1].current_voters[0].log_end_offset, -1, "nothing is known of the stopped node");
    assert_eq!(answers[1].current_voters[1].log_end_offset, answers[1].high_watermark);
}

async fn set_quota(client: &mut Client, quota: &str, value: f64) {
    let entity = EntityData::default().with_entity_type(text("client-id")).with_entity_name(Some(text("test")));
    let op = OpData::default().with_key(text(quota)).with_value(value);
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let altered = client.call(1, &AlterClientQuotasRequest::default().with_entries(vec![entry])).await;
    assert_eq!(error(altered.entries[0].error_code), None);
}

fn create(topic: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions);
    CreateTopicsRequest::default().with_topics(vec![topic.with_replication_factor(1)])
}

#[tokio::test(start_paused = true)]
async fn changes_of_partitions_beyond_the_quota_are_refused_until_it_recovers() {
    let (broker, mut client) = start(|options| options).await;
    set_quota(&mut client, "controller_mutation_rate", 2.0).await;
    let created = client.call(7, &create("a", 30)).await;
    assert_eq!(error(created.topics[0].error_code), None, "the quota was not used up before");
    assert_eq!(created.throttle_time_ms, 4_000, "30 partitions, 22 of them free, 2 a second");
    let second = Duration::from_secs(1);
    let before = tokio::time::Instant::now();
    let created = client.call(7, &create("b", 1)).await;
    assert!(before.elapsed() >= 4 * second, "the connection was left unread");
    assert_eq!((error(created.topics[0].error_code), created.throttle_time_ms), (None, 500));
    // Another connection of the same client, at once: nothing held it back.
    let grow = CreatePartitionsTopic::default().with_name(name("a")).with_count(31).with_assignments(None);
    let grow = CreatePartitionsRequest::default().with_topics(vec![grow]);
    let mut other = Client::dial(&broker, 0);
    let refused = other.call(3, &grow).await;
    assert_eq!(error(refused.results[0].error_code), Some(ErrorCode::ThrottlingQuotaExceeded));
    assert!(refused.throttle_time_ms > 0);
    let delete = DeleteTopicState::default().with_name(Some(name("b")));
    let delete = DeleteTopicsRequest::default().with_topics(vec![delete]);
    let deleted = other.call(6, &delete).await;
    assert_eq!(error(deleted.responses[0].error_code), None, "the quota has recovered by then");
    let old = Client::dial(&broker, 0).call(2, &grow).await;
    assert_eq!(error(old.results[0].error_code), None, "older clients are only held back");
    assert!(old.throttle_time_ms > 0);
}

#[tokio::test]
async fn the_time_requests_take_is_told_and_waited_for() {
    let (broker, mut client) = start(|options| options).await;
    // A millionth of a percent of a thread: any request takes longer.
    set_quota(&mut client, "request_percentage", 1e-6).await;
    let answer = Client::dial(&broker, 0).call(12, &MetadataRequest::default().with_topics(None)).await;
    assert_eq!(answer.throttle_time_ms, 1_000, "never more than the quota's window");
}

async fn alter(client: &mut Client, kind: i8, resource: &str, configs: &[(&str, i8, &str)]) -> Option<ErrorCode> {
    let configs = configs.iter().map(|(config, operation, value)| {
        let config = AlterableConfig::default().with_name(text(config)).with_config_operation(*operation);
        config.with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(resource));
    let resource = resource.with_configs(configs.collect());
    let answer = client.call(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).await;
    error(answer.responses[0].error_code)
}

/// Value and source of a config.
async fn config(client: &mut Client, kind: i8, resource: &str, config: &str) -> Option<(String, i8)> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configuration_keys(Some(vec![text(config)]));
    let answer = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    let found = answer.results[0].configs.first()?;
    Some((found.value.as_deref().unwrap_or_default().to_owned(), found.config_source))
}

#[tokio::test(start_paused = true)]
async fn configs_of_nodes_are_what_topics_default_to() {
    let (broker, mut client) = start(|options| options).await;
    broker.create_topic("open", 1, &[]).await.unwrap();
    broker.create_topic("own", 1, &[("cleanup.policy", "compact")]).await.unwrap();
    let found = config(&mut client, BROKER, "0", "log.cleanup.policy").await;
    assert_eq!(found, Some(("delete".to_owned(), 5)));
    assert_eq!(alter(&mut client, BROKER, "", &[("log.cleanup.policy", 2, "compact")]).await, None);
    let both = Some(("delete,compact".to_owned(), 3));
    assert_eq!(config(&mut client, BROKER, "0", "log.cleanup.policy").await, both);
    assert_eq!(config(&mut client, BROKER, "", "log.cleanup.policy").await, both);
    assert_eq!(config(&mut client, 2, "open", "cleanup.policy").await, both);
    assert_eq!(config(&mut client, 2, "own", "cleanup.policy").await, Some(("compact".to_owned(), 1)));
    // The log follows: a batch larger than the new limit is refused.
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", 0, "10")]).await, None);
    let keyed = || batch(BatchOptions::default(), Compression::NONE, &[(Some("k"), Some("v"))]);
    let refused = client.produce("open", 0, keyed()).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::MessageTooLarge));
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", 1, "")]).await, None);
    assert_eq!(error(client.produce("open", 0, keyed()).await.error_code), None);
    for (node, config, code) in [
        ("0", "log.retention.ms", ErrorCode::InvalidRequest),
        ("", "broker.id", ErrorCode::InvalidRequest),
        ("", "log.retention", ErrorCode::InvalidConfig),
        ("", "log.retention.ms", ErrorCode::InvalidConfig),
    ] {
        assert_eq!(alter(&mut client, BROKER, node, &[(config, 0, "soon")]).await, Some(code), "{node} {config}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_may_have_times_of_its_own() {
    let (_broker, mut client) = start(|options| options).await;
    let interval = "consumer.heartbeat.interval.ms";
    assert_eq!(config(&mut client, GROUP, "g", interval).await, Some(("5000".to_owned(), 5)));
    assert_eq!(alter(&mut client, GROUP, "g", &[(interval, 0, "70")]).await, None);
    assert_eq!(config(&mut client, GROUP, "g", interval).await, Some(("70".to_owned(), 8)));
    for (group, asked_ms) in [("g", 70), ("other", 5_000)] {
        assert_eq!(join(&mut client, group, "m").await.heartbeat_interval_ms, asked_ms);
    }
    let refused = alter(&mut client, GROUP, "g", &[(interval, 0, "45000")]).await;
    assert_eq!(refused, Some(ErrorCode::InvalidConfig), "a session outlasts a heartbeat");
    assert_eq!(alter(&mut client, GROUP, "", &[(interval, 0, "70")]).await, Some(ErrorCode::InvalidRequest));
}

async fn join(client: &mut Client, group: &str, member: &str) -> ConsumerGroupHeartbeatResponse {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_rebalance_timeout_ms(1_000)
        .with_subscribed_topic_names(Some(vec![name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let answer = client.call(1, &request).await;
    assert_eq!(error(answer.error_code), None, "{:?}", answer.error_message);
    answer
}

#[tokio::test(start_paused = true)]
async fn consumers_are_sent_to_the_replica_in_their_rack() {
    let (broker, mut leader) = start(|options| options.with_nodes(3).with_racks(["a", "b"])).await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    broker.move_leader("t", 0, 0).await.unwrap();
    leader.produce_values("t", 0, &["x"]).await;
    let racks = leader.call(12, &MetadataRequest::default()).await.brokers;
    let racks: Vec<_> = racks.iter().map(|broker| broker.rack.as_deref().map(str::to_owned)).collect();
    assert_eq!(racks, [Some("a".to_owned()), Some("b".to_owned()), None]);
    let from = |rack: &str| fetch_request("t", 0, 0).with_rack_id(text(rack)).with_max_wait_ms(10_000);
    let data = |mut answer: FetchResponse| answer.responses.remove(0).partitions.remove(0);
    for (rack, replica) in [("", -1), ("a", -1), ("elsewhere", -1), ("b", 1)] {
        let answer = data(leader.call(12, &from(rack)).await);
        assert_eq!((error(answer.error_code), answer.preferred_read_replica.0), (None, replica), "{rack}");
        assert_eq!(answer.records.is_some_and(|records| !records.is_empty()), replica == -1, "{rack}");
        assert_eq!(answer.high_watermark, 1);
    }
    let mut follower = Client::dial(&broker, 1);
    let answer = data(follower.call(12, &from("b")).await);
    assert_eq!((error(answer.error_code), answer.preferred_read_replica.0), (None, -1));
    assert_eq!(decode(answer.records.unwrap()).0.len(), 1);
    let refused = follower.produce("t", 0, batch_of(&["y"])).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::NotLeaderOrFollower), "only reading is for replicas");
    broker.stop_node(1).await.unwrap();
    assert_eq!(data(leader.call(12, &from("b")).await).preferred_read_replica.0, -1, "it does not run");
}

async fn open(dir: &Path) -> (BrokerHandle, Client) {
    start(|options| options.with_dir(dir).with_authorizer(["User:ANONYMOUS"])).await
}

#[tokio::test]
async fn what_administrators_set_and_groups_agreed_on_survives() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, mut client) = open(dir.path()).await;
    broker.create_topic("t", 4, &[]).await.unwrap();
    let acl = AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_resource_pattern_type(3)
        .with_principal(text("User:ann"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    let created = client.call(3, &CreateAclsRequest::default().with_creations(vec![acl])).await;
    assert_eq!(error(created.results[0].error_code), None);
    set_quota(&mut client, "controller_mutation_rate", 1_234.5).await;
    assert_eq!(alter(&mut client, BROKER, "", &[("log.retention.ms", 0, "99000")]).await, None);
    assert_eq!(alter(&mut client, GROUP, "g", &[("consumer.session.timeout.ms", 0, "60000")]).await, None);
    assert_eq!(error(client.call(2, &update("transaction.version", 1, 2)).await.error_code), None);
    let joined = join(&mut client, "g", "m").await;
    assert_eq!(joined.assignment.unwrap().topic_partitions[0].partitions.len(), 4);
    drop(client);
    broker.stop().await;

    let (broker, mut client) = open(dir.path()).await;
    let filter = DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_resource_name_filter(None)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let acls = client.call(3, &filter).await.resources;
    assert_eq!((acls.len(), acls[0].acls[0].principal.as_str()), (1, "User:ann"));
    let quotas = client.call(1, &DescribeClientQuotasRequest::default()).await.entries.unwrap();
    assert_eq!((quotas.len(), quotas[0].values[0].value.to_bits()), (1, 1_234.5_f64.to_bits()));
    assert_eq!(config(&mut client, 2, "t", "retention.ms").await, Some(("99000".to_owned(), 3)));
    let timeout = config(&mut client, GROUP, "g", "consumer.session.timeout.ms").await;
    assert_eq!(timeout, Some(("60000".to_owned(), 8)));
    assert_eq!(level(&mut client, "transaction.version").await.0, Some(1));
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(-1)
        .with_member_epoch(joined.member_epoch);
    let answer = client.call(1, &beat).await;
    assert_eq!((error(answer.error_code), answer.member_epoch), (None, joined.member_epoch), "the member goes on");
    let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text("g"))]);
    let described = client.call(0, &describe).await.groups.remove(0);
    let owned: usize =
        described.members[0].assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
    assert_eq!((described.group_state.as_str(), owned), ("Stable", 4));
    broker.stop().await;
}
