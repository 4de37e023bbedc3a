//! `kanat produce`: the lines of a file or of standard input as records.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use kanat_client::{
    Acks, Client, DeliveryFuture, JavaProperties, ProduceRecord, Producer, ProducerOptions, Transaction,
    TransactionalOptions,
};
use kanat_sync::{Error, Result};
use tokio::sync::mpsc;

use super::client::{connect_with_properties, wrong_property};
use super::deliveries::Deliveries;
use super::record_json::{self, Input};
use crate::args::{FileArgs, ProduceArgs};
use crate::output::{complain, counted};

/// Lines read ahead of the producer.
const LINES_WAITING_MAX: usize = 1_024;

/// Bytes one line may have.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Sends every line and says how many there were.
pub(super) async fn run(files: &FileArgs, args: &ProduceArgs) -> Result<()> {
    let cluster = connect_with_properties(files, &args.cluster).await?;
    let options = options(&cluster.properties, args)?;
    let sent = produce(&cluster.client, options, args).await?;
    complain(&format!("{} sent to {}", counted(sent, "record"), args.topic));
    Ok(())
}

/// What the properties say, and the flags above them.
fn options(properties: &JavaProperties, args: &ProduceArgs) -> Result<ProducerOptions> {
    let mut options = ProducerOptions::from_properties(properties).map_err(wrong_property)?;
    options.compression = args.compression.unwrap_or(options.compression);
    options.linger_ms = args.linger_ms.unwrap_or(options.linger_ms);
    if let Some(acks) = args.acks {
        options.acks = acks;
        // Idempotence needs every copy.
        options.idempotent = acks == Acks::All;
    }
    Ok(options)
}

async fn produce(client: &Client, options: ProducerOptions, args: &ProduceArgs) -> Result<usize> {
    let fail = |error| Error::kafka(format!("producing to {}", args.topic), error);
    let Some(id) = &args.transactional_id else {
        let producer = client.producer(options).map_err(fail)?;
        let sent = send_all(Target::Producer(&producer), args).await?;
        producer.flush().await.map_err(fail)?;
        return Ok(sent);
    };
    let options = TransactionalOptions { producer: options, ..TransactionalOptions::new(id) };
    let mut producer = client.transactional_producer(options).await.map_err(fail)?;
    let transaction = producer.begin().await.map_err(fail)?;
    match send_all(Target::Transaction(&transaction), args).await {
        Ok(sent) => {
            transaction.commit().await.map_err(fail)?;
            Ok(sent)
        }
        Err(error) => {
            // The failure that led here is the one to tell; the coordinator aborts what is left open.
            let _ = transaction.abort().await;
            Err(error)
        }
    }
}

/// What records are sent through.
#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    Producer(&'a Producer),
    Transaction(&'a Transaction<'a>),
}

impl Target<'_> {
    async fn send(self, record: ProduceRecord<'_>) -> kanat_client::Result<DeliveryFuture> {
        match self {
            Target::Producer(producer) => producer.send(record).await,
            Target::Transaction(transaction) => transaction.send(record).await,
        }
    }
}

/// Sends every line and waits until all are acknowledged.
async fn send_all(target: Target<'_>, args: &ProduceArgs) -> Result<usize> {
    let action = || format!("producing to {}", args.topic);
    let fail = |error| Error::kafka(action(), error);
    let mut lines = read_lines(args.file.as_deref())?;
    let mut deliveries = Deliveries::default();
    let mut sent = 0_usize;
    while let Some(line) = lines.recv().await {
        let input = line.and_then(|line| parse_line(line, args));
        let input = input.map_err(|reason| Error::kafka(action(), format!("line {}: {reason}", sent + 1)))?;
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            input.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        let record = ProduceRecord {
            topic: &args.topic,
            partition: input.partition,
            key: input.key.as_deref(),
            value: input.value.as_deref(),
            headers: &headers,
            timestamp: input.timestamp,
        };
        let delivery = target.send(record).await.map_err(fail)?;
        deliveries.push(delivery).await.map_err(fail)?;
        sent += 1;
    }
    deliveries.finish().await.map_err(fail)?;
    Ok(sent)
}

/// A line, or why it could not be read.
type Line = std::result::Result<Vec<u8>, String>;

