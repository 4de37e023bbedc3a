//! Lines of a file to records.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kanat_connect::config::{ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Properties, non_empty_string};
use kanat_connect::connector::{
    ConnectorContext, ExactlyOnceSupport, SourceBatch, SourceConnector, SourceOffsets, SourceTask, SourceTaskContext,
};
use kanat_connect::converter::SchemaAndValue;
use kanat_connect::data::{Map, Schema, Text, Type, Value};
use kanat_connect::record::{Record, SourceRecord};
use kanat_connect::{Error, Result};
use tokio::sync::mpsc;

use crate::lines::Lines;

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Reads of a pipe that wait to be taken.
const PIPE_READS_MAX: usize = 4;
/// Wait for a file that does not exist, or has nothing new.
const WAIT: Duration = Duration::from_millis(200);
const FILENAME: &str = "filename";
const POSITION: &str = "position";

/// Reads lines. Its only task remembers the position behind the last line.
#[derive(Debug, Default)]
pub struct FileStreamSource {
    config: Properties,
}

fn text(config: &Properties, key: &str) -> Option<String> {
    config.get(key).cloned().flatten().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl SourceConnector for FileStreamSource {
    type Task = FileStreamSourceTask;

    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
    const TASK_CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSourceTask";

    fn config_def() -> ConfigDef {
        ConfigDef::new()
            .define(ConfigKey::optional(
                "file",
                ConfigType::String,
                ConfigValue::Null,
                Importance::High,
                "File to read; without it standard input is read, and positions are not remembered.",
            ))
            .define(
                ConfigKey::required("topic", ConfigType::String, Importance::High, "Topic to write to.")
                    .validated(non_empty_string()),
            )
            .define(ConfigKey::optional(
                "batch.size",
                ConfigType::Int,
                ConfigValue::Int(2000),
                Importance::Low,
                "Most lines in one poll.",
            ))
    }

    fn exactly_once_support(config: &Properties) -> ExactlyOnceSupport {
        match text(config, "file") {
            Some(_) => ExactlyOnceSupport::Supported,
            None => ExactlyOnceSupport::Unsupported,
        }
    }

    async fn alter_offsets(config: &Properties, offsets: &SourceOffsets) -> Result<bool> {
        if text(config, "file").is_none() {
            return Err(Error::connect(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is because stdin is used \
                 for input and offsets are not tracked.",
            ));
        }
        for (partition, offset) in offsets {
            // An offset may be forgotten whatever it is of.
            let Some(offset) = offset else { continue };
            check_offset(partition, offset).map_err(Error::connect)?;
        }
        Ok(true)
    }

    async fn start(&mut self, _context: Arc<dyn ConnectorContext>, config: Properties) -> Result<()> {
        self.config = config;
        Ok(())
    }

    async fn task_configs(&mut self, _max_tasks: usize) -> Result<Vec<Properties>> {
        // A file has one end.
        Ok(vec![self.config.clone()])
    }
}

fn check_offset(partition: &Map, offset: &Map) -> Result<(), &'static str> {
    let position =
        offset.get_str(POSITION).ok_or("Offset objects should either be null or contain the key 'position'")?;
    match position {
        Value::Int64(position) if *position >= 0 => {}
        Value::Int64(_) => return Err("The value for the 'position' key in the offset should be a non-negative value"),
        _ => return Err("The value for the 'position' key in the offset is expected to be a Long value"),
    }
    match partition.get_str(FILENAME) {
        Some(_) => Ok(()),
        None => Err("Partition objects should contain the key 'filename'"),
    }
}

/// Where lines come from.
#[derive(Debug, Default)]
enum Input {
    #[default]
    NotOpen,
    /// A file, read at positions, so that a poll that is given up loses nothing.
    File(Arc<File>),
    /// Something without positions, read by a thread.
    Pipe(mpsc::Receiver<std::io::Result<Vec<u8>>>),
}

/// Reads lines; see [`FileStreamSource`].
#[derive(Debug, Default)]
pub struct FileStreamSourceTask {
    file: Option<String>,
    topic: Text,
    batch_lines: usize,
    input: Input,
    lines: Lines,
    /// Behind the last line that was taken.
    position: u64,
    partition: Arc<Map>,
    missing: bool,
}

