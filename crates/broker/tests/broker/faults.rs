//! The fault plan does what it says, and hostile clients hurt only themselves.

use std::time::Duration;

use crate::common::*;
use bytes::Bytes;
use kanat_broker::{Broker, BrokerOptions, FaultAction, FaultPlan, FaultRule, Limits};
use kanat_protocol::ErrorCode;
use kanat_protocol::frame;
use kanat_protocol::messages::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

fn metadata() -> MetadataRequest {
    MetadataRequest::default().with_topics(None)
}

/// Number of bytes the broker sends until it closes the connection.
async fn received_bytes(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> usize {
    let (mut buffer, mut total) = ([0; 4096], 0);
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        total += count;
    }
    total
}

#[tokio::test]
async fn a_drop_before_applies_nothing_and_a_drop_after_everything() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    for (action, stored) in [(FaultAction::DropBefore, 0), (FaultAction::DropAfter, 1)] {
        let rule = broker.faults().add(FaultRule::new(action).on(ApiKey::Produce).times(1));
        let mut client = Client::connect(&broker.bootstrap()).await;
        assert!(client.try_call(9, &produce_request("t", 0, batch_of(&["x"]))).await.is_none());
        assert_eq!(broker.offsets("t", 0).unwrap().2, stored);
        assert_eq!(broker.faults().hits(rule), 1);
    }
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(client.produce_values("t", 0, &["y"]).await, 1);
}

#[tokio::test]
async fn an_error_strikes_the_named_partition_after_its_skips() {
    let broker = start().await;
    broker.create_topic("t", 2, &[]).await.unwrap();
    let error_rule = FaultRule::new(FaultAction::Error(ErrorCode::NotEnoughReplicas));
    let rule = broker.faults().add(error_rule.on(ApiKey::Produce).topic("t").partition(1).skip(1).times(2));
    let mut client = Client::connect(&broker.bootstrap()).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        assert_eq!(error(client.produce("t", 0, batch_of(&["x"])).await.error_code), None);
        codes.push(error(client.produce("t", 1, batch_of(&["x"])).await.error_code));
    }
    let struck = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(codes, [None, struck, struck, None]);
    assert_eq!(broker.faults().hits(rule), 2);
    assert_eq!(broker.offsets("t", 1).unwrap().2, 2);
    broker.faults().clear();
    assert_eq!(broker.faults().hits(rule), 2);
}

