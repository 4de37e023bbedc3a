//! Client quotas: how many bytes or requests a client may take per second before it is held back.
//!
//! Quotas belong to entities, named by user and client id or their defaults; the most specific one counts. What a
//! client takes fills a bucket that drains at the quota's rate. Once it holds more than a second's worth, the answer
//! names the time until it does not, and the connection is left unread that long.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// Longest time a client is held back at once.
const THROTTLE_MAX: Duration = Duration::from_secs(30);

pub(crate) const USER: &str = "user";
pub(crate) const CLIENT_ID: &str = "client-id";
pub(crate) const IP: &str = "ip";

/// What quotas can limit.
pub(crate) const KEYS: &[&str] = &[
    PRODUCER_BYTE_RATE,
    CONSUMER_BYTE_RATE,
    "connection_creation_rate",
    "controller_mutation_rate",
    "request_percentage",
];
pub(crate) const PRODUCER_BYTE_RATE: &str = "producer_byte_rate";
pub(crate) const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";

/// Parts of an entity by type; a part without a name is the default of its type.
pub(crate) type Entity = BTreeMap<String, Option<String>>;

#[derive(Debug)]
struct Bucket {
    filled: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    by_entity: BTreeMap<Entity, BTreeMap<String, f64>>,
    /// By quota key, user and client id; only clients under a quota have one.
    buckets: BTreeMap<(&'static str, String, String), Bucket>,
}

/// All quotas of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    state: Mutex<State>,
}

impl Quotas {
    /// Sets values of an entity; `None` takes one out.
    pub(crate) fn alter(&self, entity: &Entity, values: &[(String, Option<f64>)]) {
        let mut state = self.state.lock();
        let known = state.by_entity.entry(entity.clone()).or_default();
        for (key, value) in values {
            match value {
                Some(value) => known.insert(key.clone(), *value),
                None => known.remove(key),
            };
        }
        if known.is_empty() {
            state.by_entity.remove(entity);
        }
        state.buckets.clear();
    }

    /// All entities with their values.
    pub(crate) fn list(&self) -> Vec<(Entity, BTreeMap<String, f64>)> {
        self.state.lock().by_entity.iter().map(|(entity, values)| (entity.clone(), values.clone())).collect()
    }

    /// Takes note of what a client took; returns how long to hold it back.
    pub(crate) fn charge(&self, key: &'static str, user: &str, client_id: &str, amount: usize) -> Duration {
        let mut state = self.state.lock();
        if state.by_entity.is_empty() {
            return Duration::ZERO;
        }
        let Some(rate) = state.rate(key, user, client_id).filter(|rate| *rate > 0.0) else { return Duration::ZERO };
        let now = Instant::now();
        let bucket = state
            .buckets
            .entry((key, user.to_owned(), client_id.to_owned()))
            .or_insert(Bucket { filled: 0.0, at: now });
        let drained = now.duration_since(bucket.at).as_secs_f64() * rate;
        #[expect(clippy::cast_precision_loss, reason = "sizes of requests are far below 2^52")]
        let amount = amount as f64;
        bucket.filled = (bucket.filled - drained).max(0.0) + amount;
        bucket.at = now;
        let over = (bucket.filled - rate) / rate;
        Duration::try_from_secs_f64(over.max(0.0)).unwrap_or(THROTTLE_MAX).min(THROTTLE_MAX)
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

    #[tokio::test(start_paused = true)]
    async fn a_client_over_its_rate_is_held_back_until_it_is_not() {
        let quotas = Quotas::default();
        assert_eq!(quotas.charge(PRODUCER_BYTE_RATE, "u", "c", 1 << 30), Duration::ZERO);
        let default = Entity::from([(CLIENT_ID.to_owned(), None)]);
        quotas.alter(&default, &[(PRODUCER_BYTE_RATE.to_owned(), Some(1_000.0))]);
        assert_eq!(quotas.charge(PRODUCER_BYTE_RATE, "u", "c", 1_000), Duration::ZERO, "a second's worth is free");
        assert_eq!(quotas.charge(PRODUCER_BYTE_RATE, "u", "c", 500), Duration::from_millis(500));
        assert_eq!(quotas.charge(CONSUMER_BYTE_RATE, "u", "c", 5_000), Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(quotas.charge(PRODUCER_BYTE_RATE, "u", "c", 1_000), Duration::ZERO);
        let named = Entity::from([(USER.to_owned(), Some("u".to_owned()))]);
        quotas.alter(&named, &[(PRODUCER_BYTE_RATE.to_owned(), Some(1e9))]);
        assert_eq!(quotas.charge(PRODUCER_BYTE_RATE, "u", "c", 100_000), Duration::ZERO, "the user's quota counts");
        quotas.alter(&named, &[(PRODUCER_BYTE_RATE.to_owned(), None)]);
        assert_eq!(quotas.list().len(), 1);
    }
}
