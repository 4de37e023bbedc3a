//! A record as a consumer sees it, ours or Kafka's own.

use serde_json::Value;

/// A record with everything that a consumer can see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) by_broker: bool,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes_of(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?;
    let byte = |index| u8::from_str_radix(&digits[index..index + 2], 16).unwrap();
    Some((0..digits.len()).step_by(2).map(byte).collect())
}

/// The records of one topic and isolation level as `Dump.java` printed them, partition by partition.
pub(crate) fn seen_by_java(dump: &Value) -> Vec<Seen> {
    let mut seen: Vec<Seen> = dump["records"].as_array().unwrap().iter().map(parse).collect();
    // A stable sort: the order within a partition is part of what is compared.
    seen.sort_by_key(|record| record.partition);
    seen
}

fn parse(record: &Value) -> Seen {
    let header = |pair: &Value| (bytes_of(&pair[0]).unwrap(), bytes_of(&pair[1]));
    Seen {
        partition: i32::try_from(record["partition"].as_i64().unwrap()).unwrap(),
        offset: record["offset"].as_i64().unwrap(),
        timestamp: record["timestamp"].as_i64().unwrap(),
        by_broker: record["timestamp_type"] == "LogAppendTime",
        key: bytes_of(&record["key"]),
        value: bytes_of(&record["value"]),
        headers: record["headers"].as_array().unwrap().iter().map(header).collect(),
    }
}
