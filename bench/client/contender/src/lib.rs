//! What every contender of the client benchmark written in Rust shares: flags, payload, clocks, the result line.
//!
//! A contender is a program that is given one workload and prints one line of JSON. `bench/client/run` starts it, checks
//! that all contenders report the same records, and puts the lines side by side.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Keys cycle through this many values.
const DISTINCT_KEYS: u64 = 100_000;

/// The command line: a workload, then `--flag value` pairs.
#[derive(Debug)]
pub struct Flags {
    /// `produce`, `latency`, `open-loop` or `consume`.
    pub workload: String,
    values: HashMap<String, String>,
}

impl Flags {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// When the workload is missing or a flag has no value.
    pub fn from_args() -> io::Result<Flags> {
        let mut arguments = std::env::args().skip(1);
        let workload = arguments.next().ok_or_else(|| io::Error::other("the workload is missing"))?;
        let mut values = HashMap::new();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| io::Error::other(format!("{flag} has no value")))?;
            values.insert(flag.trim_start_matches("--").to_owned(), value);
        }
        Ok(Flags { workload, values })
    }

    /// A flag as text, empty when absent.
    pub fn text(&self, flag: &str) -> &str {
        self.values.get(flag).map_or("", String::as_str)
    }

    /// A flag as a number.
    ///
    /// # Errors
    /// When it is absent or no such number.
    pub fn number<N: FromStr>(&self, flag: &str) -> io::Result<N> {
        self.text(flag).parse().map_err(|_| io::Error::other(format!("--{flag} must be a number")))
    }

    /// Whether a flag is `true`.
    pub fn is_set(&self, flag: &str) -> bool {
        self.text(flag) == "true"
    }

    /// Milliseconds since the harness started this process (`--started-ns`, of the system clock).
    pub fn since_start_ms(&self) -> f64 {
        let started_ns: f64 = self.text("started-ns").parse().unwrap_or(f64::NAN);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (now.as_secs_f64() * 1e9 - started_ns) / 1e6
    }
}

/// Record values of one size, the same for every contender.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    value_bytes: usize,
}

impl Payload {
    /// Reads the file of `--payload`, cut every `--value-bytes`.
    ///
    /// # Errors
    /// When the file cannot be read or holds no value.
    pub fn load(flags: &Flags) -> io::Result<Payload> {
        let value_bytes = flags.number("value-bytes")?;
        let bytes = std::fs::read(flags.text("payload"))?;
        if value_bytes == 0 || bytes.len() < value_bytes {
            return Err(io::Error::other("the payload file holds no value"));
        }
        Ok(Payload { bytes, value_bytes })
    }

    /// The value of record `index`; the file repeats.
    pub fn value(&self, index: u64) -> &[u8] {
        let values = self.bytes.len() / self.value_bytes;
        let position = usize::try_from(index).unwrap_or(0) % values * self.value_bytes;
        &self.bytes[position..position + self.value_bytes]
    }
}

/// The key of record `index`: `k` and seven digits.
pub fn key(index: u64) -> [u8; 8] {
    let (mut digits, mut key) = (index % DISTINCT_KEYS, *b"k0000000");
    for place in key[1..].iter_mut().rev() {
        *place = b'0' + u8::try_from(digits % 10).unwrap_or(0);
        digits /= 10;
    }
    key
}

/// Wall and CPU time of the timed part.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    cpu_s: f64,
}

impl Stopwatch {
    /// Starts both clocks.
    pub fn start() -> Stopwatch {
        Stopwatch { started: Instant::now(), cpu_s: cpu_seconds() }
    }

    /// Wall time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// CPU time of the whole process, all threads, since the start, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds() - self.cpu_s
    }
}

fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Resident memory of this process now, in bytes; 0 where `/proc` does not say.
pub fn resident_bytes() -> u64 {
    memory_bytes("VmRSS:")
}

/// The most memory this process had resident so far, in bytes; 0 where `/proc` does not say. What `wait4` tells instead
/// is never less than the process had that started this one.
fn resident_bytes_max() -> u64 {
    memory_bytes("VmHWM:")
}

fn memory_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The sum that shows that a consumer touched every record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Touched {
    /// Records seen.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Their timestamps in milliseconds, added up with wrap-around.
    pub timestamps: i64,
}

