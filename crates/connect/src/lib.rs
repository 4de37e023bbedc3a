//! The connector SDK: what a connector, a converter or a transform is written with.
//!
//! * [`config`]: which keys a component has, and the report that checks a configuration against them.
//! * [`connector`]: the traits of source and sink connectors and of their tasks.
//! * [`converter`]: bytes of a record to values and back, under the names and with the bytes of Connect's converters.
//! * [`data`]: schemas and values with Kafka Connect's types, logical types and rules of equality.
//! * [`java`]: regular expressions and date patterns as Java reads them.
//! * [`plugin`]: all of these by the names that configurations use.
//! * [`record`]: records of sources and sinks, and their headers.
//! * [`transform`]: changes of single records on their way, and the predicates that decide about them.
//!
//! Names follow the Java API, so that its documentation is of use here too.

// Derived code names this crate as others do.
extern crate self as kanat_connect;

pub mod config;
pub mod connector;
pub mod converter;
pub mod data;
mod error;
pub mod java;
pub mod plugin;
pub mod record;
pub mod transform;

pub use self::error::{Error, Result};

/// Version of what this crate provides, as plugin lists show it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
