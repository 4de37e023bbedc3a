//! Every administrative request against Kafka itself.

use std::collections::BTreeMap;
use std::time::Duration;

use kanat_client::{
    Acl, AclFilter, AclOperation, AclPatternType, AclPermission, AclResource, AclResourceType, Admin, AlterConfig,
    Client, ClientOptions, ConfigEntry, ConfigResource, ConfigSource, ConfigType, DescribeConfigsOptions, Election,
    Error, ListGroupsOptions, ListTransactionsOptions, NewPartitions, NewTopic, OffsetAndMetadata, OffsetSpec,
    QuotaAlteration, QuotaEntity, QuotaFilter, QuotaMatch, QuotaValues, ScramMechanism, ScramUpsertion, TopicId,
    TopicPartition,
};
use kanat_protocol::ErrorCode;
use kanat_tests::Kafka;

const PATIENCE: Duration = Duration::from_secs(120);

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// One cluster for all, with an authorizer that lets everybody do everything until an entry says otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_administered() {
    let kafka = Kafka::start_with(
        1,
        &[
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "allow.everyone.if.no.acl.found=true",
            // Descriptions come in pages of this many partitions.
            "max.request.partition.size.limit=5",
        ],
    );
    let work = async {
        let client = Client::connect(ClientOptions::new([kafka.bootstrap()])).await.unwrap();
        let admin = client.admin();
        topics(&client, &admin).await;
        configs(&admin).await;
        records(&client, &admin).await;
        groups(&client, &admin).await;
        cluster(&admin).await;
        acls(&admin).await;
        quotas(&admin).await;
        scram_users(&admin).await;
        transactions(&admin).await;
    };
    tokio::time::timeout(PATIENCE, work).await.expect("administration ends");
}

async fn topics(client: &Client, admin: &Admin) {
    let new = [
        NewTopic::new("plain", 3).with_config("cleanup.policy", "compact"),
        NewTopic::new("assigned", -1).with_assignments(vec![vec![1], vec![1]]),
        NewTopic::new("bad name", 1),
    ];
    let valid = admin.validate_topics(&new).await.unwrap();
    assert_eq!(valid.iter().map(|(_, outcome)| outcome.is_ok()).collect::<Vec<_>>(), [true, true, false]);
    assert!(client.list_topics().await.unwrap().is_empty(), "validation creates nothing");

    let created = admin.create_topics(&new).await.unwrap();
    let plain = created[0].1.as_ref().unwrap();
    assert_eq!((plain.partitions, plain.replication), (Some(3), Some(1)));
    assert_eq!(created[1].1.as_ref().unwrap().partitions, Some(2));
    let refused = created[2].1.as_ref().unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvalidTopicException), "{refused}");
    assert!(refused.to_string().contains("bad name"), "{refused}");
    let again = admin.create_topics(&new[..1]).await.unwrap();
    assert_eq!(again[0].1.as_ref().unwrap_err().code(), Some(ErrorCode::TopicAlreadyExists));

    let described = admin.describe_topic_partitions(&["plain", "absent", "assigned"]).await.unwrap();
    let topic = described[0].1.as_ref().unwrap();
    assert_eq!((topic.name.as_str(), topic.id, topic.partitions.len()), ("plain", plain.id, 3));
    let last = &topic.partitions[2];
    assert_eq!((last.partition, last.leader, &last.replicas, &last.in_sync), (2, Some(1), &vec![1], &vec![1]));
    assert!(matches!(described[1].1, Err(Error::UnknownTopic { .. })), "{described:?}");
    assert_eq!(described[2].1.as_ref().unwrap().partitions.len(), 2);

    let grow = |topic: &str, count| NewPartitions { topic: topic.to_owned(), count, assignments: Vec::new() };
    let fewer = admin.create_partitions_of(&[grow("assigned", 4), grow("plain", 1)], false).await.unwrap();
    assert!(fewer[0].1.is_ok());
    assert_eq!(fewer[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::InvalidPartitions));
    while admin.describe_topics(&["assigned"]).await.unwrap()[0].partitions.len() < 4 {}

    // More partitions than a page has.
    admin.create_topic(&NewTopic::new("wide", 12)).await.unwrap();
    let wide = admin.describe_topic_partitions(&["plain", "wide"]).await.unwrap();
    let numbers: Vec<i32> = wide[1].1.as_ref().unwrap().partitions.iter().map(|row| row.partition).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());

    let ids = [plain.id.unwrap(), TopicId(42)];
    let deleted = admin.delete_topics_by_id(&ids).await.unwrap();
    assert!(deleted[0].1.is_ok());
    assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicId));
    let deleted = admin.delete_topics(&["assigned", "plain", "wide"]).await.unwrap();
    assert!(deleted[0].1.is_ok() && deleted[2].1.is_ok(), "{deleted:?}");
    assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
}

