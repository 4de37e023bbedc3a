//! Converters and transforms of a task.

use std::sync::Arc;

use bytes::Bytes;
use kanat_client::{Decompressor, Fetched, RecordView};
use kanat_connect::config::Properties;
use kanat_connect::connector::{ConverterNames, Form, Wants};
use kanat_connect::converter::{Converter, HeaderConverter, SchemaAndValue};
use kanat_connect::data::Text;
use kanat_connect::plugin::{ConverterUse, Plugins};
use kanat_connect::record::{Headers, RawHeader, RawRecord, Record, SinkRecord, SourceRecord, TimestampType};
use kanat_connect::transform::{Parts, Predicate, Transformation, Verdict};
use kanat_connect::{Error, Result};

use super::errors::{Failure, Stage};
use crate::config::WorkerConfig;

/// Largest batch after decompression.
const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A transform, and when it applies.
struct Link {
    class: &'static str,
    transformation: Box<dyn Transformation>,
    predicate: Option<Box<dyn Predicate>>,
    negate: bool,
}

/// Everything between a connector and the bytes in Kafka. Each task has its own.
pub(super) struct Pipeline {
    key: Arc<dyn Converter>,
    value: Arc<dyn Converter>,
    header: Arc<dyn HeaderConverter>,
    names: ConverterNames,
    header_class: String,
    links: Vec<Link>,
    /// What transforms read or change.
    parts: Parts,
    decompressor: Decompressor,
}

/// The keys of a configuration under a prefix, without it.
fn under(config: &Properties, prefix: &str) -> Properties {
    config.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))).collect()
}

fn text(config: &Properties, key: &str) -> Option<String> {
    config.get(key).cloned().flatten().map(|text| text.trim().to_owned())
}

/// Class and configuration of a converter: the connector's, or else the worker's with the worker's settings.
fn converter_config(worker: &WorkerConfig, config: &Properties, key: &str) -> (String, Properties) {
    let prefix = format!("{key}.");
    match text(config, key) {
        Some(class) => (class, under(config, &prefix)),
        None => (worker.text(key).to_owned(), worker.with_prefix(&prefix)),
    }
}

impl Pipeline {
    /// The pipeline of a connector, its placeholders replaced.
    ///
    /// # Errors
    /// What of the configuration cannot work.
    pub(super) fn new(worker: &WorkerConfig, plugins: &Plugins, config: &Properties) -> Result<Pipeline> {
        let missing = |class: &str| Error::Config(format!("Class {class} could not be found."));
        let (key_class, key_config) = converter_config(worker, config, "key.converter");
        let (value_class, value_config) = converter_config(worker, config, "value.converter");
        let (header_class, header_config) = converter_config(worker, config, "header.converter");
        let key = plugins.converter(&key_class).ok_or_else(|| missing(&key_class))?;
        let value = plugins.converter(&value_class).ok_or_else(|| missing(&value_class))?;
        let header = plugins.header_converter(&header_class).ok_or_else(|| missing(&header_class))?;
        let links = links(plugins, config)?;
        let parts = links.iter().fold(Parts::NONE, |parts, link| {
            let asked = link.predicate.as_ref().map_or(Parts::NONE, |predicate| predicate.parts());
            parts.or(link.transformation.parts()).or(asked)
        });
        Ok(Pipeline {
            key: (key.build)(&key_config, ConverterUse::Key)?,
            value: (value.build)(&value_config, ConverterUse::Value)?,
            header: (header.build)(&header_config)?,
            names: ConverterNames {
                key: key.class.to_owned(),
                key_config,
                value: value.class.to_owned(),
                value_config,
            },
            header_class: header.class.to_owned(),
            links,
            parts,
            decompressor: Decompressor::new(DECOMPRESSED_BYTES_MAX),
        })
    }

    /// The converters, by which a sink decides what it wants.
    pub(super) fn names(&self) -> &ConverterNames {
        &self.names
    }

    fn failure(&self, stage: Stage, error: Error) -> Failure {
        let class = match stage {
            Stage::KeyConverter => &self.names.key,
            Stage::ValueConverter => &self.names.value,
            _ => &self.header_class,
        };
        Failure { stage, class: class.clone(), error }
    }

