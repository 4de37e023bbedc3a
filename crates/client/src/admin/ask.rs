//! Who is asked what: items go to the node each belongs to, in one request per node, and every item has its own outcome.
//!
//! A request about many things is cut by [`Home`]: partitions by their leaders, groups and transactional ids by their
//! coordinators, brokers' own configurations by broker, the rest to the controller. Nodes are asked at once. Items whose
//! failure only says "ask elsewhere" or "ask later" are asked again within `retry_timeout_ms`; the others keep their
//! outcome.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{ApiKey, Request, StrBytes};
use tokio::task::JoinSet;

use super::Admin;
use crate::broker::{Broker, ConnectionClass};
use crate::cluster::{Cluster, code_moves_leader};
use crate::connection::Connection;
use crate::coordinator::{CoordinatorKind, find_coordinators};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// The node an item is asked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// Whoever metadata names as controller. KRaft clusters name any broker, which passes the request on.
    Controller,
    /// Any broker.
    Any,
    /// One broker.
    Node(i32),
    /// The leader of a partition.
    Leader(TopicPartition),
    /// The coordinator of a group or transactional id.
    Coordinator(CoordinatorKind, String),
}

/// Whether a request may be sent again when nobody knows if it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Always,
    /// The second time would fail, or do more: the caller learns that the outcome is unknown.
    UnlessUnknown,
}

/// A node to ask.
#[derive(Debug, Clone)]
pub(super) struct Node {
    broker: Arc<Broker>,
    timeout: Duration,
}

impl Node {
    pub(super) fn id(&self) -> i32 {
        self.broker.node_id()
    }

    pub(super) async fn connection(&self) -> Result<Arc<Connection>> {
        self.broker.connection(ConnectionClass::Control).await
    }

    /// Asks in the newest version both sides speak.
    pub(super) async fn ask<Q>(&self, api: ApiKey, request: &Q) -> Result<Answer<Q::Response>>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let connection = self.connection().await?;
        let version = connection.version(api)?;
        let body = connection.request_version(api, version, request, self.timeout).await?;
        Ok(Answer { api, connection, body })
    }

    /// As [`ask`](Self::ask) for a request whose fields depend on the version.
    pub(super) async fn ask_as<Q>(
        &self,
        api: ApiKey,
        build: impl FnOnce(i16) -> Q + Send,
    ) -> Result<Answer<Q::Response>>
    where
        Q: Request + Send + Sync,
        Q::Response: Send,
    {
        let connection = self.connection().await?;
        let version = connection.version(api)?;
        let request = build(version);
        let body = connection.request_version(api, version, &request, self.timeout).await?;
        Ok(Answer { api, connection, body })
    }
}

/// An answer and who gave it.
#[derive(Debug)]
pub(super) struct Answer<R> {
    pub(super) body: R,
    api: ApiKey,
    connection: Arc<Connection>,
}

impl<R> Answer<R> {
    /// The error behind a code and the broker's own words, if there is one.
    pub(super) fn check(&self, subject: impl FnOnce() -> String, code: i16, message: Option<&StrBytes>) -> Result<()> {
        match ErrorCode::from_code(code) {
            None => Ok(()),
            Some(code) => {
                let message = message.map(|message| message.as_str().to_owned()).filter(|message| !message.is_empty());
                Err(self.connection.server_error(self.api, subject(), code, message))
            }
        }
    }

    /// What is said of one of the things asked about.
    pub(super) fn found<T>(&self, found: Option<T>, subject: impl FnOnce() -> String) -> Result<T> {
        found.ok_or_else(|| self.malformed(format!("no answer for {}", subject())))
    }

    /// An answer that is not what the protocol says.
    pub(super) fn malformed(&self, reason: String) -> Error {
        self.connection.malformed(self.api, reason)
    }
}

