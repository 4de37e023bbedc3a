//! The Connect worker: runs connectors as Kafka Connect does, with its REST API, configurations and internal topics.
//!
//! ```text
//! REST ──> herder ──> configuration log ──> actor per connector ──> tasks ──> Kafka, other systems
//! ```
//!
//! * [`config`]: the worker's own configuration.
//! * [`group`]: how workers share connectors and tasks, without I/O.
//! * [`store`]: what the internal topics and the offset file hold, without I/O.
//! * [`Standalone`]: a worker on its own.

pub mod config;
mod error;
pub mod group;
mod guard;
mod herder;
mod json_map;
mod rest;
mod standalone;
pub mod store;
mod task;

pub use self::error::{Error, Result};
pub use self::herder::{LevelSink, Loggers, NewConnector};
pub use self::standalone::{Standalone, read_connector};