impl SourceTask for FileStreamSourceTask {
    async fn start(&mut self, context: Arc<dyn SourceTaskContext>, config: Properties) -> Result<()> {
        self.file = text(&config, "file");
        self.topic = Text::from(text(&config, "topic").unwrap_or_default());
        let size = text(&config, "batch.size").and_then(|size| size.parse().ok());
        self.batch_lines = size.filter(|size| *size > 0).unwrap_or(2000);
        let Some(file) = &self.file else {
            self.input = Input::Pipe(read_pipe(std::io::stdin()));
            return Ok(());
        };
        let partition: Map = [(Value::from(FILENAME), Value::from(file.as_str()))].into_iter().collect();
        let stored = context.stored_offsets(std::slice::from_ref(&partition)).await?;
        if let Some(Some(offset)) = stored.first() {
            let position = offset.get_str(POSITION).and_then(Value::as_i64).and_then(|at| u64::try_from(at).ok());
            self.position = position.ok_or_else(|| Error::connect("Offset position is the incorrect type"))?;
        }
        self.partition = Arc::new(partition);
        Ok(())
    }

    async fn poll(&mut self) -> Result<SourceBatch> {
        let mut records = self.take_lines();
        if records.is_empty() {
            self.read().await?;
            records = self.take_lines();
        }
        Ok(SourceBatch::from(records))
    }

    async fn stop(&mut self) {
        self.input = Input::NotOpen;
    }
}

impl FileStreamSourceTask {
    /// Reads on, or waits a while when there is nothing.
    async fn read(&mut self) -> Result<()> {
        if matches!(self.input, Input::NotOpen) && !self.open().await? {
            tokio::time::sleep(WAIT).await;
            return Ok(());
        }
        let bytes = match &mut self.input {
            Input::NotOpen => Vec::new(),
            Input::Pipe(reads) => match reads.recv().await {
                Some(bytes) => bytes.map_err(|error| self.unreadable(&error))?,
                None => Vec::new(),
            },
            Input::File(file) => {
                let (file, at) = (Arc::clone(file), self.position + self.lines.open_bytes() as u64);
                let read = tokio::task::spawn_blocking(move || read_at(&file, at)).await;
                let read = read.map_err(|error| Error::connect(error.to_string()))?;
                read.map_err(|error| self.unreadable(&error))?
            }
        };
        if bytes.is_empty() {
            tokio::time::sleep(WAIT).await;
            return Ok(());
        }
        self.lines.extend(&bytes).map_err(Error::connect)
    }

    /// `false` when there is no file yet.
    async fn open(&mut self) -> Result<bool> {
        let Some(path) = self.file.clone() else { return Ok(false) };
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(path)?;
            let is_regular = file.metadata()?.is_file();
            Ok((file, is_regular))
        });
        match opened.await.map_err(|error| Error::connect(error.to_string()))? {
            Ok((file, true)) => self.input = Input::File(Arc::new(file)),
            Ok((file, false)) => self.input = Input::Pipe(read_pipe(file)),
            Err(error) => {
                let error: std::io::Error = error;
                if error.kind() != std::io::ErrorKind::NotFound {
                    return Err(self.unreadable(&error));
                }
                if !std::mem::replace(&mut self.missing, true) {
                    tracing::warn!(file = self.file, "the file does not exist, it is waited for");
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::connect(format!("{} cannot be read: {error}", self.file.as_deref().unwrap_or("standard input")))
    }

    fn take_lines(&mut self) -> Vec<SourceRecord> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = i64::try_from(now.as_millis()).ok();
        let mut records = Vec::new();
        while records.len() < self.batch_lines
            && let Some((line, bytes)) = self.lines.take()
        {
            self.position += bytes as u64;
            let position = i64::try_from(self.position).unwrap_or(i64::MAX);
            let record = Record {
                topic: self.topic.clone(),
                timestamp,
                value: SchemaAndValue::new(Schema::of(Type::String), Value::String(line)),
                ..Record::default()
            };
            records.push(SourceRecord {
                record,
                source_partition: Arc::clone(&self.partition),
                source_offset: Arc::new([(Value::from(POSITION), Value::from(position))].into_iter().collect()),
            });
        }
        records
    }
}

