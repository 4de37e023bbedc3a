//! Transactions: what was committed is seen once and whole, nothing else is seen, under both protocols.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::{client, ends, read_to, within};
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule};
use kanat_client::{
    Client, ConsumerOptions, Error, GroupMetadata, Isolation, OffsetAndMetadata, ProduceRecord, TopicPartition,
    TransactionalOptions, TransactionalProducer,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

const PARTITIONS: i32 = 3;
/// Levels of `transaction.version`: the client enrols partitions, or the broker does and bumps epochs.
const LEVELS: [i16; 2] = [1, 2];

async fn broker(level: i16) -> BrokerHandle {
    let options = BrokerOptions::default()
        .with_auto_create_topics(false)
        .with_topic_default("retention.ms", "-1")
        .with_transaction_version(level);
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
    broker
}

async fn producer(client: &Client, id: &str) -> TransactionalProducer {
    within("init", client.transactional_producer(TransactionalOptions::new(id))).await.unwrap()
}

fn to(partition: i32, value: &str) -> ProduceRecord<'_> {
    ProduceRecord { topic: "t", partition: Some(partition), value: Some(value.as_bytes()), ..ProduceRecord::default() }
}

/// The values committed, per partition in order.
async fn committed(client: &Client) -> HashMap<i32, Vec<String>> {
    let ends = ends(client, "t", PARTITIONS, Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign((0..PARTITIONS).map(|partition| (TopicPartition::new("t", partition), 0)));
    let read = read_to(&mut consumer, &ends).await;
    let text = |values: Vec<(i64, Vec<u8>)>| values.into_iter().map(|(_, v)| String::from_utf8(v).unwrap()).collect();
    read.into_iter().map(|(partition, values)| (partition, text(values))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_seen_and_what_is_aborted_or_dropped_is_not() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        let mut expected: HashMap<i32, Vec<String>> = HashMap::new();
        for round in 0..12 {
            let transaction = within("begin", producer.begin()).await.unwrap();
            for partition in 0..=round % PARTITIONS {
                let value = format!("{round}/{partition}");
                drop(within("send", transaction.send(to(partition, &value))).await.unwrap());
                if round % 3 == 0 {
                    expected.entry(partition).or_default().push(value);
                }
            }
            match round % 3 {
                0 => within("commit", transaction.commit()).await.unwrap(),
                1 => within("abort", transaction.abort()).await.unwrap(),
                _ => drop(transaction),
            }
        }
        // An empty one asks nobody anything; beginning it ends the one that was dropped.
        within("commit", producer.begin().await.unwrap().commit()).await.unwrap();
        assert_eq!(committed(&client).await, expected, "transaction.version {level}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_producer_of_the_same_id_fences_the_older_one_by_name() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut older = producer(&client, "tx").await;
        let transaction = older.begin().await.unwrap();
        within("delivery", transaction.send(to(0, "lost")).await.unwrap()).await.unwrap();
        let mut newer = producer(&client, "tx").await;
        let error = within("commit", transaction.commit()).await.unwrap_err();
        assert!(matches!(&error, Error::ProducerFenced { transactional_id } if &**transactional_id == "tx"), "{error}");
        let error = older.begin().await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::ProducerFenced { .. }), "for good: {error}");
        let transaction = newer.begin().await.unwrap();
        drop(transaction.send(to(0, "kept")).await.unwrap());
        within("commit", transaction.commit()).await.unwrap();
        assert_eq!(committed(&client).await, HashMap::from([(0, vec!["kept".to_owned()])]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_count_when_the_transaction_is_committed() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        let source = TopicPartition::new("t", 1);
        let group = GroupMetadata {
            group_id: "copy".to_owned(),
            generation: -1,
            member_id: String::new(),
            group_instance_id: None,
        };
        for (offset, commit) in [(5, true), (9, false)] {
            let transaction = producer.begin().await.unwrap();
            drop(transaction.send(to(0, "copied")).await.unwrap());
            let offsets = [(source.clone(), OffsetAndMetadata::new(offset))];
            within("send offsets", transaction.send_offsets(&offsets, &group)).await.unwrap();
            if commit {
                transaction.commit().await.unwrap()
            } else {
                transaction.abort().await.unwrap()
            }
            let seen = within("committed", client.group("copy").committed_all()).await.unwrap();
            assert_eq!(seen[&source].offset, 5);
        }
        // A member that the group does not know may not commit for it.
        let stranger = GroupMetadata { generation: 3, member_id: "stranger".to_owned(), ..group };
        let transaction = producer.begin().await.unwrap();
        let offsets = [(source.clone(), OffsetAndMetadata::new(11))];
        let error = within("send offsets", transaction.send_offsets(&offsets, &stranger)).await.unwrap_err();
        assert!(matches!(&error, Error::TransactionMustAbort { .. }), "{error}");
        transaction.abort().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_lost_a_record_can_only_be_aborted() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        let refuse = FaultRule::new(FaultAction::Error(ErrorCode::TopicAuthorizationFailed)).on(ApiKey::Produce);
        broker.faults().add(refuse.times(1));
        let transaction = producer.begin().await.unwrap();
        let lost = transaction.send(to(0, "lost")).await.unwrap();
        let error = within("delivery", lost).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
        let error = transaction.send(to(0, "late")).await.unwrap_err();
        assert!(matches!(&error, Error::TransactionMustAbort { .. }), "{error}");
        let error = within("commit", transaction.commit()).await.unwrap_err();
        assert!(matches!(&error, Error::TransactionMustAbort { .. }), "{error}");
        let transaction = within("begin", producer.begin()).await.unwrap();
        drop(transaction.send(to(0, "kept")).await.unwrap());
        within("commit", transaction.commit()).await.unwrap();
        assert_eq!(committed(&client).await, HashMap::from([(0, vec!["kept".to_owned()])]));
    }
}

/// A leader answers so to the first batch of a transaction while the markers of the one before are being written.
#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_the_markers_of_the_transaction_before() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        let busy = FaultRule::new(FaultAction::Error(ErrorCode::ConcurrentTransactions)).on(ApiKey::Produce);
        let busy = broker.faults().add(busy.times(3));
        let transaction = producer.begin().await.unwrap();
        drop(transaction.send(to(0, "one")).await.unwrap());
        drop(transaction.send(to(0, "two")).await.unwrap());
        within("commit", transaction.commit()).await.unwrap();
        assert_eq!(broker.faults().hits(busy), 3);
        assert_eq!(committed(&client).await, HashMap::from([(0, vec!["one".to_owned(), "two".to_owned()])]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_commit_of_unknown_outcome_the_next_transaction_begins_when_it_is_decided() {
    for level in LEVELS {
        for applied in [false, true] {
            let broker = broker(level).await;
            let options = crate::common::options(&broker.bootstrap()).with_retry_timeout_ms(200);
            let client = within("connect", Client::connect(options)).await.unwrap();
            let mut producer = producer(&client, "tx").await;
            let transaction = producer.begin().await.unwrap();
            within("delivery", transaction.send(to(0, "first")).await.unwrap()).await.unwrap();
            let action = if applied { FaultAction::DropAfter } else { FaultAction::DropBefore };
            let rule = broker.faults().add(FaultRule::new(action).on(ApiKey::EndTxn));
            let error = within("commit", transaction.commit()).await.unwrap_err();
            assert!(matches!(&error, Error::CommitUnknown { .. }) && error.is_outcome_unknown(), "{error}");
            broker.faults().remove(rule);
            let transaction = within("begin", producer.begin()).await.unwrap();
            drop(transaction.send(to(0, "second")).await.unwrap());
            within("commit", transaction.commit()).await.unwrap();
            let expected: &[&str] = if applied { &["first", "second"] } else { &["second"] };
            assert_eq!(committed(&client).await[&0], expected, "transaction.version {level}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_waits_for_any_more_is_decided_before_the_next_transaction() {
    for level in LEVELS {
        let broker = broker(level).await;
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        let transaction = producer.begin().await.unwrap();
        within("delivery", transaction.send(to(0, "first")).await.unwrap()).await.unwrap();
        let delay = FaultAction::DelayAfter(Duration::from_millis(50));
        let rule = broker.faults().add(FaultRule::new(delay).on(ApiKey::EndTxn).times(1));
        let arrived = async {
            while broker.faults().hits(rule) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = arrived => {}
            _ = transaction.commit() => panic!("the answer comes later"),
        }
        let transaction = within("begin", producer.begin()).await.unwrap();
        drop(transaction.send(to(0, "second")).await.unwrap());
        within("commit", transaction.commit()).await.unwrap();
        assert_eq!(committed(&client).await[&0], ["first", "second"], "transaction.version {level}");
    }
}

/// While the coordinator is busy with the transaction before, partitions of the next one wait to be enrolled. They must
/// not be once it is aborted: that would open another transaction, which only a fence could end.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_not_enrolled_behind_the_end_of_their_transaction() {
    for level in LEVELS {
        let options = BrokerOptions::default()
            .with_auto_create_topics(false)
            .with_transaction_version(level)
            .with_transaction_marker_delay_ms(20);
        let broker = Broker::start(options).await.unwrap();
        broker.create_topic("t", PARTITIONS, &[]).await.unwrap();
        let client = client(&broker).await;
        let mut producer = producer(&client, "tx").await;
        for round in 0..10 {
            let transaction = within("begin", producer.begin()).await.unwrap();
            drop(transaction.send(to(0, "kept")).await.unwrap());
            within("commit", transaction.commit()).await.unwrap();
            let transaction = within("begin", producer.begin()).await.unwrap();
            drop(transaction.send(to(1, "lost")).await.unwrap());
            // In some rounds the enrolment is on its way by then.
            tokio::time::sleep(Duration::from_millis(round)).await;
            within("abort", transaction.abort()).await.unwrap();
        }
        within("commit", producer.begin().await.unwrap().commit()).await.unwrap();
        let mut seen = committed(&client).await;
        // Where nothing is to be seen there may still be aborted records: those that left before the abort.
        seen.retain(|_, read| !read.is_empty());
        assert_eq!(seen.into_iter().map(|(index, read)| (index, read.len())).collect::<Vec<_>>(), [(0, 10)]);
    }
}
