//! `partition_regex`: folder names from column values.
//!
//! The text is OLake's: literal text with placeholders `{column, default, granularity}`, such as
//! `/dt={now(),2025,YYYY}-{now(),06,MM}/country={country,unknown,}`.
//!
//! | part | means |
//! |---|---|
//! | `column` | the row's value; `now()` is the time the row is written |
//! | `default` | used when the value is null or missing; if it is empty, `default_<column>` |
//! | `granularity` | `HH`, `DD`, `WW` (ISO week), `MM` or `YYYY` of the value as an instant, UTC, two digits but for the year; a value that is no instant is used as it is |
//!
//! Single quotes and white space around a part are dropped, a placeholder with fewer than three parts is empty, and a
//! `/` inside a value starts another folder.
//!
//! Values come from outside, folders must stay inside the table. So after the values are in place, segment by segment:
//! empty ones and `.` are dropped, `..` becomes `%2E%2E`, a first segment `_kanat` (the journal's) becomes `%5Fkanat`,
//! a NUL becomes `%00`, and a segment longer than [`SEGMENT_BYTES_MAX`] is cut and given a hash of the whole; so is a
//! path longer than [`FOLDER_BYTES_MAX`].
//!
//! [`PartitionRegex::folders`] works on columns: it numbers the distinct values of each, then their combinations, and
//! builds one path per combination instead of one per row.

mod classes;
mod safe;
mod value;

use std::collections::HashMap;

use arrow_array::ArrayRef;

use crate::error::{Error, Result};
use crate::table::RowFolders;

use classes::Classes;
pub use safe::{FOLDER_BYTES_MAX, SEGMENT_BYTES_MAX};
pub use value::PartitionValue;
use value::{Granularity, value_at};

const NOW: &str = "now()";

/// A parsed `partition_regex`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegex {
    parts: Vec<Part>,
    columns: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Now { granularity: Option<Granularity> },
    Column { index: usize, default: String, granularity: Option<Granularity> },
}

impl PartitionRegex {
    /// Reads a `partition_regex`; an empty one puts all rows into the table's own folder.
    ///
    /// # Errors
    /// [`Error::PartitionRegex`] if its literal text leads out of the table.
    pub fn parse(text: &str) -> Result<Self> {
        let mut regex = Self { parts: Vec::new(), columns: Vec::new(), warnings: Vec::new() };
        let mut rest = text;
        while let Some((literal, placeholder, after)) = next_placeholder(rest) {
            regex.literal(literal);
            regex.placeholder(placeholder);
            rest = after;
        }
        if rest.contains(['{', '}']) {
            regex.warnings.push(format!("{rest:?} has an unpaired brace, which is used as it is"));
        }
        regex.literal(rest);
        if text.split('/').any(|segment| segment.trim() == "..") {
            return Err(Error::PartitionRegex { text: text.to_owned(), reason: "a folder .. would leave the table" });
        }
        Ok(regex)
    }

