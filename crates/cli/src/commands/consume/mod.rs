//! `kanat consume`: the records of a topic on standard output.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use kanat_client::{Client, ConsumerOptions, Fetched, Isolation, OffsetSpec, TopicPartition};
use kanat_protocol::batch::Record;
use kanat_protocol::compression::Decompressor;
use kanat_sync::{Error, Result};
use serde_json::{Map, Value, json};

use super::client::connect;
use crate::args::{ConsumeArgs, FileArgs};
use crate::interrupt::on_signals;

/// Uncompressed size one record batch may have, bytes.
const BATCH_BYTES_MAX: usize = 512 << 20;

/// Where to begin in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first record.
    Beginning,
    /// Behind the last record.
    End,
    /// An offset.
    At(i64),
    /// This many records before the end.
    Last(i64),
}

/// Reads the value of `--offset`.
pub(crate) fn start(text: &str) -> std::result::Result<Start, String> {
    match text {
        "beginning" | "earliest" => return Ok(Start::Beginning),
        "end" | "latest" => return Ok(Start::End),
        _ => {}
    }
    match i64::from_str(text) {
        Ok(offset) if offset < 0 => Ok(Start::Last(offset.saturating_neg())),
        Ok(offset) => Ok(Start::At(offset)),
        Err(_) => Err(format!("must be beginning, end, an offset or -N, not {text}")),
    }
}

/// Where one partition is read from, and where it ended when the command began.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: i64,
    end: i64,
}

/// Prints records until a limit, the end or a signal.
pub(super) async fn run(files: &FileArgs, args: &ConsumeArgs) -> Result<()> {
    let client = connect(files, &args.cluster).await?;
    let work = consume(&client, args);
    let (asked, signalled) = tokio::sync::oneshot::channel();
    let watch = on_signals(move || {
        // The receiver is gone when the work has just ended.
        let _ = asked.send(());
    });
    tokio::select! {
        result = work => result,
        // Reading on until Ctrl-C is what the command is for: no failure.
        Ok(()) = signalled => Ok(()),
        () = watch => Ok(()),
    }
}

