//! Tests of the embedded broker over its protocol.
//!
//! One program for all of them: linking one for each file took most of the time of a test run.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin;
mod common;
mod consumer_groups;
mod controller;
mod dial;
mod durability;
mod faults;
mod groups;
mod produce_fetch;
mod security_and_limits;
mod transactions;
