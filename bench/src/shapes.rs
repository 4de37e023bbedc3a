//! The three shapes of record behind the published figures.

use std::fmt;
use std::str::FromStr;

use crate::calendar::{EPOCH_S, put_date_time};
use crate::text::{Text, word};
use crate::{Draw, successor};

const CITIES: [&str; 16] = [
    "Lisbon",
    "Porto",
    "Berlin",
    "Ghent",
    "Turin",
    "Oslo",
    "Lyon",
    "Leeds",
    "Kyoto",
    "Quito",
    "Lima",
    "Perth",
    "Malmö",
    "Zürich",
    "São Paulo",
    "Cork",
];
const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
const NAMES: [&str; 12] = ["ada", "bo", "cleo", "dirk", "edda", "finn", "gus", "hana", "ivo", "jo", "kai", "lena"];
const ZONES: [&str; 5] = ["Yellow Zone", "Boro Zone", "Airports", "EWR", "N/A"];

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// About 198 bytes, 10 flat fields: three integers, two decimals, three strings, a boolean, a time with milliseconds.
    Flat10,
    /// About 1020 bytes, 29 fields named after the columns of the New York taxi data; two of them are sometimes null.
    Taxi29,
    /// About 143 bytes, 8 flat fields.
    Small,
}

/// The text given as a shape names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownShape(String);

impl fmt::Display for UnknownShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown shape '{}', expected flat10, taxi29 or small", self.0)
    }
}

impl std::error::Error for UnknownShape {}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(name: &str) -> Result<Shape, UnknownShape> {
        match name {
            "flat10" => Ok(Shape::Flat10),
            "taxi29" => Ok(Shape::Taxi29),
            "small" => Ok(Shape::Small),
            other => Err(UnknownShape(other.to_owned())),
        }
    }
}

impl Shape {
    /// Appends record `number` of the stream `seed` to `out`: one JSON object without a line end.
    pub fn write(self, seed: u64, number: u64, out: &mut Vec<u8>) {
        let draw = Draw::new(seed, number);
        let mut text = Text(out);
        match self {
            Shape::Flat10 => flat10(&draw, &mut text),
            Shape::Taxi29 => taxi29(&draw, &mut text),
            Shape::Small => small(&draw, &mut text),
        }
    }
}

