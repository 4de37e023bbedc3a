//! Discovery: which columns a set of JSON records has, and of which types.
//!
//! Every top-level key is a column. Its types, by value:
//!
//! | JSON | type |
//! |---|---|
//! | integer literal that fits 64 bits | `integer` |
//! | any other number (`1.0`, `1e3`, larger integers) | `number` |
//! | string in a layout of [`crate::timestamp`] | `timestamp`, `timestamp_milli`, `timestamp_micro`, `timestamp_nano` |
//! | other string | `string` |
//! | `true`, `false` | `boolean` |
//! | object, array (never expanded) | `object`, `array` |
//! | `null` | `null` |
//!
//! Of equal keys in one record only the last counts. A bad record changes nothing.

use crate::error::{Error, Result};
use crate::json::{self, Number, ScanError, Scanner};
use crate::keys::{Key, KeyTable, START, after};
use crate::timestamp;
use crate::types::{DataType, TypeSet, common_ancestor};

/// What was seen in one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnTypes {
    /// The types, `null` among them if a null was seen.
    pub types: TypeSet,
    /// Some number is an integer that a double would round, or is beyond every double.
    pub not_double: bool,
}

impl ColumnTypes {
    /// The type of a column of type `base` once it also holds these values: the common ancestor of all, except that a
    /// column of doubles with a number that no double holds becomes `string`.
    #[must_use]
    pub fn widen(self, base: DataType) -> DataType {
        match common_ancestor(base, self.types.collapse()) {
            DataType::Number | DataType::NumberSmall if self.not_double => DataType::String,
            data_type => data_type,
        }
    }

    /// The one type for these values.
    #[must_use]
    pub fn data_type(self) -> DataType {
        self.widen(DataType::Null)
    }

    fn extend(&mut self, other: Self) {
        self.types.extend(other.types);
        self.not_double |= other.not_double;
    }
}

/// The type of the value at the cursor, which is moved over.
fn value_type(scanner: &mut Scanner<'_>) -> Result<ColumnTypes, ScanError> {
    let one = |data_type| ColumnTypes { types: TypeSet::from_iter([data_type]), not_double: false };
    match scanner.peek() {
        Some(b'"') => {
            let text = scanner.string()?;
            let parsed = timestamp::parse(&text.unescape());
            Ok(one(parsed.map_or(DataType::String, |parsed| parsed.precision)))
        }
        Some(b'-' | b'0'..=b'9') => Ok(number_type(&scanner.number()?)),
        first => {
            scanner.skip_value()?;
            Ok(one(match first {
                Some(b'{') => DataType::Object,
                Some(b'[') => DataType::Array,
                Some(b'n') => DataType::Null,
                _ => DataType::Boolean,
            }))
        }
    }
}

fn number_type(number: &Number<'_>) -> ColumnTypes {
    let data_type = if number.as_i64().is_some() { DataType::Integer } else { DataType::Number };
    ColumnTypes { types: TypeSet::from_iter([data_type]), not_double: number.as_f64().is_none() }
}

/// A record that was taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Where in the record more than white space follows the object, if so.
    pub trailing: Option<usize>,
}

/// Columns and their types, collected record by record.
#[derive(Debug)]
pub struct Inference {
    keys: KeyTable,
    columns: Vec<Column>,
    /// Columns of the record being read, with what it has in them.
    current: Vec<(usize, ColumnTypes)>,
    /// Records observed.
    records: u64,
    unknown: UnknownKeys,
    columns_max: usize,
}

/// What becomes of a key that is not a column yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownKeys {
    Add,
    AddUnlessNull,
    Skip,
}

#[derive(Debug)]
struct Column {
    source: String,
    seen: ColumnTypes,
    /// The record that had this key last (as [`Inference::records`] counts), and where in `current` it stands.
    last: Option<(u64, usize)>,
}

impl Inference {
    /// Nothing seen yet; at most `columns_max` distinct keys will be taken.
    #[must_use]
    pub fn new(columns_max: usize) -> Self {
        Self {
            keys: KeyTable::default(),
            columns: Vec::new(),
            current: Vec::new(),
            records: 0,
            unknown: UnknownKeys::Add,
            columns_max,
        }
    }