    /// Applies the transforms.
    fn transform(&mut self, record: &mut Record) -> Result<Verdict, Failure> {
        for link in &mut self.links {
            let failed = |error| Failure { stage: Stage::Transformation, class: link.class.to_owned(), error };
            let applies = match &mut link.predicate {
                Some(predicate) => predicate.test(record).map_err(failed)? != link.negate,
                None => true,
            };
            if applies && link.transformation.apply(record).map_err(failed)? == Verdict::Drop {
                return Ok(Verdict::Drop);
            }
        }
        Ok(Verdict::Keep)
    }
}

fn links(plugins: &Plugins, config: &Properties) -> Result<Vec<Link>> {
    let aliases = text(config, "transforms").unwrap_or_default();
    let aliases = aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty());
    let link = |alias: &str| {
        let mut own = under(config, &format!("transforms.{alias}."));
        let class = own.remove("type").flatten().unwrap_or_default();
        let plugin = plugins.transformation(class.trim());
        let plugin = plugin.ok_or_else(|| Error::Config(format!("Class {class} could not be found.")))?;
        let predicate = own.remove("predicate").flatten().filter(|name| !name.trim().is_empty());
        let negate = own.remove("negate").flatten();
        own.remove("plugin.version");
        Ok(Link {
            class: plugin.class,
            transformation: (plugin.build)(&own)?,
            predicate: predicate.map(|name| predicate_named(plugins, config, name.trim())).transpose()?,
            negate: negate.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
        })
    };
    aliases.map(link).collect()
}

fn predicate_named(plugins: &Plugins, config: &Properties, name: &str) -> Result<Box<dyn Predicate>> {
    let mut own = under(config, &format!("predicates.{name}."));
    let class = own.remove("type").flatten().unwrap_or_default();
    own.remove("plugin.version");
    let plugin = plugins.predicate(class.trim());
    let plugin = plugin.ok_or_else(|| Error::Config(format!("Class {class} could not be found.")))?;
    (plugin.build)(&own)
}

/// What a batch of a sink became.
#[derive(Debug, Default)]
pub(super) struct SinkBatch {
    /// Records for the task, in order.
    pub(super) records: Vec<SinkRecord>,
    /// Records that failed, as they stand in Kafka.
    pub(super) failed: Vec<(SinkRecord, Failure)>,
}

impl Pipeline {
    /// Reads, converts and transforms what was fetched. With `stop_at_failure` it ends with the first failure.
    ///
    /// # Errors
    /// A batch that cannot be read.
    pub(super) fn read(
        &mut self,
        fetched: &Fetched,
        wants: Wants,
        stop_at_failure: bool,
    ) -> kanat_client::Result<SinkBatch> {
        let topic = Text::from(&*fetched.tp.topic);
        let mut batch = SinkBatch::default();
        batch.records.reserve(fetched.record_count());
        for bytes in &fetched.batches {
            let base_offset = bytes.header().base_offset;
            let corrupt = |source| kanat_client::Error::CorruptBatch {
                topic: Arc::clone(&fetched.tp.topic),
                partition: fetched.tp.partition,
                offset: base_offset,
                source: Arc::new(source),
            };
            let records = bytes.records(&mut self.decompressor).map_err(corrupt)?;
            let timestamp_type = match records.header().attributes.timestamp_type() {
                kanat_client::protocol::batch::TimestampType::CreateTime => TimestampType::CreateTime,
                kanat_client::protocol::batch::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
            };
            for view in &records {
                let view = view.map_err(corrupt)?;
                if view.offset < fetched.first_offset {
                    continue;
                }
                let raw = raw_record(&topic, fetched.tp.partition, &view, records.body()).map_err(corrupt)?;
                let mut record = SinkRecord { record: Record::default(), timestamp_type, raw };
                record.record.timestamp = Some(view.timestamp);
                match self.convert(&mut record, wants) {
                    Ok(Verdict::Keep) => batch.records.push(record),
                    Ok(Verdict::Drop) => {}
                    Err(failure) => {
                        batch.failed.push((record, failure));
                        if stop_at_failure {
                            return Ok(batch);
                        }
                    }
                }
            }
        }
        Ok(batch)
    }

