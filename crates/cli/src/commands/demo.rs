//! `kanat demo`: everything in one go, with nothing to install.
//!
//! It starts the embedded broker, produces orders, discovers their columns, syncs them to Parquet and
//! shows the table. The files it writes are those a sync by hand would use.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kanat_broker::{Broker, BrokerOptions};
use kanat_client::{Client, Codec, NewTopic, ProduceRecord, ProducerOptions};
use kanat_sync::catalog::{Catalog, DATABASE_PREFIX};
use kanat_sync::config::{DestinationConfig, SourceConfig};
use kanat_sync::discover::{DiscoverOptions, discover};
use kanat_sync::engine::{SyncOptions, SyncPlan, SyncReport};
use kanat_sync::state::State;
use kanat_sync::stats::ProcessUsage;
use kanat_sync::{Error, Result, write_atomically};
use serde_json::json;

use super::client::connect_to;
use super::deliveries::Deliveries;
use super::sync::sync;
use crate::args::DemoArgs;
use crate::demo::orders::Orders;
use crate::demo::preview::{parquet_files, preview};
use crate::output::{Output, bytes, grouped, line};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;

/// Same records every time.
const SEED: u64 = 42;

/// Rows of the preview.
const PREVIEW_ROWS: usize = 8;

/// Columns of the preview, out of all there are.
const PREVIEW_COLUMNS: [&str; 9] = [
    "_kafka_partition",
    "_kafka_offset",
    "order_id",
    "placed_at",
    "city",
    "product",
    "quantity",
    "unit_price",
    "shipping",
];

/// Files and the folder of tables below `--dir`.
struct Folder {
    root: PathBuf,
}

impl Folder {
    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// An empty folder for the tables; what an earlier demo left is removed, anything else stays.
    fn prepare(root: &Path) -> Result<Self> {
        let folder = Self { root: root.to_owned() };
        let lake = folder.file("lake");
        if lake.exists() {
            std::fs::remove_dir_all(&lake)
                .map_err(|source| Error::DestinationUnwritable { path: lake.clone(), source })?;
        }
        std::fs::create_dir_all(&lake).map_err(|source| Error::DestinationUnwritable { path: lake, source })?;
        Ok(folder)
    }
}

/// Runs the demo and leaves `--dir` behind.
pub(super) async fn run(args: &DemoArgs, output: Output) -> Result<()> {
    let folder = Folder::prepare(&args.dir)?;
    let broker = start_broker().await?;
    let bootstrap = broker.bootstrap();
    line(&format!("broker    listens on {bootstrap} (in memory, part of this process)"));

    let client = connect_to(&bootstrap).await?;
    let started = Instant::now();
    let sent_bytes = produce(&client, args.records).await?;
    line(&format!("produced  {}", rate(args.records, sent_bytes, started.elapsed())));

    let (source, destination) = write_configs(&folder, &bootstrap)?;
    let started = Instant::now();
    let catalog = find_columns(&source, &folder).await?;
    let columns = catalog.stream(TOPIC).map_or(0, |stream| stream.properties.len());
    line(&format!("discovered {columns} columns in {:.0} ms", started.elapsed().as_secs_f64() * 1e3));

    let before = ProcessUsage::now().cpu_seconds;
    let report = sync_all(&folder, source, destination, &catalog, output).await?;
    let cpu = ProcessUsage::now().cpu_seconds - before;
    line(&format!("synced    {}", rate(report.rows, report.bytes, report.elapsed)));
    line(&format!("          {cpu:.2} s of processor time, broker included"));
    if report.rows != args.records {
        let reason = format!("{} records were produced, {} rows were written", args.records, report.rows);
        return Err(Error::Internal { reason });
    }
    show_table(&folder)?;
    broker.stop().await;
    Ok(())
}

async fn start_broker() -> Result<kanat_broker::BrokerHandle> {
    // The orders were placed long ago: by their own time retention would remove them at once.
    let options = BrokerOptions::default().with_topic_default("retention.ms", "-1");
    Broker::start(options).await.map_err(|error| Error::kafka("starting the broker", error))
}

