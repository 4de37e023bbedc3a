//! Reading JSON text: one forward pass over borrowed bytes, no tree.
//!
//! [`open`] checks a record once (UTF-8, and that it begins with an object) and hands out a [`Scanner`], which its
//! readers drive member by member. [`Canonical`] rewrites a value in one canonical form.
//!
//! What is accepted is RFC 8259, with these notes:
//! - only the first value of a record counts; [`Scanner::remainder`] reports what follows it;
//! - values nest at most [`DEPTH_MAX`] deep;
//! - a `\u` escape that is half of a surrogate pair reads as U+FFFD.

mod canonical;
mod number;
mod scan;
mod swar;
mod text;

pub use canonical::Canonical;
pub use number::{Number, is_exact_double};
pub use scan::{ScanError, Scanner, deeper};
pub use swar::Token;
pub use text::{Text, is_canonical, write_plain_string, write_string};

/// How deep objects and arrays may nest, the record itself included. It bounds the stack.
pub const DEPTH_MAX: usize = 128;

/// Why a record cannot become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadReason {
    /// No bytes, or only white space.
    #[error("value is empty")]
    Empty,
    /// JSON `null`.
    #[error("value is JSON null")]
    Null,
    /// Valid JSON, but an array, a string, a number or a boolean.
    #[error("value is not a JSON object")]
    NotObject,
    /// Not JSON.
    #[error("value is not valid JSON at byte {offset}")]
    NotJson {
        /// Where reading stopped, in bytes from the start of the record.
        offset: usize,
    },
    /// Some byte of the record is not UTF-8.
    #[error("value is not valid UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first bad byte.
        offset: usize,
    },
    /// Objects and arrays nest deeper than [`DEPTH_MAX`].
    #[error("value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

impl BadReason {
    /// A stable name for tables and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Null => "null",
            Self::NotObject => "not_object",
            Self::NotJson { .. } => "not_json",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::TooDeep => "too_deep",
        }
    }
}

impl From<ScanError> for BadReason {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Syntax { offset } => Self::NotJson { offset },
            ScanError::TooDeep => Self::TooDeep,
        }
    }
}

/// Checks that a record is UTF-8 and begins with an object, and returns a scanner that stands on its `{`.
///
/// # Errors
/// Every [`BadReason`]; a record that is not an object is read through, so that `NotObject` means valid JSON.
#[inline]
pub fn open(record: &[u8]) -> Result<Scanner<'_>, BadReason> {
    if simdutf8::basic::from_utf8(record).is_err() {
        return Err(not_utf8(record));
    }
    let mut scanner = Scanner::new(record);
    scanner.skip_space();
    match scanner.peek() {
        Some(b'{') => Ok(scanner),
        first => Err(not_object(scanner, first)),
    }
}

#[cold]
fn not_utf8(record: &[u8]) -> BadReason {
    let offset = std::str::from_utf8(record).map_or_else(|error| error.valid_up_to(), str::len);
    BadReason::NotUtf8 { offset }
}

#[cold]
fn not_object(mut scanner: Scanner<'_>, first: Option<u8>) -> BadReason {
    match (first, scanner.skip_value()) {
        (None, _) => BadReason::Empty,
        (_, Err(error)) => error.into(),
        (Some(b'n'), Ok(())) => BadReason::Null,
        (_, Ok(())) => BadReason::NotObject,
    }
}
