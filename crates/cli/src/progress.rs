//! The progress bar of a sync, drawn on standard error while a person watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kanat_sync::stats::Stats;

use crate::output::{Output, bytes, grouped};

/// Pause between two drawings, milliseconds.
const DRAW_INTERVAL_MS: u64 = 100;

/// What the bar shows beside [`Stats`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    /// Offsets covered.
    pub(crate) done: u64,
    /// Offsets to cover.
    pub(crate) total: u64,
    /// Records in dead-letter tables.
    pub(crate) bad_records: u64,
}

/// A bar with rows, rates, lag and the time to the end. Draws nothing unless a person watches.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for a sync; `follow` has no end to wait for.
    pub(crate) fn start(output: Output, follow: bool) -> Self {
        let target = match output {
            Output::Terminal => ProgressDrawTarget::stderr(),
            Output::Json | Output::Data => ProgressDrawTarget::hidden(),
        };
        let bar = if follow { ProgressBar::no_length() } else { ProgressBar::new(1) };
        bar.set_draw_target(target);
        let template = if follow { "{spinner} {wide_msg}" } else { "[{bar:20}] {percent:>3}% {wide_msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(DRAW_INTERVAL_MS));
        Self { bar }
    }

    /// Shows where the sync is.
    pub(crate) fn update(&self, stats: &Stats, position: Position) {
        if self.bar.length().is_some() {
            // Before the first offsets are known the bar is empty, not full.
            self.bar.set_length(position.total.max(1));
            self.bar.set_position(position.done.min(position.total));
        }
        self.bar.set_message(describe(stats, position));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `12,000 rows  60,000 rows/s  12.0 MB/s  lag 5,000  ETA 3s`.
fn describe(stats: &Stats, position: Position) -> String {
    let seconds = stats.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { (stats.bytes_read as f64 / seconds) as u64 } else { 0 };
    let mut text = format!(
        "{} rows  {} rows/s  {}/s  lag {}",
        grouped(stats.synced_records),
        grouped(stats.rows_per_second() as u64),
        bytes(rate),
        grouped(position.total.saturating_sub(position.done)),
    );
    if position.bad_records > 0 {
        text.push_str(&format!("  bad {}", grouped(position.bad_records)));
    }
    if let Some(remaining) = stats.remaining {
        text.push_str(&format!("  ETA {}s", remaining.as_secs()));
    }
    text
}

/// Time to the end at the rate so far; `None` before the first offset.
pub(crate) fn remaining(position: Position, elapsed: Duration) -> Option<Duration> {
    if position.done == 0 {
        return None;
    }
    let left = position.total.saturating_sub(position.done) as f64;
    Some(elapsed.mul_f64(left / position.done as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_rows_rates_lag_and_time_to_the_end() {
        let position = Position { done: 100, total: 400, bad_records: 0 };
        let elapsed = Duration::from_secs(2);
        let stats = Stats {
            synced_records: 1_000,
            bytes_read: 4_000_000,
            elapsed,
            remaining: remaining(position, elapsed),
            ..Stats::default()
        };
        assert_eq!(describe(&stats, position), "1,000 rows  500 rows/s  2.0 MB/s  lag 300  ETA 6s");
        let bad = Position { bad_records: 3, ..position };
        assert_eq!(describe(&Stats::default(), bad), "0 rows  0 rows/s  0 B/s  lag 300  bad 3");
        assert_eq!(remaining(Position::default(), elapsed), None);
    }
}
