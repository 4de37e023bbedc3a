//! Whole syncs in one process: the embedded broker, the client, the engine, Parquet files read back.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_records;
mod job;
mod layouts;
mod positions;
mod running;
mod security;
mod transactions;
