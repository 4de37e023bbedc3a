//! Client quotas: how many bytes, how much of the broker's time and how many changes of partitions a client may take per
//! second before it is held back.
//!
//! Quotas belong to entities, named by user and client id or their defaults; the most specific one counts. What a
//! client takes fills a bucket that drains at the quota's rate. Once it holds more than the burst allowed, the answer
//! names the time until it does not, and the connection is left unread that long.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::journal::{Entry, Journal};

/// Longest time a client is held back at once.
const THROTTLE_MAX: Duration = Duration::from_secs(30);
/// The same for the broker's time, which Kafka bounds by its quota window.
const REQUEST_THROTTLE_MAX: Duration = Duration::from_secs(1);
/// Seconds' worth of changes that may come at once: Kafka's `controller.quota.window.num` of one second each.
const MUTATION_BURST_SECONDS: f64 = 11.0;

pub(crate) const USER: &str = "user";
pub(crate) const CLIENT_ID: &str = "client-id";
pub(crate) const IP: &str = "ip";

/// Connections per second, the one quota of addresses.
pub(crate) const CONNECTION_RATE: &str = "connection_creation_rate";

/// What quotas can limit.
pub(crate) const KEYS: &[&str] = &[
    Quota::ProducerBytes.name(),
    Quota::ConsumerBytes.name(),
    Quota::Mutations.name(),
    Quota::RequestTime.name(),
    // Kept and shown, without effect here.
    CONNECTION_RATE,
];

/// A quota the broker enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quota {
    /// Bytes of records written.
    ProducerBytes,
    /// Bytes of records read.
    ConsumerBytes,
    /// Partitions made and deleted (KIP-599).
    Mutations,
    /// Time spent on requests, in percent of one thread's.
    RequestTime,
}

impl Quota {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Quota::ProducerBytes => "producer_byte_rate",
            Quota::ConsumerBytes => "consumer_byte_rate",
            Quota::Mutations => "controller_mutation_rate",
            Quota::RequestTime => "request_percentage",
        }
    }

    fn burst_seconds(self) -> f64 {
        if self == Quota::Mutations { MUTATION_BURST_SECONDS } else { 1.0 }
    }

    fn throttle_max(self) -> Duration {
        if self == Quota::RequestTime { REQUEST_THROTTLE_MAX } else { THROTTLE_MAX }
    }
}

/// Parts of an entity by type; a part without a name is the default of its type.
pub(crate) type Entity = BTreeMap<String, Option<String>>;

/// Values of an entity by the name of the quota.
pub(crate) type QuotaValues = BTreeMap<String, f64>;

#[derive(Debug)]
struct Bucket {
    filled: f64,
    at: Instant,
}

impl Bucket {
    /// Lets out what has drained; returns how long it takes until no more than the burst is left.
    fn drain(&mut self, quota: Quota, rate: f64) -> Duration {
        let now = Instant::now();
        self.filled = (self.filled - now.duration_since(self.at).as_secs_f64() * rate).max(0.0);
        self.at = now;
        let over = (self.filled - rate * quota.burst_seconds()) / rate;
        let throttle_max = quota.throttle_max();
        Duration::try_from_secs_f64(over.max(0.0)).unwrap_or(throttle_max).min(throttle_max)
    }
}

#[derive(Debug, Default)]
struct State {
    by_entity: BTreeMap<Entity, QuotaValues>,
    /// By quota, user and client id; only clients under a quota have one.
    buckets: BTreeMap<(Quota, String, String), Bucket>,
}

/// All quotas of the cluster.
#[derive(Debug)]
pub(crate) struct Quotas {
    state: Mutex<State>,
    journal: Arc<Journal>,
}

impl Quotas {
    pub(crate) fn new(by_entity: BTreeMap<Entity, QuotaValues>, journal: Arc<Journal>) -> Self {
        Self { state: Mutex::new(State { by_entity, buckets: BTreeMap::new() }), journal }
    }

    /// Sets values of an entity; `None` takes one out.
    pub(crate) fn alter(&self, entity: &Entity, values: &[(String, Option<f64>)]) -> io::Result<()> {
        let known = {
            let mut state = self.state.lock();
            let known = state.by_entity.entry(entity.clone()).or_default();
            for (key, value) in values {
                match value {
                    Some(value) => known.insert(key.clone(), *value),
                    None => known.remove(key),
                };
            }
            let known = known.clone();
            if known.is_empty() {
                state.by_entity.remove(entity);
            }
            state.buckets.clear();
            known
        };
        self.journal.append(&[Entry::quota(entity, &known)])
    }

    /// All entities with their values.
    pub(crate) fn list(&self) -> Vec<(Entity, QuotaValues)> {
        self.state.lock().by_entity.iter().map(|(entity, values)| (entity.clone(), values.clone())).collect()
    }

    /// Takes note of what a client took, in the unit of the quota; returns how long to hold it back.
    pub(crate) fn charge(&self, quota: Quota, user: &str, client_id: &str, amount: f64) -> Duration {
        self.with_bucket(quota, user, client_id, |bucket, rate| {
            bucket.drain(quota, rate);
            bucket.filled += amount;
            bucket.drain(quota, rate)
        })
    }

