//! The shredder: JSON records straight into Arrow columns.
//!
//! Records come in chunks (OLake's unit is 10,000). Every record is read once, each value appended to the growing
//! vector of its column; there is no tree and no allocation per value. If a value does not fit its column, or a key is
//! new, the rest of the chunk is inferred in one go ([`crate::infer`]), the schema widened, and the chunk read again
//! only if values already taken now have another Arrow type. So a chunk has one schema, the schema only ever widens, and
//! no chunk is read more than three times.
//!
//! # When does a value fit
//!
//! | column | takes |
//! |---|---|
//! | `boolean` | `true`, `false` |
//! | `integer_small` | booleans, as 0 and 1 (JSON integers are `integer`: they widen it) |
//! | `integer` | 64-bit integer literals; booleans |
//! | `number` | decimal literals, rounded to the nearest double; integer literals a double holds exactly; booleans |
//! | `timestamp*` | strings in a layout of [`crate::timestamp`] |
//! | `string`, `object`, `array` | everything: strings resolved, number literals as written, `true`, JSON text |
//! | `null`, `number_small`, `unknown` | nothing but `null` |
//!
//! An integer literal is never rounded: one that neither 64 bits nor a double hold (`18446744073709551615`), or that
//! meets a column of doubles which cannot hold it (`9007199254740993` beside `1.5`), makes the column `string`, all
//! literals kept. So does a number beyond every double (`1e400`). A decimal literal is rounded, as doubles are.
//!
//! What is missing in a record is null. Of equal keys in one record the last counts.

mod column;
mod options;

use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::error::{Error, Result};
use crate::infer::{ColumnTypes, Inference, UnknownKeys};
use crate::json::{self, BadReason, Canonical, ScanError, Scanner};
use crate::keys::{Key, KeyTable, START, after};
use crate::naming::Namer;
use crate::types::DataType;

use column::Column;
pub use options::{COLUMNS_MAX_DEFAULT, ColumnSpec, ShredOptions};

/// Most bytes one chunk may have. Text at the destination is at most six times as long as in the record, so the 32-bit
/// offsets of a string column always suffice.
pub const CHUNK_BYTES_MAX: usize = 256 << 20;

/// Turns chunks of records into columns. The schema lives on from chunk to chunk.
#[derive(Debug)]
pub struct Shredder {
    keys: KeyTable,
    /// By key id.
    columns: Vec<Column>,
    namer: Namer,
    new_columns: bool,
    columns_max: usize,
    canonical: Canonical,
}

/// A record that did not become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index in the chunk.
    pub index: usize,
    /// Why.
    pub reason: BadReason,
}

/// A record that became a row, although more than white space follows its first JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailingBytes {
    /// The record's index in the chunk.
    pub index: usize,
    /// Where in the record the rest begins.
    pub offset: usize,
}

/// The columns of one chunk.
#[derive(Debug)]
pub struct ShreddedChunk {
    /// All columns of the schema as it is now, each `rows` long, catalog columns first, then new ones as they were seen.
    pub columns: Vec<(Arc<ColumnSpec>, ArrayRef)>,
    /// Number of rows: records less bad records.
    pub rows: usize,
    /// Records that are no rows, by index. All others are rows, in order.
    pub bad: Vec<BadRecord>,
    /// Rows whose record had more to it.
    pub trailing: Vec<TrailingBytes>,
    /// Did this chunk add a column, or change the Arrow type of one? Then a file cannot go on with it.
    pub schema_changed: bool,
}

impl ShreddedChunk {
    /// Indices of the records that became rows, in the order of the rows.
    pub fn kept(&self) -> impl Iterator<Item = usize> {
        let mut bad = self.bad.iter().peekable();
        (0..self.rows + self.bad.len()).filter(move |index| bad.next_if(|record| record.index == *index).is_none())
    }
}

/// Why a row could not be finished.
#[derive(Debug)]
enum Stop {
    Bad(BadReason),
    /// A value does not fit, or a key is new: the schema has to widen.
    Misfit,
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Bad(error.into())
    }
}

impl From<BadReason> for Stop {
    fn from(reason: BadReason) -> Self {
        Self::Bad(reason)
    }
}

/// What is known of a chunk while its records are read.
#[derive(Debug, Default)]
struct Progress {
    rows: usize,
    bad: Vec<BadRecord>,
    trailing: Vec<TrailingBytes>,
    /// The rest of the chunk has been inferred: what does not fit now is a duplicate key.
    inferred: bool,
    schema_changed: bool,
}

