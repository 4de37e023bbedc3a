//! A topic on an embedded broker, the configuration of a sync, and its tables read back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::DataType;
use kanat_broker::{Broker, BrokerHandle, BrokerOptions};
use kanat_client::{BackoffOptions, Client, ClientOptions, Compression, Record, TopicPartition, UnknownTopic};
use kanat_sync::catalog::Catalog;
use kanat_sync::config::{DestinationConfig, SourceConfig};
use kanat_sync::discover::{DiscoverOptions, discover};
use kanat_sync::engine::{ShutdownHandle, SyncOptions, SyncPlan, SyncProgress, SyncReport, shutdown_channel, sync};
use kanat_sync::state::State;
use kanat_sync::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

/// Longest a test may wait for anything: a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TIMESTAMP_MS: i64 = 1_700_000_000_123;

/// Runs a future that must end.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not end within {PATIENCE:?}"),
    }
}

/// One topic and its sync.
pub(crate) struct Job {
    pub(crate) broker: BrokerHandle,
    pub(crate) client: Client,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) normalization: bool,
    pub(crate) partition_regex: String,
    pub(crate) filter_config: Option<Value>,
    pub(crate) max_file_size_mb: f64,
    pub(crate) max_threads: u32,
    pub(crate) options: SyncOptions,
    /// Settled by [`Job::discover`], or at the first sync.
    pub(crate) catalog: Option<Catalog>,
    pub(crate) state: State,
}

impl Job {
    /// A broker with one topic. Retention is off: tests choose their own timestamps.
    pub(crate) async fn new(partitions: i32) -> Job {
        let options = BrokerOptions::default().with_auto_create_topics(false).with_topic_default("retention.ms", "-1");
        let broker = Broker::start(options).await.unwrap();
        broker.create_topic("orders", partitions, &[]).await.unwrap();
        let options = ClientOptions::new([broker.bootstrap()]).with_backoff(BackoffOptions {
            initial_ms: 2,
            max_ms: 50,
            base: 3.0,
        });
        let client = Client::connect(options).await.unwrap();
        Job {
            broker,
            client,
            topic: "orders".to_owned(),
            group: "test-group".to_owned(),
            folder: tempfile::tempdir().unwrap(),
            normalization: true,
            partition_regex: String::new(),
            filter_config: None,
            max_file_size_mb: 512.0,
            max_threads: 2,
            options: SyncOptions::default(),
            catalog: None,
            state: State::default(),
        }
    }

    /// Writes values without keys to a partition, as one batch.
    pub(crate) async fn produce(&self, partition: i32, values: &[&str]) {
        let records = values.iter().map(|value| record(None, Some(value.as_bytes()))).collect();
        self.produce_records(partition, records).await;
    }

    pub(crate) async fn produce_records(&self, partition: i32, records: Vec<Record>) {
        let writer = self.client.partition_client(&self.topic, partition, UnknownTopic::Error).await.unwrap();
        writer.produce(records, Compression::NONE).await.unwrap();
    }

    pub(crate) fn source(&self) -> SourceConfig {
        let mut source = SourceConfig::plaintext(vec![self.broker.bootstrap()]);
        source.consumer_group_id = Some(self.group.clone());
        source.max_threads = self.max_threads;
        source
    }

    pub(crate) fn destination(&self) -> DestinationConfig {
        let text = json!({"type": "PARQUET", "writer": {
            "local_path": self.folder.path(), "max_file_size_mb": self.max_file_size_mb,
        }});
        DestinationConfig::parse(&text.to_string(), "destination.json").unwrap().0
    }

    /// Discovers the topic as it is now.
    pub(crate) async fn discover(&mut self) {
        let discovery = within("discover", discover(&self.source(), &DiscoverOptions::default())).await.unwrap();
        let mut catalog = Catalog::from_discovered(&discovery.streams, "");
        for stream in catalog.selected_streams.iter_mut().flatten().flat_map(|(_, streams)| streams) {
            stream.normalization = self.normalization;
            stream.partition_regex = self.partition_regex.clone();
            stream.filter_config = self.filter_config.clone();
        }
        self.catalog = Some(catalog);
    }

