//! What becomes of records that fail: tried again, left out, or the end of the task.

use std::fmt::Write as _;
use std::time::Duration;

use kanat_connect::config::Properties;
use kanat_connect::record::{RawRecord, TimestampType};
use kanat_connect::{Error, Result};
use tokio::time::Instant;

/// First wait before something is tried again; it doubles.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// Where a record failed, as headers and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    TaskPut,
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    KafkaProduce,
}

impl Stage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Stage::TaskPut => "TASK_PUT",
            Stage::Transformation => "TRANSFORMATION",
            Stage::KeyConverter => "KEY_CONVERTER",
            Stage::ValueConverter => "VALUE_CONVERTER",
            Stage::HeaderConverter => "HEADER_CONVERTER",
            Stage::KafkaProduce => "KAFKA_PRODUCE",
        }
    }
}

/// Why one record failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    /// Class that was at work.
    pub(super) class: String,
    pub(super) error: Error,
}

/// The `errors.*` keys of a connector.
#[derive(Debug, Clone)]
pub(super) struct ErrorPolicy {
    /// How long something is tried again; `None` is forever.
    retry_timeout: Option<Duration>,
    retry_delay_max: Duration,
    tolerates: bool,
    logs: bool,
    logs_records: bool,
}

impl ErrorPolicy {
    pub(super) fn new(config: &Properties) -> ErrorPolicy {
        let text = |key: &str| config.get(key).cloned().flatten().unwrap_or_default();
        let flag = |key: &str| text(key).trim().eq_ignore_ascii_case("true");
        let millis = |key: &str, default: i64| text(key).trim().parse::<i64>().unwrap_or(default);
        let retry_timeout = u64::try_from(millis("errors.retry.timeout", 0)).ok().map(Duration::from_millis);
        let delay_max = u64::try_from(millis("errors.retry.delay.max.ms", 60_000)).unwrap_or_default();
        ErrorPolicy {
            retry_timeout,
            retry_delay_max: Duration::from_millis(delay_max),
            tolerates: text("errors.tolerance").trim() == "all",
            logs: flag("errors.log.enable"),
            logs_records: flag("errors.log.include.messages"),
        }
    }

    /// Whether failed records are left out.
    pub(super) fn tolerates(&self) -> bool {
        self.tolerates
    }

    /// How long to wait before the `attempt`-th try (from 1) of something that began at `began`; `None` when there is
    /// no more try.
    pub(super) fn retry_delay(&self, attempt: u32, began: Instant, now: Instant) -> Option<Duration> {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut delay = RETRY_DELAY.saturating_mul(factor);
        if delay > self.retry_delay_max {
            delay = self.retry_delay_max.mul_f64(fastrand::f64());
        }
        let Some(timeout) = self.retry_timeout else { return Some(delay) };
        let left = (began + timeout).checked_duration_since(now)?;
        if left.is_zero() { None } else { Some(delay.min(left)) }
    }

    /// Ends the task for a record that failed, unless failures are tolerated. `record` is the one of a sink.
    ///
    /// # Errors
    /// What ends the task.
    pub(super) fn judge(
        &self,
        task: &str,
        failure: &Failure,
        record: Option<(&RawRecord, TimestampType, i64)>,
    ) -> Result<()> {
        if self.logs {
            tracing::error!(error = %failure.error, "{}", self.line(task, failure, record));
        }
        if self.tolerates {
            return Ok(());
        }
        Err(Error::connect(format!(
            "Tolerance exceeded in error handler\nCaused by: {}: {}",
            failure.error.java_class(),
            failure.error
        )))
    }

    fn line(&self, task: &str, failure: &Failure, record: Option<(&RawRecord, TimestampType, i64)>) -> String {
        let mut line = format!(
            "Error encountered in task {task}. Executing stage '{}' with class '{}'",
            failure.stage.name(),
            failure.class
        );
        if let Some((record, timestamp_type, timestamp)) = record.filter(|_| self.logs_records) {
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                ", where consumed record is {{topic='{}', partition={}, offset={}, timestamp={timestamp}, \
                 timestampType={timestamp_type}}}",
                record.topic, record.partition, record.offset
            );
        }
        line.push('.');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pairs: &[(&str, &str)]) -> ErrorPolicy {
        ErrorPolicy::new(&pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect())
    }

    #[test]
    fn delays_double_up_to_the_deadline() {
        let policy = policy(&[("errors.retry.timeout", "1000")]);
        let began = Instant::now();
        let delay = |attempt, after: u64| policy.retry_delay(attempt, began, began + Duration::from_millis(after));
        assert_eq!(delay(1, 0), Some(Duration::from_millis(300)));
        assert_eq!(delay(2, 300), Some(Duration::from_millis(600)));
        assert_eq!(delay(3, 900), Some(Duration::from_millis(100)));
        assert_eq!(delay(4, 1000), None);
    }

    #[test]
    fn without_a_timeout_nothing_is_tried_again_and_minus_one_is_forever() {
        let now = Instant::now();
        assert_eq!(policy(&[]).retry_delay(1, now, now), None);
        let forever = policy(&[("errors.retry.timeout", "-1"), ("errors.retry.delay.max.ms", "50")]);
        assert!(forever.retry_delay(70, now, now + Duration::from_secs(9999)).unwrap() <= Duration::from_millis(50));
    }

    #[test]
    fn failures_end_the_task_or_are_passed() {
        let failure = Failure { stage: Stage::ValueConverter, class: "C".to_owned(), error: Error::data("broken") };
        let error = policy(&[]).judge("c-0", &failure, None).unwrap_err().to_string();
        assert!(error.starts_with("Tolerance exceeded in error handler"), "{error}");
        policy(&[("errors.tolerance", "all")]).judge("c-0", &failure, None).unwrap();
    }

    #[test]
    fn lines_are_those_of_connect() {
        let failure =
            Failure { stage: Stage::ValueConverter, class: "x.Json".to_owned(), error: Error::data("broken") };
        let record = RawRecord { topic: "t".into(), partition: 1, offset: 7, ..RawRecord::default() };
        let record = Some((&record, TimestampType::CreateTime, 5));
        let short = policy(&[]).line("c-0", &failure, record);
        assert_eq!(short, "Error encountered in task c-0. Executing stage 'VALUE_CONVERTER' with class 'x.Json'.");
        let long = policy(&[("errors.log.include.messages", "true")]).line("c-0", &failure, record);
        assert!(long.ends_with(
            "'x.Json', where consumed record is {topic='t', partition=1, offset=7, timestamp=5, timestampType=CreateTime}."
        ));
    }
}
