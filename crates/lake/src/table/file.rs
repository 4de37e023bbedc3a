//! One Parquet file while it is written.
//!
//! Rows go into a row group in memory; a row group that reaches `row_group_bytes_max` goes to the file, so that an open
//! file needs the same memory whatever its size. The file has a temporary name until it is sealed
//! ([`super::SealJournal`]); one that is dropped before it is finished is deleted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use ulid::Ulid;

use super::durable;
use super::name::{self, Owner};
use super::plan::EncodingPlan;
use super::schema;
use crate::error::{Error, Result};

/// A complete file, its bytes on disk, still at its temporary name. Only a seal makes it part of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a finished file is part of the table only once it is sealed"]
pub struct FinishedFile {
    /// Where it is now.
    pub temporary: PathBuf,
    /// Where it will be.
    pub path: PathBuf,
    /// Its rows, at least one.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Writes one Parquet file.
pub struct FileWriter {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    temporary: PathBuf,
    path: PathBuf,
    rows: u64,
    plan: EncodingPlan,
    finished: bool,
}

impl FileWriter {
    /// Starts a file with a new name in `folder`, which is created if need be.
    ///
    /// Columns must be in the order they shall have in the file.
    ///
    /// # Errors
    /// [`Error::ColumnType`], or [`Error::Io`] and [`Error::Parquet`] naming the file.
    pub fn create(folder: &Path, owner: &Owner, schema: SchemaRef, plan: &EncodingPlan) -> Result<Self> {
        let path = folder.join(name::file_name(Ulid::new()));
        let temporary = name::temporary_path(&path, owner);
        let descriptor = schema::parquet_schema(&schema)?;
        let file = create_file(folder, &temporary)?;
        let options = ArrowWriterOptions::new()
            .with_properties(plan.properties())
            .with_skip_arrow_metadata(true)
            .with_parquet_schema(descriptor);
        match ArrowWriter::try_new_with_options(file, SchemaRef::clone(&schema), options) {
            Ok(writer) => Ok(Self { writer, schema, temporary, path, rows: 0, plan: plan.clone(), finished: false }),
            Err(source) => {
                durable::remove_file(&temporary)?;
                Err(Error::Parquet { path, source })
            }
        }
    }

    /// Adds rows; the batch has the schema the file was created with.
    ///
    /// # Errors
    /// [`Error::Parquet`] if the file cannot be written or the batch has other columns.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|source| self.error(source))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Closes the row group in memory, if there is one.
    ///
    /// # Errors
    /// [`Error::Parquet`] if the file cannot be written.
    pub fn flush_row_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| self.error(source))
    }

    /// Completes the file and waits until its bytes are on disk.
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Io`]; the file is then deleted.
    pub fn finish(mut self) -> Result<FinishedFile> {
        self.writer.finish().map_err(|source| self.error(source))?;
        let file = self.writer.inner();
        file.sync_all().map_err(Error::io("fsync file", &self.temporary))?;
        let bytes = file.metadata().map_err(Error::io("look at file", &self.temporary))?.len();
        self.finished = true;
        Ok(FinishedFile { temporary: self.temporary.clone(), path: self.path.clone(), rows: self.rows, bytes })
    }

    /// The schema of its batches.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows so far.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes so far: those on disk and the encoded size of those in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        if self.writer.in_progress_rows() == 0 {
            return 0;
        }
        self.plan.memory_bytes(self.writer.in_progress_size())
    }

    fn error(&self, source: ParquetError) -> Error {
        Error::Parquet { path: self.temporary.clone(), source }
    }
}

/// Creates a file and its folder. The folder may vanish in between, once: another owner that leaves the table without
/// rows removes it if it is empty.
fn create_file(folder: &Path, path: &Path) -> Result<File> {
    let create = || {
        fs::create_dir_all(folder).map_err(Error::io("create folder", folder))?;
        File::create_new(path).map_err(Error::io("create file", path))
    };
    create().or_else(|error| match error {
        Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => create(),
        other => Err(other),
    })
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = durable::remove_file(&self.temporary)
        {
            tracing::warn!(%error, "an unfinished file stays behind until the next run");
        }
    }
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("temporary", &self.temporary)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