fn pick<const N: usize>(choices: [&'static str; N], bits: u64) -> &'static str {
    choices[(bits % N as u64) as usize]
}

fn flat10(draw: &Draw, text: &mut Text<'_>) {
    let &Draw { number, first: a, second: b, .. } = draw;
    text.put("{\"id\":").int(number);
    text.put(",\"user_id\":").int(a % 1_000_003);
    text.put(",\"amount\":").money(a % 9973, 1 + b % 99);
    text.put(",\"ratio\":0.").padded(1 + (a >> 20) % 999_999, 6);
    text.put(",\"city\":\"").put(pick(CITIES, b));
    text.put("\",\"status\":\"").put(pick(STATUSES, b >> 4));
    text.put("\",\"name\":\"")
        .put(pick(NAMES, b >> 8))
        .put("-")
        .words(a >> 3, 3)
        .put("-")
        .padded((b >> 16) % 100_000, 5);
    text.put("\",\"active\":").bool(b >> 40 & 1 == 1);
    text.put(",\"qty\":").int((b >> 44) % 40);
    text.put(",\"created_at\":\"");
    put_date_time(text, EPOCH_S + number / 50, "T");
    text.put(".").padded(1 + number % 999, 3).put("Z\"}");
}

fn small(draw: &Draw, text: &mut Text<'_>) {
    let &Draw { number, first: a, second: b, .. } = draw;
    text.put("{\"id\":").int(number);
    text.put(",\"vendor\":").int(a % 7);
    text.put(",\"distance\":").money(a % 97, 1 + (a >> 8) % 99);
    text.put(",\"fare\":").money((a >> 16) % 300, 1 + (a >> 24) % 99);
    text.put(",\"zone\":\"").put(word(a >> 32)).put("-").padded((a >> 36) % 10_000, 4);
    text.put("\",\"label\":\"").words(b, 3);
    text.put("\",\"paid\":").bool(a >> 50 & 1 == 1);
    text.put(",\"ts\":\"");
    put_date_time(text, EPOCH_S + number / 50, "T");
    text.put("Z\"}");
}

fn taxi29(draw: &Draw, text: &mut Text<'_>) {
    taxi_trip(draw, text);
    taxi_money(draw, text);
    taxi_notes(draw, text);
}

fn taxi_trip(draw: &Draw, text: &mut Text<'_>) {
    let &Draw { number, first: a, second: b, third: c } = draw;
    let pickup_s = EPOCH_S + number / 20;
    text.put("{\"VendorID\":").int(1 + a % 2);
    text.put(",\"tpep_pickup_datetime\":\"");
    put_date_time(text, pickup_s, " ");
    text.put("\",\"tpep_dropoff_datetime\":\"");
    put_date_time(text, pickup_s + 60 + b % 3600, " ");
    text.put("\",\"passenger_count\":").int(1 + a % 6);
    text.put(",\"trip_distance\":").money(a % 31, 1 + b % 99);
    text.put(",\"RatecodeID\":").int(1 + b % 6);
    text.put(",\"store_and_fwd_flag\":\"").put(if a & 64 != 0 { "Y" } else { "N" });
    text.put("\",\"PULocationID\":").int(1 + a % 263);
    text.put(",\"DOLocationID\":").int(1 + b % 263);
    text.put(",\"payment_type\":").int(1 + c % 5);
}

fn taxi_money(draw: &Draw, text: &mut Text<'_>) {
    let &Draw { first: a, second: b, third: c, .. } = draw;
    let (fare_cents, tip_cents) = (250 + a % 9000, b % 1500);
    let total_cents = fare_cents + tip_cents;
    text.put(",\"fare_amount\":").money(fare_cents / 100, fare_cents % 100);
    text.put(",\"extra\":").int(c % 4).put(".5,\"mta_tax\":0.5");
    text.put(",\"tip_amount\":").money(tip_cents / 100, tip_cents % 100);
    text.put(",\"tolls_amount\":").money(b % 13, 1 + c % 99);
    text.put(",\"improvement_surcharge\":0.3");
    text.put(",\"total_amount\":").money(total_cents / 100, total_cents % 100);
    text.put(",\"congestion_surcharge\":").put(if a & 1024 != 0 { "null" } else { "2.5" });
    text.put(",\"airport_fee\":").put(if b & 3 != 0 { "null" } else { "1.25" });
}

fn taxi_notes(draw: &Draw, text: &mut Text<'_>) {
    let &Draw { first: a, second: b, third: c, .. } = draw;
    text.put(",\"trip_id\":\"").hex(a).put("-").hex(b);
    text.put("\",\"pickup_zone\":\"").put(pick(ZONES, a)).put(" ").put(pick(CITIES, b));
    text.put("\",\"dropoff_zone\":\"").put(pick(ZONES, b)).put(" ").put(pick(CITIES, c));
    text.put("\",\"driver_name\":\"").put(pick(NAMES, a)).put("-").put(word(b));
    text.put("\",\"medallion\":\"").letter(a).padded(b % 100, 2).letter(c).padded(a % 100, 2);
    text.put("\",\"shared\":").bool(c & 8 != 0);
    text.put(",\"pickup_lat\":40.").padded(1 + (a >> 12) % 999_999, 6);
    text.put(",\"pickup_lon\":-73.").padded(1 + (b >> 12) % 999_999, 6);
    text.put(",\"trip_seconds\":").int(60 + b % 3600);
    text.put(",\"note\":\"").words(c, 16).put(", ").words(successor(c), 16).put(", ").words(b, 12);
    text.put("; ").words(a, 14).put("\"}");
}