fn read_at(mut file: &File, position: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = vec![0; READ_BYTES];
    let read = file.read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads on a thread of its own, which ends with the input or when nobody takes what it has read.
fn read_pipe(mut input: impl Read + Send + 'static) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(PIPE_READS_MAX);
    std::thread::spawn(move || {
        loop {
            let mut bytes = vec![0; READ_BYTES];
            let read = input.read(&mut bytes);
            let ended = !matches!(read, Ok(read) if read > 0);
            let sent = sender.blocking_send(read.map(|read| {
                bytes.truncate(read);
                bytes
            }));
            if ended || sent.is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use kanat_connect::connector::BoxFuture;

    use super::*;

    #[derive(Debug)]
    struct Stored(Option<i64>);

    impl SourceTaskContext for Stored {
        fn connector(&self) -> &str {
            "c"
        }

        fn task(&self) -> usize {
            0
        }

        fn stored_offsets<'a>(&'a self, _partitions: &'a [Map]) -> BoxFuture<'a, Result<Vec<Option<Map>>>> {
            let offset = self.0.map(|at| [(Value::from(POSITION), Value::from(at))].into_iter().collect());
            Box::pin(async move { Ok(vec![offset]) })
        }

        fn defines_transactions(&self) -> bool {
            false
        }
    }

    fn config(file: &std::path::Path) -> Properties {
        let pairs = [("file", file.to_str().unwrap()), ("topic", "t"), ("batch.size", "2")];
        pairs.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).into()
    }

    /// Polls until something comes.
    async fn lines(task: &mut FileStreamSourceTask) -> Vec<(String, i64)> {
        loop {
            let batch = task.poll().await.unwrap();
            if !batch.records.is_empty() {
                let line = |record: &SourceRecord| {
                    let position = record.source_offset.get_str(POSITION).unwrap().as_i64().unwrap();
                    (record.record.value.value.as_str().unwrap().to_owned(), position)
                };
                return batch.records.iter().map(line).collect();
            }
        }
    }

    fn expected<const N: usize>(lines: [(&str, i64); N]) -> Vec<(String, i64)> {
        lines.map(|(line, position)| (line.to_owned(), position)).into()
    }

    #[tokio::test]
    async fn lines_come_with_the_position_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in");
        let mut task = FileStreamSourceTask::default();
        task.start(Arc::new(Stored(None)), config(&file)).await.unwrap();
        // The file may come later, and grow in the middle of a line.
        assert!(task.poll().await.unwrap().records.is_empty());
        std::fs::write(&file, "one\ntwo\nžluť\nfo").unwrap();
        assert_eq!(lines(&mut task).await, expected([("one", 4), ("two", 8)]));
        assert_eq!(lines(&mut task).await, expected([("žluť", 15)]));
        std::fs::write(&file, "one\ntwo\nžluť\nfour\n").unwrap();
        assert_eq!(lines(&mut task).await, expected([("four", 20)]));
    }

    #[tokio::test]
    async fn a_stored_position_is_where_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in");
        std::fs::write(&file, "one\ntwo\n").unwrap();
        let mut task = FileStreamSourceTask::default();
        task.start(Arc::new(Stored(Some(4))), config(&file)).await.unwrap();
        assert_eq!(lines(&mut task).await, expected([("two", 8)]));
    }

    #[tokio::test]
    async fn offsets_are_checked_in_javas_words() {
        let config: Properties = [("file".to_owned(), Some("f".to_owned()))].into();
        let map = |key: &str, value: Value| -> Map { [(Value::from(key), value)].into_iter().collect() };
        let good = || map(FILENAME, Value::from("f"));
        for (partition, offset, words) in [
            (good(), map("x", Value::Null), "should either be null or contain the key 'position'"),
            (good(), map(POSITION, Value::from("7")), "expected to be a Long value"),
            (good(), map(POSITION, Value::from(-1_i64)), "should be a non-negative value"),
            (Map::new(), map(POSITION, Value::from(0_i64)), "should contain the key 'filename'"),
        ] {
            let error = FileStreamSource::alter_offsets(&config, &vec![(partition, Some(offset))]).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(FileStreamSource::alter_offsets(&config, &vec![(Map::new(), None)]).await.unwrap());
        assert!(FileStreamSource::alter_offsets(&Properties::new(), &Vec::new()).await.is_err());
    }
}