impl Touched {
    /// Adds one record.
    pub fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64) {
        self.records += 1;
        self.bytes += (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        self.timestamps = self.timestamps.wrapping_add(timestamp_ms);
    }
}

/// What a contender prints.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records acknowledged or consumed.
    pub records: u64,
    /// Records refused.
    pub errors: u64,
    /// Wall time of the timed part in seconds.
    pub seconds: f64,
    /// CPU time of the timed part in seconds.
    pub cpu_seconds: f64,
    /// From the start of the process to the first record consumed or acknowledged, in milliseconds.
    pub first_record_ms: f64,
    /// Resident memory at that moment, in bytes.
    pub first_record_rss_bytes: u64,
    /// What a consumer saw.
    pub touched: Touched,
    /// Time of each acknowledgement in microseconds, in any order.
    pub latencies_us: Vec<u32>,
}

impl Outcome {
    /// The result line.
    pub fn to_json(&mut self) -> String {
        let mut line = format!(
            "{{\"records\":{},\"errors\":{},\"seconds\":{},\"cpu_seconds\":{},\"first_record_ms\":{:.3},\"first_record_rss_bytes\":{},\"peak_rss_bytes\":{},\"bytes\":{},\"timestamps\":{}",
            self.records,
            self.errors,
            self.seconds,
            self.cpu_seconds,
            self.first_record_ms,
            self.first_record_rss_bytes,
            resident_bytes_max(),
            self.touched.bytes,
            self.touched.timestamps
        );
        self.latencies_us.sort_unstable();
        if let Some(slowest) = self.latencies_us.last() {
            let at = |part: f64| {
                let position = (self.latencies_us.len() as f64 * part) as usize;
                self.latencies_us.get(position).unwrap_or(slowest)
            };
            let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
            let _ = write!(line, ",\"p50_us\":{p50},\"p99_us\":{p99},\"p999_us\":{p999},\"max_us\":{slowest}");
        }
        line.push('}');
        line
    }
}

/// The schedule of an open loop: record `n` is due at `n / rate`, whatever became of the ones before.
#[derive(Debug, Clone, Copy)]
pub struct OpenLoop {
    /// Records per second.
    pub rate: u64,
    /// Records in all.
    pub records: u64,
}

impl OpenLoop {
    /// From `--rate` and `--seconds`.
    ///
    /// # Errors
    /// When either is missing.
    pub fn from_flags(flags: &Flags) -> io::Result<OpenLoop> {
        let rate = flags.number("rate")?;
        Ok(OpenLoop { rate, records: rate * flags.number::<u64>("seconds")? })
    }

    /// When record `index` is due after the start, in microseconds.
    pub fn due_us(&self, index: u64) -> u64 {
        index * 1_000_000 / self.rate
    }

    /// How many records are due by then.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        (elapsed_us.saturating_mul(self.rate) / 1_000_000).saturating_add(1).min(self.records)
    }
}

/// Microseconds from when a record was due until now.
pub fn late_us(elapsed: Duration, due_us: u64) -> u32 {
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    u32::try_from(elapsed_us.saturating_sub(due_us)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_counts_are_in_the_line() {
        let mut outcome = Outcome { records: 1000, latencies_us: (1..=1000).rev().collect(), ..Outcome::default() };
        let line = outcome.to_json();
        assert!(
            line.contains("\"records\":1000") && line.contains("\"p50_us\":501") && line.contains("\"p99_us\":991")
        );
        assert!(line.contains("\"p999_us\":1000") && line.ends_with("\"max_us\":1000}"), "{line}");
    }

    #[test]
    fn an_open_loop_owes_what_time_says() {
        let schedule = OpenLoop { rate: 20_000, records: 100 };
        assert_eq!(schedule.due_by(Duration::ZERO), 1);
        assert_eq!(schedule.due_by(Duration::from_millis(1)), 21);
        assert_eq!(schedule.due_by(Duration::from_secs(9)), 100);
        assert_eq!((schedule.due_us(20), late_us(Duration::from_micros(1500), 1000)), (1000, 500));
    }

    #[test]
    fn keys_are_eight_bytes_and_repeat() {
        assert_eq!((&key(42), &key(100_042)), (b"k0000042", b"k0000042"));
    }
}
