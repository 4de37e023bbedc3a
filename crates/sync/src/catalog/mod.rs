//! The catalog, `streams.json`: which topics there are, their columns, and which of them to sync how.
//!
//! [`Catalog::load`] reads a file of ours or of OLake, in the bare form or wrapped in
//! `{"type":"CATALOG","catalog":{...}}`. Discovery builds one with [`Catalog::from_discovered`] and
//! merges it over the file that is already there ([`merge`]). A sync turns it into one
//! [`StreamPlan`] per selected topic ([`plan`]). Keys nobody knows are kept and reported.

pub mod difference;
pub mod filter;
pub mod merge;
pub mod plan;
mod read;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use kanat_lake::DataType;
use kanat_lake::naming::{Namer, reformat};
use kanat_lake::types::TypeSet;
use serde_json::{Map, Value};

pub use filter::{Comparison, Condition, Filter, LogicalOperator};
pub use plan::{ColumnSelection, PlannedColumn, StreamPlan};

/// Namespace of every Kafka stream.
pub const NAMESPACE: &str = "topics";

/// First half of `destination_database` when nothing else is asked for.
pub const DATABASE_PREFIX: &str = "kafka";

/// The one way a topic is synced: from the group's offsets to the end.
pub const SYNC_MODE: &str = "strict_cdc";

/// Columns that are written beside those of the record, whatever is selected.
pub const OLAKE_COLUMNS: [&str; 4] = ["_olake_id", "_olake_timestamp", "_op_type", "_cdc_timestamp"];

/// Columns that identify a record of a topic.
const PRIMARY_KEY: [&str; 2] = ["_kafka_offset", "_kafka_partition"];

/// Topics, their columns and what to do with them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// What to sync, by namespace; `None` (the key is absent) means every stream.
    pub selected_streams: Option<BTreeMap<String, Vec<SelectedStream>>>,
    /// Every known stream.
    pub streams: Vec<Stream>,
    /// Keys that are kept without being understood.
    pub extra: Map<String, Value>,
}

/// How one stream is synced.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedStream {
    /// The topic.
    pub stream_name: String,
    /// Folder pattern below the table, such as `/dt={now(),2025,YYYY}`; empty for none.
    pub partition_regex: String,
    /// Rows are only ever added. Spelled `append_mode` or `append_only`.
    pub append_mode: bool,
    /// One column per top-level key instead of one column with the whole record.
    pub normalization: bool,
    /// Columns are named as in the record instead of in lower case with underscores.
    pub use_source_column_names: bool,
    /// Which columns are written; `None` means all.
    pub selected_columns: Option<SelectedColumns>,
    /// Which rows are written, as in the file.
    pub filter_config: Option<Value>,
    /// The older form of a filter, which has no effect on Kafka.
    pub filter: Option<String>,
    /// Keys that are kept without being understood.
    pub extra: Map<String, Value>,
}

/// Which columns are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectedColumns {
    /// Source keys.
    pub columns: BTreeSet<String>,
    /// Columns that discovery has never seen are written too.
    pub sync_new_columns: bool,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stream {
    /// The topic.
    pub name: String,
    /// [`NAMESPACE`], or what an older file says.
    pub namespace: String,
    /// Columns by source key.
    pub properties: BTreeMap<String, Property>,
    /// Modes the stream can be synced in.
    pub supported_sync_modes: Vec<String>,
    /// Columns that identify a record.
    pub source_defined_primary_key: Vec<String>,
    /// Always empty for Kafka.
    pub available_cursor_fields: Vec<String>,
    /// The chosen mode; empty when the file does not say.
    pub sync_mode: String,
    /// The chosen cursor; without meaning for Kafka.
    pub cursor_field: Option<String>,
    /// `<prefix>:<namespace>`, or one name.
    pub destination_database: String,
    /// The table, which is also the name of its folder.
    pub destination_table: String,
    /// What a selection of this stream starts from, as in the file.
    pub default_stream_properties: Option<Value>,
    /// Keys of the stream that are kept without being understood.
    pub extra: Map<String, Value>,
}

/// One column of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Property {
    /// The types seen in it.
    pub types: TypeSet,
    /// Name of the column in the table; `None` when the file does not say.
    pub destination_column_name: Option<String>,
    /// Written by the sync itself, not taken from the record.
    pub olake_column: bool,
    /// Keys that are kept without being understood.
    pub extra: Map<String, Value>,
}

/// A topic as discovery saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveredStream {
    /// The topic.
    pub topic: String,
    /// Its columns, those of [`kafka_columns`] included when at least one record could be read.
    pub columns: Vec<DiscoveredColumn>,
}

/// A column as discovery saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscoveredColumn {
    /// Key in the record.
    pub source_key: String,
    /// Types seen, [`DataType::Null`] among them when a null was seen.
    pub types: TypeSet,
    /// Name of the column in the table.
    pub destination_name: String,
}

