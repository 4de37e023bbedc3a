//! `kanat consume`: the records of topics on standard output.

mod by_group;
mod format;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use jiff::Timestamp;
use kanat_client::{Client, ConsumerOptions, Fetched, Isolation, JavaProperties, OffsetSpec, TopicPartition};
use kanat_protocol::batch::Record;
use kanat_protocol::compression::Decompressor;
use kanat_sync::{Error, Result};

pub(crate) use self::format::Format;
use super::client::{connect_with_properties, wrong_property};
use super::record_json::to_json;
use crate::args::{ConsumeArgs, FileArgs};
use crate::interrupt::on_signals;
use crate::output::counted;

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

/// Where one partition is read from, and before which offset it is done with, if ever.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: i64,
    end: Option<i64>,
}

/// Prints records until a limit, the end or a signal.
pub(super) async fn run(files: &FileArgs, args: &ConsumeArgs) -> Result<()> {
    let cluster = connect_with_properties(files, &args.cluster).await?;
    let client = &cluster.client;
    let (asked, signalled) = tokio::sync::oneshot::channel();
    let watch = on_signals(move || {
        // The receiver is gone when the work has just ended.
        let _ = asked.send(());
    });
    // Reading on until Ctrl-C is what the command is for: no failure.
    let stop = async {
        // The sender is dropped only after it was used.
        let _ = signalled.await;
    };
    let work = async {
        match &args.group {
            Some(group) => by_group::consume(&cluster, args, group, stop).await,
            None => tokio::select! {
                result = consume(client, fetching(&cluster.properties, args)?, args) => result,
                () = stop => Ok(()),
            },
        }
    };
    tokio::select! {
        result = work => result,
        () = watch => Ok(()),
    }
}

async fn consume(client: &Client, options: ConsumerOptions, args: &ConsumeArgs) -> Result<()> {
    let mut open = ranges(client, options.isolation, args).await?;
    let mut consumer = client.consumer(options).map_err(|error| Error::kafka("making a consumer", error))?;
    open.retain(|_, range| range.end.is_none_or(|end| range.start < end));
    consumer.assign(open.iter().map(|(partition, range)| (partition.clone(), range.start)));
    let topics = args.topics.join(", ");
    let mut printer = Printer::new(args);
    while !open.is_empty() && !printer.is_done() {
        let fetched = consumer.next().await.map_err(|error| Error::kafka(format!("reading {topics}"), error))?;
        let Some(range) = open.get(&fetched.tp) else { continue };
        let end = range.end.unwrap_or(i64::MAX);
        match printer.print(&fetched, end)? {
            Progress::ReaderGone => return Ok(()),
            Progress::Reached => drop(open.remove(&fetched.tp)),
            Progress::Further if fetched.next_offset >= end => drop(open.remove(&fetched.tp)),
            Progress::Further => {}
        }
    }
    Ok(())
}

/// What the properties say, and the flag above them.
fn fetching(properties: &JavaProperties, args: &ConsumeArgs) -> Result<ConsumerOptions> {
    let mut options = ConsumerOptions::from_properties(properties).map_err(wrong_property)?;
    if args.read_uncommitted {
        options.isolation = Isolation::ReadUncommitted;
    }
    Ok(options)
}

/// The partitions the command line means.
async fn partitions(client: &Client, args: &ConsumeArgs) -> Result<Vec<TopicPartition>> {
    let mut all = Vec::new();
    let names: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    let metadata = client.metadata(Some(&names)).await;
    let metadata = metadata.map_err(|error| Error::kafka(format!("reading {}", args.topics.join(", ")), error))?;
    for topic in names {
        let action = || format!("reading {topic}");
        let info = metadata.require_topic(topic).map_err(|error| match error {
            kanat_client::Error::UnknownTopic { .. } => Error::kafka(action(), "the topic does not exist"),
            error => Error::kafka(action(), error),
        })?;
        if let Some(unknown) = args.partitions.iter().find(|partition| info.partition(**partition).is_none()) {
            let reason =
                format!("partition {unknown} does not exist; it has {}", counted(info.partitions.len(), "partition"));
            return Err(Error::kafka(action(), reason));
        }
        let numbers = info.partitions.iter().map(|partition| partition.partition);
        let wanted = numbers.filter(|number| args.partitions.is_empty() || args.partitions.contains(number));
        all.extend(wanted.map(|partition| TopicPartition::new(topic, partition)));
    }
    Ok(all)
}