async fn consume(client: &Client, args: &ConsumeArgs) -> Result<()> {
    let ranges = ranges(client, args).await?;
    let isolation = if args.read_uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
    let options = ConsumerOptions { isolation, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(options).map_err(|error| Error::kafka("making a consumer", error))?;
    consumer.assign(ranges.iter().map(|(partition, range)| (partition.clone(), range.start)));
    let mut open = ranges;
    if args.exit_at_end {
        open.retain(|_, range| range.start < range.end);
    }
    let mut printer = Printer::new(args);
    while !open.is_empty() && !printer.is_done() {
        let fetched = consumer.next().await.map_err(|error| Error::kafka(format!("reading {}", args.topic), error))?;
        let Some(range) = open.get(&fetched.tp) else { continue };
        let limit = if args.exit_at_end { range.end } else { i64::MAX };
        if printer.print(&fetched, limit)? == Reader::Gone {
            return Ok(());
        }
        if fetched.next_offset >= limit {
            open.remove(&fetched.tp);
        }
    }
    Ok(())
}

async fn ranges(client: &Client, args: &ConsumeArgs) -> Result<HashMap<TopicPartition, Range>> {
    let topic = &args.topic;
    let fail = |error| Error::kafka(format!("asking for the offsets of {topic}"), error);
    let metadata = client.metadata(Some(&[topic])).await.map_err(fail)?;
    let Some(info) = metadata.topic(topic) else {
        return Err(Error::kafka(format!("reading {topic}"), "the topic does not exist"));
    };
    let mut partitions: Vec<i32> = info.partitions.iter().map(|partition| partition.partition).collect();
    if !args.partitions.is_empty() {
        if let Some(unknown) = args.partitions.iter().find(|partition| !partitions.contains(partition)) {
            let reason = format!("partition {unknown} does not exist; it has {}", partitions.len());
            return Err(Error::kafka(format!("reading {topic}"), reason));
        }
        partitions.retain(|partition| args.partitions.contains(partition));
    }
    let ask = |spec| {
        let asked = partitions.iter().map(|&partition| (TopicPartition::new(topic.as_str(), partition), spec));
        asked.collect::<Vec<_>>()
    };
    let isolation = if args.read_uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
    let first = client.list_offsets(&ask(OffsetSpec::Earliest), isolation).await.map_err(fail)?;
    let last = client.list_offsets(&ask(OffsetSpec::Latest), isolation).await.map_err(fail)?;
    let pairs = first.into_iter().zip(last).map(|((partition, first), (_, last))| {
        let start = match args.offset {
            Start::Beginning => first.offset,
            Start::End => last.offset,
            Start::At(offset) => offset,
            Start::Last(count) => last.offset.saturating_sub(count).max(first.offset),
        };
        (partition, Range { start, end: last.offset })
    });
    Ok(pairs.collect())
}

/// Whether somebody still reads standard output.
#[derive(Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

/// Writes records in the form asked for.
struct Printer<'a> {
    args: &'a ConsumeArgs,
    decompressor: Decompressor,
    printed: u64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a ConsumeArgs) -> Self {
        Self { args, decompressor: Decompressor::new(BATCH_BYTES_MAX), printed: 0 }
    }

    fn is_done(&self) -> bool {
        self.args.count.is_some_and(|count| self.printed >= count)
    }

    /// Prints the records of one item from its first offset up to `end`.
    fn print(&mut self, fetched: &Fetched, end: i64) -> Result<Reader> {
        let mut out = BufWriter::new(io::stdout().lock());
        for batch in &fetched.batches {
            let unreadable =
                |error| Error::kafka(format!("reading {} at offset {}", fetched.tp, batch.header().base_offset), error);
            let records = batch.records(&mut self.decompressor).map_err(unreadable)?;
            for record in records.iter() {
                let record = record.map_err(unreadable)?;
                if record.offset < fetched.first_offset || record.offset >= end || self.is_done() {
                    continue;
                }
                self.printed += 1;
                if write_record(&mut out, self.args, fetched.tp.partition, &record).is_err() {
                    return Ok(Reader::Gone);
                }
            }
        }
        Ok(if out.flush().is_err() { Reader::Gone } else { Reader::There })
    }
}

fn write_record(out: &mut impl Write, args: &ConsumeArgs, partition: i32, record: &Record<'_>) -> io::Result<()> {
    if args.json {
        return writeln!(out, "{}", to_json(partition, record));
    }
    if let Some(separator) = &args.key_separator {
        out.write_all(record.key.unwrap_or_default())?;
        out.write_all(separator.as_bytes())?;
    }
    out.write_all(record.value.unwrap_or_default())?;
    out.write_all(b"\n")
}

/// One record as JSON. Bytes that are not UTF-8 show with replacement characters.
fn to_json(partition: i32, record: &Record<'_>) -> Value {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut object = Map::new();
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(record.offset));
    object.insert("timestamp".to_owned(), json!(record.timestamp));
    object.insert("key".to_owned(), json!(text(record.key)));
    object.insert("value".to_owned(), json!(text(record.value)));
    let headers: Vec<Value> = record
        .headers()
        .map_while(std::result::Result::ok)
        .map(|(key, value)| json!([text(Some(key)), text(value)]))
        .collect();
    if !headers.is_empty() {
        object.insert("headers".to_owned(), Value::from(headers));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_words_numbers_or_counts_from_the_end() {
        for (text, expected) in
            [("beginning", Start::Beginning), ("end", Start::End), ("42", Start::At(42)), ("-5", Start::Last(5))]
        {
            assert_eq!(start(text), Ok(expected));
        }
        assert!(start("middle").is_err());
    }
}