impl Shredder {
    /// A shredder for a table with the columns a catalog knows.
    ///
    /// # Errors
    /// [`Error::TooManyColumns`] if the catalog has more than `columns_max`.
    pub fn new(options: ShredOptions) -> Result<Self> {
        let ShredOptions { columns, reserved, selected, sync_new_columns, use_source_column_names, columns_max } =
            options;
        let mut shredder = Self {
            keys: KeyTable::default(),
            columns: Vec::with_capacity(columns.len()),
            namer: Namer::new(reserved, use_source_column_names),
            new_columns: sync_new_columns,
            columns_max,
            canonical: Canonical::default(),
        };
        for ColumnSpec { source, name, data_type } in columns {
            if shredder.keys.id(&source).is_some() {
                continue;
            }
            shredder.check_room(&source)?;
            let wanted = selected.as_ref().is_none_or(|selected| selected.contains(&source));
            let name = if wanted { shredder.namer.adopt(&name) } else { name };
            shredder.keys.add(&source);
            let spec = Arc::new(ColumnSpec { source, name, data_type });
            shredder.columns.push(if wanted { Column::new(spec) } else { Column::ignored(spec) });
        }
        Ok(shredder)
    }

    /// The schema as it is now.
    pub fn columns(&self) -> impl Iterator<Item = &Arc<ColumnSpec>> {
        self.columns.iter().filter(|column| !column.is_ignored()).map(Column::spec)
    }

    /// Reads one chunk. Bad records are reported in the chunk, not as an error.
    ///
    /// # Errors
    /// [`Error::TooManyColumns`] if the records have more keys than `columns_max`, [`Error::ChunkTooLarge`] beyond
    /// [`CHUNK_BYTES_MAX`]. The schema may have widened, no rows are kept.
    pub fn shred_chunk(&mut self, records: &[&[u8]]) -> Result<ShreddedChunk> {
        let bytes = records.iter().map(|record| record.len()).sum();
        if bytes > CHUNK_BYTES_MAX {
            return Err(Error::ChunkTooLarge { bytes, chunk_bytes_max: CHUNK_BYTES_MAX });
        }
        let result = self.read_chunk(records);
        if result.is_err() {
            self.columns.iter_mut().for_each(Column::clear);
        }
        result
    }

    fn read_chunk(&mut self, records: &[&[u8]]) -> Result<ShreddedChunk> {
        let mut progress = Progress::default();
        let mut index = 0;
        while let Some(record) = records.get(index) {
            let outcome = match self.read_row(record, progress.rows) {
                Err(Stop::Misfit) if !progress.inferred => {
                    self.clear_row(progress.rows);
                    let rest = records.get(index..).unwrap_or_default();
                    if self.widen(rest, &mut progress)? {
                        self.columns.iter_mut().for_each(Column::clear);
                        progress =
                            Progress { inferred: true, schema_changed: progress.schema_changed, ..Progress::default() };
                        index = 0;
                    }
                    continue;
                }
                Err(Stop::Misfit) => {
                    self.clear_row(progress.rows);
                    self.read_row_of_last_keys(record, progress.rows)
                }
                outcome => outcome,
            };
            match outcome {
                Ok(trailing) => {
                    progress.trailing.extend(trailing.map(|offset| TrailingBytes { index, offset }));
                    progress.rows += 1;
                }
                Err(Stop::Bad(reason)) => {
                    self.clear_row(progress.rows);
                    progress.bad.push(BadRecord { index, reason });
                }
                Err(Stop::Misfit) => return Err(self.unsettled(record)),
            }
            index += 1;
        }
        self.finish(progress)
    }

    /// Appends one record as row number `row`; returns where trailing bytes begin.
    fn read_row(&mut self, record: &[u8], row: usize) -> Result<Option<usize>, Stop> {
        let mut scanner = json::open(record)?;
        let mut place = START;
        let mut more = scanner.enter_object()?;
        while more {
            match self.keys.read(&mut scanner, place)? {
                Key::Known(id) => {
                    place = after(id);
                    if let Some(column) = self.columns.get_mut(id) {
                        column.append(row, &mut scanner, &mut self.canonical)?;
                    }
                }
                Key::Unknown(_) => self.pass_unknown(&mut scanner)?,
            }
            more = scanner.next_member()?;
        }
        Ok(scanner.remainder())
    }

