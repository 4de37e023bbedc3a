//! Transforms and predicates: changes of single records between connector and Kafka.
//!
//! They have the Java classes' names, keys and messages. Each works on the record in place; the schemas it makes are
//! kept, so that a stream of records with one schema costs no more than moving its values.

mod builtin;
mod cast;
mod chain;
mod debezium;
mod field_path;
mod fields;
mod flatten;
mod insert_field;
mod options;
mod part;
mod predicates;
mod routers;
mod simple;
mod timestamp_converter;

use std::fmt;

pub(crate) use self::builtin::register;
pub use self::chain::{Applied, Chain, Failed, define_chain};

use crate::error::Result;
use crate::record::Record;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It ends here: nothing is written for it, and its position counts as done.
    Drop,
}

/// Which parts of a record somebody reads or changes. What nobody reads is not converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// The key.
    pub key: bool,
    /// The value.
    pub value: bool,
    /// The headers.
    pub headers: bool,
}

impl Parts {
    /// Nothing but topic, partition, offset and timestamp.
    pub const NONE: Parts = Parts { key: false, value: false, headers: false };
    /// Everything.
    pub const ALL: Parts = Parts { key: true, value: true, headers: true };

    /// What either of two needs.
    #[must_use]
    pub fn or(self, other: Parts) -> Parts {
        Parts { key: self.key || other.key, value: self.value || other.value, headers: self.headers || other.headers }
    }
}

/// A change of single records. Each task has its own.
pub trait Transformation: fmt::Debug + Send {
    /// Changes a record in place, or drops it.
    ///
    /// # Errors
    /// When the record does not allow the change. It may then be half changed and must not be used.
    fn apply(&mut self, record: &mut Record) -> Result<Verdict>;

    /// What it reads or changes.
    fn parts(&self) -> Parts {
        Parts::ALL
    }
}

/// A question about single records, which decides whether a transform is applied.
pub trait Predicate: fmt::Debug + Send {
    /// Whether it holds.
    ///
    /// # Errors
    /// When the record does not allow the question.
    fn test(&mut self, record: &Record) -> Result<bool>;

    /// What it reads.
    fn parts(&self) -> Parts {
        Parts::ALL
    }
}