async fn configs(admin: &Admin) {
    admin.create_topic(&NewTopic::new("t", 2).with_config("cleanup.policy", "delete")).await.unwrap();
    let (topic, broker, group) = (ConfigResource::topic("t"), ConfigResource::broker(1), ConfigResource::group("g"));
    let changes = [
        (
            topic.clone(),
            vec![
                AlterConfig::set("retention.ms", "5000"),
                AlterConfig { name: "cleanup.policy".to_owned(), operation: append("compact") },
            ],
        ),
        (broker.clone(), vec![AlterConfig::set("log.cleaner.threads", "2")]),
        (group.clone(), vec![AlterConfig::set("consumer.session.timeout.ms", "50000")]),
        (ConfigResource::topic("absent"), vec![AlterConfig::set("retention.ms", "1")]),
    ];
    let altered = admin.alter_configs(&changes, false).await.unwrap();
    assert!(altered[..3].iter().all(|(_, outcome)| outcome.is_ok()), "{altered:?}");
    assert_eq!(altered[3].1.as_ref().unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));

    let options = DescribeConfigsOptions { synonyms: true, documentation: true };
    let resources = [topic.clone(), broker, group];
    let find = |described: &[(ConfigResource, Result<Vec<ConfigEntry>, Error>)], index: usize, name: &str| {
        let entries = described[index].1.as_ref().unwrap();
        entries.iter().find(|entry| entry.name == name).unwrap().clone()
    };
    // What the controller changed reaches the broker, which answers this, a moment later.
    let described = loop {
        let described = admin.describe_configs(&resources, options).await.unwrap();
        let source = |index, name| find(&described, index, name).source;
        if source(0, "retention.ms") == ConfigSource::Topic
            && find(&described, 1, "log.cleaner.threads").value.as_deref() == Some("2")
            && source(2, "consumer.session.timeout.ms") == ConfigSource::Group
        {
            break described;
        }
    };
    let find = |index, name| find(&described, index, name);
    let retention = find(0, "retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("5000"), ConfigSource::Topic));
    assert_eq!(retention.value_type, Some(ConfigType::Long));
    assert!(!retention.is_default && retention.documentation.is_some() && !retention.synonyms.is_empty());
    assert_eq!(find(0, "cleanup.policy").value.as_deref(), Some("delete,compact"));
    assert!(find(0, "compression.type").is_default);
    assert_eq!(find(1, "log.cleaner.threads").value.as_deref(), Some("2"));
    let secret = find(1, "ssl.keystore.password");
    assert_eq!((secret.value, secret.sensitive), (None, true));
    assert_eq!(find(2, "consumer.session.timeout.ms").source, ConfigSource::Group);

    let subtract = AlterConfig { name: "cleanup.policy".to_owned(), operation: subtract("compact") };
    let back = vec![subtract, AlterConfig::delete("retention.ms")];
    let validated = admin.alter_configs(&[(topic.clone(), back.clone())], true).await.unwrap();
    assert!(validated[0].1.is_ok());
    assert_eq!(value(admin, "retention.ms").await.as_deref(), Some("5000"), "validation changes nothing");
    admin.alter_configs(&[(topic, back)], false).await.unwrap().remove(0).1.unwrap();
    while value(admin, "cleanup.policy").await.as_deref() != Some("delete") {}
    while value(admin, "retention.ms").await.as_deref() == Some("5000") {}
}

fn append(value: &str) -> kanat_client::ConfigOperation {
    kanat_client::ConfigOperation::Append(value.to_owned())
}

fn subtract(value: &str) -> kanat_client::ConfigOperation {
    kanat_client::ConfigOperation::Subtract(value.to_owned())
}

async fn value(admin: &Admin, name: &str) -> Option<String> {
    let entries = admin.describe_topic_configs("t").await.unwrap();
    entries.into_iter().find(|entry| entry.name == name).unwrap().value
}

