//! From a catalog to what a sync does with each selected topic, with every setting checked.

use std::collections::HashMap;

use kanat_lake::types::TypeSet;

use super::filter::Filter;
use super::{Catalog, OLAKE_COLUMNS, SYNC_MODE, SelectedStream, Stream};
use crate::config::Warning;
use crate::error::{Error, Result};

/// What a sync does with one topic.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPlan {
    /// The topic.
    pub topic: String,
    /// Name in `global.streams` of the state.
    pub id: String,
    /// Folder of the database, below the destination's.
    pub database: String,
    /// Folder of the table, below the database's.
    pub table: String,
    /// One column per top-level key instead of one column with the whole record.
    pub normalization: bool,
    /// Columns are named as in the record.
    pub use_source_column_names: bool,
    /// Folder pattern below the table; empty for none. The engine parses it.
    pub partition_regex: String,
    /// Columns known from discovery, in the order of their source keys.
    pub columns: Vec<PlannedColumn>,
    /// Which columns are written.
    pub selection: ColumnSelection,
    /// Which rows are written; only with [`normalization`](Self::normalization).
    pub filter: Option<Filter>,
}

/// A column known from discovery.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedColumn {
    /// Key in the record.
    pub source_key: String,
    /// Types seen in it.
    pub types: TypeSet,
    /// Name of the column in the table; `None` when the catalog does not say.
    pub destination_name: Option<String>,
    /// Written by the sync itself.
    pub olake_column: bool,
}

/// Which columns are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ColumnSelection {
    /// All of them.
    #[default]
    All,
    /// Those with `true`; others with `false`; those not in the map as `unknown` says.
    Only {
        /// Whether a known source key is selected.
        known: HashMap<String, bool>,
        /// Whether a source key that discovery never saw is written.
        unknown: bool,
    },
}

impl ColumnSelection {
    /// Whether the column of `source_key` is written. Columns that the sync adds itself always are.
    pub fn keeps(&self, source_key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only { .. } if OLAKE_COLUMNS.contains(&source_key) => true,
            Self::Only { known, unknown } => known.get(source_key).copied().unwrap_or(*unknown),
        }
    }

    fn of(selected: &SelectedStream, stream: &Stream) -> Self {
        let Some(columns) = &selected.selected_columns else { return Self::All };
        let discovered = stream.properties.keys().map(|name| (name.clone(), columns.columns.contains(name)));
        let mut known: HashMap<String, bool> = discovered.collect();
        known.extend(columns.columns.iter().map(|name| (name.clone(), true)));
        Self::Only { known, unknown: columns.sync_new_columns }
    }
}

impl Catalog {
    /// What a sync does with each selected topic, in the order of the catalog; `file` names the catalog
    /// in errors and warnings.
    ///
    /// # Errors
    /// [`Error::WrongValue`] for a setting that cannot be used, [`Error::SharedTable`] when two topics
    /// would be mixed, [`Error::NoValidStreams`] when nothing is left to do.
    pub fn plan(&self, file: &str) -> Result<(Vec<StreamPlan>, Vec<Warning>)> {
        let mut warnings = Vec::new();
        let mut plans = Vec::new();
        for (index, stream) in self.streams.iter().enumerate() {
            let selected = match &self.selected_streams {
                None => SelectedStream::of(stream),
                Some(_) => match self.selected(&stream.name) {
                    Some(selected) => selected.clone(),
                    None => continue,
                },
            };
            plans.push(plan_stream(file, index, stream, &selected, &mut warnings)?);
        }
        self.warn_of_strangers(file, &mut warnings);
        if plans.is_empty() {
            let reason = match self.streams.len() {
                0 => "streams is empty".to_owned(),
                count => format!("selected_streams names none of its {count} streams"),
            };
            return Err(Error::NoValidStreams { file: file.to_owned(), reason });
        }
        reject_shared_tables(&plans)?;
        Ok((plans, warnings))
    }

    /// Selections of topics that the catalog does not describe.
    fn warn_of_strangers(&self, file: &str, warnings: &mut Vec<Warning>) {
        for (namespace, selected) in self.selected_streams.iter().flatten() {
            for stream in selected.iter().filter(|it| self.stream(&it.stream_name).is_none()) {
                let message =
                    format!("selects topic {}, which streams does not describe; it is left out", stream.stream_name);
                warnings.push(Warning::new(file, format!("selected_streams.{namespace}"), message));
            }
        }
    }
}

fn plan_stream(
    file: &str,
    index: usize,
    stream: &Stream,
    selected: &SelectedStream,
    warnings: &mut Vec<Warning>,
) -> Result<StreamPlan> {
    let key = |name: &str| format!("streams[{index}].stream.{name}");
    check_sync_mode(file, &key("sync_mode"), stream, warnings)?;
    let table = stream.table_folder();
    if table.contains(['/', '\\', '\0']) || table == "." || table == ".." {
        let reason = format!("must be a plain folder name, not {table}");
        return Err(Error::wrong_value(file, &key("destination_table"), reason));
    }
    let columns = stream.properties.iter().map(|(name, property)| PlannedColumn {
        source_key: name.clone(),
        types: property.types,
        destination_name: property.destination_column_name.clone(),
        olake_column: property.olake_column,
    });
    Ok(StreamPlan {
        topic: stream.name.clone(),
        id: stream.id(),
        database: stream.database_folder(),
        table,
        normalization: selected.normalization,
        use_source_column_names: selected.use_source_column_names,
        partition_regex: selected.partition_regex.clone(),
        columns: columns.collect(),
        selection: ColumnSelection::of(selected, stream),
        filter: filter(file, stream, selected, warnings)?,
    })
}

/// A topic has one mode. `cdc` is its older name; a file that says nothing means it too.
fn check_sync_mode(file: &str, key: &str, stream: &Stream, warnings: &mut Vec<Warning>) -> Result<()> {
    match stream.sync_mode.as_str() {
        SYNC_MODE | "cdc" => Ok(()),
        "" => {
            let message = format!("of topic {} is absent; {SYNC_MODE} is used", stream.name);
            warnings.push(Warning::new(file, key, message));
            Ok(())
        }
        other => {
            Err(Error::wrong_value(file, key, format!("must be {SYNC_MODE} or cdc for a Kafka topic, not {other}")))
        }
    }
}

fn filter(
    file: &str,
    stream: &Stream,
    selected: &SelectedStream,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Filter>> {
    let path = |key: &str| format!("selected_streams.{}.{key}", stream.name);
    if selected.filter.is_some() {
        warnings.push(Warning::new(file, path("filter"), "has no effect on Kafka; use filter_config"));
    }
    let Some(value) = &selected.filter_config else { return Ok(None) };
    let Some(filter) = Filter::parse(file, path("filter_config"), value, warnings)? else { return Ok(None) };
    if selected.normalization {
        return Ok(Some(filter));
    }
    warnings.push(Warning::new(file, path("filter_config"), "has no effect without normalization"));
    Ok(None)
}

fn reject_shared_tables(plans: &[StreamPlan]) -> Result<()> {
    let mut owners: HashMap<(&str, &str), &str> = HashMap::new();
    for plan in plans {
        if let Some(first) = owners.insert((&plan.database, &plan.table), &plan.topic) {
            return Err(Error::SharedTable {
                first: first.to_owned(),
                second: plan.topic.clone(),
                table: format!("{}/{}", plan.database, plan.table),
            });
        }
    }
    Ok(())
}
