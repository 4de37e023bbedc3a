//! Writes one file of record batches per codec, and beside it what they are meant to hold, for Kafka's own reader.
//!
//! `cargo run -p kanat-protocol --example write_batches -- FOLDER && tests/peers/java.sh FixtureReader FOLDER`

use std::error::Error;
use std::path::Path;

use kanat_protocol::batch::{BatchBuilder, BatchOptions, ControlRecord, Header, RecordBatch};
use kanat_protocol::compression::{Codec, Compressor};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000_000;
const TWO_MONTHS: i64 = 5_184_000_000;

type Failure = Box<dyn Error>;

/// A batch to be written.
struct Plan {
    options: BatchOptions,
    records: Vec<Planned>,
    /// The broker's append time, if it replaces the records' own.
    append_time: Option<i64>,
    /// Last offset delta, if it lies behind the last record.
    covers: Option<i32>,
}

struct Planned {
    offset_delta: i32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Option<&'static [u8]>)>,
}

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: write_batches FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut compressor = Compressor::new();
    for codec in Codec::ALL {
        let mut file = Vec::new();
        let mut expected = Vec::new();
        for plan in plans() {
            file.extend_from_slice(&write(&plan, codec, &mut compressor)?);
            expected.push(describe(&plan, codec));
        }
        std::fs::write(folder.join(format!("{codec}.bin")), file)?;
        std::fs::write(folder.join(format!("{codec}.json")), Value::from(expected).to_string())?;
    }
    Ok(())
}

/// Every kind of batch the builder can write.
fn plans() -> Vec<Plan> {
    let plain = BatchOptions { leader_epoch: 9, bytes_max: 1 << 20, ..BatchOptions::default() };
    let producer = BatchOptions { producer_id: 4711, producer_epoch: 3, base_sequence: 100, ..plain };
    let marker = |base_offset, marker: ControlRecord| {
        let (key, value) = marker.encode().expect("transaction markers can be encoded");
        let options = BatchOptions { base_offset, transactional: true, control: true, base_sequence: -1, ..producer };
        Plan::new(options, vec![Planned::new(0, NOW, Some(&key), Some(&value))])
    };
    let few = || (0..4).map(|delta| Planned::new(delta, NOW + i64::from(delta), Some(b"k"), Some(b"v"))).collect();
    let compacted = vec![Planned::new(2, NOW, Some(b"a"), Some(b"1")), Planned::new(5, NOW, Some(b"b"), None)];
    vec![
        Plan::new(BatchOptions { base_offset: 100, ..plain }, plain_records()),
        Plan::new(BatchOptions { base_offset: 200, ..producer }, few()),
        Plan::new(BatchOptions { base_offset: 300, transactional: true, ..producer }, few()),
        marker(304, ControlRecord::Commit { coordinator_epoch: 7 }),
        marker(305, ControlRecord::Abort { coordinator_epoch: 8 }),
        Plan { append_time: Some(NOW + 5), ..Plan::new(BatchOptions { base_offset: 400, ..plain }, few()) },
        Plan { covers: Some(9), ..Plan::new(BatchOptions { base_offset: 500, ..plain }, compacted) },
        Plan { covers: Some(3), ..Plan::new(BatchOptions { base_offset: 600, ..producer }, Vec::new()) },
    ]
}

fn plain_records() -> Vec<Planned> {
    let mut records = vec![
        Planned::new(0, NOW, Some(b"key"), Some(b"value")),
        Planned::new(1, NOW + TWO_MONTHS, None, Some(b"no key")),
        Planned::new(2, NOW - TWO_MONTHS, Some(b"tombstone"), None),
        Planned::new(3, NOW, Some(b""), Some(b"")),
        // Several blocks of every framing, compressible and not.
        Planned::new(4, NOW, Some(b"long"), Some(&[b'x'; 150_000])),
        Planned::new(5, NOW, Some(b"random"), Some(&random(100_000))),
    ];
    records[0].headers = vec![
        ("trace", Some(b"0123")),
        ("trace", Some(b"4567")),
        ("none", None),
        ("", Some(b"")),
        ("grüße", Some(b"\xff\0")),
    ];
    records
        .extend((6..200).map(|delta| Planned::new(delta, NOW, None, Some(format!("{{\"id\": {delta}}}").as_bytes()))));
    records
}

/// Bytes that no codec can shorten, the same in every run.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

impl Plan {
    fn new(options: BatchOptions, records: Vec<Planned>) -> Plan {
        Plan { options, records, append_time: None, covers: None }
    }

    fn last_offset_delta(&self) -> i32 {
        self.covers.unwrap_or_else(|| self.records.last().map_or(0, |record| record.offset_delta))
    }
}

impl Planned {
    fn new(offset_delta: i32, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Planned {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        Planned { offset_delta, timestamp, key, value, headers: Vec::new() }
    }
}

fn write(plan: &Plan, codec: Codec, compressor: &mut Compressor) -> Result<bytes::Bytes, Failure> {
    let mut builder = BatchBuilder::new(plan.options);
    for record in &plan.records {
        let headers: Vec<Header<'_>> = record.headers.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append_at(record.offset_delta, record.timestamp, key, value, &headers)?;
    }
    builder.cover(plan.last_offset_delta())?;
    // Kafka never compresses markers.
    let codec = if plan.options.control { Codec::None } else { codec };
    let batch = RecordBatch::parse(builder.seal(codec.into(), compressor)?)?;
    Ok(match plan.append_time {
        Some(time) => batch.with_log_append_time(time).bytes().clone(),
        None => batch.bytes().clone(),
    })
}

/// The form of `tests/peers/java/RecordText.java`.
fn describe(plan: &Plan, codec: Codec) -> Value {
    let options = &plan.options;
    let records = plan.records.iter().map(|record| {
        let headers = record.headers.iter().map(|(key, value)| json!([key, value.map(text)]));
        json!({
            "offset": options.base_offset + i64::from(record.offset_delta),
            "timestamp": plan.append_time.unwrap_or(record.timestamp),
            "key": record.key.as_deref().map(text),
            "value": record.value.as_deref().map(text),
            "headers": headers.collect::<Vec<_>>(),
        })
    });
    let latest = plan.records.iter().map(|record| record.timestamp).max();
    let mut batch = json!({
        "baseOffset": options.base_offset,
        "lastOffset": options.base_offset + i64::from(plan.last_offset_delta()),
        "leaderEpoch": options.leader_epoch,
        "codec": if options.control { Codec::None } else { codec }.name(),
        "timestampType": if plan.append_time.is_some() { "logappendtime" } else { "createtime" },
        "maxTimestamp": plan.append_time.or(latest).unwrap_or(-1),
        "producerId": options.producer_id,
        "producerEpoch": options.producer_epoch,
        "baseSequence": options.base_sequence,
        "transactional": options.transactional,
        "control": options.control,
        "records": records.collect::<Vec<_>>(),
    });
    if options.control {
        batch["marker"] = json!(if options.base_offset == 304 { "commit 7" } else { "abort 8" });
    }
    batch
}

/// Hexadecimal; a run of one byte as that byte and a count.
fn text(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if bytes.len() >= 64 && rest.iter().all(|byte| byte == first) => {
            format!("{first:02x}*{}", bytes.len())
        }
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
