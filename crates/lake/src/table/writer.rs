//! All open files of one table.
//!
//! Batches come in chunk by chunk; each goes to the open file of its partition folder, or is split over several. A file
//! ends when it is large enough, when the schema changes, when too many folders are open, or when the caller seals.
//! What has ended waits, complete but at its temporary name, for [`TableWriter::finish_files`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};

use super::file::{FileWriter, FinishedFile};
use super::name::Owner;
use super::options::TableOptions;
use super::plan::EncodingPlan;
use super::split::RowFolders;
use crate::error::{Error, Result};

/// Writes the batches of one table, by one owner and thread.
#[derive(Debug)]
pub struct TableWriter {
    folder: PathBuf,
    owner: Owner,
    options: TableOptions,
    layout: Option<Layout>,
    /// By partition folder.
    open: HashMap<Arc<str>, OpenFile>,
    finished: Vec<FinishedFile>,
    /// Counts writes, to tell which folder was written last.
    writes: u64,
}

/// The schema batches have now.
#[derive(Debug)]
struct Layout {
    given: SchemaRef,
    /// The same with columns in byte order of their names.
    sorted: SchemaRef,
    /// Where each sorted column is in the given batch; `None` if they are sorted already.
    order: Option<Vec<usize>>,
}

#[derive(Debug)]
struct OpenFile {
    writer: FileWriter,
    last_write: u64,
}

impl TableWriter {
    /// A writer for the table in `folder`. Nothing is created before the first row.
    #[must_use]
    pub fn new(folder: PathBuf, owner: Owner, options: TableOptions) -> Self {
        Self { folder, owner, options, layout: None, open: HashMap::new(), finished: Vec::new(), writes: 0 }
    }