async fn records(client: &Client, admin: &Admin) {
    for partition in 0..2 {
        let writer = client.partition_client("t", partition, kanat_client::UnknownTopic::Error).await.unwrap();
        let record = kanat_client::Record { value: Some("v".into()), ..kanat_client::Record::default() };
        writer.produce(vec![record; 10], kanat_client::Compression::NONE).await.unwrap();
    }
    let wanted = [(tp("t", 0), 4), (tp("t", 1), -1), (tp("t", 9), 1), (tp("absent", 0), 1)];
    let deleted = admin.delete_records_of(&wanted).await.unwrap();
    assert_eq!((deleted[0].1.as_ref().unwrap(), deleted[1].1.as_ref().unwrap()), (&4, &10));
    assert!(matches!(deleted[2].1, Err(Error::UnknownPartition { .. })), "{deleted:?}");
    assert!(matches!(deleted[3].1, Err(Error::UnknownTopic { .. })), "{deleted:?}");
    let beyond = admin.delete_records(&tp("t", 0), 99).await.unwrap_err();
    assert_eq!(beyond.code(), Some(ErrorCode::OffsetOutOfRange));
    let asked = [(tp("t", 0), OffsetSpec::Earliest), (tp("t", 0), OffsetSpec::Latest)];
    let offsets = client.list_offsets(&asked, kanat_client::Isolation::ReadUncommitted).await.unwrap();
    assert_eq!((offsets[0].1.offset, offsets[1].1.offset), (4, 10));
}

async fn groups(client: &Client, admin: &Admin) {
    let offsets = [(tp("t", 0), OffsetAndMetadata::new(5)), (tp("t", 1), OffsetAndMetadata::new(6))];
    for group in ["one", "two", "three"] {
        let altered = admin.alter_group_offsets(group, &offsets).await.unwrap();
        assert!(altered.iter().all(|(_, outcome)| outcome.is_ok()), "{altered:?}");
    }
    let all = admin.list_groups(&ListGroupsOptions::default()).await.unwrap();
    let names: Vec<&str> = all.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, ["one", "three", "two"]);
    assert_eq!((all[0].state.as_deref(), all[0].coordinator), (Some("Empty"), 1));
    let only = |states: &[&str], types: &[&str]| ListGroupsOptions {
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        types: types.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    assert!(admin.list_groups(&only(&["Stable"], &[])).await.unwrap().is_empty());
    assert_eq!(admin.list_groups(&only(&["Empty"], &["classic"])).await.unwrap().len(), 3);

    let described = admin.describe_groups(&["one", "absent"]).await.unwrap();
    let one = described[0].1.as_ref().unwrap();
    assert_eq!((one.state.as_str(), one.members.len(), one.coordinator), ("Empty", 0, 1));
    assert_eq!(described[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::GroupIdNotFound));

    let listed = admin.list_group_offsets(&["one", "absent"]).await.unwrap();
    assert_eq!(listed[0].1.as_ref().unwrap()[&tp("t", 1)].offset, 6);
    assert!(listed[1].1.as_ref().unwrap().is_empty());
    let deleted = admin.delete_group_offsets("one", &[tp("t", 1)]).await.unwrap();
    assert!(deleted[0].1.is_ok(), "{deleted:?}");
    assert_eq!(client.group("one").committed_all().await.unwrap().len(), 1);

    let deleted = admin.delete_groups(&["one", "two", "absent"]).await.unwrap();
    assert!(deleted[0].1.is_ok() && deleted[1].1.is_ok());
    assert_eq!(deleted[2].1.as_ref().unwrap_err().code(), Some(ErrorCode::GroupIdNotFound));
    assert_eq!(admin.list_groups(&ListGroupsOptions::default()).await.unwrap().len(), 1);
}

