//! Checks the shape of a message body before it is decoded.
//!
//! The message library reserves memory for as many array elements as the wire claims, so a frame of ten bytes can ask
//! for gigabytes. [`Body::check_layout`] therefore walks the body first, along a description of the message's fields,
//! without allocating: every length must be covered by bytes that are there, every array element must take at least
//! one byte, and the body must end where the message ends. A body that passes makes the decoder reserve exactly the
//! elements that exist, so memory is at most a constant (the largest ratio of a struct's size in memory to its
//! smallest size on the wire) times the length of the frame.

mod parse;
mod table;
mod walk;

pub(crate) use table::{supported, versions};

use crate::error::Result;
use crate::messages::{ApiKey, Decodable, Message};
use crate::version::VersionRange;

/// A message body with a known layout; implemented for every request and response in [`crate::messages`].
pub trait Body: Message + Decodable + 'static {
    /// The API the message belongs to.
    const API_KEY: ApiKey;
    /// The message's name, for errors.
    const NAME: &'static str;

    /// Walks `body` as this message in `version`, without allocating.
    ///
    /// # Errors
    /// [`crate::Error::MalformedFrame`] if a length is negative or not covered by the body, or if bytes are left over.
    fn check_layout(version: i16, body: &[u8]) -> Result<()>;
}

/// The fields of one message in all its versions.
#[derive(Debug)]
pub(crate) struct Layout {
    /// First version with compact lengths and tagged fields.
    flexible_from: i16,
    root: Struct,
}

#[derive(Debug, Default)]
struct Struct {
    fields: Vec<Field>,
    tagged: Vec<(u32, Field)>,
}

#[derive(Debug)]
struct Field {
    versions: VersionRange,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A number, a boolean or a UUID, in bytes.
    Fixed(usize),
    /// Text: two-byte length, or compact.
    Text,
    /// Bytes: four-byte length, or compact.
    Bytes,
    /// Elements: four-byte count, or compact.
    Array(Box<Kind>),
    Struct(Struct),
    /// A struct behind a byte that tells whether it is there.
    OptionalStruct(Struct),
}

#[cfg(test)]
mod tests;
