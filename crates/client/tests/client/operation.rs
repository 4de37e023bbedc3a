//! Running a client: metrics, re-bootstrap, idle connections, shutdown. In memory, under a paused clock.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kanat_broker::{Broker, BrokerHandle, BrokerOptions, Dialer, FaultAction, FaultRule};
use kanat_client::{
    BoxFuture, BoxedTransport, Client, ClientOptions, Connector, Error, Metrics, NewTopic, ProduceRecord,
    ProducerOptions, QuotaAlteration,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use tokio::time::{Instant, timeout};

/// What the bootstrap address resolves to at the moment.
#[derive(Debug)]
struct Resolved {
    dialer: Dialer,
    /// Whether the brokers are reached by their own addresses too.
    brokers: bool,
}

#[derive(Debug)]
struct Switch(Mutex<Resolved>);

impl Connector for Switch {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        let resolved = self.0.lock().unwrap();
        let stream = match address.as_str() {
            "seed:9092" => resolved.dialer.dial("node-0:9092"),
            _ if resolved.brokers => resolved.dialer.dial(&address),
            _ => Err(io::ErrorKind::HostUnreachable.into()),
        };
        let stream = stream.map(|stream| Box::new(stream) as BoxedTransport);
        Box::pin(async move { stream })
    }
}

async fn start(nodes: i32) -> BrokerHandle {
    Broker::start(BrokerOptions::default().without_sockets().with_nodes(nodes).with_seed(1)).await.unwrap()
}

fn options(broker: &BrokerHandle) -> (Arc<Switch>, ClientOptions) {
    let switch = Arc::new(Switch(Mutex::new(Resolved { dialer: broker.dialer(), brokers: true })));
    let connector: Arc<dyn Connector> = Arc::clone(&switch) as _;
    (switch, ClientOptions::new(["seed:9092"]).with_connector(connector))
}