#[tokio::test]
async fn a_delay_holds_the_answer_back() {
    let broker = start().await;
    let delay = Duration::from_millis(80);
    broker.faults().add(FaultRule::new(FaultAction::DelayAfter(delay)).on(ApiKey::Metadata).client("test"));
    let mut client = Client::connect(&broker.bootstrap()).await;
    let started = Instant::now();
    client.call(12, &metadata()).await;
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn a_truncated_answer_ends_the_connection() {
    let broker = start().await;
    broker.faults().add(FaultRule::new(FaultAction::Truncate { bytes: 9 }).on(ApiKey::Metadata));
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.send(12, &metadata()).await;
    let received = timeout(DEADLINE, received_bytes(&mut client.socket)).await.unwrap();
    assert_eq!(received, 9);
}

#[tokio::test]
async fn answers_change_places() {
    let broker = start().await;
    let action = FaultAction::Reorder { hold: DEADLINE };
    broker.faults().add(FaultRule::new(action).on(ApiKey::Metadata).times(1));
    let mut client = Client::connect(&broker.bootstrap()).await;
    let first = client.send(12, &metadata()).await;
    let second = client.send(12, &metadata()).await;
    let mut order = Vec::new();
    for _ in 0..2 {
        let frame = client.receive_frame().await.unwrap();
        order.push(frame::decode_response_header(frame, ApiKey::Metadata, 12).unwrap().0);
    }
    assert_eq!(order, [second, first]);
}

#[tokio::test]
async fn a_held_answer_comes_when_nothing_follows() {
    let broker = start().await;
    broker.faults().add(FaultRule::new(FaultAction::Reorder { hold: Duration::from_millis(30) }));
    let mut client = Client::connect(&broker.bootstrap()).await;
    assert_eq!(client.call(12, &metadata()).await.brokers.len(), 1);
}

#[tokio::test]
async fn a_rule_moves_the_leader_under_a_produce() {
    let broker = Broker::start(BrokerOptions::default().with_nodes(2)).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let (leader, epoch) = broker.leader("t", 0).unwrap().unwrap();
    let action = FaultAction::MoveLeader { to: 1 - leader };
    broker.faults().add(FaultRule::new(action).on(ApiKey::Produce).node(leader).times(1));
    let mut client = Client::connect(&broker.addr(leader).unwrap()).await;
    let refused = client.produce("t", 0, batch_of(&["x"])).await;
    assert_eq!(error(refused.error_code), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(broker.leader("t", 0).unwrap(), Some((1 - leader, epoch + 1)));
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let broker = start().await;
        broker.create_topic("t", 1, &[]).await.unwrap();
        let plan: FaultPlan = broker.faults();
        plan.reseed(42);
        let action = FaultAction::Error(ErrorCode::RequestTimedOut);
        plan.add(FaultRule::new(action).on(ApiKey::Produce).probability(0.5));
        let mut client = Client::connect(&broker.bootstrap()).await;
        let mut codes = Vec::new();
        for _ in 0..40 {
            codes.push(client.produce("t", 0, batch_of(&["x"])).await.error_code);
        }
        assert!(codes.contains(&0) && codes.contains(&ErrorCode::RequestTimedOut.code()));
        runs.push(codes);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_unknown_api_versions_version_is_answered_with_version_0() {
    let broker = start().await;
    let mut client = Client::connect(&broker.bootstrap()).await;
    // Version 99, correlation id 5, client id "x", no tagged fields.
    client.socket.write_all(b"\0\0\0\x0c\0\x12\0\x63\0\0\0\x05\0\x01x\0").await.unwrap();
    let frame = client.receive_frame().await.unwrap();
    let (correlation_id, body) = frame::decode_response_header(frame, ApiKey::ApiVersions, 0).unwrap();
    let response: ApiVersionsResponse = frame::decode_body(ApiKey::ApiVersions, 0, body).unwrap();
    assert_eq!((correlation_id, error(response.error_code)), (5, Some(ErrorCode::UnsupportedVersion)));
    assert_eq!(response.api_keys[0].api_key, ApiKey::ApiVersions as i16);
    assert!(client.call(4, &api_versions()).await.api_keys.len() > 20);
}

#[tokio::test]
async fn hostile_bytes_close_their_connection_only() {
    let mut limits = Limits::default();
    limits.frame_bytes_max = 1 << 20;
    let broker = Broker::start(BrokerOptions::default().with_limits(limits)).await.unwrap();
    let mut good = Client::connect(&broker.bootstrap()).await;
    let request = frame::encode_request(12, 1, "x", &metadata()).unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut inputs: Vec<Vec<u8>> = vec![
        vec![],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        (-1_i32).to_be_bytes().to_vec(),
        0_i32.to_be_bytes().to_vec(),
        request[..request.len() - 1].to_vec(),
        b"\0\0\0\x0a\x7f\xff\0\0\0\0\0\x01\xff\xff".to_vec(),
    ];
    for _ in 0..200 {
        let mut mutated = request.to_vec();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(4..mutated.len());
            mutated[at] = random.u8(..);
        }
        inputs.push(mutated);
    }
    for input in inputs {
        let mut socket = TcpStream::connect(broker.bootstrap()).await.unwrap();
        // The broker may close before it has read everything.
        let _ = socket.write_all(&input).await;
        let _ = socket.shutdown().await;
        let read = timeout(DEADLINE, received_bytes(&mut socket)).await;
        assert!(read.is_ok(), "seed {seed}: the broker neither answered nor closed after {input:?}");
    }
    assert_eq!(good.call(12, &metadata()).await.brokers.len(), 1);
}

#[tokio::test]
async fn a_length_alone_takes_no_memory() {
    let broker = start().await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(broker.bootstrap()).await.unwrap();
        socket.write_all(&(90_i32 << 20).to_be_bytes()).await.unwrap();
        sockets.push(socket);
    }
    let mut client = Client::connect(&broker.bootstrap()).await;
    client.call(12, &metadata()).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let rss_kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(rss_kib < 500 * 1024, "{line}");
}

#[tokio::test]
async fn connections_over_the_bound_are_closed() {
    let mut limits = Limits::default();
    limits.connections_max = 2;
    let broker = Broker::start(BrokerOptions::default().with_limits(limits)).await.unwrap();
    let mut kept = [Client::connect(&broker.bootstrap()).await, Client::connect(&broker.bootstrap()).await];
    for client in &mut kept {
        client.call(12, &metadata()).await;
    }
    let mut socket = TcpStream::connect(broker.bootstrap()).await.unwrap();
    let mut answer = [0; 1];
    let read = timeout(DEADLINE, socket.read(&mut answer)).await.unwrap();
    assert!(read.map_or(true, |count| count == 0));
    let [one, mut two] = kept;
    drop(one);
    two.call(12, &metadata()).await;
    loop {
        let mut next = Client::connect(&broker.bootstrap()).await;
        let bytes = frame::encode_request(12, 1, "x", &metadata()).unwrap();
        if next.socket.write_all(&bytes).await.is_ok() && next.receive_frame().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn requests_are_answered_in_order() {
    let broker = start().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let mut client = Client::connect(&broker.bootstrap()).await;
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.push(match number % 3 {
            0 => (client.send(12, &metadata()).await, ApiKey::Metadata, 12),
            1 => (client.send(9, &produce_request("t", 0, batch_of(&["x"]))).await, ApiKey::Produce, 9),
            _ => (client.send(12, &fetch_request("t", 0, 0)).await, ApiKey::Fetch, 12),
        });
    }
    for (correlation_id, api, version) in sent {
        let frame: Bytes = client.receive_frame().await.unwrap();
        assert_eq!(frame::decode_response_header(frame, api, version).unwrap().0, correlation_id);
    }
}
