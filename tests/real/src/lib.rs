//! Real peers for tests: Apache Kafka clusters started by `tests/peers`, the `kanat` program as a child process, and DuckDB as
//! the judge of the tables it wrote.
//!
//! A test asks [`Kafka::shared`] for a cluster, loads a topic, describes a [`Job`] and judges its table with [`Table`]. A peer
//! that is missing fails the test with the command that brings it; nothing is skipped.

mod broker;
mod job;
mod kafka;
mod program;
mod table;

pub use broker::DevBroker;
pub use job::{Cost, Job, Layout, Outcome, kanat};
pub use kafka::{Contents, Kafka, ThreeNodes};
pub use program::{peers_dir, run, run_with_input};
pub use table::Table;