/// Reads a file or standard input on a thread of its own: a terminal can keep it waiting for ever.
fn read_lines(path: Option<&Path>) -> Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
    let mut input: Box<dyn BufRead + Send> = match path {
        Some(path) => {
            let file = File::open(path).map_err(|source| Error::FileUnreadable { path: path.to_owned(), source })?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(BufReader::new(io::stdin())),
    };
    let read = move || {
        while let Some(line) = next_line(&mut input) {
            let failed = line.is_err();
            // Nobody listens any more once sending failed.
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    };
    match std::thread::Builder::new().name("input".to_owned()).spawn(read) {
        Ok(_) => Ok(lines),
        Err(error) => Err(Error::Internal { reason: format!("no thread for the input: {error}") }),
    }
}

/// The next line without its end; `None` at the end of the input.
fn next_line(input: &mut impl BufRead) -> Option<Line> {
    let mut line = Vec::new();
    let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    match read {
        Err(error) => return Some(Err(error.to_string())),
        Ok(0) => return None,
        Ok(_) => {}
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() as u64 == LINE_BYTES_MAX {
        return Some(Err(format!("longer than {LINE_BYTES_MAX} bytes")));
    }
    Some(Ok(line))
}

fn parse_line(line: Vec<u8>, args: &ProduceArgs) -> std::result::Result<Input, String> {
    let mut input = if args.json { record_json::parse(&line)? } else { split(line, args.key_separator.as_deref()) };
    if args.null_values && input.value.as_ref().is_some_and(Vec::is_empty) {
        input.value = None;
    }
    if let Some(marker) = &args.null_marker {
        let is_marker = |bytes: &mut Vec<u8>| bytes == marker.as_bytes();
        input.key.take_if(is_marker);
        input.value.take_if(is_marker);
    }
    input.partition = args.partition.or(input.partition);
    let common = args.headers.iter().map(|(key, value)| (key.clone().into_bytes(), Some(value.clone().into_bytes())));
    input.headers.extend(common);
    Ok(input)
}

/// Key and value around the separator; without one in the line the whole of it is the value.
fn split(line: Vec<u8>, separator: Option<&str>) -> Input {
    let separator = separator.unwrap_or_default().as_bytes();
    let at = (!separator.is_empty()).then(|| line.windows(separator.len()).position(|window| window == separator));
    match at.flatten() {
        Some(at) => Input {
            key: Some(line[..at].to_vec()),
            value: Some(line[at + separator.len()..].to_vec()),
            ..Input::default()
        },
        None => Input { value: Some(line), ..Input::default() },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    /// What `kanat produce t <flags>` makes of a line.
    fn parse(flags: &str, line: &str) -> std::result::Result<Input, String> {
        let cli = Cli::try_parse_from(format!("kanat produce t {flags}").split_whitespace()).unwrap();
        let Command::Produce(args) = cli.command else { panic!("produce was asked for") };
        parse_line(line.as_bytes().to_vec(), &args)
    }

    #[test]
    fn lines_become_keys_and_values() {
        let input = |key: Option<&str>, value: Option<&str>| {
            let bytes = |text: &str| text.as_bytes().to_vec();
            Input { key: key.map(bytes), value: value.map(bytes), ..Input::default() }
        };
        assert_eq!(parse("", "a:b"), Ok(input(None, Some("a:b"))));
        assert_eq!(parse("-k :", "a:b:c"), Ok(input(Some("a"), Some("b:c"))));
        assert_eq!(parse("-k =>", "a=>"), Ok(input(Some("a"), Some(""))));
        assert_eq!(parse("-k => -Z", "a=>"), Ok(input(Some("a"), None)));
        assert_eq!(parse("-k :", "plain"), Ok(input(None, Some("plain"))));
        assert_eq!(parse("-k : --null-marker NULL", "NULL:NULL"), Ok(input(None, None)));
        assert_eq!(parse("--null-marker NULL", "NULLS"), Ok(input(None, Some("NULLS"))));
        assert_eq!(parse("-p 3", "x").unwrap().partition, Some(3));
        let headers = parse("-H a=1 -H a=2", "x").unwrap().headers;
        assert_eq!(headers, [(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), Some(b"2".to_vec()))]);
    }

    #[test]
    fn lines_end_in_either_way_and_the_last_may_not_end() {
        let mut input = io::Cursor::new(b"a\r\nb\n\nc".to_vec());
        let lines: Vec<Line> = std::iter::from_fn(|| next_line(&mut input)).collect();
        assert_eq!(lines, [Ok(b"a".to_vec()), Ok(b"b".to_vec()), Ok(b"".to_vec()), Ok(b"c".to_vec())]);
    }
}