    pub(crate) async fn plan(&mut self) -> SyncPlan {
        if self.catalog.is_none() {
            self.discover().await;
        }
        let (streams, _) = self.catalog.as_ref().unwrap().plan("streams.json").unwrap();
        SyncPlan {
            source: self.source(),
            destination: self.destination(),
            streams,
            state: self.state.clone(),
            state_path: Some(self.state_path()),
            options: self.options.clone(),
        }
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    /// Syncs to the end.
    pub(crate) async fn sync(&mut self) -> Result<SyncReport> {
        let plan = self.plan().await;
        let (_handle, token) = shutdown_channel();
        within("sync", sync(plan, Arc::default(), token)).await
    }

    /// Starts a sync that runs until the handle asks it to end.
    pub(crate) async fn start(
        &mut self,
    ) -> (Arc<SyncProgress>, ShutdownHandle, tokio::task::JoinHandle<Result<SyncReport>>) {
        let plan = self.plan().await;
        let (handle, token) = shutdown_channel();
        let progress = Arc::new(SyncProgress::default());
        let running = tokio::spawn(sync(plan, Arc::clone(&progress), token));
        (progress, handle, running)
    }

    pub(crate) fn table(&self) -> PathBuf {
        self.folder.path().join("kafka_topics").join(&self.topic)
    }

    /// Rows of the table, sorted by partition and offset where they have them.
    pub(crate) fn rows(&self) -> Vec<Map<String, Value>> {
        let mut rows = read_table(&self.table());
        rows.sort_by_key(|row| {
            let place = |name: &str| row.get(name).and_then(Value::as_i64).unwrap_or_default();
            (place("_kafka_partition"), place("_kafka_offset"))
        });
        rows
    }

    /// One column of the rows, in the order of [`Job::rows`].
    pub(crate) fn column(&self, name: &str) -> Vec<Value> {
        self.rows().into_iter().map(|mut row| row.remove(name).unwrap_or(Value::Null)).collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<Map<String, Value>> {
        let folder = self.table().with_file_name(format!("{}_dead_letters", self.topic));
        let mut rows = read_table(&folder);
        rows.sort_by_key(|row| (row["partition"].as_i64(), row["offset"].as_i64()));
        rows
    }

    pub(crate) async fn committed(&self, partition: i32) -> Option<i64> {
        let tp = TopicPartition::new(self.topic.as_str(), partition);
        let committed = self.client.group(&self.group).committed(std::slice::from_ref(&tp)).await.unwrap();
        committed.get(&tp).map(|committed| committed.offset)
    }

    pub(crate) async fn commit(&self, partition: i32, offset: i64) {
        let tp = TopicPartition::new(self.topic.as_str(), partition);
        let offsets = [(tp, kanat_client::OffsetAndMetadata::new(offset))];
        self.client.group(&self.group).commit(&offsets).await.unwrap();
    }
}

pub(crate) fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
    let bytes = |bytes: &[u8]| bytes.to_vec().into();
    Record { key: key.map(bytes), value: value.map(bytes), timestamp: TIMESTAMP_MS, ..Record::default() }
}

/// The code of a failed sync.
pub(crate) fn code(result: &Result<SyncReport>) -> String {
    result.as_ref().map_or_else(|error: &Error| error.code().to_string(), |report| format!("ok: {report:?}"))
}

/// Data files below `folder`, hidden ones and the journal excepted.
pub(crate) fn data_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "_kanat" {
            files.extend(data_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read_table(folder: &Path) -> Vec<Map<String, Value>> {
    let mut rows = Vec::new();
    for file in data_files(folder) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file).unwrap()).unwrap();
        let reader = reader.build().unwrap();
        let _ = reader.schema();
        for batch in reader {
            let batch = batch.unwrap();
            rows.extend((0..batch.num_rows()).map(|row| row_of(&batch, row)));
        }
    }
    rows
}

/// A row as JSON; nulls are left out, timestamps are microseconds, bytes are hex.
fn row_of(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = batch.schema();
    let present = schema.fields().iter().zip(batch.columns()).filter(|(_, column)| column.is_valid(row));
    present
        .map(|(field, column)| {
            let value = match column.data_type() {
                DataType::Boolean => json!(column.as_boolean().value(row)),
                DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
                DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
                DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
                DataType::Timestamp(..) => json!(column.as_primitive::<TimestampMicrosecondType>().value(row)),
                DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
                DataType::Binary => json!(hex(column.as_binary::<i32>().value(row))),
                other => panic!("column {} has type {other}", field.name()),
            };
            (field.name().clone(), value)
        })
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