    /// Folder of the table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes rows to the table's own folder.
    ///
    /// # Errors
    /// [`Error::ColumnType`], or [`Error::Io`] and [`Error::Parquet`] naming the file. Files are incomplete then: drop
    /// the writer, start again from the last seal.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.arrange(batch)?;
        let mut plan = None;
        self.write_piece(&Arc::from(""), &batch, &batch, &mut plan)?;
        self.bound_memory()
    }

    /// Writes rows to partition folders.
    ///
    /// # Errors
    /// [`Error::RowFolders`] if `folders` are not for as many rows; else as [`TableWriter::write`].
    pub fn write_split(&mut self, batch: &RecordBatch, folders: &RowFolders) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.arrange(batch)?;
        let mut plan = None;
        for (folder, piece) in folders.split(&batch)? {
            self.write_piece(&folder, &piece, &batch, &mut plan)?;
        }
        self.bound_memory()
    }

    /// Puts columns in order; a schema that is not the last one ends all open files.
    fn arrange(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema_ref();
        let same = self
            .layout
            .as_ref()
            .is_some_and(|layout| Arc::ptr_eq(&layout.given, schema) || layout.given.fields() == schema.fields());
        if !same {
            self.finish_open_files()?;
            self.layout = Some(Layout::new(schema));
        }
        match self.layout.as_ref().and_then(|layout| Some((layout.order.as_ref()?, &layout.sorted))) {
            None => Ok(batch.clone()),
            Some((order, sorted)) => {
                let columns = order.iter().map(|column| Arc::clone(batch.column(*column))).collect();
                RecordBatch::try_new(SchemaRef::clone(sorted), columns)
                    .map_err(|source| Error::Column { column: String::from("*"), source })
            }
        }
    }

    /// Writes rows of one folder. `chunk` is the batch they are part of: encodings are chosen by it, since a piece may
    /// be a few rows only.
    fn write_piece(
        &mut self,
        folder: &Arc<str>,
        piece: &RecordBatch,
        chunk: &RecordBatch,
        plan: &mut Option<EncodingPlan>,
    ) -> Result<()> {
        if !self.open.contains_key(folder) {
            self.make_room()?;
            if plan.is_none() {
                *plan = Some(EncodingPlan::sample(chunk, &self.options.file)?);
            }
            let plan = plan.as_ref().expect("the plan was just made");
            let path = if folder.is_empty() { self.folder.clone() } else { self.folder.join(&**folder) };
            let writer = FileWriter::create(&path, &self.owner, chunk.schema(), plan)?;
            self.open.insert(Arc::clone(folder), OpenFile { writer, last_write: 0 });
        }
        self.writes += 1;
        let file = self.open.get_mut(folder).expect("the file is open");
        file.writer.write(piece)?;
        file.last_write = self.writes;
        if file.writer.bytes() >= self.options.file_bytes_max {
            self.finish_file(folder)?;
        }
        Ok(())
    }

    /// Ends the least recently written file if no other may be opened.
    fn make_room(&mut self) -> Result<()> {
        while self.open.len() >= self.options.open_files_max.max(1) {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.last_write).map(|(folder, _)| Arc::clone(folder));
            let Some(oldest) = oldest else { break };
            self.finish_file(&oldest)?;
        }
        Ok(())
    }

    /// Closes row groups, the largest first, until open files hold no more than their bound.
    fn bound_memory(&mut self) -> Result<()> {
        let mut held = self.memory_bytes();
        while held > self.options.memory_bytes_max {
            let Some(largest) = self.open.values_mut().max_by_key(|file| file.writer.memory_bytes()) else { break };
            let freed = largest.writer.memory_bytes();
            if freed == 0 {
                break;
            }
            largest.writer.flush_row_group()?;
            held = held.saturating_sub(freed);
        }
        Ok(())
    }

    fn finish_file(&mut self, folder: &Arc<str>) -> Result<()> {
        if let Some(file) = self.open.remove(folder) {
            self.finished.push(file.writer.finish()?);
        }
        Ok(())
    }

    fn finish_open_files(&mut self) -> Result<()> {
        // In the order they were last written, so that the result does not depend on a hash.
        let mut files: Vec<OpenFile> = self.open.drain().map(|(_, file)| file).collect();
        files.sort_by_key(|file| file.last_write);
        for file in files {
            self.finished.push(file.writer.finish()?);
        }
        Ok(())
    }

    /// Completes all files and gives out those that ended since the last call, on disk but at temporary names.
    /// None of them is empty; if there were no rows, there are no files.
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Io`] naming the file.
    pub fn finish_files(&mut self) -> Result<Vec<FinishedFile>> {
        self.finish_open_files()?;
        Ok(std::mem::take(&mut self.finished))
    }

    /// Closes the row groups in memory: files stay open, [`TableWriter::memory_bytes`] becomes 0.
    ///
    /// # Errors
    /// [`Error::Parquet`] naming the file.
    pub fn flush_row_groups(&mut self) -> Result<()> {
        self.open.values_mut().try_for_each(|file| file.writer.flush_row_group())
    }

    /// Bytes that open files hold in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.open.values().map(|file| file.writer.memory_bytes()).sum()
    }

    /// Size of everything written since the last [`TableWriter::finish_files`].
    #[must_use]
    pub fn unsealed_bytes(&self) -> u64 {
        let finished: u64 = self.finished.iter().map(|file| file.bytes).sum();
        finished + self.open.values().map(|file| file.writer.bytes()).sum::<u64>()
    }

    /// Rows written since the last [`TableWriter::finish_files`].
    #[must_use]
    pub fn unsealed_rows(&self) -> u64 {
        let finished: u64 = self.finished.iter().map(|file| file.rows).sum();
        finished + self.open.values().map(|file| file.writer.rows()).sum::<u64>()
    }

    /// Number of open files.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.open.len()
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        // Open files delete themselves. What was given out by `finish_files` is the caller's.
        for file in &self.finished {
            if let Err(error) = super::durable::remove_file(&file.temporary) {
                tracing::warn!(%error, "an unsealed file stays behind until the next run");
            }
        }
    }
}

impl Layout {
    fn new(given: &SchemaRef) -> Self {
        let fields = given.fields();
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by_key(|column| fields[*column].name());
        if order.is_sorted() {
            return Self { given: Arc::clone(given), sorted: Arc::clone(given), order: None };
        }
        let sorted: Vec<_> = order.iter().map(|column| Arc::clone(&fields[*column])).collect();
        Self { given: Arc::clone(given), sorted: Arc::new(Schema::new(sorted)), order: Some(order) }
    }
}
