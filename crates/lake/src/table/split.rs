//! Which row goes to which partition folder.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;

use crate::error::{Error, Result};

/// A folder per row. Folders are relative to the table's, with `/` between their segments; empty is the table's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFolders {
    folders: Vec<Arc<str>>,
    rows: Vec<u32>,
    ids: HashMap<Arc<str>, u32>,
}

impl RowFolders {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row that goes to `folder`.
    pub fn push(&mut self, folder: &str) {
        let id = match self.rows.last() {
            Some(last) if *self.folders[*last as usize] == *folder => *last,
            _ => self.id(folder),
        };
        self.rows.push(id);
    }

    /// Adds rows by the ids of their folders, as [`RowFolders::id`] gave them.
    pub(crate) fn extend_ids(&mut self, ids: impl Iterator<Item = u32>) {
        self.rows.extend(ids);
    }

    /// The id of a folder.
    pub(crate) fn id(&mut self, folder: &str) -> u32 {
        if let Some(id) = self.ids.get(folder) {
            return *id;
        }
        let folder: Arc<str> = Arc::from(folder);
        let id = u32::try_from(self.folders.len()).expect("fewer folders than rows, which are fewer than 2^32");
        self.folders.push(Arc::clone(&folder));
        self.ids.insert(folder, id);
        id
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The distinct folders, as they were first seen.
    #[must_use]
    pub fn folders(&self) -> &[Arc<str>] {
        &self.folders
    }

    /// The folder of a row; `None` beyond the last row.
    #[must_use]
    pub fn folder(&self, row: usize) -> Option<&Arc<str>> {
        self.rows.get(row).and_then(|id| self.folders.get(*id as usize))
    }

    /// Splits a batch by folder. Rows keep their order within a folder.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<(Arc<str>, RecordBatch)>> {
        if self.rows.len() != batch.num_rows() {
            return Err(Error::RowFolders { folders: self.rows.len(), rows: batch.num_rows() });
        }
        let ranges = self.ranges();
        let mut present = self.folders.iter().zip(ranges.iter().cloned()).filter(|(_, range)| !range.is_empty());
        if let (Some((folder, _)), None) = (present.next(), present.next()) {
            return Ok(vec![(Arc::clone(folder), batch.clone())]);
        }
        let order = self.rows_by_folder(&ranges);
        let column = || String::from("_partition");
        let sorted = take_record_batch(batch, &order).map_err(|source| Error::Column { column: column(), source })?;
        let pieces = self.folders.iter().zip(ranges).filter(|(_, range)| !range.is_empty());
        Ok(pieces.map(|(folder, range)| (Arc::clone(folder), sorted.slice(range.start, range.len()))).collect())
    }

    /// Where each folder's rows are, once rows are sorted by folder.
    fn ranges(&self) -> Vec<Range<usize>> {
        let mut counts = vec![0_usize; self.folders.len()];
        for id in &self.rows {
            counts[*id as usize] += 1;
        }
        let mut end = 0;
        counts.iter().map(|count| (end, end += count).0..end).collect()
    }

    /// Row numbers sorted by folder, a counting sort.
    fn rows_by_folder(&self, ranges: &[Range<usize>]) -> UInt32Array {
        let mut next: Vec<usize> = ranges.iter().map(|range| range.start).collect();
        let mut order = vec![0_u32; self.rows.len()];
        for (row, id) in (0_u32..).zip(&self.rows) {
            let at = &mut next[*id as usize];
            order[*at] = row;
            *at += 1;
        }
        UInt32Array::from(order)
    }
}
