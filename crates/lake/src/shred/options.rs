//! What a shredder is told about its table.

use std::collections::HashSet;

use arrow_schema::Field;

use crate::types::DataType;

/// Columns a table may have if nothing else is said.
pub const COLUMNS_MAX_DEFAULT: usize = 10_000;

/// A column of the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnSpec {
    /// Key in the records.
    pub source: String,
    /// Column name at the destination.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

impl ColumnSpec {
    /// The Arrow field: nullable, named as at the destination.
    #[must_use]
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.to_arrow(), true)
    }
}

/// The table as a catalog describes it.
#[derive(Debug, Clone)]
pub struct ShredOptions {
    /// Columns the catalog knows, payload only (metadata columns belong into `reserved`). Of equal source keys the first
    /// counts; a name given twice is numbered for the later one, as [`crate::naming`] says.
    pub columns: Vec<ColumnSpec>,
    /// Names of metadata columns. A payload key of such a name goes to a numbered column (`_kafka_key_2`).
    pub reserved: Vec<String>,
    /// Source keys of `selected_columns`: other columns of the catalog are dropped. `None` selects all.
    pub selected: Option<HashSet<String>>,
    /// Does a key that the catalog does not know become a column?
    pub sync_new_columns: bool,
    /// Name new columns by their key as it is.
    pub use_source_column_names: bool,
    /// Bound on the keys of catalog and records together.
    pub columns_max: usize,
}

impl Default for ShredOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            reserved: Vec::new(),
            selected: None,
            sync_new_columns: true,
            use_source_column_names: false,
            columns_max: COLUMNS_MAX_DEFAULT,
        }
    }
}
