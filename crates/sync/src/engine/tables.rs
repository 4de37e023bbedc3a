//! The tables of a sync: folders, journals, layouts, and the verbs that touch nothing else.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kanat_lake::partition_path::PartitionRegex;
use kanat_lake::shred::{ColumnSpec, ShredOptions};
use kanat_lake::table::{
    Compression, FileOptions, JournalEntry, JournalOptions, Owner, SealJournal, TableOptions, TableWriter,
};
use kanat_lake::{DataType, naming};

use super::chunk::Chunk;
use super::dead_letter::{self, DeadLetterBuilder};
use super::folders::Folders;
use super::journal_progress::SealedRanges;
use super::metadata_columns::{
    CDC_TIMESTAMP, KAFKA_KEY, KAFKA_KEY_BYTES, MetadataColumns, OLAKE_ID, OLAKE_TIMESTAMP, OP_TYPE, RESERVED,
};
use super::normalized::NormalizedRows;
use super::raw_rows::RawRows;
use super::rows::Layout;
use super::table_sink::TableSink;
use super::{SinkLimits, SyncOptions, SyncProgress};
use crate::catalog::{ColumnSelection, StreamPlan};
use crate::config::{DestinationConfig, ParquetCompression, ParquetConfig};
use crate::error::{Error, Result};

/// Metadata columns of the raw layout; the Kafka ones are inside `data`.
const RAW_COLUMNS: [&str; 4] = [OLAKE_ID, OLAKE_TIMESTAMP, OP_TYPE, CDC_TIMESTAMP];

/// One table, ready to be written by several shards.
#[derive(Debug)]
pub(crate) struct Table {
    stream: StreamPlan,
    folder: PathBuf,
    dead_letter_folder: PathBuf,
    journal: Arc<SealJournal>,
    partition_regex: Option<PartitionRegex>,
    options: TableOptions,
}

/// A journal entry that a crashed run left behind; its files are visible by now.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) held: SealedRanges,
    pub(crate) journal: Arc<SealJournal>,
    pub(crate) entry: JournalEntry,
}

/// The tables of a sync and what earlier runs left in their journals.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) tables: HashMap<Arc<str>, Table>,
    pub(crate) recovered: Vec<Recovered>,
}

/// Locks and repairs the tables of `streams` for `group_id`.
pub(crate) fn open(
    streams: Vec<StreamPlan>,
    destination: &DestinationConfig,
    group_id: &str,
    options: &SyncOptions,
) -> Result<Opened> {
    let DestinationConfig::Parquet(parquet) = destination;
    check_destination(destination)?;
    let mut opened = Opened { tables: HashMap::new(), recovered: Vec::new() };
    for stream in streams {
        let topic: Arc<str> = stream.topic.as_str().into();
        let table = Table::open(stream, parquet, group_id, options, &mut opened.recovered)?;
        opened.tables.insert(topic, table);
    }
    Ok(opened)
}

impl Table {
    fn open(
        stream: StreamPlan,
        parquet: &ParquetConfig,
        group_id: &str,
        options: &SyncOptions,
        recovered: &mut Vec<Recovered>,
    ) -> Result<Table> {
        let (folder, dead_letter_folder) = folders(parquet, &stream);
        // The topic is part of the owner: a table may be given to another topic later.
        let owner = format!("{group_id}\n{}", stream.topic);
        let journal_options = JournalOptions {
            table: folder.clone(),
            beside: vec![dead_letter_folder.clone()],
            owner: Owner::new(&owner),
        };
        let (journal, entries) = SealJournal::open(journal_options).map_err(journal_error)?;
        let journal = Arc::new(journal);
        for entry in entries {
            let held = SealedRanges::from_json(entry.progress()).ok_or_else(|| Error::JournalCorrupt {
                path: entry.path().to_owned(),
                reason: format!("it holds {} instead of offset ranges", entry.progress()),
            })?;
            recovered.push(Recovered { held, journal: Arc::clone(&journal), entry });
        }
        let partition_regex = partition_regex(&stream)?;
        let options = TableOptions {
            file: FileOptions {
                compression: compression(parquet.compression),
                row_group_bytes_max: options.row_group_bytes_max,
            },
            file_bytes_max: parquet.max_file_size_bytes,
            open_files_max: options.open_files_max,
            memory_bytes_max: options.memory_bytes_max,
        };
        Ok(Table { stream, folder, dead_letter_folder, journal, partition_regex, options })
    }

    /// A sink of this table for one shard.
    pub(crate) fn open_sink(
        &self,
        topic: &Arc<str>,
        options: &SyncOptions,
        progress: &Arc<SyncProgress>,
    ) -> Result<TableSink> {
        let owner = self.journal.owner();
        let writer = |folder: &Path| TableWriter::new(folder.to_owned(), owner.clone(), self.options.clone());
        Ok(TableSink {
            topic: Arc::clone(topic),
            layout: self.layout(options)?,
            folders: self.partition_regex.clone().map(|regex| Folders::new(regex, &self.stream)).transpose()?,
            table: writer(&self.folder),
            dead_letters: writer(&self.dead_letter_folder),
            journal: Arc::clone(&self.journal),
            on_bad_record: options.on_bad_record,
            limits: SinkLimits {
                chunk_records: options.chunk_records.max(1),
                chunk_bytes_max: options.chunk_bytes_max.max(1),
                file_bytes_max: self.options.file_bytes_max,
            },
            progress: Arc::clone(progress),
            chunk: Chunk::default(),
            dead_rows: DeadLetterBuilder::default(),
            ranges: std::collections::BTreeMap::new(),
        })
    }

