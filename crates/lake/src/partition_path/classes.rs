//! Rows grouped by what their values contribute to a folder name.

use std::hash::Hash;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, ArrayRef};
use arrow_schema::{DataType as ArrowType, TimeUnit};

use super::Numbering;
use super::value::{Granularity, MICROS_PER_SECOND};
use crate::error::{Error, Result};
use crate::timestamp;

/// A class per row. Rows of one class have the same folder, as far as the columns seen so far decide.
#[derive(Debug)]
pub(super) struct Classes {
    of_rows: Vec<u32>,
    /// By class: one row that has it.
    first_rows: Vec<usize>,
}

/// What of a text value decides: the instant it falls into, or all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum TextKey<'a> {
    Null,
    Bucket(i64),
    Text(&'a str),
}

impl Classes {
    /// All rows alike.
    pub(super) fn one(rows: usize) -> Self {
        Self { of_rows: vec![0; rows], first_rows: if rows == 0 { Vec::new() } else { vec![0] } }
    }

    /// By the values of a column.
    pub(super) fn of(name: &str, column: &ArrayRef, granularity: Option<Granularity>) -> Result<Self> {
        let instant = |micros: i64| granularity.map_or(micros, |granularity| granularity.bucket(micros));
        let seconds = |value: i64| match granularity {
            Some(granularity) => granularity.bucket(value.saturating_mul(MICROS_PER_SECOND)),
            None => value,
        };
        Ok(match column.data_type() {
            ArrowType::Utf8 => Self::by_key(column.as_string::<i32>().iter().map(|text| text_key(text, granularity))),
            ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
                let column = column.as_primitive::<TimestampMicrosecondType>();
                Self::by_key(column.iter().map(|value| value.map(instant)))
            }
            ArrowType::Int64 => Self::by_key(column.as_primitive::<Int64Type>().iter().map(|value| value.map(seconds))),
            ArrowType::Int32 => {
                let column = column.as_primitive::<Int32Type>();
                Self::by_key(column.iter().map(|value| value.map(|value| seconds(value.into()))))
            }
            ArrowType::Float64 => {
                Self::by_key(column.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)))
            }
            ArrowType::Float32 => {
                Self::by_key(column.as_primitive::<Float32Type>().iter().map(|value| value.map(f32::to_bits)))
            }
            ArrowType::Boolean => Self::by_key(column.as_boolean().iter()),
            other => return Err(Error::ColumnType { column: name.to_owned(), data_type: other.to_string() }),
        })
    }

    /// By these classes and by others: one class per pair.
    pub(super) fn combine(&self, other: &Self) -> Self {
        if self.first_rows.len() <= 1 {
            return Self { of_rows: other.of_rows.clone(), first_rows: other.first_rows.clone() };
        }
        Self::by_key(self.of_rows.iter().copied().zip(other.of_rows.iter().copied()))
    }

    pub(super) fn of_rows(&self) -> &[u32] {
        &self.of_rows
    }

    pub(super) fn first_rows(&self) -> &[usize] {
        &self.first_rows
    }

    fn by_key<K: Copy + Eq + Hash>(keys: impl Iterator<Item = K>) -> Self {
        let mut numbering = Numbering::new();
        let mut classes = Self { of_rows: Vec::with_capacity(keys.size_hint().0), first_rows: Vec::new() };
        for (row, key) in keys.enumerate() {
            let (class, is_new) = numbering.number(key);
            if is_new {
                classes.first_rows.push(row);
            }
            classes.of_rows.push(class);
        }
        classes
    }
}

fn text_key(text: Option<&str>, granularity: Option<Granularity>) -> TextKey<'_> {
    let Some(text) = text else { return TextKey::Null };
    let bucket =
        granularity.and_then(|granularity| Some(granularity.bucket(timestamp::parse(text.as_bytes())?.micros)));
    bucket.map_or(TextKey::Text(text), TextKey::Bucket)
}
