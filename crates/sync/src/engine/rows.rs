//! What turns a chunk of records into rows: the two layouts and what they have in common.
//!
//! Every record that goes in comes out as a row, as a [`Refused`] one, or as both (a row whose record
//! had more bytes behind its first JSON value: the rest is refused). Nothing else can happen to it (rule 3).

use arrow_array::RecordBatch;
use kanat_lake::json::BadReason;

use super::chunk::RecordView;
use super::key::registry_prefix_bytes;
use super::normalized::NormalizedRows;
use super::raw_rows::RawRows;
use crate::error::Result;

/// A record, or the rest of one, that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its index among the records that went in.
    pub(crate) record: usize,
    /// Where in the value the refused bytes begin; 0 when the whole record is refused.
    pub(crate) value_from: usize,
    /// Short and stable.
    pub(crate) reason: &'static str,
    /// What was found.
    pub(crate) detail: String,
}

/// Rows of one chunk.
#[derive(Debug)]
pub(crate) struct Rows {
    /// In any order of columns: the table writer knows theirs.
    pub(crate) batch: RecordBatch,
    pub(crate) refused: Vec<Refused>,
}

/// How records of one stream become rows.
#[derive(Debug)]
pub(crate) enum Layout {
    /// One column per top-level key.
    Normalized(Box<NormalizedRows>),
    /// One column with the whole record.
    Raw(Box<RawRows>),
}

impl Layout {
    /// Rows of `records`, made at `now_us` (microseconds since 1970).
    pub(crate) fn rows(&mut self, records: &[RecordView<'_>], now_us: i64) -> Result<Rows> {
        match self {
            Self::Normalized(layout) => layout.rows(records, now_us),
            Self::Raw(layout) => layout.rows(records, now_us),
        }
    }

    /// Takes back rows that are written, for the memory in them.
    pub(crate) fn recycle(&mut self, written: RecordBatch) {
        if let Self::Raw(layout) = self {
            layout.recycle(written);
        }
    }
}

/// The bytes of a record's value that should be JSON; `index` is the record's among those that went in.
pub(crate) fn json_of<'a>(
    record: &RecordView<'a>,
    index: usize,
    record_bytes_max: usize,
) -> std::result::Result<&'a [u8], Refused> {
    let whole = |reason, detail: String| Refused { record: index, value_from: 0, reason, detail };
    match record.value {
        None => Err(whole("null_value", "the record has no value".to_owned())),
        Some(value) if value.len() > record_bytes_max => Err(whole(
            "too_large",
            format!("the value has {} bytes, record_bytes_max is {record_bytes_max}", value.len()),
        )),
        Some(value) => Ok(&value[registry_prefix_bytes(value)..]),
    }
}

impl Refused {
    /// A record that is not a JSON object.
    pub(crate) fn bad(record: usize, reason: BadReason) -> Self {
        Self { record, value_from: 0, reason: reason.code(), detail: reason.to_string() }
    }

    /// Bytes behind the first JSON value of a record that became a row.
    pub(crate) fn trailing(record: usize, value_from: usize) -> Self {
        let detail = format!("the row holds the first {value_from} bytes of the value; this is the rest");
        Self { record, value_from, reason: "trailing_bytes", detail }
    }
}