    /// How long a client is to be held back for what it took before.
    pub(crate) fn debt(&self, quota: Quota, user: &str, client_id: &str) -> Duration {
        self.with_bucket(quota, user, client_id, |bucket, rate| bucket.drain(quota, rate))
    }

    fn with_bucket(
        &self,
        quota: Quota,
        user: &str,
        client_id: &str,
        work: impl FnOnce(&mut Bucket, f64) -> Duration,
    ) -> Duration {
        let mut state = self.state.lock();
        if state.by_entity.is_empty() {
            return Duration::ZERO;
        }
        let rate = state.rate(quota.name(), user, client_id).filter(|rate| *rate > 0.0);
        let Some(rate) = rate else { return Duration::ZERO };
        let key = (quota, user.to_owned(), client_id.to_owned());
        work(state.buckets.entry(key).or_insert_with(|| Bucket { filled: 0.0, at: Instant::now() }), rate)
    }

    /// Journal entries that make the quotas anew.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        self.list().iter().map(|(entity, values)| Entry::quota(entity, values)).collect()
    }
}

impl State {
    fn rate(&self, key: &str, user: &str, client_id: &str) -> Option<f64> {
        let (named_user, named_client) = (Some(user.to_owned()), Some(client_id.to_owned()));
        let part = |kind: &str, name: &Option<String>| (kind.to_owned(), name.clone());
        let entities: [Entity; 8] = [
            [part(USER, &named_user), part(CLIENT_ID, &named_client)].into(),
            [part(USER, &named_user), part(CLIENT_ID, &None)].into(),
            [part(USER, &named_user)].into(),
            [part(USER, &None), part(CLIENT_ID, &named_client)].into(),
            [part(USER, &None), part(CLIENT_ID, &None)].into(),
            [part(USER, &None)].into(),
            [part(CLIENT_ID, &named_client)].into(),
            [part(CLIENT_ID, &None)].into(),
        ];
        entities.iter().find_map(|entity| self.by_entity.get(entity)?.get(key).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quotas(entity: &Entity, quota: Quota, rate: f64) -> Quotas {
        let quotas = Quotas::new(BTreeMap::new(), Arc::new(Journal::in_memory()));
        assert_eq!(quotas.charge(quota, "u", "c", 1e9), Duration::ZERO, "without a quota everything is free");
        quotas.alter(entity, &[(quota.name().to_owned(), Some(rate))]).unwrap();
        quotas
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_over_its_rate_is_held_back_until_it_is_not() {
        use Quota::{ConsumerBytes, ProducerBytes};
        let quotas = quotas(&Entity::from([(CLIENT_ID.to_owned(), None)]), ProducerBytes, 1_000.0);
        assert_eq!(quotas.charge(ProducerBytes, "u", "c", 1_000.0), Duration::ZERO, "a second's worth is free");
        assert_eq!(quotas.charge(ProducerBytes, "u", "c", 500.0), Duration::from_millis(500));
        assert_eq!(quotas.charge(ConsumerBytes, "u", "c", 5_000.0), Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(quotas.charge(ProducerBytes, "u", "c", 1_000.0), Duration::ZERO);
        let named = Entity::from([(USER.to_owned(), Some("u".to_owned()))]);
        quotas.alter(&named, &[(ProducerBytes.name().to_owned(), Some(1e9))]).unwrap();
        assert_eq!(quotas.charge(ProducerBytes, "u", "c", 100_000.0), Duration::ZERO, "the user's quota counts");
        quotas.alter(&named, &[(ProducerBytes.name().to_owned(), None)]).unwrap();
        assert_eq!(quotas.list().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_may_come_in_a_burst_and_leave_a_debt() {
        let quotas = quotas(&Entity::from([(USER.to_owned(), None)]), Quota::Mutations, 2.0);
        assert_eq!(quotas.charge(Quota::Mutations, "u", "c", 22.0), Duration::ZERO, "eleven seconds' worth");
        assert_eq!(quotas.debt(Quota::Mutations, "u", "c"), Duration::ZERO);
        assert_eq!(quotas.charge(Quota::Mutations, "u", "c", 4.0), 2 * SECOND);
        assert_eq!(quotas.debt(Quota::Mutations, "u", "other"), Duration::ZERO, "another client has its own");
        tokio::time::sleep(SECOND).await;
        assert_eq!(quotas.debt(Quota::Mutations, "u", "c"), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_requests_holds_back_for_a_second_at_most() {
        let quotas = quotas(&Entity::from([(USER.to_owned(), None)]), Quota::RequestTime, 50.0);
        assert_eq!(quotas.charge(Quota::RequestTime, "u", "c", 50.0), Duration::ZERO);
        assert_eq!(quotas.charge(Quota::RequestTime, "u", "c", 25.0), SECOND / 2);
        assert_eq!(quotas.charge(Quota::RequestTime, "u", "c", 5_000.0), SECOND);
    }
}
