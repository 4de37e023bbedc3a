//! `kanat produce`: the lines of standard input as records.

use std::io::{self, BufRead, Read};

use kanat_client::{Client, ProduceRecord, ProducerOptions};
use kanat_sync::{Error, Result};
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::connect;
use super::deliveries::Deliveries;
use crate::args::{FileArgs, ProduceArgs};
use crate::output::{complain, grouped};

/// Lines read ahead of the producer.
const LINES_WAITING_MAX: usize = 1_024;

/// Bytes one line may have.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A header: its key and its value, null or bytes.
type Header = (Vec<u8>, Option<Vec<u8>>);

/// One record to send.
#[derive(Debug, Default, PartialEq, Eq)]
struct Input {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

/// Sends every line and waits until all are acknowledged.
pub(super) async fn run(files: &FileArgs, args: &ProduceArgs) -> Result<()> {
    let client = connect(files, &args.cluster).await?;
    let sent = produce(&client, args).await?;
    complain(&format!("{} records sent to {}", grouped(sent), args.topic));
    Ok(())
}

async fn produce(client: &Client, args: &ProduceArgs) -> Result<u64> {
    let action = || format!("producing to {}", args.topic);
    let fail = |error: kanat_client::Error| Error::kafka(action(), error);
    let producer = client.producer(ProducerOptions::default()).map_err(fail)?;
    let mut lines = read_lines()?;
    let mut deliveries = Deliveries::default();
    let mut sent = 0_u64;
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
        let delivery = producer.send(record).await.map_err(fail)?;
        deliveries.push(delivery).await.map_err(fail)?;
        sent += 1;
    }
    producer.flush().await.map_err(fail)?;
    deliveries.finish().await.map_err(fail)?;
    Ok(sent)
}

/// A line, or why it could not be read.
type Line = std::result::Result<Vec<u8>, String>;

/// Reads standard input on a thread of its own: a terminal can keep it waiting for ever.
fn read_lines() -> Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
    let read = move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input) {
            let failed = line.is_err();
            // Nobody listens any more once sending failed.
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    };
    match std::thread::Builder::new().name("stdin".to_owned()).spawn(read) {
        Ok(_) => Ok(lines),
        Err(error) => Err(Error::Internal { reason: format!("no thread for standard input: {error}") }),
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
    let mut input = if args.json { parse_json(&line)? } else { split(line, args.key_separator.as_deref()) };
    if args.null_values && input.value.as_ref().is_some_and(Vec::is_empty) {
        input.value = None;
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

/// An object as `kanat consume --json` prints it.
fn parse_json(line: &[u8]) -> std::result::Result<Input, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(object) = value else { return Err("must be a JSON object".to_owned()) };
    let mut input = Input::default();
    for (key, value) in &object {
        match key.as_str() {
            "key" => input.key = to_bytes(value),
            "value" => input.value = to_bytes(value),
            "headers" => input.headers = headers(value)?,
            "partition" => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                input.partition = Some(number.ok_or("partition must be a whole number")?);
            }
            "timestamp" => {
                input.timestamp = Some(value.as_i64().ok_or("timestamp must be milliseconds, a whole number")?);
            }
            // Printed by consume; the broker chooses it anew.
            "offset" => {}
            other => return Err(format!("unknown key {other}")),
        }
    }
    Ok(input)
}

fn headers(value: &Value) -> std::result::Result<Vec<Header>, String> {
    const SHAPE: &str = "headers must be a list of [key, value]";
    let mut headers = Vec::new();
    for pair in value.as_array().ok_or(SHAPE)? {
        match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(key), value]) => headers.push((key.clone().into_bytes(), to_bytes(value))),
            _ => return Err(SHAPE.to_owned()),
        }
    }
    Ok(headers)
}

/// Text as it is, null as null, anything else as JSON.
fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
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
        assert_eq!(parse("-p 3", "x").unwrap().partition, Some(3));
        let headers = parse("-H a=1 -H a=2", "x").unwrap().headers;
        assert_eq!(headers, [(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), Some(b"2".to_vec()))]);
    }

    #[test]
    fn json_lines_hold_every_part_of_a_record() {
        let line = r#"{"key":"k","value":{"id":1},"headers":[["h",null]],"partition":2,"timestamp":5,"offset":9}"#;
        let input = parse("--json", line).unwrap();
        assert_eq!((input.key.as_deref(), input.value.as_deref()), (Some(&b"k"[..]), Some(&br#"{"id":1}"#[..])));
        assert_eq!((input.partition, input.timestamp), (Some(2), Some(5)));
        assert_eq!(input.headers, [(b"h".to_vec(), None)]);
        assert_eq!(parse("--json", r#"{"key":null,"value":null}"#), Ok(Input::default()));
        for line in ["[]", "{", r#"{"colour":1}"#, r#"{"headers":{}}"#, r#"{"partition":"x"}"#] {
            assert!(parse("--json", line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_end_in_either_way_and_the_last_may_not_end() {
        let mut input = io::Cursor::new(b"a\r\nb\n\nc".to_vec());
        let lines: Vec<Line> = std::iter::from_fn(|| next_line(&mut input)).collect();
        assert_eq!(lines, [Ok(b"a".to_vec()), Ok(b"b".to_vec()), Ok(b"".to_vec()), Ok(b"c".to_vec())]);
    }
}
