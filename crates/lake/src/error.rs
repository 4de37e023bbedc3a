//! The one error enum of the crate.

use crate::json::BadReason;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record that cannot become a row; the caller dead-letters it.
    #[error("bad record: {0}")]
    Record(#[from] BadReason),

    /// More distinct top-level keys than the option allows.
    #[error("more than {columns_max} columns (columns_max): key {key:?} would be one more")]
    TooManyColumns {
        /// The bound that was reached.
        columns_max: usize,
        /// The key that did not fit.
        key: String,
    },

    /// A chunk whose bytes could overflow the 32-bit offsets of a string column.
    #[error("chunk of {bytes} bytes is larger than chunk_bytes_max = {chunk_bytes_max}")]
    ChunkTooLarge {
        /// Sum of the record lengths.
        bytes: usize,
        /// The bound.
        chunk_bytes_max: usize,
    },

    /// A value that still does not fit its column after the chunk's types were merged.
    #[error("column {column:?} does not hold the values its type was inferred from")]
    Unsettled {
        /// Source key of the column.
        column: String,
    },

    /// Columns could not be put together as Arrow arrays.
    #[error("column {column:?}: {source}")]
    Column {
        /// Destination column name.
        column: String,
        /// What Arrow says.
        source: arrow_schema::ArrowError,
    },
}

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