/// The columns that say where a record came from. `timestamps` holds the types of the record
/// timestamps seen: [`DataType::Timestamp`] for whole seconds, [`DataType::TimestampMilli`] for others.
pub fn kafka_columns(timestamps: TypeSet) -> Vec<DiscoveredColumn> {
    let column =
        |name: &str, types| DiscoveredColumn { source_key: name.to_owned(), types, destination_name: name.to_owned() };
    vec![
        column("_kafka_key", TypeSet::from_iter([DataType::String])),
        column("_kafka_offset", TypeSet::from_iter([DataType::Integer])),
        column("_kafka_partition", TypeSet::from_iter([DataType::IntegerSmall])),
        column("_kafka_timestamp", timestamps),
    ]
}

impl Catalog {
    /// A catalog of what discovery saw: every stream selected, with the defaults.
    /// `database_prefix` comes first in every `destination_database`; empty means [`DATABASE_PREFIX`].
    pub fn from_discovered(discovered: &[DiscoveredStream], database_prefix: &str) -> Self {
        let prefix = if database_prefix.is_empty() { DATABASE_PREFIX } else { database_prefix };
        let mut tables = Namer::new([""; 0], false);
        let mut ordered: Vec<&DiscoveredStream> = discovered.iter().collect();
        ordered.sort_by(|left, right| left.topic.cmp(&right.topic));
        let streams: Vec<Stream> = ordered
            .into_iter()
            .map(|stream| Stream::from_discovered(stream, prefix, tables.assign(&stream.topic)))
            .collect();
        let selected = streams.iter().map(SelectedStream::of).collect();
        Self { selected_streams: Some(BTreeMap::from([(NAMESPACE.to_owned(), selected)])), streams, extra: Map::new() }
    }

    /// The selection of `topic`, in whatever namespace it stands.
    pub fn selected(&self, topic: &str) -> Option<&SelectedStream> {
        self.selected_streams.iter().flatten().flat_map(|(_, streams)| streams).find(|it| it.stream_name == topic)
    }

    /// The stream of `topic`.
    pub fn stream(&self, topic: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == topic)
    }
}

impl SelectedStream {
    /// The selection discovery writes for a stream: raw layout, every column, new ones too.
    pub fn of(stream: &Stream) -> Self {
        Self {
            stream_name: stream.name.clone(),
            partition_regex: String::new(),
            append_mode: true,
            normalization: false,
            use_source_column_names: false,
            selected_columns: Some(SelectedColumns {
                columns: stream.properties.keys().cloned().collect(),
                sync_new_columns: true,
            }),
            filter_config: None,
            filter: None,
            extra: Map::new(),
        }
    }
}

impl Stream {
    fn from_discovered(discovered: &DiscoveredStream, prefix: &str, table: String) -> Self {
        let mut properties: BTreeMap<String, Property> = BTreeMap::new();
        for column in &discovered.columns {
            let name = Some(column.destination_name.clone()).filter(|name| !name.is_empty());
            let property = Property { types: column.types, destination_column_name: name, ..Property::default() };
            properties.insert(column.source_key.clone(), property);
        }
        for (name, data_type) in [
            ("_olake_id", DataType::String),
            ("_olake_timestamp", DataType::TimestampMicro),
            ("_op_type", DataType::String),
        ] {
            let property = Property {
                types: TypeSet::from_iter([data_type, DataType::Null]),
                destination_column_name: Some(name.to_owned()),
                olake_column: true,
                extra: Map::new(),
            };
            properties.insert(name.to_owned(), property);
        }
        Self {
            name: discovered.topic.clone(),
            namespace: NAMESPACE.to_owned(),
            properties,
            supported_sync_modes: vec![SYNC_MODE.to_owned()],
            source_defined_primary_key: PRIMARY_KEY.map(str::to_owned).to_vec(),
            sync_mode: SYNC_MODE.to_owned(),
            destination_database: format!("{prefix}:{NAMESPACE}"),
            destination_table: table,
            default_stream_properties: Some(serde_json::json!({"normalization": false, "append_mode": true})),
            ..Self::default()
        }
    }

    /// Name in `global.streams` of the state: `<namespace>.<name>`.
    pub fn id(&self) -> String {
        let namespace = if self.namespace.is_empty() { NAMESPACE } else { &self.namespace };
        format!("{namespace}.{}", self.name)
    }

    /// Folder of the database: `destination_database` in the characters a folder may have.
    pub fn database_folder(&self) -> String {
        if self.destination_database.is_empty() {
            reformat(&format!("{DATABASE_PREFIX}:{NAMESPACE}"))
        } else {
            reformat(&self.destination_database)
        }
    }

    /// Folder of the table.
    pub fn table_folder(&self) -> String {
        if self.destination_table.is_empty() { reformat(&self.name) } else { self.destination_table.clone() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