fn sample(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.render();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_what_a_producer_did() {
    let broker = start(1).await;
    let metrics = Metrics::new();
    let (_, options) = options(&broker);
    let client = Client::connect(options.with_metrics(metrics.clone()).with_client_id("writer")).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    broker
        .faults()
        .add(FaultRule::new(FaultAction::Error(ErrorCode::NotLeaderOrFollower)).on(ApiKey::Produce).times(1));
    let producer = client.producer(ProducerOptions::default()).unwrap();
    let record = ProduceRecord { topic: "t", value: Some(&[7; 1000]), ..ProduceRecord::default() };
    let acknowledged = producer.send(record).await.unwrap();
    assert!(sample(&metrics, "kanat_client_buffered_bytes{client_id=\"writer\",buffer=\"producer\"}") >= 1000.0);
    acknowledged.await.unwrap();
    let produced = "kanat_client_requests_total{client_id=\"writer\",broker=\"node-0:9092\",api=\"Produce\"}";
    assert_eq!(sample(&metrics, produced), 2.0, "{}", metrics.render());
    assert_eq!(
        sample(
            &metrics,
            "kanat_client_request_duration_seconds_count{client_id=\"writer\",broker=\"node-0:9092\",api=\"Produce\"}"
        ),
        2.0
    );
    let refused = "kanat_client_errors_total{client_id=\"writer\",broker=\"node-0:9092\",api=\"Produce\",error=\"NOT_LEADER_OR_FOLLOWER\"}";
    assert_eq!(sample(&metrics, refused), 1.0, "{}", metrics.render());
    assert!(sample(&metrics, "kanat_client_sent_bytes_total") >= 2000.0);
    assert!(sample(&metrics, "kanat_client_received_bytes_total") > 0.0);
    assert_eq!(sample(&metrics, "kanat_client_requests_in_flight"), 0.0);
    assert_eq!(sample(&metrics, "kanat_client_buffered_bytes"), 0.0);
    drop(producer);
    // Its task ends with the next turn of the runtime.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!metrics.render().contains("buffer=\"producer\""), "a producer that is gone is not watched");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_replaced_is_found_at_the_bootstrap_addresses() {
    let (old, new) = (start(3).await, start(1).await);
    new.create_topic("only-there", 1, &[]).await.unwrap();
    let metrics = Metrics::new();
    let (switch, options) = options(&old);
    let client = Client::connect(options.with_metrics(metrics.clone())).await.unwrap();
    assert!(client.list_topics().await.unwrap().is_empty());
    old.stop().await;
    *switch.0.lock().unwrap() = Resolved { dialer: new.dialer(), brokers: false };
    let topics = timeout(Duration::from_secs(5), client.list_topics()).await.unwrap().unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(sample(&metrics, "kanat_client_bootstraps_total"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_can_send_the_client_back_to_the_bootstrap_addresses() {
    let (old, new) = (start(1).await, start(1).await);
    new.create_topic("only-there", 1, &[]).await.unwrap();
    let metrics = Metrics::new();
    let (switch, options) = options(&old);
    let client = Client::connect(options.with_metrics(metrics.clone())).await.unwrap();
    assert!(client.list_topics().await.unwrap().is_empty());
    // The old broker still answers: only what it says makes the client look elsewhere.
    *switch.0.lock().unwrap() = Resolved { dialer: new.dialer(), brokers: true };
    old.faults().add(FaultRule::new(FaultAction::Error(ErrorCode::RebootstrapRequired)).on(ApiKey::Metadata));
    let topics = timeout(Duration::from_secs(5), client.list_topics()).await.unwrap().unwrap();
    assert_eq!(topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["only-there"]);
    assert_eq!(sample(&metrics, "kanat_client_bootstraps_total"), 2.0);
    // A cluster that sends it back again and again is an error with that reason, not a loop.
    new.faults().add(FaultRule::new(FaultAction::Error(ErrorCode::RebootstrapRequired)).on(ApiKey::Metadata));
    let error = timeout(Duration::from_secs(5), client.list_topics()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RebootstrapRequired), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_client_keeps_silent_for_as_long_as_it_was_told() {
    let broker = start(1).await;
    let metrics = Metrics::new();
    let (_, options) = options(&broker);
    let client = Client::connect(options.with_metrics(metrics.clone())).await.unwrap();
    client.list_topics().await.unwrap();
    let throttle = FaultRule::new(FaultAction::Throttle(Duration::from_secs(3))).on(ApiKey::Metadata).times(1);
    broker.faults().add(throttle);
    let began = Instant::now();
    client.list_topics().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "the answer itself is not late");
    client.list_topics().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(sample(&metrics, "kanat_client_throttle_seconds_total"), 3.0, "{}", metrics.render());
}

#[tokio::test(start_paused = true)]
async fn topics_beyond_the_quota_of_changes_are_made_when_it_has_recovered() {
    let broker = start(1).await;
    let (_, options) = options(&broker);
    let admin = Client::connect(options.with_client_id("maker")).await.unwrap().admin();
    let entity = [("client-id".to_owned(), Some("maker".to_owned()))].into();
    let quotas = [("controller_mutation_rate".to_owned(), Some(1.0))].into();
    let altered = admin.alter_quotas(&[QuotaAlteration { entity, quotas }], false).await.unwrap();
    assert!(altered[0].1.is_ok(), "{altered:?}");
    let began = Instant::now();
    for name in ["first", "second", "third"] {
        admin.create_topic(&NewTopic::new(name, 13)).await.unwrap();
    }
    // 39 partitions, 11 of them at once, and the debt of the last is the next one's.
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_too_long_is_not_used_again() {
    let broker = start(1).await;
    let metrics = Metrics::new();
    let (_, options) = options(&broker);
    let options = options.with_metrics(metrics.clone()).with_connections_max_idle_ms(60_000);
    let client = Client::connect(options).await.unwrap();
    client.list_topics().await.unwrap();
    let connections = || sample(&metrics, "kanat_client_connections_total");
    let first = connections();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.list_topics().await.unwrap();
    }
    assert_eq!(connections(), first);
    tokio::time::sleep(Duration::from_secs(61)).await;
    client.list_topics().await.unwrap();
    assert_eq!(connections(), first + 1.0);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_requests_under_way_and_no_longer_than_told() {
    let broker = start(1).await;
    let (_, options) = options(&broker);
    let client = Client::connect(options).await.unwrap();
    let delayed = |delay| FaultRule::new(FaultAction::DelayAfter(delay)).on(ApiKey::Metadata).times(1);
    broker.faults().add(delayed(Duration::from_secs(1)));
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.list_topics().await }
    });
    tokio::task::yield_now().await;
    client.close(Duration::from_secs(5)).await;
    asked.await.unwrap().expect("its answer was waited for");
    assert!(matches!(client.list_topics().await, Err(Error::Closed { .. })));

    let (_, options) = self::options(&broker);
    let client = Client::connect(options).await.unwrap();
    broker.faults().add(delayed(Duration::from_secs(20)));
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.list_topics().await }
    });
    tokio::task::yield_now().await;
    let closing = Instant::now();
    client.close(Duration::from_secs(2)).await;
    assert!(closing.elapsed() <= Duration::from_millis(2_100), "{:?}", closing.elapsed());
    assert!(asked.await.unwrap().is_err());
}