    /// The columns it asks for, each once, as they appear: names as in the table, or source names.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What is accepted as OLake accepts it, but hardly meant.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Do all rows go to the table's own folder?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The folder of one row: its segments joined by `/`, none at either end.
    ///
    /// `values` are in the order of [`PartitionRegex::columns`], missing ones count as null; `now_us` is in microseconds
    /// since 1970.
    #[must_use]
    pub fn folder(&self, values: &[PartitionValue<'_>], now_us: i64) -> String {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => path.push_str(text),
                Part::Now { granularity } => PartitionValue::Timestamp(now_us).render(*granularity, &mut path),
                Part::Column { index, default, granularity } => match values.get(*index) {
                    None | Some(PartitionValue::Null) => path.push_str(default),
                    Some(value) => value.render(*granularity, &mut path),
                },
            }
        }
        safe::folder(&path)
    }

    /// The folders of `rows` rows, from their columns.
    ///
    /// `columns` are in the order of [`PartitionRegex::columns`]; `None` is a column that does not exist. `now_us` is in
    /// microseconds since 1970, one time for all rows.
    ///
    /// # Errors
    /// [`Error::RowFolders`] if a column does not have `rows` rows; [`Error::ColumnType`] for a type that tables do not
    /// have.
    pub fn folders(&self, columns: &[Option<ArrayRef>], rows: usize, now_us: i64) -> Result<RowFolders> {
        if let Some(column) = columns.iter().flatten().find(|column| column.len() != rows) {
            return Err(Error::RowFolders { folders: column.len(), rows });
        }
        let mut combined = Classes::one(rows);
        for (index, name) in self.columns.iter().enumerate() {
            if let Some(column) = columns.get(index).and_then(Option::as_ref) {
                combined = combined.combine(&Classes::of(name, column, self.finest(index))?);
            }
        }
        let mut folders = RowFolders::new();
        let mut ids = Vec::with_capacity(combined.first_rows().len());
        for row in combined.first_rows() {
            let values: Vec<PartitionValue<'_>> = columns
                .iter()
                .map(|column| column.as_ref().map_or(PartitionValue::Null, |column| value_at(column, *row)))
                .collect();
            ids.push(folders.id(&self.folder(&values, now_us)));
        }
        folders.extend_ids(combined.of_rows().iter().map(|class| ids[*class as usize]));
        Ok(folders)
    }

    /// The finest granularity a column is used with; `None` if somewhere its whole value is used.
    fn finest(&self, column: usize) -> Option<Granularity> {
        let mut finest = Granularity::Year;
        for part in &self.parts {
            if let Part::Column { index, granularity, .. } = part
                && *index == column
            {
                finest = finest.min((*granularity)?);
            }
        }
        Some(finest)
    }

    fn literal(&mut self, text: &str) {
        if !text.is_empty() {
            self.parts.push(Part::Literal(text.to_owned()));
        }
    }

    fn placeholder(&mut self, text: &str) {
        let slots: Vec<&str> = text.split(',').map(|slot| slot.trim().trim_matches('\'').trim()).collect();
        let [column, default, granularity, ..] = slots.as_slice() else {
            self.warnings
                .push(format!("{{{text}}} has fewer than three parts {{column, default, granularity}}: empty"));
            return;
        };
        if !granularity.is_empty() && Granularity::parse(granularity).is_none() {
            self.warnings
                .push(format!("{{{text}}} has granularity {granularity:?}, not HH, DD, WW, MM or YYYY: ignored"));
        }
        let granularity = Granularity::parse(granularity);
        if *column == NOW {
            self.parts.push(Part::Now { granularity });
            return;
        }
        let index = self.columns.iter().position(|known| known == column).unwrap_or_else(|| {
            self.columns.push((*column).to_owned());
            self.columns.len() - 1
        });
        let default = if default.is_empty() { format!("default_{column}") } else { (*default).to_owned() };
        self.parts.push(Part::Column { index, default, granularity });
    }
}

/// Splits off the text before the first `{…}`, what is in it, and the rest.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    Some((before, inside, after))
}

/// Numbers for distinct keys, in the order they are first seen.
#[derive(Debug)]
struct Numbering<K> {
    numbers: HashMap<K, u32>,
    last: Option<(K, u32)>,
}

impl<K: Copy + Eq + std::hash::Hash> Numbering<K> {
    fn new() -> Self {
        Self { numbers: HashMap::new(), last: None }
    }

    /// The number of a key, and whether it is new.
    fn number(&mut self, key: K) -> (u32, bool) {
        if let Some((last, number)) = self.last
            && last == key
        {
            return (number, false);
        }
        let next = u32::try_from(self.numbers.len()).expect("a batch has fewer than 2^32 rows");
        let number = *self.numbers.entry(key).or_insert(next);
        self.last = Some((key, number));
        (number, number == next)
    }
}

#[cfg(test)]
mod tests;
