//! Connections in memory, and runs that repeat themselves under a paused clock.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io;
use std::time::Duration;

use crate::common::{Client, fetch_request, name, produce_request, text};
use bytes::Bytes;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule};
use kanat_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kanat_protocol::messages::*;

/// 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

async fn start_in_memory(seed: u64) -> BrokerHandle {
    let options = BrokerOptions::default().without_sockets().with_nodes(3).with_seed(seed);
    Broker::start(options.with_clock_start_ms(START_MS)).await.expect("broker starts")
}

#[tokio::test(start_paused = true)]
async fn every_node_is_reached_by_the_address_of_its_metadata() {
    let broker = start_in_memory(1).await;
    let metadata = Client::dial(&broker, 0).call(12, &MetadataRequest::default()).await;
    assert_eq!(metadata.brokers.len(), 3);
    for node in &metadata.brokers {
        let address = format!("{}:{}", &*node.host, node.port);
        assert_eq!(address, broker.addr(node.node_id.0).unwrap());
        broker.dial(&address).expect("the node is there");
    }
    assert_eq!(broker.dial("elsewhere:9092").unwrap_err().kind(), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn nodes_with_sockets_are_dialed_too() {
    let broker = crate::common::start().await;
    let mut dialed = Client::dial(&broker, 0);
    broker.create_topic("t", 1, &[]).await.unwrap();
    assert_eq!(dialed.produce_values("t", 0, &["a"]).await, 0);
    let mut connected = Client::connect(&broker.bootstrap()).await;
    assert_eq!(connected.produce_values("t", 0, &["b"]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_refuses_and_drops_its_connections() {
    let broker = start_in_memory(1).await;
    let mut client = Client::dial(&broker, 1);
    client.call(12, &MetadataRequest::default()).await;
    broker.stop_node(1).await.unwrap();
    assert!(client.receive_frame().await.is_none());
    let address = broker.addr(1).unwrap();
    assert_eq!(broker.dial(&address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    broker.start_node(1).await.unwrap();
    Client::dial(&broker, 1).call(12, &MetadataRequest::default()).await;
}

/// Answers of a scripted run on three nodes with random faults, as frames.
async fn trace(seed: u64) -> Vec<Option<Bytes>> {
    let broker = start_in_memory(seed).await;
    let topic =
        [("message.timestamp.type", "LogAppendTime"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    broker.create_topic("t", 3, &topic).await.expect("topic is created");
    broker.faults().reseed(seed);
    broker.faults().add(FaultRule::new(FaultAction::DropAfter).probability(0.2));
    broker.faults().add(FaultRule::new(FaultAction::DelayAfter(Duration::from_millis(7))).probability(0.5));
    let mut trace = Vec::new();
    let mut clients: Vec<Client> = (0..3).map(|node| Client::dial(&broker, node)).collect();
    for round in 0..40 {
        let node = round % 3;
        let client = &mut clients[node];
        match round % 5 {
            0 => client.send(9, &produce_request("t", 0, crate::common::batch_of(&["a", "b"]))).await,
            1 => client.send(12, &fetch_request("t", 0, 0).with_session_epoch(0).with_max_wait_ms(50)).await,
            2 => client.send(9, &join_request()).await,
            3 => client.send(12, &MetadataRequest::default()).await,
            _ => client.send(7, &CreateTopicsRequest::default().with_topics(vec![new_topic(round)])).await,
        };
        let answer = client.receive_frame().await;
        if answer.is_none() {
            *client = Client::dial(&broker, i32::try_from(node).expect("a node number"));
        }
        trace.push(answer);
    }
    trace
}

fn join_request() -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(1_000)
        .with_rebalance_timeout_ms(1_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn new_topic(round: usize) -> create_topics_request::CreatableTopic {
    let topic = create_topics_request::CreatableTopic::default().with_name(name(&format!("t-{round}")));
    topic.with_num_partitions(1).with_replication_factor(1)
}

#[test]
fn runs_of_one_seed_are_the_same() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(trace(seed))
    };
    let first = run(11);
    assert_eq!(first, run(11));
    assert!(first.iter().any(Option::is_none), "the faults struck");
    assert_ne!(first, run(12));
}
