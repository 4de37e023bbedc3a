//! Kafka wire format without I/O: frames, versions, record batches, compression.
//!
//! Bytes come in as one [`bytes::Bytes`] per frame. [`frame`] takes the header off and decodes the body into a message
//! struct of [`messages`]; record batches inside produce requests and fetch responses stay raw and shared. [`batch`]
//! splits them into [`batch::RecordBatch`]es (still compressed, no copy) and reads records as borrowed views; a
//! compressed body is inflated once by [`compression`] into a pooled, bounded buffer. The other way round a
//! [`batch::BatchBuilder`] writes records straight into the open batch, and sealing compresses it and patches length
//! and checksum.
//!
//! Nothing read from the wire is believed before it is checked: a length never allocates more than a small constant
//! times the bytes that are there ([`frame::decode_body`], [`batch`]), and a compressed body never more than its
//! [`compression::Decompressor`] was told to allow.

pub mod batch;
pub mod compression;
mod error;
mod error_code;
pub mod frame;
mod layout;
pub mod messages;
pub mod produce;
pub mod version;
mod wire;

pub use error::{Error, Result};
pub use error_code::ErrorCode;