async fn cluster(admin: &Admin) {
    let cluster = admin.describe_cluster().await.unwrap();
    assert_eq!((cluster.brokers.len(), cluster.brokers[0].node_id, cluster.brokers[0].fenced), (1, 1, false));
    assert_eq!((cluster.controller, cluster.brokers[0].host.as_str()), (Some(1), "127.0.0.1"));
    let features = admin.describe_features().await.unwrap();
    let finalized: Vec<&str> = features.finalized.iter().map(|feature| feature.name.as_str()).collect();
    assert!(finalized.contains(&"metadata.version") && finalized.contains(&"transaction.version"), "{features:?}");
    assert!(features.finalized_epoch.is_some() && features.supported.iter().all(|feature| feature.max >= feature.min));

    let folders = admin.describe_log_dirs(None).await.unwrap();
    let folder = &folders[0].1.as_ref().unwrap()[0];
    assert!(folder.state.is_ok() && folder.total_bytes > folder.usable_bytes, "{folder:?}");
    let copy = folder.partitions.iter().find(|copy| copy.partition == tp("t", 0)).unwrap();
    assert!(copy.size_bytes > 0 && !copy.is_future);
    let absent = admin.describe_log_dirs(Some(&[7, 1])).await.unwrap();
    assert!(absent[0].1.is_ok(), "in the order of ids: {absent:?}");
    assert!(matches!(absent[1].1, Err(Error::UnknownBroker { node_id: 7 })), "{absent:?}");

    let elected = admin.elect_leaders(Election::Preferred, Some(&[tp("t", 0), tp("absent", 0)])).await.unwrap();
    let outcome = |name: &str| elected.iter().find(|(partition, _)| &*partition.topic == name).unwrap().1.as_ref();
    assert!(outcome("t").is_ok());
    assert_eq!(outcome("absent").unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
    admin.elect_leaders(Election::Preferred, None).await.unwrap();
    let moves = [(tp("t", 0), Some(vec![1])), (tp("t", 1), Some(vec![8])), (tp("t", 0), None)];
    let moved = admin.alter_reassignments(&moves[..2]).await.unwrap();
    assert!(moved[0].1.is_ok());
    assert_eq!(moved[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::InvalidReplicaAssignment));
    let cancelled = admin.alter_reassignments(&moves[2..]).await.unwrap();
    assert_eq!(cancelled[0].1.as_ref().unwrap_err().code(), Some(ErrorCode::NoReassignmentInProgress));
    assert!(admin.list_reassignments(None).await.unwrap().is_empty());
    assert!(admin.list_reassignments(Some(&[tp("t", 0)])).await.unwrap().is_empty());
}

async fn acls(admin: &Admin) {
    let acl = |name: &str, pattern, operation| Acl {
        resource: AclResource { kind: AclResourceType::Topic, name: name.to_owned(), pattern },
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation,
        permission: AclPermission::Allow,
    };
    let acls = [
        acl("orders", AclPatternType::Literal, AclOperation::Read),
        acl("ord", AclPatternType::Prefixed, AclOperation::Write),
        acl("other", AclPatternType::Literal, AclOperation::Read),
        acl("", AclPatternType::Literal, AclOperation::Read),
    ];
    let created = admin.create_acls(&acls).await.unwrap();
    assert!(created[..3].iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    assert!(created[3].1.is_err());
    while admin.describe_acls(&AclFilter::default()).await.unwrap().len() < 3 {}
    let applies = AclFilter {
        kind: Some(AclResourceType::Topic),
        name: Some("orders".to_owned()),
        pattern: Some(AclPatternType::Match),
        ..AclFilter::default()
    };
    let mut expected = acls[..2].to_vec();
    expected.sort();
    assert_eq!(admin.describe_acls(&applies).await.unwrap(), expected);
    let nobody = AclFilter { principal: Some("User:bob".to_owned()), ..AclFilter::default() };
    let deleted = admin.delete_acls(&[AclFilter::exactly(&acls[0]), nobody]).await.unwrap();
    assert_eq!(deleted[0].1.as_ref().unwrap(), &acls[..1]);
    assert!(deleted[1].1.as_ref().unwrap().is_empty());
    assert_eq!(admin.delete_acls(&[AclFilter::default()]).await.unwrap()[0].1.as_ref().unwrap().len(), 2);
    while !admin.describe_acls(&AclFilter::default()).await.unwrap().is_empty() {}
}

async fn quotas(admin: &Admin) {
    let entity = |user: Option<&str>| QuotaEntity::from([("user".to_owned(), user.map(str::to_owned))]);
    let change = |user, key: &str, value| QuotaAlteration {
        entity: entity(user),
        quotas: BTreeMap::from([(key.to_owned(), value)]),
    };
    let changes = [
        change(Some("alice"), "producer_byte_rate", Some(1e6)),
        change(None, "consumer_byte_rate", Some(2e6)),
        change(Some("bob"), "no_such_quota", Some(1.0)),
    ];
    let altered = admin.alter_quotas(&changes, false).await.unwrap();
    assert!(altered[0].1.is_ok() && altered[1].1.is_ok(), "{altered:?}");
    assert_eq!(altered[2].1.as_ref().unwrap_err().code(), Some(ErrorCode::InvalidRequest));
    let filter = |matches| [QuotaFilter { entity_type: "user".to_owned(), matches }];
    let quotas = |key: &str, value: f64| QuotaValues::from([(key.to_owned(), value)]);
    // The controller's log reaches the broker a moment later.
    let both = loop {
        let found = admin.describe_quotas(&filter(QuotaMatch::Any), true).await.unwrap();
        if found.len() == 2 {
            break found;
        }
    };
    assert_eq!(both[0], (entity(None), quotas("consumer_byte_rate", 2e6)));
    assert_eq!(both[1], (entity(Some("alice")), quotas("producer_byte_rate", 1e6)));
    let exact = admin.describe_quotas(&filter(QuotaMatch::Exact("alice".to_owned())), false).await.unwrap();
    assert_eq!(exact, both[1..]);
    assert_eq!(admin.describe_quotas(&filter(QuotaMatch::Default), false).await.unwrap(), both[..1]);
    let remove = [change(Some("alice"), "producer_byte_rate", None), change(None, "consumer_byte_rate", None)];
    admin.alter_quotas(&remove, true).await.unwrap();
    for (_, outcome) in admin.alter_quotas(&remove, false).await.unwrap() {
        outcome.unwrap();
    }
    while !admin.describe_quotas(&[], false).await.unwrap().is_empty() {}
}

async fn scram_users(admin: &Admin) {
    let users = [
        ScramUpsertion::new("alice", ScramMechanism::Sha256, "wonderland"),
        ScramUpsertion { iterations: 4_096, ..ScramUpsertion::new("bob", ScramMechanism::Sha512, "builder") },
    ];
    for (user, outcome) in admin.upsert_scram_users(&users).await.unwrap() {
        outcome.unwrap_or_else(|error| panic!("{user}: {error}"));
    }
    let known = loop {
        let known = admin.describe_scram_users(None).await.unwrap();
        if known.len() == 2 {
            break known;
        }
    };
    assert_eq!(known[0].1.as_ref().unwrap().credentials, [(ScramMechanism::Sha256, 8_192)]);
    assert_eq!(known[1].1.as_ref().unwrap().credentials, [(ScramMechanism::Sha512, 4_096)]);
    let one = admin.describe_scram_users(Some(&["carol", "bob"])).await.unwrap();
    assert!(one[0].1.is_ok());
    assert_eq!(one[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::ResourceNotFound));
    let gone = [("alice", ScramMechanism::Sha256), ("bob", ScramMechanism::Sha256)];
    let deleted = admin.delete_scram_users(&gone).await.unwrap();
    assert!(deleted[0].1.is_ok());
    assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::ResourceNotFound));
}

