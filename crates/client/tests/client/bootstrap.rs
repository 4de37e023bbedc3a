//! Finding a cluster: dead and unresolvable addresses, brokers that go away, time to the first record.

use std::time::{Duration, Instant};

use crate::common::{brokers, client, options, record, within};
use kanat_broker::{FaultAction, FaultRule};
use kanat_client::{Client, Compression, ConsumerOptions, Error, TopicPartition, UnknownTopic};
use kanat_protocol::messages::ApiKey;

/// An address on which nobody listens: bound and let go.
fn dead_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A listener that never answers, as a broker behind a firewall or one that hangs.
fn silent_listener() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_unresolvable_and_silent_addresses_do_not_hold_up_the_start() {
    let broker = crate::common::broker().await;
    let (_listener, silent) = silent_listener();
    let addresses = [dead_address(), "no-such-host.invalid:9092".to_owned(), silent, broker.bootstrap()];
    let started = Instant::now();
    let client = within("connect", Client::connect(options(&addresses.join(",")))).await.unwrap();
    let connect_timeout = Duration::from_secs(10);
    assert!(started.elapsed() < connect_timeout / 2, "a dead address cost its timeout: {:?}", started.elapsed());
    assert_eq!(client.list_topics().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_every_address_and_why() {
    let (_listener, silent) = silent_listener();
    let dead = dead_address();
    let addresses = [dead.clone(), "no-such-host.invalid:9092".to_owned(), silent.clone()];
    let options = options(&addresses.join(",")).with_connect_timeout_ms(300);
    let error = within("connect", Client::connect(options)).await.unwrap_err();
    assert!(matches!(error, Error::Bootstrap { .. }));
    let text = error.to_string();
    for part in [&*dead, "no-such-host.invalid:9092", &*silent, "refused", "300 ms"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[tokio::test]
async fn no_address_is_an_option_error() {
    let error = Client::connect(options("")).await.unwrap_err();
    assert!(matches!(&error, Error::InvalidOption { option, .. } if option == "bootstrap"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_never_creates_a_topic() {
    let options_with_creation = kanat_broker::BrokerOptions::default().with_auto_create_topics(true);
    let broker = kanat_broker::Broker::start(options_with_creation).await.unwrap();
    let client = client(&broker).await;
    let error = client.partition_client("typo", 0, UnknownTopic::Error).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownTopic { topic } if &**topic == "typo"), "{error}");
    assert_eq!(client.list_topics().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_records_are_there_in_no_time() {
    let broker = crate::common::broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    crate::common::fill(&client(&broker).await, "t", 0, 3, 3).await;
    let started = Instant::now();
    let client = client(&broker).await;
    let ends = crate::common::ends(&client, "t", 1, kanat_client::Isolation::ReadCommitted).await;
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(TopicPartition::new("t", 0), 0)]);
    let read = crate::common::read_to(&mut consumer, &ends).await;
    let elapsed = started.elapsed();
    assert_eq!(read[&0].len(), 3);
    assert!(elapsed < Duration::from_millis(100), "connecting and reading three records took {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_the_cluster_again_when_every_broker_it_knew_is_gone() {
    let broker = brokers(2).await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    // The client starts while node 1 is down and so knows node 0 only; then the nodes change places.
    broker.stop_node(1).await.unwrap();
    let addresses = format!("{},{}", broker.addr(0).unwrap(), broker.addr(1).unwrap());
    let client = within("connect", Client::connect(options(&addresses))).await.unwrap();
    let writer = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    writer.produce(vec![record("one")], Compression::NONE).await.unwrap();
    broker.start_node(1).await.unwrap();
    broker.stop_node(0).await.unwrap();
    let offsets = within("produce", writer.produce(vec![record("two")], Compression::NONE)).await.unwrap().offsets;
    assert_eq!(offsets, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_broker_costs_one_request_its_deadline_and_the_next_one_nothing() {
    let broker = crate::common::broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let options = options(&broker.bootstrap()).with_request_timeout_ms(150).with_retry_timeout_ms(100);
    let client = Client::connect(options).await.unwrap();
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let stall = FaultRule::new(FaultAction::DelayBefore(Duration::from_secs(20))).on(ApiKey::ListOffsets).times(1);
    broker.faults().add(stall);
    let started = Instant::now();
    let error = within("stalled", partition.get_offset(kanat_client::OffsetSpec::Latest)).await.unwrap_err();
    assert!(error.to_string().contains("did not answer ListOffsets within 150 ms"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(within("after", partition.get_offset(kanat_client::OffsetSpec::Latest)).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_requests_leave_the_connection_in_step() {
    let broker = crate::common::broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    crate::common::fill(&client, "t", 0, 5, 5).await;
    let connections =
        broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::ApiVersions));
    let slow = FaultRule::new(FaultAction::DelayBefore(Duration::from_millis(20))).on(ApiKey::ListOffsets).times(10);
    broker.faults().add(slow);
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    for _ in 0..10 {
        let abandoned =
            tokio::time::timeout(Duration::from_millis(1), partition.get_offset(kanat_client::OffsetSpec::Latest));
        assert!(abandoned.await.is_err());
    }
    assert_eq!(within("after", partition.get_offset(kanat_client::OffsetSpec::Latest)).await.unwrap(), 5);
    assert_eq!(broker.faults().hits(connections), 0, "no connection had to be replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_cut_off_or_out_of_order_are_survived() {
    let broker = crate::common::broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await;
    crate::common::fill(&client, "t", 0, 5, 5).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    broker.faults().add(FaultRule::new(FaultAction::Truncate { bytes: 7 }).on(ApiKey::ListOffsets).times(1));
    assert_eq!(within("cut off", partition.get_offset(kanat_client::OffsetSpec::Latest)).await.unwrap(), 5);
    let hold = Duration::from_millis(500);
    broker.faults().add(FaultRule::new(FaultAction::Reorder { hold }).on(ApiKey::ListOffsets).times(1));
    let (first, second) = tokio::join!(
        partition.get_offset(kanat_client::OffsetSpec::Earliest),
        partition.get_offset(kanat_client::OffsetSpec::Latest)
    );
    assert_eq!((first.unwrap(), second.unwrap()), (0, 5));
}