impl Admin {
    /// Asks about every item at its home and returns their outcomes in the same order. `ask` gets the items of one node
    /// and answers in their order too.
    ///
    /// # Errors
    /// When no item got as far as an answer: the first item's failure.
    pub(super) async fn ask_each<T, A, F>(
        &self,
        items: &[T],
        repeat: Repeat,
        home: impl Fn(&T) -> Home + Send + Sync,
        ask: impl Fn(Node, Vec<T>) -> F + Send + Sync,
    ) -> Result<Vec<Result<A>>>
    where
        T: Clone + Send + Sync,
        A: Send + 'static,
        F: Future<Output = Result<Vec<Result<A>>>> + Send + 'static,
    {
        let mut outcomes: Vec<Option<Result<A>>> = items.iter().map(|_| None).collect();
        let mut missing: Vec<usize> = (0..items.len()).collect();
        let mut retry = self.cluster.retry();
        let mut again = false;
        while !missing.is_empty() {
            let homes: Vec<Home> = missing.iter().map(|index| home(&items[*index])).collect();
            let round = self.round(items, &missing, &homes, again, &ask).await;
            let mut last = None;
            missing.clear();
            for (index, outcome) in round {
                if let Err(error) = &outcome
                    && is_worth_repeating(error, repeat)
                {
                    missing.push(index);
                    last = Some(error.clone());
                }
                outcomes[index] = Some(outcome);
            }
            let Some(error) = last else { break };
            if let Err(error) = retry.pause(error).await {
                for index in missing.drain(..) {
                    outcomes[index] = Some(Err(error.clone()));
                }
            }
            again = true;
        }
        let outcomes: Vec<Result<A>> = outcomes.into_iter().flatten().collect();
        match outcomes.first() {
            Some(Err(first)) if outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(is_unanswered)) => {
                Err(first.clone())
            }
            _ => Ok(outcomes),
        }
    }

    /// As [`ask_each`](Self::ask_each) for a request about one thing.
    pub(super) async fn ask_one<A, F>(
        &self,
        home: Home,
        repeat: Repeat,
        ask: impl Fn(Node) -> F + Send + Sync,
    ) -> Result<A>
    where
        A: Send + 'static,
        F: Future<Output = Result<A>> + Send + 'static,
    {
        let asked = |node: Node, _: Vec<()>| {
            let answer = ask(node);
            async move { Ok(vec![answer.await]) }
        };
        let outcomes = self.ask_each(&[()], repeat, |()| home.clone(), asked).await?;
        outcomes.into_iter().next().unwrap_or(Err(Error::Closed { what: "runtime" }))
    }

    /// Asks every broker of the cluster the same and returns what each said, by broker id.
    pub(super) async fn ask_brokers<A, F>(
        &self,
        brokers: Option<&[i32]>,
        ask: impl Fn(Node) -> F + Send + Sync,
    ) -> Result<Vec<(i32, Result<A>)>>
    where
        A: Send + 'static,
        F: Future<Output = Result<A>> + Send + 'static,
    {
        let ids: Vec<i32> = match brokers {
            Some(ids) => ids.iter().copied().collect::<BTreeSet<i32>>().into_iter().collect(),
            None => {
                let metadata = self.cluster.topics_after(&[], self.cluster.metadata().generation()).await?;
                let mut ids: Vec<i32> = metadata.brokers().map(|broker| broker.node_id).collect();
                ids.sort_unstable();
                ids
            }
        };
        let asked = |node: Node, _: Vec<i32>| {
            let answer = ask(node);
            async move { Ok(vec![answer.await]) }
        };
        let outcomes = self.ask_each(&ids, Repeat::Always, |id| Home::Node(*id), asked).await?;
        Ok(ids.into_iter().zip(outcomes).collect())
    }

    /// Finds the nodes of the missing items and asks each once.
    async fn round<T, A, F>(
        &self,
        items: &[T],
        missing: &[usize],
        homes: &[Home],
        again: bool,
        ask: &(impl Fn(Node, Vec<T>) -> F + Send + Sync),
    ) -> Vec<(usize, Result<A>)>
    where
        T: Clone + Send + Sync,
        A: Send + 'static,
        F: Future<Output = Result<Vec<Result<A>>>> + Send + 'static,
    {
        let mut outcomes = Vec::with_capacity(missing.len());
        let mut by_node: BTreeMap<i32, (Arc<Broker>, Vec<usize>)> = BTreeMap::new();
        for (index, located) in missing.iter().zip(locate(&self.cluster, homes, again).await) {
            match located {
                Ok(broker) => by_node.entry(broker.node_id()).or_insert_with(|| (broker, Vec::new())).1.push(*index),
                Err(error) => outcomes.push((*index, Err(error))),
            }
        }
        let mut requests = JoinSet::new();
        for (broker, indexes) in by_node.into_values() {
            let node = Node { broker, timeout: self.cluster.options().request_timeout() };
            let answer = ask(node, indexes.iter().map(|index| items[*index].clone()).collect());
            requests.spawn(async move { (indexes, answer.await) });
        }
        while let Some(joined) = requests.join_next().await {
            // A task that is lost with its runtime leaves its items without outcome; the caller is gone as well then.
            let Ok((indexes, answer)) = joined else { continue };
            match answer {
                Ok(answers) => outcomes.extend(indexes.into_iter().zip(answers)),
                Err(error) => outcomes.extend(indexes.into_iter().map(|index| (index, Err(error.clone())))),
            }
        }
        outcomes
    }
}