async fn transactions(admin: &Admin) {
    let fenced = admin.fence_producers(&["payments"]).await.unwrap().remove(0).1.unwrap();
    let again = admin.fence_producers(&["payments"]).await.unwrap().remove(0).1.unwrap();
    assert_eq!((again.producer_id, again.producer_epoch), (fenced.producer_id, fenced.producer_epoch + 1));
    let listed = admin.list_transactions(&ListTransactionsOptions::default()).await.unwrap();
    assert_eq!((listed.len(), listed[0].transactional_id.as_str(), listed[0].state.as_str()), (1, "payments", "Empty"));
    let ongoing = ListTransactionsOptions { states: vec!["Ongoing".to_owned()], ..ListTransactionsOptions::default() };
    assert!(admin.list_transactions(&ongoing).await.unwrap().is_empty());
    let pattern = ListTransactionsOptions { pattern: Some("pay.*".to_owned()), ..ListTransactionsOptions::default() };
    assert_eq!(admin.list_transactions(&pattern).await.unwrap().len(), 1);
    let described = admin.describe_transactions(&["payments", "absent"]).await.unwrap();
    let payments = described[0].1.as_ref().unwrap();
    assert_eq!((payments.state.as_str(), payments.producer_id), ("Empty", fenced.producer_id));
    assert_eq!((payments.started_ms, payments.partitions.len()), (None, 0));
    assert_eq!(described[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::TransactionalIdNotFound));
    let producers = admin.describe_producers(&[tp("t", 0), tp("t", 7)]).await.unwrap();
    assert!(producers[0].1.is_ok(), "{producers:?}");
    assert!(matches!(producers[1].1, Err(Error::UnknownPartition { .. })), "{producers:?}");
}
