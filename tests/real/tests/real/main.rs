//! `kanat` against peers that others wrote: Apache Kafka holds the records, its Java clients write and read them, DuckDB judges
//! the tables.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

mod admin;
mod cli;
mod cluster;
mod consume;
mod exchange;
mod fetch;
mod golden;
mod groups;
mod interop;
mod kill;
mod numbered;
mod produce;
mod refusals;
mod security;
mod seen;
mod socks;
mod sync;
mod transactions;
mod transforms;