async fn ranges(client: &Client, isolation: Isolation, args: &ConsumeArgs) -> Result<HashMap<TopicPartition, Range>> {
    let partitions = partitions(client, args).await?;
    let fail = |error| Error::kafka(format!("asking for the offsets of {}", args.topics.join(", ")), error);
    let ask = async |spec| {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        let listed = client.list_offsets(&asked, isolation).await.map_err(fail)?;
        Ok::<Vec<i64>, Error>(listed.into_iter().map(|(_, listed)| listed.offset).collect())
    };
    let first = ask(OffsetSpec::Earliest).await?;
    let last = ask(OffsetSpec::Latest).await?;
    let from = match args.from_time {
        Some(time) => Some(ask(OffsetSpec::Timestamp(time)).await?),
        None => None,
    };
    // Until a time to come nobody knows the offset yet: timestamps are looked at as records arrive.
    let past = args.until.filter(|until| *until <= Timestamp::now().as_millisecond());
    let until = match past {
        Some(time) => Some(ask(OffsetSpec::Timestamp(time)).await?),
        None => None,
    };
    let range = |(index, partition): (usize, &TopicPartition)| {
        let (first, last) = (first[index], last[index]);
        let start = match (from.as_ref().map(|offsets| offsets[index]), args.offset) {
            // No record is that young: whatever comes next is.
            (Some(-1), _) | (None, Start::End) => last,
            (Some(offset), _) | (None, Start::At(offset)) => offset,
            (None, Start::Beginning) => first,
            (None, Start::Last(count)) => last.saturating_sub(count).max(first),
        };
        let end = match until.as_ref().map(|offsets| offsets[index]) {
            Some(-1) => Some(last),
            Some(offset) => Some(if args.exit_at_end { offset.min(last) } else { offset }),
            None => args.exit_at_end.then_some(last),
        };
        (partition.clone(), Range { start, end })
    };
    Ok(partitions.iter().enumerate().map(range).collect())
}

/// How far an item got.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// There may be more to print of its partition.
    Further,
    /// Its partition has reached `--until`, or all there are to print are printed.
    Reached,
    /// Nobody reads standard output any more.
    ReaderGone,
}

/// Writes records in the form asked for.
struct Printer<'a> {
    args: &'a ConsumeArgs,
    format: Format,
    decompressor: Decompressor,
    printed: u64,
    /// Offset after the last record of the item before, of those that were printed or passed over.
    position: Option<i64>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a ConsumeArgs) -> Self {
        let format = args.format.clone().unwrap_or_else(|| Format::lines(args.key_separator.as_deref()));
        Self { args, format, decompressor: Decompressor::new(BATCH_BYTES_MAX), printed: 0, position: None }
    }

    fn is_done(&self) -> bool {
        self.args.count.is_some_and(|count| self.printed >= count)
    }

    /// Prints the records of one item from its first offset up to `end`.
    fn print(&mut self, fetched: &Fetched, end: i64) -> Result<Progress> {
        let mut out = BufWriter::new(io::stdout().lock());
        self.position = None;
        for batch in &fetched.batches {
            let unreadable =
                |error| Error::kafka(format!("reading {} at offset {}", fetched.tp, batch.header().base_offset), error);
            let records = batch.records(&mut self.decompressor).map_err(unreadable)?;
            for record in records.iter() {
                let record = record.map_err(unreadable)?;
                if record.offset < fetched.first_offset || record.offset >= end {
                    continue;
                }
                if self.args.until.is_some_and(|until| record.timestamp >= until) {
                    return Ok(if out.flush().is_err() { Progress::ReaderGone } else { Progress::Reached });
                }
                if self.is_done() {
                    return Ok(if out.flush().is_err() { Progress::ReaderGone } else { Progress::Reached });
                }
                self.printed += 1;
                match self.write(&mut out, &fetched.tp, &record) {
                    Ok(()) => self.position = Some(record.offset.saturating_add(1)),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        return Err(Error::kafka(format!("reading {} at offset {}", fetched.tp, record.offset), error));
                    }
                    Err(_) => {
                        self.position = None;
                        return Ok(Progress::ReaderGone);
                    }
                }
            }
        }
        if out.flush().is_err() {
            self.position = None;
            return Ok(Progress::ReaderGone);
        }
        self.position = Some(fetched.next_offset);
        Ok(Progress::Further)
    }

    fn write(&self, out: &mut impl Write, partition: &TopicPartition, record: &Record<'_>) -> io::Result<()> {
        if self.args.json {
            let topic = (self.args.topics.len() > 1).then_some(&*partition.topic);
            let object = to_json(topic, partition.partition, record)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            return writeln!(out, "{object}");
        }
        let null = self.args.null_marker.as_bytes();
        self.format.write(out, &partition.topic, partition.partition, record, null)
    }
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
