//! Values of records to lines of a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;

use kanat_connect::config::{ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Properties};
use kanat_connect::connector::{
    ConnectorContext, ConverterNames, FailedRecord, Form, Offsets, SinkConnector, SinkTask, SinkTaskContext, Wants,
};
use kanat_connect::record::{SinkRecord, TopicPartition};
use kanat_connect::{Error, Result};

/// The converter whose values are the bytes of the record.
const STRING_CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";

/// Writes values, each as Java prints it, to a line of its own. Lines are durable before their offsets are committed.
#[derive(Debug, Default)]
pub struct FileStreamSink {
    config: Properties,
}

impl SinkConnector for FileStreamSink {
    type Task = FileStreamSinkTask;

    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    const TASK_CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSinkTask";

    fn config_def() -> ConfigDef {
        ConfigDef::new().define(ConfigKey::optional(
            "file",
            ConfigType::String,
            ConfigValue::Null,
            Importance::High,
            "File to append to; without it lines go to standard output.",
        ))
    }

    async fn alter_offsets(
        _config: &Properties,
        _offsets: &std::collections::BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<bool> {
        // The file keeps no offsets.
        Ok(true)
    }

    async fn start(&mut self, _context: Arc<dyn ConnectorContext>, config: Properties) -> Result<()> {
        self.config = config;
        Ok(())
    }

    async fn task_configs(&mut self, max_tasks: usize) -> Result<Vec<Properties>> {
        Ok(vec![self.config.clone(); max_tasks])
    }
}

/// Writes lines; see [`FileStreamSink`].
#[derive(Debug, Default)]
pub struct FileStreamSinkTask {
    name: String,
    /// `None` for standard output.
    file: Option<Arc<File>>,
    /// The lines of one call, kept for its memory.
    lines: Vec<u8>,
    unsynced: bool,
}

impl SinkTask for FileStreamSinkTask {
    async fn start(&mut self, _context: Arc<dyn SinkTaskContext>, config: Properties) -> Result<()> {
        let path = config.get("file").cloned().flatten().map(|path| path.trim().to_owned());
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            "standard output".clone_into(&mut self.name);
            return Ok(());
        };
        self.name.clone_from(&path);
        let opened = blocking(move || OpenOptions::new().create(true).append(true).open(path)).await?;
        let file = opened.map_err(|error| {
            Error::connect(format!("Couldn't find or create file '{}' for FileStreamSinkTask: {error}", self.name))
        })?;
        self.file = Some(Arc::new(file));
        Ok(())
    }

    fn wants(&self, converters: &ConverterNames) -> Wants {
        // Text is copied as it is; anything else is printed.
        let encoding = ["converter.encoding", "value.converter.encoding"];
        let plain = encoding.iter().all(|key| !converters.value_config.contains_key(*key));
        let value = if converters.value == STRING_CONVERTER && plain { Form::Raw } else { Form::Value };
        Wants { key: Form::Raw, value, headers: Form::Raw }
    }

    async fn put(&mut self, records: &[SinkRecord]) -> Result<Vec<FailedRecord>> {
        self.lines.clear();
        for record in records {
            let value = &record.record.value;
            match &record.raw.value {
                None => self.lines.extend_from_slice(b"null"),
                // Asked for as bytes.
                Some(bytes) if value.value.is_null() && value.schema.is_none() => self.lines.extend_from_slice(bytes),
                // Writing to memory cannot fail.
                Some(_) => drop(write!(self.lines, "{}", value.value)),
            }
            self.lines.push(b'\n');
        }
        let (file, lines) = (self.file.clone(), std::mem::take(&mut self.lines));
        let (lines, written) = blocking(move || {
            let written = match &file {
                Some(file) => (&**file).write_all(&lines),
                None => std::io::stdout().lock().write_all(&lines),
            };
            (lines, written)
        })
        .await?;
        self.lines = lines;
        written.map_err(|error| Error::connect(format!("{} cannot be written: {error}", self.name)))?;
        self.unsynced = true;
        Ok(Vec::new())
    }

    async fn flush(&mut self, _offsets: &Offsets) -> Result<Vec<FailedRecord>> {
        if let Some(file) = self.file.clone().filter(|_| self.unsynced) {
            let synced = blocking(move || file.sync_data()).await?;
            // Pipes and devices have nothing to be made durable.
            if let Err(error) = synced.or_else(|error| match error.kind() {
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            }) {
                return Err(Error::connect(format!("{} cannot be written: {error}", self.name)));
            }
        }
        self.unsynced = false;
        Ok(Vec::new())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::connect(error.to_string()))
}