    fn convert(&mut self, sink: &mut SinkRecord, wants: Wants) -> Result<Verdict, Failure> {
        let (raw, record) = (&sink.raw, &mut sink.record);
        record.topic = raw.topic.clone();
        record.partition = Some(raw.partition);
        record.offset = Some(raw.offset);
        let topic = &*raw.topic;
        if wants.key == Form::Value || self.parts.key {
            record.key =
                self.key.read(topic, raw.key.as_ref()).map_err(|error| self.failure(Stage::KeyConverter, error))?;
        }
        if wants.value == Form::Value || self.parts.value {
            record.value = self
                .value
                .read(topic, raw.value.as_ref())
                .map_err(|error| self.failure(Stage::ValueConverter, error))?;
        }
        if let Some(headers) = &raw.headers
            && (wants.headers == Form::Value || self.parts.headers)
        {
            for header in headers.iter() {
                let value = self.header.read_header(topic, &header.key, header.value.as_ref());
                let value = value.map_err(|error| self.failure(Stage::HeaderConverter, error))?;
                record.headers.add(header.key.clone(), value);
            }
        }
        if self.links.is_empty() {
            return Ok(Verdict::Keep);
        }
        if self.transform(&mut sink.record)? == Verdict::Drop {
            return Ok(Verdict::Drop);
        }
        self.write_wanted(sink, wants)?;
        Ok(Verdict::Keep)
    }

    /// Writes anew what the task wants as bytes and transforms may have changed.
    fn write_wanted(&self, sink: &mut SinkRecord, wants: Wants) -> Result<(), Failure> {
        let (record, raw) = (&sink.record, &mut sink.raw);
        let topic = &*record.topic;
        if wants.key == Form::Raw && self.parts.key {
            raw.key =
                written(&*self.key, topic, &record.key).map_err(|error| self.failure(Stage::KeyConverter, error))?;
        }
        if wants.value == Form::Raw && self.parts.value {
            raw.value = written(&*self.value, topic, &record.value)
                .map_err(|error| self.failure(Stage::ValueConverter, error))?;
        }
        Ok(())
    }
}

fn written(converter: &dyn Converter, topic: &str, value: &SchemaAndValue) -> Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    let there = converter.write(topic, value.schema.as_ref(), &value.value, &mut bytes)?;
    Ok(there.then(|| bytes.into()))
}

/// The record with its bytes shared with the batch.
fn raw_record(
    topic: &Text,
    partition: i32,
    view: &RecordView<'_>,
    body: &Bytes,
) -> kanat_client::protocol::Result<RawRecord> {
    let shared = |bytes: Option<&[u8]>| bytes.map(|bytes| body.slice_ref(bytes));
    let headers = if view.has_headers() {
        let mut headers = Vec::new();
        for header in view.headers() {
            let (key, value) = header?;
            headers
                .push(RawHeader { key: Text::from(String::from_utf8_lossy(key).into_owned()), value: shared(value) });
        }
        Some(headers.into())
    } else {
        None
    };
    Ok(RawRecord {
        topic: topic.clone(),
        partition,
        offset: view.offset,
        key: shared(view.key),
        value: shared(view.value),
        headers,
    })
}

/// A record of a source in bytes.
#[derive(Debug)]
pub(super) struct EncodedRecord {
    pub(super) topic: Text,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(Text, Option<Bytes>)>,
}

impl Pipeline {
    /// Transforms and writes a record of a source. `None` when a transform dropped it.
    pub(super) fn write(&mut self, source: &SourceRecord) -> Result<Option<EncodedRecord>, Failure> {
        // Without transforms the record is read where it is.
        let transformed;
        let record = if self.links.is_empty() {
            &source.record
        } else {
            let mut copy = source.record.clone();
            if self.transform(&mut copy)? == Verdict::Drop {
                return Ok(None);
            }
            transformed = copy;
            &transformed
        };
        let topic = &*record.topic;
        let key = written(&*self.key, topic, &record.key).map_err(|error| self.failure(Stage::KeyConverter, error))?;
        let value =
            written(&*self.value, topic, &record.value).map_err(|error| self.failure(Stage::ValueConverter, error))?;
        Ok(Some(EncodedRecord {
            topic: record.topic.clone(),
            partition: record.partition,
            timestamp: record.timestamp,
            key,
            value,
            headers: self.write_headers(topic, &record.headers)?,
        }))
    }

    fn write_headers(&self, topic: &str, headers: &Headers) -> Result<Vec<(Text, Option<Bytes>)>, Failure> {
        let write = |header: &kanat_connect::record::Header| {
            let mut bytes = Vec::new();
            let there = self.header.write_header(topic, &header.key, &header.value, &mut bytes);
            let there = there.map_err(|error| self.failure(Stage::HeaderConverter, error))?;
            Ok((header.key.clone(), there.then(|| bytes.into())))
        };
        headers.iter().map(write).collect()
    }
}