    /// A key without a column: a value makes one, unless new columns are not wanted; a null does not.
    fn pass_unknown(&self, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        if self.new_columns && scanner.peek() != Some(b'n') {
            return Err(Stop::Misfit);
        }
        Ok(scanner.skip_value()?)
    }

    /// As [`Shredder::read_row`] for a record in which only the last of equal keys fits its column.
    #[cold]
    fn read_row_of_last_keys(&mut self, record: &[u8], row: usize) -> Result<Option<usize>, Stop> {
        let mut scanner = json::open(record)?;
        let mut values: Vec<Option<Scanner<'_>>> = vec![None; self.keys.len()];
        let mut place = START;
        let mut more = scanner.enter_object()?;
        while more {
            if let Key::Known(id) = self.keys.read(&mut scanner, place)? {
                place = after(id);
                if let Some(value) = values.get_mut(id) {
                    *value = Some(scanner.clone());
                }
            }
            scanner.skip_value()?;
            more = scanner.next_member()?;
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            if let Some(mut value) = value {
                column.append(row, &mut value, &mut self.canonical)?;
            }
        }
        Ok(scanner.remainder())
    }

    /// Drops what a record that came to nothing has appended.
    #[cold]
    fn clear_row(&mut self, row: usize) {
        for column in &mut self.columns {
            column.truncate(row);
        }
    }

    /// Widens the schema so that all of `rest` fits. `true` if rows already read have to be read again.
    #[cold]
    fn widen(&mut self, rest: &[&[u8]], progress: &mut Progress) -> Result<bool> {
        let mut inference = self.inference()?;
        for record in rest {
            match inference.observe(record) {
                Ok(_) | Err(Error::Record(_)) => {}
                Err(error) => return Err(error),
            }
        }
        progress.inferred = true;
        let mut again = false;
        for (id, (source, seen)) in inference.columns().enumerate() {
            if let Some(column) = self.columns.get_mut(id) {
                let (changed, reread) = column.widen(seen);
                progress.schema_changed |= changed;
                again |= reread;
            } else {
                progress.schema_changed |= self.add_column(source, seen)?;
            }
        }
        Ok(again)
    }

    /// An inference that knows the schema: its columns have the ids they have here.
    fn inference(&self) -> Result<Inference> {
        let unknown = if self.new_columns { UnknownKeys::AddUnlessNull } else { UnknownKeys::Skip };
        Inference::of_columns(
            self.columns.iter().map(|column| column.spec().source.as_str()),
            unknown,
            self.columns_max,
        )
    }

    /// Adds a column for a new key, if it has values and new columns are wanted.
    fn add_column(&mut self, source: &str, seen: ColumnTypes) -> Result<bool> {
        let data_type = seen.data_type();
        if data_type == DataType::Null {
            return Ok(false);
        }
        self.check_room(source)?;
        let spec = ColumnSpec { source: source.to_owned(), name: self.namer.assign(source), data_type };
        self.keys.add(source);
        self.columns.push(Column::new(Arc::new(spec)));
        Ok(true)
    }

    fn check_room(&self, key: &str) -> Result<()> {
        if self.columns.len() < self.columns_max {
            return Ok(());
        }
        Err(Error::TooManyColumns { columns_max: self.columns_max, key: key.to_owned() })
    }

    /// The columns of the chunk; the shredder is then ready for the next.
    fn finish(&mut self, progress: Progress) -> Result<ShreddedChunk> {
        let Progress { rows, bad, trailing, schema_changed, .. } = progress;
        let columns = self.columns.iter_mut().filter(|column| !column.is_ignored());
        let columns =
            columns.map(|column| Ok((Arc::clone(column.spec()), column.finish(rows)?))).collect::<Result<_>>()?;
        Ok(ShreddedChunk { columns, rows, bad, trailing, schema_changed })
    }

    /// After inference everything fits; this names the column should that ever be wrong.
    #[cold]
    fn unsettled(&self, record: &[u8]) -> Error {
        let mut misfit = String::new();
        if let Ok(mut inference) = self.inference() {
            let _ = inference.observe(record);
            let mut seen = inference.columns().zip(self.columns.iter().map(|column| column.spec().data_type));
            misfit = seen
                .find(|((_, seen), data_type)| seen.widen(*data_type) != *data_type)
                .map_or(misfit, |((source, _), _)| source.to_owned());
        }
        Error::Unsettled { column: misfit }
    }
}
