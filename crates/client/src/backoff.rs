//! Waits between attempts: decorrelated jitter, and the loop around one retried operation with its deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::options::BackoffOptions;

/// The sequence of waits of one operation. No clock inside: the caller sleeps.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    options: BackoffOptions,
    previous_ms: f64,
    random: fastrand::Rng,
}

impl Backoff {
    pub(crate) fn new(options: &BackoffOptions) -> Self {
        Backoff::with_random(options, fastrand::Rng::new())
    }

    pub(crate) fn with_random(options: &BackoffOptions, random: fastrand::Rng) -> Self {
        Backoff { options: options.clone(), previous_ms: 0.0, random }
    }

    /// The next wait, between `initial_ms` and `max_ms`.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let low = self.options.initial_ms as f64;
        let high = (self.previous_ms * self.options.base).max(low);
        let drawn = low + (high - low) * self.random.f64();
        self.previous_ms = drawn.min(self.options.max_ms as f64);
        Duration::from_secs_f64(self.previous_ms / 1_000.0)
    }

    /// Back to the first wait, after a success.
    pub(crate) fn reset(&mut self) {
        self.previous_ms = 0.0;
    }
}

/// The retry loop of one operation: how long it may go on and what it says when it gives up.
#[derive(Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    started: Instant,
    deadline: Instant,
}

impl Retry {
    pub(crate) fn new(options: &BackoffOptions, timeout: Duration) -> Self {
        let started = Instant::now();
        Retry { backoff: Backoff::new(options), started, deadline: started + timeout }
    }

    /// Waits before the next attempt. Gives `error` back when it is not worth a retry, and wraps it in
    /// [`Error::RetryTimeout`] when the next attempt would start after the deadline.
    pub(crate) async fn wait(&mut self, error: Error) -> Result<()> {
        if !error.is_retriable() {
            return Err(error);
        }
        self.pause(error).await
    }

    /// As [`wait`](Self::wait) for a topic that does not exist yet, which is no error while somebody creates it.
    pub(crate) async fn wait_for_topic(&mut self, error: Error) -> Result<()> {
        self.pause(error).await
    }

    /// As [`wait`](Self::wait) for a failure that says nothing of retries but is worth one.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<()> {
        let wait = self.backoff.next_wait();
        if Instant::now() + wait >= self.deadline {
            let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Err(Error::RetryTimeout { elapsed_ms, last: Box::new(error) });
        }
        tracing::debug!(%error, wait_ms = wait.as_millis(), "retrying");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_bounds_and_spread(seed: u64, initial_ms in 1u64..500, spread in 0u64..10_000) {
            let options = BackoffOptions { initial_ms, max_ms: initial_ms + spread, base: 3.0 };
            let mut backoff = Backoff::with_random(&options, fastrand::Rng::with_seed(seed));
            prop_assert_eq!(backoff.next_wait(), Duration::from_secs_f64(initial_ms as f64 / 1_000.0));
            for _ in 0..50 {
                let wait_ms = backoff.next_wait().as_secs_f64() * 1_000.0;
                prop_assert!(wait_ms >= initial_ms as f64 - 1e-6 && wait_ms <= options.max_ms as f64 + 1e-6);
            }
        }
    }

    #[test]
    fn two_clients_do_not_wait_alike() {
        let options = BackoffOptions::default();
        let waits = |seed| {
            let mut backoff = Backoff::with_random(&options, fastrand::Rng::with_seed(seed));
            (0..8).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1)[1..], waits(2)[1..]);
    }

    #[tokio::test]
    async fn retry_gives_up_with_the_last_error_at_its_deadline() {
        let options = BackoffOptions { initial_ms: 1, max_ms: 2, base: 1.0 };
        let mut retry = Retry::new(&options, Duration::from_millis(15));
        let lost = || Error::NoLeader { topic: "t".into(), partition: 3 };
        let error = loop {
            if let Err(error) = retry.wait(lost()).await {
                break error;
            }
        };
        assert!(matches!(&error, Error::RetryTimeout { last, .. } if matches!(**last, Error::NoLeader { .. })));
        assert!(error.to_string().contains("partition 3"), "{error}");
    }

    #[tokio::test]
    async fn a_final_error_is_returned_at_once() {
        let mut retry = Retry::new(&BackoffOptions::default(), Duration::from_secs(60));
        let error = retry.wait(Error::Closed { what: "producer" }).await.unwrap_err();
        assert!(matches!(error, Error::Closed { .. }));
    }
}