/// Whether the next attempt may find what this one did not.
fn is_worth_repeating(error: &Error, repeat: Repeat) -> bool {
    match error {
        Error::Connect { .. } | Error::Bootstrap { .. } | Error::NoLeader { .. } => true,
        Error::ConnectionLost { .. } | Error::RequestTimeout { .. } => repeat == Repeat::Always,
        Error::Server { api, code, .. } => match code {
            ErrorCode::NotController
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::UnstableOffsetCommit
            | ErrorCode::ThrottlingQuotaExceeded => true,
            ErrorCode::RequestTimedOut => repeat == Repeat::Always,
            code => is_asked_of_leaders(*api) && code_moves_leader(*code),
        },
        _ => false,
    }
}

/// Requests in which "unknown topic" may mean "ask the leader instead". Elsewhere it is the answer.
fn is_asked_of_leaders(api: ApiKey) -> bool {
    matches!(api, ApiKey::DeleteRecords | ApiKey::DescribeProducers | ApiKey::WriteTxnMarkers)
}

/// Whether an error says that nobody answered.
fn is_unanswered(error: &Error) -> bool {
    match error {
        Error::RetryTimeout { last, .. } => is_unanswered(last),
        error => !matches!(error, Error::Server { .. } | Error::UnknownTopic { .. } | Error::UnknownPartition { .. }),
    }
}

/// The broker of each home. `again` says that what is known proved wrong.
async fn locate(cluster: &Arc<Cluster>, homes: &[Home], again: bool) -> Vec<Result<Arc<Broker>>> {
    let mut topics: Vec<&str> = homes
        .iter()
        .filter_map(|home| match home {
            Home::Leader(partition) => Some(&*partition.topic),
            _ => None,
        })
        .collect();
    topics.sort_unstable();
    topics.dedup();
    let unknown_node = homes.iter().any(|home| matches!(home, Home::Node(id) if cluster.broker(*id).is_none()));
    let metadata = match again || unknown_node {
        true => cluster.topics_after(&topics, cluster.metadata().generation()).await,
        false => cluster.topics(&topics).await,
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => return homes.iter().map(|_| Err(error.clone())).collect(),
    };
    let groups = coordinators(cluster, homes, CoordinatorKind::Group).await;
    let transactions = coordinators(cluster, homes, CoordinatorKind::Transaction).await;
    let any = || any_broker(cluster);
    let place = |home: &Home| match home {
        Home::Any => any(),
        Home::Controller => metadata.controller().and_then(|id| cluster.broker(id)).map_or_else(any, Ok),
        Home::Node(id) => cluster.broker(*id).ok_or(Error::UnknownBroker { node_id: *id }),
        Home::Leader(partition) => {
            cluster.leader_in(&metadata, &partition.topic, partition.partition).map(|leader| leader.broker)
        }
        Home::Coordinator(kind, key) => {
            let found = match kind {
                CoordinatorKind::Group => groups.get(key.as_str()),
                CoordinatorKind::Transaction => transactions.get(key.as_str()),
            };
            found.cloned().unwrap_or(Err(Error::Closed { what: "runtime" }))
        }
    };
    homes.iter().map(place).collect()
}

/// A broker that is connected, else any.
fn any_broker(cluster: &Cluster) -> Result<Arc<Broker>> {
    let mut brokers = cluster.brokers();
    fastrand::shuffle(&mut brokers);
    brokers.sort_by_key(|broker| {
        let class = ConnectionClass::Control;
        (broker.open_connection(class).is_none(), broker.is_failing(class))
    });
    let none = || Error::Bootstrap { failed: crate::FailedAddresses(Vec::new()) };
    brokers.into_iter().next().ok_or_else(none)
}

/// The coordinators of one kind that `homes` name, by key: one request where the broker takes many keys.
async fn coordinators<'a>(
    cluster: &Arc<Cluster>,
    homes: &'a [Home],
    kind: CoordinatorKind,
) -> HashMap<&'a str, Result<Arc<Broker>>> {
    let mut keys: Vec<&str> = homes
        .iter()
        .filter_map(|home| match home {
            Home::Coordinator(wanted, key) if *wanted == kind => Some(key.as_str()),
            _ => None,
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return HashMap::new();
    }
    match find_coordinators(cluster, &keys, kind).await {
        Ok(found) => found,
        Err(error) => keys.into_iter().map(|key| (key, Err(error.clone()))).collect(),
    }
}

/// Text of an answer.
pub(super) fn text(value: &StrBytes) -> String {
    value.as_str().to_owned()
}

/// Text of an answer that may be missing.
pub(super) fn optional_text(value: Option<&StrBytes>) -> Option<String> {
    value.map(text)
}
