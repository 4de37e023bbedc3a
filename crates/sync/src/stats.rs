//! `stats.json`: how a running sync is doing, under the keys OLake uses.
//!
//! Memory and processor figures are those of this process (OLake reports the whole host).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::Result;
use crate::files::write_atomically;

/// Clock ticks per second in `/proc/self/stat`; fixed by the kernel's user interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// How a sync is doing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Threads that write tables.
    pub writer_threads: u64,
    /// Rows written so far.
    pub synced_records: u64,
    /// Bytes of keys and values read so far.
    pub bytes_read: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// Time to the end at the present rate; `None` when nobody can tell.
    pub remaining: Option<Duration>,
    /// What the process uses.
    pub usage: ProcessUsage,
}

impl Stats {
    /// Rows per second since the start.
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.synced_records as f64 / seconds } else { 0.0 }
    }

    /// The stats as they stand in the file.
    pub fn to_json(&self) -> Value {
        let remaining = self.remaining.map_or("Not Determined".to_owned(), |it| format!("{:.2} s", it.as_secs_f64()));
        let seconds = self.elapsed.as_secs_f64();
        let cpu = if seconds > 0.0 { self.usage.cpu_seconds / seconds } else { 0.0 };
        json!({
            "Writer Threads": self.writer_threads,
            "Synced Records": self.synced_records,
            "Bytes Read": self.bytes_read,
            "Speed": format!("{:.2} rps", self.rows_per_second()),
            "Seconds Elapsed": format!("{seconds:.2}"),
            "Estimated Remaining Time": remaining,
            "Memory Usage Bytes": self.usage.resident_bytes,
            "CPU Utilization": (cpu * 10_000.0).round() / 10_000.0,
        })
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// [`Error::FileUnwritable`](crate::Error::FileUnwritable) with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomically(path, self.to_json().to_string().as_bytes())
    }
}

/// What this process uses. Zero where the system does not tell (anywhere but Linux).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// Resident memory now, bytes.
    pub resident_bytes: u64,
    /// Largest resident memory so far, bytes.
    pub resident_bytes_peak: u64,
    /// Processor time so far, user and system, seconds.
    pub cpu_seconds: f64,
}

impl ProcessUsage {
    /// Asks the system.
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            resident_bytes: status_bytes(&status, "VmRSS:"),
            resident_bytes_peak: status_bytes(&status, "VmHWM:"),
            cpu_seconds: cpu_seconds(&stat),
        }
    }
}

/// A line such as `VmRSS:     1234 kB`, in bytes.
fn status_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Fields 14 and 15 of `/proc/self/stat`, counted behind the program name, which may hold spaces.
fn cpu_seconds(stat: &str) -> f64 {
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_olakes_keys_in_olakes_order() {
        let stats = Stats {
            writer_threads: 3,
            synced_records: 1_500,
            bytes_read: 456,
            elapsed: Duration::from_secs(2),
            remaining: None,
            usage: ProcessUsage { resident_bytes: 1024, resident_bytes_peak: 2048, cpu_seconds: 1.0 },
        };
        assert_eq!(
            stats.to_json().to_string(),
            r#"{"Writer Threads":3,"Synced Records":1500,"Bytes Read":456,"Speed":"750.00 rps","Seconds Elapsed":"2.00","Estimated Remaining Time":"Not Determined","Memory Usage Bytes":1024,"CPU Utilization":0.5}"#
        );
        let known = Stats { remaining: Some(Duration::from_millis(1_250)), ..stats };
        assert_eq!(known.to_json()["Estimated Remaining Time"], "1.25 s");
        assert_eq!(Stats::default().to_json()["Speed"], "0.00 rps", "nothing is divided by zero");
    }

    #[test]
    fn reads_the_kernels_figures() {
        assert_eq!(status_bytes("Name:\tx\nVmHWM:\t  20 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), 12 * 1024);
        assert_eq!(status_bytes("", "VmRSS:"), 0);
        let stat = "12 (a b) c) S 1 1 1 0 -1 4194304 100 0 0 0 150 50 0 0 20 0";
        assert_eq!(cpu_seconds(stat), 2.0);
        assert_eq!(cpu_seconds("nonsense"), 0.0);
        if cfg!(target_os = "linux") {
            let usage = ProcessUsage::now();
            assert!(usage.resident_bytes > 0 && usage.resident_bytes_peak >= usage.resident_bytes);
        }
    }
}
