//! The one error enum of the crate.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

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

    /// An Arrow type that tables do not have.
    #[error("column {column:?} has type {data_type}, which tables cannot hold")]
    ColumnType {
        /// Destination column name.
        column: String,
        /// The Arrow type.
        data_type: String,
    },

    /// Columns that do not make a Parquet schema.
    #[error("the columns do not make a parquet schema: {source}")]
    Schema {
        /// What the Parquet library says.
        source: ParquetError,
    },

    /// An unknown codec or level.
    #[error("unknown compression {value:?}: use none, snappy, lz4, zstd or zstd:<1-22>")]
    Compression {
        /// What was asked for.
        value: String,
    },

    /// A file or folder operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, such as `create file`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A Parquet file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library says.
        source: ParquetError,
    },

    /// Another process writes the table as the same owner.
    #[error("another kanat sync is writing table {} with group {owner} (lock file {})", table.display(), lock.display())]
    TableLocked {
        /// Folder of the table.
        table: PathBuf,
        /// Name of the owner.
        owner: String,
        /// The lock that is held.
        lock: PathBuf,
    },

    /// A table folder that some process is writing cannot be removed.
    #[error("table {} is being written by another kanat sync (lock file {})", table.display(), lock.display())]
    TableInUse {
        /// Folder of the table.
        table: PathBuf,
        /// The lock that is held.
        lock: PathBuf,
    },

    /// A journal entry that cannot be read or written: an operator must look.
    #[error("journal entry {} is not valid: {reason}", path.display())]
    JournalEntry {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A journal entry names a file that is gone: an operator must act.
    #[error(
        "file {} is gone, although journal entry {} says that it was written: restore it, or remove the entry and \
         reset the offsets it names", file.display(), entry.display()
    )]
    FileLost {
        /// Final name of the file.
        file: PathBuf,
        /// The entry that names it.
        entry: PathBuf,
    },

    /// A `partition_regex` that cannot be used.
    #[error("partition_regex {text:?}: {reason}")]
    PartitionRegex {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Rows and their folders do not belong together.
    #[error("partition folders are given for {folders} rows, but there are {rows}")]
    RowFolders {
        /// Rows that have a folder.
        folders: usize,
        /// Rows of the batch.
        rows: usize,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
