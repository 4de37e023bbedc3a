//! Keys of producers.

use kanat_protocol::compression::{Codec, Compression};

use super::row::{INT_MAX, Row, Value, simple_name};
use super::{Result, invalid};
use crate::produce::Acks;
use crate::producer::{Partitioning, ProducerOptions};
use crate::transaction::TransactionalOptions;

/// Smallest and largest batch and record an option takes, in bytes.
const SIZE_MIN: u64 = 1_024;
const SIZE_MAX: u64 = 1 << 30;
const BYTES: &str = "records are bytes: your code turns its types into them";
const STICKY: &str = "every partition gets its turn, whatever its broker's speed";

/// What the keys say, before it is put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    options: ProducerOptions,
    codec: Codec,
    gzip_level: Option<i32>,
    zstd_level: Option<i32>,
    idempotent: Option<bool>,
    buffer_bytes: Option<usize>,
}

impl Draft {
    pub(super) fn finish(self) -> Result<ProducerOptions> {
        let Draft { mut options, codec, .. } = self;
        let (key, level) = match codec {
            Codec::Gzip => ("compression.gzip.level", self.gzip_level),
            Codec::Zstd => ("compression.zstd.level", self.zstd_level),
            Codec::None | Codec::Snappy | Codec::Lz4 => ("compression.type", None),
        };
        options.compression = Compression::new(codec, level).map_err(|error| invalid(key, error.to_string()))?;
        // As in Java, fewer copies turn idempotence off unless somebody asked for it.
        options.idempotent = self.idempotent.unwrap_or(options.acks == Acks::All);
        if options.idempotent && options.acks != Acks::All {
            return Err(invalid("acks", "must be all with enable.idempotence=true"));
        }
        let sizes = [&mut options.batch_bytes_max, &mut options.record_bytes_max];
        match self.buffer_bytes {
            // A record larger than the buffer can never be sent.
            Some(buffer) => sizes.into_iter().for_each(|size| *size = (*size).min(buffer)),
            None => {
                let largest = sizes.into_iter().map(|size| *size).max().unwrap_or_default();
                options.buffer_bytes_max = options.buffer_bytes_max.max(largest);
            }
        }
        options.buffer_bytes_max = self.buffer_bytes.unwrap_or(options.buffer_bytes_max);
        Ok(options)
    }
}

const CODECS: &[(&str, Codec)] = &[
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

const ACKS: &[(&str, Acks)] = &[("all", Acks::All), ("-1", Acks::All), ("1", Acks::Leader), ("0", Acks::None)];

pub(super) const ROWS: &[Row<Draft>] = &[
    Row::sets("acks", "`ProducerOptions::acks`; fewer than `all` turn idempotence off", |draft, value| {
        draft.options.acks = value.choice(ACKS)?;
        Ok(())
    }),
    Row::sets("enable.idempotence", "`ProducerOptions::idempotent`", |draft, value| {
        draft.idempotent = Some(value.flag()?);
        Ok(())
    }),
    Row::sets("linger.ms", "`ProducerOptions::linger_ms`", |draft, value| value.millis(&mut draft.options.linger_ms)),
    Row::sets("batch.size", "`ProducerOptions::batch_bytes_max`, at least 1024", |draft, value| {
        value.number(&mut draft.options.batch_bytes_max, 0..=SIZE_MAX)?;
        draft.options.batch_bytes_max = draft.options.batch_bytes_max.max(1_024);
        Ok(())
    }),
    Row::sets("max.request.size", "`ProducerOptions::request_bytes_max` and `record_bytes_max`", |draft, value| {
        value.number(&mut draft.options.request_bytes_max, SIZE_MIN..=SIZE_MAX)?;
        draft.options.record_bytes_max = draft.options.request_bytes_max;
        Ok(())
    }),
    Row::sets(
        "buffer.memory",
        "`ProducerOptions::buffer_bytes_max`; batches and records are at most as large",
        |draft, value| {
            let mut bytes = 0;
            value.number(&mut bytes, SIZE_MIN..=1 << 50)?;
            draft.buffer_bytes = Some(bytes);
            Ok(())
        },
    ),
    Row::nothing("max.block.ms", "`send` waits for room as long as you await it: bound it there, or use `try_send`"),
    Row::sets("delivery.timeout.ms", "`ProducerOptions::delivery_timeout_ms`", |draft, value| {
        value.some_millis(&mut draft.options.delivery_timeout_ms)
    }),
    Row::sets(
        "max.in.flight.requests.per.connection",
        "`ProducerOptions::in_flight_requests_max`; order is kept at any value",
        |draft, value| value.number(&mut draft.options.in_flight_requests_max, 1..=INT_MAX),
    ),
    Row::sets("compression.type", "`ProducerOptions::compression`", |draft, value| {
        draft.codec = value.choice(CODECS)?;
        Ok(())
    }),
    Row::sets("compression.gzip.level", "the level with `gzip`: 1 to 9, -1 the usual one", |draft, value| {
        draft.gzip_level = if value.0 == "-1" { None } else { Some(level(value, 1, 9)?) };
        Ok(())
    }),
    Row::sets("compression.zstd.level", "the level with `zstd`: -7 to 22", |draft, value| {
        draft.zstd_level = Some(level(value, -7, 22)?);
        Ok(())
    }),
    Row::nothing("compression.lz4.level", "lz4 has one level here"),
    Row::sets(
        "partitioner.class",
        "`ProducerOptions::partitioning`: `DefaultPartitioner`, `RoundRobinPartitioner`; others are refused",
        |draft, value| {
            draft.options.partitioning = match simple_name(value.0) {
                "" | "DefaultPartitioner" => Partitioning::Default,
                "RoundRobinPartitioner" => Partitioning::RoundRobin,
                _ => return value.wrong("is a class of Java's: give Partitioning::Custom a partitioner of your own"),
            };
            Ok(())
        },
    ),
    Row::sets("partitioner.ignore.keys", "`false`, which is what happens; `true` is refused", |_, value| {
        value.choice(&[("false", ())])
    }),
    Row::nothing("partitioner.adaptive.partitioning.enable", STICKY),
    Row::nothing("partitioner.availability.timeout.ms", STICKY),
    Row::nothing("key.serializer", BYTES),
    Row::nothing("value.serializer", BYTES),
];

pub(super) const TRANSACTION_ROWS: &[Row<TransactionalOptions>] = &[
    Row::sets("transactional.id", "`TransactionalOptions::transactional_id`", |options, value| {
        options.transactional_id = value.0.to_owned();
        Ok(())
    }),
    Row::sets("transaction.timeout.ms", "`TransactionalOptions::transaction_timeout_ms`", |options, value| {
        value.some_millis(&mut options.transaction_timeout_ms)
    }),
    Row::sets(
        "transaction.two.phase.commit.enable",
        "`false`, which is what happens; `true` is refused",
        |_, value| value.choice(&[("false", ())]),
    ),
];

fn level(value: Value<'_>, lowest: i32, highest: i32) -> Result<i32, String> {
    match value.0.parse() {
        Ok(level) if (lowest..=highest).contains(&level) => Ok(level),
        _ => value.wrong(&format!("must be a whole number from {lowest} to {highest}")),
    }
}
