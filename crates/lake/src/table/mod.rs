//! Parquet tables on a local disk.
//!
//! ```text
//! RecordBatch ─> TableWriter ──────> FileWriter (one per partition folder) ──> .x.parquet.<owner>.tmp
//!                splits, rolls       row groups by memory, encodings by sample         │ finish_files: fsync
//!                                                                                      v
//!                                    x.parquet  <── rename ── journal entry ── SealJournal::seal
//! ```
//!
//! A table is a folder of Parquet files, perhaps in partition folders ([`crate::partition_path`]). Nothing is visible
//! under a final name before it is complete; [`SealJournal`] says how files and the progress they stand for become
//! durable together.

mod durable;
mod file;
mod folder;
mod journal;
mod lock;
mod name;
mod options;
mod plan;
mod recover;
mod schema;
mod split;
mod writer;

pub use file::{FileWriter, FinishedFile};
pub use folder::{check_folder, clear_table};
pub use journal::{JournalEntry, JournalOptions, SealJournal};
pub use name::{FILE_EXTENSION, JOURNAL_FOLDER, Owner};
pub use options::{
    Compression, FILE_BYTES_MAX_DEFAULT, FileOptions, MEMORY_BYTES_MAX_DEFAULT, OPEN_FILES_MAX_DEFAULT,
    ROW_GROUP_BYTES_MAX_DEFAULT, TableOptions,
};
pub use plan::EncodingPlan;
pub use schema::DATA_COLUMN;
pub use split::RowFolders;
pub use writer::TableWriter;

#[cfg(test)]
mod tests;
