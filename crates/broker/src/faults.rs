//! The fault plan: what shall go wrong, where and when.
//!
//! A test adds [`FaultRule`]s through [`BrokerHandle::faults`](crate::BrokerHandle::faults) while the broker runs.
//! Every request is held against the rules in the order they were added; the first rule of each kind that matches acts,
//! and its hit is counted. Kinds are independent, so a delay and an error can strike the same request.
//!
//! A rule matches when *all* its conditions do: API, node, client id, topic and partition, its time window, the number
//! of matches it lets pass first, the number of times it may strike, and its probability. Probabilities come from the
//! plan's own seeded generator, so a run with the same seed and the same requests strikes the same ones.
//!
//! Rules with a topic or partition look at what the request names (for an incremental fetch: at the whole session). An
//! error rule with a topic or partition spoils those partitions only; without, the whole request.
//!
//! ```
//! # use kanat_broker::{FaultAction, FaultPlan, FaultRule};
//! # use kanat_protocol::messages::ApiKey;
//! let plan = FaultPlan::new(7);
//! let rule = plan.add(FaultRule::new(FaultAction::DropAfter).on(ApiKey::Produce).skip(2).times(1));
//! assert_eq!(plan.hits(rule), 0);
//! ```

mod random;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What a rule does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultAction {
    /// Closes the connection without applying the request.
    DropBefore,
    /// Applies the request and closes the connection instead of answering.
    DropAfter,
    /// Waits before the request is applied. Later requests of the connection wait too.
    DelayBefore(Duration),
    /// Applies the request and waits before it is answered. Later requests of the connection wait too.
    DelayAfter(Duration),
    /// Answers with this code without applying the request, or the partitions the rule names.
    Error(ErrorCode),
    /// Applies the request, sends the first bytes of the answer (length prefix included), and closes the connection.
    Truncate {
        /// Bytes to send; never the whole answer.
        bytes: usize,
    },
    /// Applies the request and holds the answer back until the next one of the same connection was sent, or until the
    /// time is up.
    Reorder {
        /// Longest time to hold the answer.
        hold: Duration,
    },
    /// Moves the partitions the request names (or the rule, if it names one) to another leader, before the request is
    /// applied.
    MoveLeader {
        /// Node that becomes the leader.
        to: i32,
    },
    /// Makes a node the coordinator of the group or transactional id the request names, before it is applied.
    MoveCoordinator {
        /// Node that becomes the coordinator.
        to: i32,
    },
    /// Applies the request, names this time in the answer where it has a place for it, and leaves the connection
    /// unread for as long, as a quota does.
    Throttle(Duration),
}

impl FaultAction {
    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

/// One rule of a [`FaultPlan`]. Built by chaining conditions; without any it strikes every request.
#[derive(Debug, Clone)]
pub struct FaultRule {
    action: FaultAction,
    api: Option<ApiKey>,
    node: Option<i32>,
    client_id: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
    skip: u64,
    times: Option<u64>,
    from: Duration,
    until: Option<Duration>,
    probability: f64,
}

impl FaultRule {
    /// A rule that does `action` to every request.
    #[must_use]
    pub fn new(action: FaultAction) -> Self {
        Self {
            action,
            api: None,
            node: None,
            client_id: None,
            topic: None,
            partition: None,
            skip: 0,
            times: None,
            from: Duration::ZERO,
            until: None,
            probability: 1.0,
        }
    }

    /// Only requests of this API.
    #[must_use]
    pub fn on(mut self, api: ApiKey) -> Self {
        self.api = Some(api);
        self
    }

