//! The connector SDK: what a connector, a converter or a transform is written with.
//!
//! * [`config`]: which keys a component has, and the report that checks a configuration against them.
//! * [`data`]: schemas and values with Kafka Connect's types, logical types and rules of equality.
//! * [`converter`]: bytes of a record to values and back, under the names and with the bytes of Connect's converters.
//!
//! Names follow the Java API, so that its documentation is of use here too.

pub mod config;
pub mod converter;
pub mod data;
mod error;

pub use self::error::{Error, Result};