    fn layout(&self, options: &SyncOptions) -> Result<Layout> {
        let table = self.folder.display().to_string();
        let selection = &self.stream.selection;
        if !self.stream.normalization {
            let metadata = MetadataColumns::new(|name| RAW_COLUMNS.contains(&name));
            return Ok(Layout::Raw(Box::new(RawRows::new(table, metadata, options.record_bytes_max))));
        }
        let keeps = |name: &str| selection.keeps(if name == KAFKA_KEY_BYTES { KAFKA_KEY } else { name });
        let shred = shred_options(&self.stream, options.columns_max);
        let rows = NormalizedRows::new(
            table,
            shred,
            MetadataColumns::new(keeps),
            self.stream.filter.clone(),
            options.record_bytes_max,
        )?;
        Ok(Layout::Normalized(Box::new(rows)))
    }
}

/// The parsed `partition_regex`, when there is one.
fn partition_regex(stream: &StreamPlan) -> Result<Option<PartitionRegex>> {
    if stream.partition_regex.is_empty() {
        return Ok(None);
    }
    let regex = PartitionRegex::parse(&stream.partition_regex).map_err(|source| Error::WrongValue {
        file: "streams.json".to_owned(),
        key: format!("selected_streams.{}.partition_regex", stream.topic),
        reason: source.to_string(),
    })?;
    for warning in regex.warnings() {
        tracing::warn!(topic = stream.topic, "partition_regex: {warning}");
    }
    Ok(Some(regex))
}

/// What the shredder is told of a stream: its payload columns and which of them are written.
fn shred_options(stream: &StreamPlan, columns_max: usize) -> ShredOptions {
    let payload = stream.columns.iter().filter(|it| !it.olake_column && !RESERVED.contains(&it.source_key.as_str()));
    let name = |source: &str, given: Option<&String>| match given {
        _ if stream.use_source_column_names => source.to_owned(),
        Some(name) => name.clone(),
        None => naming::reformat(source),
    };
    let mut columns: Vec<ColumnSpec> = payload
        .map(|column| ColumnSpec {
            source: column.source_key.clone(),
            name: name(&column.source_key, column.destination_name.as_ref()),
            data_type: column.types.collapse(),
        })
        .collect();
    let (selected, sync_new_columns) = match &stream.selection {
        ColumnSelection::All => (None, true),
        ColumnSelection::Only { known, unknown } => {
            let selected: HashSet<String> =
                known.iter().filter(|(_, keep)| **keep).map(|(source, _)| source.clone()).collect();
            // Selected by hand, but absent from the schema: a column all the same, once a record has it.
            let described: HashSet<&str> = stream.columns.iter().map(|it| it.source_key.as_str()).collect();
            let mut extra: Vec<&String> =
                selected.iter().filter(|source| !described.contains(source.as_str())).collect();
            extra.sort();
            columns.extend(extra.into_iter().filter(|source| !RESERVED.contains(&source.as_str())).map(|source| {
                ColumnSpec { source: source.clone(), name: name(source, None), data_type: DataType::Null }
            }));
            (Some(selected), *unknown)
        }
    };
    ShredOptions {
        columns,
        reserved: RESERVED.map(str::to_owned).to_vec(),
        selected,
        sync_new_columns,
        use_source_column_names: stream.use_source_column_names,
        columns_max,
    }
}

fn compression(configured: ParquetCompression) -> Compression {
    match configured {
        ParquetCompression::None => Compression::None,
        ParquetCompression::Snappy => Compression::Snappy,
        ParquetCompression::Lz4 => Compression::Lz4,
        ParquetCompression::Zstd { level } => Compression::Zstd { level },
    }
}

/// Folders of a stream's table and of its dead letters.
fn folders(parquet: &ParquetConfig, stream: &StreamPlan) -> (PathBuf, PathBuf) {
    let database = parquet.local_path.join(&stream.database);
    let dead_letters = format!("{}{}", stream.table, dead_letter::FOLDER_SUFFIX);
    (database.join(&stream.table), database.join(dead_letters))
}

/// A journal's failure with the code an operator looks for.
fn journal_error(source: kanat_lake::Error) -> Error {
    match source {
        kanat_lake::Error::FileLost { file, .. } => Error::SealedFileMissing { path: file },
        kanat_lake::Error::JournalEntry { path, reason } => Error::JournalCorrupt { path, reason },
        other => Error::table("seal journal", other),
    }
}

/// Checks that the destination folder can be written.
///
/// # Errors
/// [`Error::DestinationUnwritable`] with the folder.
pub fn check_destination(destination: &DestinationConfig) -> Result<()> {
    let DestinationConfig::Parquet(parquet) = destination;
    kanat_lake::table::check_folder(&parquet.local_path).map_err(|error| match error {
        kanat_lake::Error::Io { path, source, .. } => Error::DestinationUnwritable { path, source },
        other => Error::table(parquet.local_path.display().to_string(), other),
    })
}

/// Deletes the tables of `streams`, their dead letters and their journals.
///
/// # Errors
/// [`Error::Table`] with the folder that could not be removed.
pub fn clear_destination(destination: &DestinationConfig, streams: &[StreamPlan]) -> Result<()> {
    let DestinationConfig::Parquet(parquet) = destination;
    for stream in streams {
        let (table, dead_letters) = folders(parquet, stream);
        for folder in [table, dead_letters] {
            kanat_lake::table::clear_table(&folder)
                .map_err(|source| Error::table(folder.display().to_string(), source))?;
        }
    }
    Ok(())
}