    /// Only requests to this node.
    #[must_use]
    pub fn node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Only requests with this client id.
    #[must_use]
    pub fn client(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Only requests that name this topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only requests that name this partition (of the rule's topic, or of any).
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Lets the first `matches` matching requests pass.
    #[must_use]
    pub fn skip(mut self, matches: u64) -> Self {
        self.skip = matches;
        self
    }

    /// Strikes at most `times` times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes only from `from` to `until`, both counted from the moment the rule is added.
    #[must_use]
    pub fn between(mut self, from: Duration, until: Duration) -> Self {
        self.from = from;
        self.until = Some(until);
        self
    }

    /// Strikes a matching request with this probability, 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    fn names_partitions(&self) -> bool {
        self.topic.is_some() || self.partition.is_some()
    }

    fn covers(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_deref().is_none_or(|wanted| wanted == topic)
            && self.partition.is_none_or(|wanted| wanted == partition)
    }

    fn matches(&self, request: &FaultTarget<'_>, age: Duration) -> bool {
        self.api.is_none_or(|api| api == request.api)
            && self.node.is_none_or(|node| node == request.node)
            && self.client_id.as_deref().is_none_or(|client_id| client_id == request.client_id)
            && age >= self.from
            && self.until.is_none_or(|until| age < until)
            && (!self.names_partitions()
                || request.partitions.iter().any(|(topic, partition)| self.covers(topic, *partition)))
    }
}

/// Names a rule of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(u64);

#[derive(Debug)]
struct ActiveRule {
    id: FaultId,
    rule: FaultRule,
    added: Instant,
    matches: u64,
    hits: u64,
}

#[derive(Debug)]
struct Rules {
    active: Vec<ActiveRule>,
    /// Hits of removed rules stay readable.
    removed: Vec<(FaultId, u64)>,
    random: fastrand::Rng,
    next_id: u64,
}

/// The rules of a broker. Clones share them.
#[derive(Clone)]
pub struct FaultPlan {
    rules: Arc<Mutex<Rules>>,
    count: Arc<AtomicUsize>,
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultPlan").field("rules", &self.rules.lock().active).finish()
    }
}

impl FaultPlan {
    /// A plan without rules whose probabilities are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let rules = Rules { active: Vec::new(), removed: Vec::new(), random, next_id: 0 };
        Self { rules: Arc::new(Mutex::new(rules)), count: Arc::new(AtomicUsize::new(0)) }
    }

    /// A plan of random rules, the same for the same seed: connections that close before and after a request is applied,
    /// delays, held and cut answers, errors a client has to live with, leaders and coordinators that move among nodes 0
    /// to 2. `intensity` (0 to 1) is about the share of requests that something happens to.
    #[must_use]
    pub fn random(seed: u64, intensity: f64) -> Self {
        let plan = Self::new(seed);
        plan.randomize(seed, intensity);
        plan
    }

    /// Replaces the rules by those of [`FaultPlan::random`].
    pub fn randomize(&self, seed: u64, intensity: f64) {
        self.clear();
        self.reseed(seed);
        for rule in random::rules(seed, intensity) {
            self.add(rule);
        }
    }

    /// Restarts the generator of the probabilities.
    pub fn reseed(&self, seed: u64) {
        self.rules.lock().random = fastrand::Rng::with_seed(seed);
    }

    /// Adds a rule behind the others.
    pub fn add(&self, rule: FaultRule) -> FaultId {
        let mut rules = self.rules.lock();
        let id = FaultId(rules.next_id);
        rules.next_id += 1;
        rules.active.push(ActiveRule { id, rule, added: Instant::now(), matches: 0, hits: 0 });
        self.count.store(rules.active.len(), Ordering::Release);
        id
    }

    /// Takes a rule out. Its hits stay readable.
    pub fn remove(&self, id: FaultId) {
        self.take_out(|rule| rule.id == id);
    }

    /// Takes all rules out.
    pub fn clear(&self) {
        self.take_out(|_| true);
    }

    fn take_out(&self, gone: impl Fn(&ActiveRule) -> bool) {
        let mut rules = self.rules.lock();
        let (removed, kept) = std::mem::take(&mut rules.active).into_iter().partition(gone);
        rules.active = kept;
        rules.removed.extend(Vec::into_iter(removed).map(|rule: ActiveRule| (rule.id, rule.hits)));
        self.count.store(rules.active.len(), Ordering::Release);
    }

