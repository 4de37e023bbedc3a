//! Embedded development broker that speaks the Kafka protocol, in memory or in a directory.
//!
//! [`Broker::start`] opens the data, listens, and returns a [`BrokerHandle`]; dropping the handle stops the broker.
//! Several nodes with a port each can live in one process: they share topics, groups and records, each partition has
//! one of them as its leader, and nodes stop and start through the handle.
//!
//! A request comes in as a frame, is decoded by `kanat-protocol`, held against the [`FaultPlan`], and answered by one
//! handler per API on the shared cluster state. Record batches are checked (CRC, counts, sequence numbers) and stored
//! as they came; a fetch hands out slices of what is stored. Consumer groups and partition logs are state machines
//! without sockets and clocks.
//!
//! A directory keeps everything that administrators set and groups agreed on: topics, ACLs, quotas, features, configs,
//! SCRAM users, offsets, transactions, and the members of KIP-848 groups.
//!
//! What it leaves out: replication (every node sees the same records, so the high watermark is the log end), expiry of
//! committed offsets and of transactional ids.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kanat_broker::Result<()> {
//! let broker = kanat_broker::Broker::start(kanat_broker::BrokerOptions::default()).await?;
//! println!("kafka-topics.sh --bootstrap-server {} --list", broker.bootstrap());
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```

mod acl;
mod cluster;
mod connection;
mod error;
mod faults;
mod features;
mod fetch_sessions;
mod group;
mod group_config;
mod handlers;
mod journal;
mod listener;
mod log;
mod options;
mod pattern;
mod quotas;
mod security;
mod server;
mod storage;
mod topic;
mod topic_config;
mod transaction;

pub use error::{Error, Result};
pub use faults::{FaultAction, FaultId, FaultPlan, FaultRule};
pub use listener::Dialer;
pub use options::{BrokerOptions, Limits, NODES_MAX};
pub use security::ListenerSecurity;
pub use server::{Broker, BrokerHandle};