/// Makes the topic and fills it; returns the bytes of all keys and values.
async fn produce(client: &Client, records: u64) -> Result<u64> {
    let fail = |error| Error::kafka(format!("producing to {TOPIC}"), error);
    // The orders are years old: retention by time would remove them while they are read.
    let topic = NewTopic::new(TOPIC, PARTITIONS).with_config("retention.ms", "-1");
    client.admin().create_topic(&topic).await.map_err(fail)?;
    let options = ProducerOptions { compression: Codec::Lz4.into(), ..ProducerOptions::default() };
    let producer = client.producer(options).map_err(fail)?;
    let mut deliveries = Deliveries::default();
    let mut orders = Orders::new(SEED);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut sent_bytes = 0;
    for _ in 0..records {
        let timestamp = orders.write_next(&mut key, &mut value);
        sent_bytes += (key.len() + value.len()) as u64;
        let record = ProduceRecord {
            topic: TOPIC,
            partition: None,
            key: Some(&key),
            value: Some(&value),
            headers: &[],
            timestamp: Some(timestamp),
        };
        let delivery = producer.send(record).await.map_err(fail)?;
        deliveries.push(delivery).await.map_err(fail)?;
    }
    producer.flush().await.map_err(fail)?;
    deliveries.finish().await.map_err(fail)?;
    Ok(sent_bytes)
}

/// `1,000,000 rows, 231.0 MB in 1.20 s: 833,333 rows/s, 192.5 MB/s`.
fn rate(records: u64, size: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    format!(
        "{} rows, {} in {seconds:.2} s: {} rows/s, {}/s",
        grouped(records),
        bytes(size),
        grouped((records as f64 / seconds) as u64),
        bytes((size as f64 / seconds) as u64)
    )
}

fn write_configs(folder: &Folder, bootstrap: &str) -> Result<(SourceConfig, DestinationConfig)> {
    let source = json!({
        "bootstrap_servers": bootstrap,
        "protocol": {"security_protocol": "PLAINTEXT"},
        "consumer_group_id": "kanat-demo",
        "threads_equal_total_partitions": true,
    });
    let destination = json!({
        "type": "PARQUET",
        "writer": {"local_path": folder.file("lake").display().to_string()},
    });
    let (source_path, destination_path) = (folder.file("source.json"), folder.file("destination.json"));
    write_atomically(&source_path, format!("{source:#}\n").as_bytes())?;
    write_atomically(&destination_path, format!("{destination:#}\n").as_bytes())?;
    Ok((SourceConfig::load(&source_path, None)?.0, DestinationConfig::load(&destination_path, None)?.0))
}

/// Discovers the topic and chooses one column per field.
async fn find_columns(source: &SourceConfig, folder: &Folder) -> Result<Catalog> {
    let discovery = discover(source, &DiscoverOptions::default()).await?;
    let mut catalog = Catalog::from_discovered(&discovery.streams, DATABASE_PREFIX);
    for stream in catalog.selected_streams.iter_mut().flatten().flat_map(|(_, streams)| streams) {
        stream.normalization = true;
    }
    write_atomically(&folder.file("streams.json"), format!("{:#}\n", catalog.to_json()).as_bytes())?;
    Ok(catalog)
}

async fn sync_all(
    folder: &Folder,
    source: SourceConfig,
    destination: DestinationConfig,
    catalog: &Catalog,
    output: Output,
) -> Result<SyncReport> {
    let (streams, _) = catalog.plan("streams.json")?;
    let plan = SyncPlan {
        source,
        destination,
        streams,
        state: State::default(),
        state_path: Some(folder.file("state.json")),
        options: SyncOptions::default(),
    };
    sync(plan, folder.file("stats.json"), output).await
}

fn show_table(folder: &Folder) -> Result<()> {
    let files = parquet_files(&folder.file("lake"))?;
    let size = files.iter().map(|(_, size)| size).sum();
    line(&format!("table     {} Parquet files, {}, in {}", files.len(), bytes(size), folder.file("lake").display()));
    let Some((first, _)) = files.first() else { return Ok(()) };
    line("");
    line(&preview(first, &PREVIEW_COLUMNS, PREVIEW_ROWS)?);
    line("");
    line(&format!("look further: duckdb -c \"select * from '{}/**/*.parquet'\"", folder.file("lake").display()));
    Ok(())
}