    /// How often a rule struck.
    #[must_use]
    pub fn hits(&self, id: FaultId) -> u64 {
        let rules = self.rules.lock();
        let active = rules.active.iter().find(|rule| rule.id == id).map(|rule| rule.hits);
        let removed = || rules.removed.iter().find(|(removed, _)| *removed == id).map(|(_, hits)| *hits);
        active.or_else(removed).unwrap_or(0)
    }

    /// Whether there is nothing to do; the usual case costs one load.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Holds a request against the rules.
    pub(crate) fn judge(&self, request: &FaultTarget<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut rules = self.rules.lock();
        let Rules { active, random, .. } = &mut *rules;
        let mut struck = Vec::new();
        for rule in active {
            if struck.contains(&rule.rule.action.kind()) || !rule.rule.matches(request, rule.added.elapsed()) {
                continue;
            }
            rule.matches += 1;
            let spent = rule.rule.times.is_some_and(|times| rule.hits >= times);
            if rule.matches <= rule.rule.skip || spent || random.f64() >= rule.rule.probability {
                continue;
            }
            rule.hits += 1;
            struck.push(rule.rule.action.kind());
            verdict.take(&rule.rule, request);
        }
        verdict
    }
}

/// A request as the rules see it.
#[derive(Debug)]
pub(crate) struct FaultTarget<'a> {
    pub(crate) api: ApiKey,
    pub(crate) node: i32,
    pub(crate) client_id: &'a str,
    pub(crate) partitions: &'a [(String, i32)],
}

/// What shall happen to one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) drop_before: bool,
    pub(crate) drop_after: bool,
    pub(crate) delay_before: Option<Duration>,
    pub(crate) delay_after: Option<Duration>,
    pub(crate) truncate: Option<usize>,
    pub(crate) reorder: Option<Duration>,
    pub(crate) move_leaders: Vec<(String, i32, i32)>,
    pub(crate) move_coordinator: Option<i32>,
    pub(crate) throttle: Option<Duration>,
    pub(crate) error: Option<ForcedError>,
}

impl Verdict {
    fn take(&mut self, rule: &FaultRule, request: &FaultTarget<'_>) {
        match rule.action {
            FaultAction::DropBefore => self.drop_before = true,
            FaultAction::DropAfter => self.drop_after = true,
            FaultAction::DelayBefore(delay) => self.delay_before = Some(delay),
            FaultAction::DelayAfter(delay) => self.delay_after = Some(delay),
            FaultAction::Truncate { bytes } => self.truncate = Some(bytes),
            FaultAction::Reorder { hold } => self.reorder = Some(hold),
            FaultAction::Error(code) => self.error = Some(ForcedError { code, rule: rule.clone() }),
            FaultAction::MoveCoordinator { to } => self.move_coordinator = Some(to),
            FaultAction::Throttle(time) => self.throttle = Some(time),
            FaultAction::MoveLeader { to } => {
                let named = request.partitions.iter().filter(|(topic, partition)| rule.covers(topic, *partition));
                self.move_leaders.extend(named.map(|(topic, partition)| (topic.clone(), *partition, to)));
            }
        }
    }
}

/// An error a rule forces on a request or on some of its partitions.
#[derive(Debug, Clone)]
pub(crate) struct ForcedError {
    code: ErrorCode,
    rule: FaultRule,
}

impl ForcedError {
    /// The code for the whole request.
    pub(crate) fn whole(&self) -> Option<ErrorCode> {
        (!self.rule.names_partitions()).then_some(self.code)
    }

    /// The code for one partition.
    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<ErrorCode> {
        self.rule.covers(topic, partition).then_some(self.code)
    }

    /// The code for a topic as a whole.
    pub(crate) fn topic(&self, topic: &str) -> Option<ErrorCode> {
        self.rule.topic.as_deref().is_none_or(|wanted| wanted == topic).then_some(self.code)
    }
}
