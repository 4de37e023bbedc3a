//! Tests of the client over whole connections, most of them against the embedded broker.
//!
//! One program for all of them: linking one for each file took most of the time of a test run.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin;
mod admin_group;
mod bootstrap;
mod common;
mod consumer;
mod consumer_positions;
mod group_consumer;
mod membership;
mod operation;
mod partition_client;
mod peers_faults;
mod producer;
mod rskafka_batch_producer;
mod rskafka_client;
mod rskafka_defects;
mod rskafka_stream_consumer;
mod security;
mod transactions;