    /// Nothing seen yet of columns that are known already.
    pub(crate) fn of_columns<'a>(
        sources: impl IntoIterator<Item = &'a str>,
        unknown: UnknownKeys,
        columns_max: usize,
    ) -> Result<Self> {
        let mut inference = Self { unknown, ..Self::new(columns_max) };
        for source in sources {
            inference.add(source.to_owned())?;
        }
        Ok(inference)
    }

    /// Takes one record into account.
    ///
    /// # Errors
    /// [`Error::Record`] if it is not a JSON object, [`Error::TooManyColumns`]; nothing is changed then.
    pub fn observe(&mut self, record: &[u8]) -> Result<Observed> {
        let known = self.columns.len();
        self.current.clear();
        let result = self.read(record);
        if result.is_err() {
            self.columns.truncate(known);
            self.keys.truncate(known);
            // So that no column of the failed record passes for one of the next.
            for (id, _) in &self.current {
                if let Some(column) = self.columns.get_mut(*id) {
                    column.last = None;
                }
            }
        } else {
            for (id, seen) in self.current.drain(..) {
                if let Some(column) = self.columns.get_mut(id) {
                    column.seen.extend(seen);
                }
            }
            self.records += 1;
        }
        result
    }

    fn read(&mut self, record: &[u8]) -> Result<Observed> {
        let syntax = |error: ScanError| Error::Record(error.into());
        let mut scanner = json::open(record)?;
        let mut place = START;
        let mut more = scanner.enter_object().map_err(syntax)?;
        while more {
            let id = match self.keys.read(&mut scanner, place).map_err(syntax)? {
                Key::Known(id) => Some(id),
                Key::Unknown(key) if self.adds(&scanner) => Some(self.add(key.into_owned())?),
                Key::Unknown(_) => None,
            };
            let seen = value_type(&mut scanner).map_err(syntax)?;
            if let Some(id) = id {
                place = after(id);
                self.note(id, seen);
            }
            more = scanner.next_member().map_err(syntax)?;
        }
        Ok(Observed { trailing: scanner.remainder() })
    }

    /// Does an unknown key with the value at the cursor become a column?
    fn adds(&self, scanner: &Scanner<'_>) -> bool {
        match self.unknown {
            UnknownKeys::Add => true,
            UnknownKeys::AddUnlessNull => scanner.peek() != Some(b'n'),
            UnknownKeys::Skip => false,
        }
    }

    /// The current record has `seen` in column `id`, in place of what it had there before.
    fn note(&mut self, id: usize, seen: ColumnTypes) {
        let Some(column) = self.columns.get_mut(id) else { return };
        let earlier = column.last.filter(|(record, _)| *record == self.records).map(|(_, at)| at);
        match earlier.and_then(|at| self.current.get_mut(at)) {
            Some(entry) => entry.1 = seen,
            None => {
                column.last = Some((self.records, self.current.len()));
                self.current.push((id, seen));
            }
        }
    }

    fn add(&mut self, source: String) -> Result<usize> {
        if self.columns.len() >= self.columns_max {
            return Err(Error::TooManyColumns { columns_max: self.columns_max, key: source });
        }
        let id = self.keys.add(&source);
        self.columns.push(Column { source, seen: ColumnTypes::default(), last: None });
        Ok(id)
    }

    /// Takes everything another inference saw into account; its new columns come after the ones known here.
    ///
    /// # Errors
    /// [`Error::TooManyColumns`]; some columns may have been merged then.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        self.records += other.records;
        for column in other.columns {
            let id = match self.keys.id(&column.source) {
                Some(id) => id,
                None => self.add(column.source)?,
            };
            if let Some(mine) = self.columns.get_mut(id) {
                mine.seen.extend(column.seen);
                mine.last = None;
            }
        }
        Ok(())
    }

    /// How many records were taken into account.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Source keys and their types, in the order the keys were first seen.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, ColumnTypes)> {
        self.columns.iter().map(|column| (column.source.as_str(), column.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(records: &[&str]) -> Vec<(String, Vec<&'static str>)> {
        let mut inference = Inference::new(100);
        for record in records {
            let _ = inference.observe(record.as_bytes());
        }
        let names = |seen: ColumnTypes| seen.types.iter().map(DataType::as_str).collect();
        inference.columns().map(|(source, seen)| (source.to_owned(), names(seen))).collect()
    }

    #[test]
    fn columns_come_in_the_order_of_their_first_record() {
        let columns = inferred(&[
            r#"{"b":1,"a":"x"}"#,
            r#"{"c":null,"a":"2024-01-02","b":1.5}"#,
            r#"{"n":{"x":1},"l":[],"f":true,"big":9223372036854775808}"#,
        ]);
        let expected: [(&str, &[&str]); 7] = [
            ("b", &["integer", "number"]),
            ("a", &["string", "timestamp"]),
            ("c", &["null"]),
            ("n", &["object"]),
            ("l", &["array"]),
            ("f", &["boolean"]),
            ("big", &["number"]),
        ];
        assert_eq!(columns, expected.map(|(name, types)| (name.to_owned(), types.to_vec())));
    }

    #[test]
    fn a_bad_record_leaves_no_trace_and_the_last_of_equal_keys_counts() {
        let columns = inferred(&[r#"{"a":1,"x":"#, r#"{"a":{},"b":1,"a":2}"#, r#"{"b":1,"b":"s"}"#, r#"{"b":"s",]"#]);
        assert_eq!(columns, [("a".to_owned(), vec!["integer"]), ("b".to_owned(), vec!["integer", "string"])]);
    }

    #[test]
    fn merging_is_like_observing_everything() {
        let mut left = Inference::new(3);
        let mut right = Inference::new(3);
        left.observe(br#"{"a":1}"#).unwrap();
        right.observe(br#"{"b":null,"a":9007199254740993}"#).unwrap();
        right.observe(br#"{"a":1.5}"#).unwrap();
        left.merge(right).unwrap();
        assert_eq!(left.records(), 3);
        let columns: Vec<_> = left.columns().collect();
        assert_eq!(columns[0].0, "a");
        assert_eq!(columns[0].1.types.collapse(), DataType::Number);
        assert_eq!(columns[0].1.data_type(), DataType::String);
        assert_eq!(columns[1].1.data_type(), DataType::Null);
        assert!(
            matches!(left.observe(br#"{"c":1,"d":2}"#), Err(Error::TooManyColumns { columns_max: 3, key }) if key == "d")
        );
        assert_eq!(left.columns().len(), 2);
    }
}
