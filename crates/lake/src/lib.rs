//! Schema inference, JSON to Arrow, Parquet tables; knows nothing of Kafka.
//!
//! A record (one JSON object as bytes) takes one of two ways:
//!
//! - **normalised**: [`shred::Shredder`] reads a chunk of records in one pass straight into Arrow columns, one per
//!   top-level key, widening the schema when a value does not fit;
//! - **raw**: [`raw::RawWriter`] rewrites the record as canonical JSON for the one `data` column.
//!
//! Either way [`table`] writes the columns to Parquet. [`infer::Inference`] discovers a schema from samples.
//! The rules (which JSON becomes which type, and every deviation from OLake) are in `docs/types.md`.

pub mod calendar;
pub mod error;
pub mod infer;
mod keys;
pub mod naming;
pub mod partition_path;
pub mod raw;
pub mod shred;
pub mod table;
pub mod timestamp;
pub mod types;

pub use error::{Error, Result};
pub use kanat_json as json;
pub use types::DataType;
