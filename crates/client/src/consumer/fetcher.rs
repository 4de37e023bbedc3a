//! One task per broker that leads assigned partitions: it keeps one fetch under way and queues what comes back.
//!
//! A round: wait for room in the buffer, collect what every partition wants, send one request for all of them within
//! the fetch session, read the batch headers of the answer outside the lock, then queue the items and move the fetch
//! positions under it. The next round starts at once, while the application works on the items.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::fetch_response::PartitionData;
use kanat_protocol::messages::{ApiKey, FetchRequest, FetchResponse};
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::fetched::Fetched;
use super::filter::{Aborted, Filter};
use super::link::{Link, close_session};
use super::partition::Sent;
use super::session::{FetchSession, SessionAnswer, Want};
use super::state::{Room, no_leader};
use super::wire::{Names, fetch_request, fetch_version};
use crate::broker::Broker;
use crate::cluster::code_moves_leader;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::metadata::LeaderHint;
use crate::types::TopicPartition;
use crate::versions::FETCH_SESSIONS;

/// What one request asked for.
#[derive(Debug)]
struct Round {
    names: Names,
    sent: HashMap<TopicPartition, Sent>,
    response: FetchResponse,
    connection: Arc<Connection>,
}

/// A partition's part of an answer, read and ready to queue.
enum Outcome {
    Data(Fetched),
    LeaderLost(Error),
    /// The broker named the leader and its epoch (KIP-951).
    LeaderMoved(i32, i32, Error),
    /// The leader named the replica to read from (KIP-392).
    Prefer(i32),
    OutOfRange,
    Failed(Error),
}

/// One broker as this consumer sees it.
struct Source {
    broker_id: i32,
    link: Link,
    session: FetchSession,
    /// The connection the session was last used on.
    connection: Option<Arc<Connection>>,
}

/// Fetches from one broker until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>, broker_id: i32) {
    let link = Link::new(&shared);
    let mut source = Source { broker_id, link, session: FetchSession::default(), connection: None };
    let mut rounds: usize = 0;
    loop {
        let seen = shared.changes.seen();
        if !shared.wants_anything(broker_id) {
            idle(&shared, &mut source, seen).await;
            continue;
        }
        let room = shared.take_room().await;
        rounds = rounds.wrapping_add(1);
        let (wants, mut sent) = shared.collect_wants(broker_id, rounds);
        if wants.is_empty() {
            continue;
        }
        match source.fetch(&shared, wants, &sent, &room).await {
            Ok(Some((names, response, connection))) => {
                shared.sessions.lock().insert(broker_id, source.session.id());
                let round = Round { names, sent: std::mem::take(&mut sent), response, connection };
                deliver(&shared, round, room);
            }
            Ok(None) => {}
            Err(error) => {
                source.session.on_lost();
                shared.fetch_failed(sent, &error);
            }
        }
    }
}

/// Waits for a change; a broker that serves nothing any more need not keep the session.
async fn idle(shared: &Arc<Shared>, source: &mut Source, seen: u64) {
    if !shared.state.lock().is_source(source.broker_id)
        && let Some(session_id) = source.session.end()
    {
        shared.sessions.lock().remove(&source.broker_id);
        tokio::spawn(close_session(Arc::clone(shared), source.broker_id, session_id));
    }
    shared.changes.since(seen).await;
}

impl Source {
    /// Sends one request. `None` when the broker refused the session or the application changed what is wanted, both of
    /// which the next round starts anew from.
    async fn fetch(
        &mut self,
        shared: &Shared,
        mut wants: Vec<Want>,
        sent: &HashMap<TopicPartition, Sent>,
        room: &OwnedSemaphorePermit,
    ) -> Result<Option<(Names, FetchResponse, Arc<Connection>)>> {
        let broker = shared.cluster.broker(self.broker_id).ok_or_else(|| unknown_broker(sent))?;
        let connection = self.link.connection(&broker).await?;
        if self.connection.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &connection)) {
            self.session.on_lost();
            self.connection = Some(Arc::clone(&connection));
        }
        let version = fetch_version(connection.version(ApiKey::Fetch)?, &wants);
        if version < crate::versions::FETCH_TOPIC_IDS {
            wants.iter_mut().for_each(|want| want.topic_id = None);
        }
        let names = Names::new(wants.iter());
        let in_session = version >= FETCH_SESSIONS;
        let session = &mut self.session;
        let request = if in_session { session.next_request(wants) } else { session.sessionless_request(wants) };
        let bytes_max = i32::try_from(room.num_permits()).unwrap_or(i32::MAX);
        let message = fetch_request(version, &request, &shared.options, bytes_max);
        tracing::trace!(broker = self.broker_id, partitions = sent.len(), changed = request.send.len(), "fetching");
        let Some(response) = self.exchange(shared, &broker, &connection, version, &message, sent).await? else {
            self.session.on_lost();
            self.link.abandon();
            return Ok(None);
        };
        let answer = match ErrorCode::from_code(response.error_code) {
            None => SessionAnswer::Accepted(response.session_id),
            Some(ErrorCode::FetchSessionIdNotFound) => SessionAnswer::UnknownSession,
            Some(ErrorCode::InvalidFetchSessionEpoch | ErrorCode::FetchSessionTopicIdError) => SessionAnswer::OutOfStep,
            Some(code) => {
                let subject = format!("{} partitions", sent.len());
                return Err(connection.server_error(ApiKey::Fetch, subject, code, None));
            }
        };
        if in_session {
            self.session.on_answer(answer);
        }
        let accepted = matches!(answer, SessionAnswer::Accepted(_));
        Ok(accepted.then_some((names, response, connection)))
    }

    /// Sends the request and waits; `None` when something else is wanted before the answer came.
    async fn exchange(
        &self,
        shared: &Shared,
        broker: &Broker,
        connection: &Arc<Connection>,
        version: i16,
        message: &FetchRequest,
        sent: &HashMap<TopicPartition, Sent>,
    ) -> Result<Option<FetchResponse>> {
        let wait = Duration::from_millis(u64::from(shared.options.fetch_wait_ms_max));
        let timeout = shared.cluster.options().request_timeout() + wait;
        let waiting = self.link.watch(broker, connection);
        let response = tokio::select! {
            biased;
            response = connection.request_version(ApiKey::Fetch, version, message, timeout) => response?,
            () = shared.overtaken(self.broker_id, sent) => return Ok(None),
        };
        if let Some(waiting) = waiting {
            waiting.answered();
        }
        Ok(Some(response))
    }
}

/// Metadata does not name the broker any more: whatever it served has another leader by now, or none.
fn unknown_broker(sent: &HashMap<TopicPartition, Sent>) -> Error {
    sent.keys().min().map_or(Error::NothingAssigned, no_leader)
}

/// Reads the answer and queues its items.
fn deliver(shared: &Arc<Shared>, round: Round, room: OwnedSemaphorePermit) {
    let room = shared.shrink_room(room, response_bytes(&round.response));
    let hints = leader_hints(&round);
    if !hints.is_empty() {
        shared.cluster.learn_leaders(&hints);
    }
    let mut outcomes = Vec::new();
    for topic in round.response.responses {
        let Some(name) = round.names.topic(&topic).cloned() else {
            tracing::debug!(topic_id = %topic.topic_id, "answer about a topic that was not asked for");
            continue;
        };
        for data in topic.partitions {
            let partition = Names::partition(&name, data.partition_index);
            let Some(sent) = round.sent.get(&partition) else { continue };
            let high_watermark = data.high_watermark;
            let outcome = read_partition(shared, &round.connection, &partition, sent, data);
            outcomes.push((partition, high_watermark, outcome));
        }
    }
    queue(shared, &round.sent, outcomes, &Arc::new(room));
}

/// The leaders that the broker named for partitions it does not lead (KIP-951).
fn leader_hints(round: &Round) -> Vec<LeaderHint> {
    let nodes = &round.response.node_endpoints;
    let mut hints = Vec::new();
    for topic in &round.response.responses {
        let Some(name) = round.names.topic(topic) else { continue };
        for data in topic.partitions.iter().filter(|data| data.error_code != 0 && data.current_leader.leader_id.0 >= 0)
        {
            let leader = data.current_leader.leader_id;
            let endpoint = nodes.iter().find(|node| node.node_id == leader);
            hints.push(LeaderHint {
                partition: Names::partition(name, data.partition_index),
                leader: leader.0,
                leader_epoch: data.current_leader.leader_epoch,
                endpoint: endpoint.map(|node| (node.host.to_string(), node.port)),
            });
        }
    }
    hints
}

fn response_bytes(response: &FetchResponse) -> usize {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.filter_map(|partition| partition.records.as_ref()).map(|records| records.len()).sum()
}

/// Reads one partition's answer without the lock. `None` when it brings nothing.
fn read_partition(
    shared: &Shared,
    connection: &Connection,
    partition: &TopicPartition,
    sent: &Sent,
    data: PartitionData,
) -> Option<Outcome> {
    if let Some(code) = ErrorCode::from_code(data.error_code) {
        let error = connection.server_error(ApiKey::Fetch, partition.to_string(), code, None);
        let hint = &data.current_leader;
        return Some(match code {
            ErrorCode::OffsetOutOfRange => Outcome::OutOfRange,
            code if code_moves_leader(code) && shared.cluster.broker(hint.leader_id.0).is_some() => {
                Outcome::LeaderMoved(hint.leader_id.0, hint.leader_epoch, error)
            }
            code if code_moves_leader(code) || code.is_retriable() => Outcome::LeaderLost(error),
            _ => Outcome::Failed(error),
        });
    }
    let replica = data.preferred_read_replica.0;
    if replica >= 0 && replica != sent.source {
        return Some(match shared.cluster.broker(replica) {
            Some(_) => Outcome::Prefer(replica),
            None => Outcome::LeaderLost(no_leader(partition)),
        });
    }
    let records = data.records.filter(|records| !records.is_empty())?;
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .iter()
        .map(|aborted| Aborted { first_offset: aborted.first_offset, producer_id: aborted.producer_id.0 })
        .collect();
    let filter = Filter { isolation: shared.options.isolation, check_crc: shared.options.check_crc };
    match filter.apply(partition, sent.position.offset, records, aborted) {
        Err(error) => Some(Outcome::Failed(error)),
        Ok(filtered) if filtered.next_offset == sent.position.offset => None,
        Ok(filtered) => Some(Outcome::Data(Fetched {
            tp: partition.clone(),
            batches: filtered.batches,
            first_offset: sent.position.offset,
            next_offset: filtered.next_offset,
            leader_epoch: filtered.leader_epoch,
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
            gap: None,
        })),
    }
}

/// Queues outcomes and moves fetch positions in one go.
fn queue(
    shared: &Arc<Shared>,
    sent: &HashMap<TopicPartition, Sent>,
    outcomes: Vec<(TopicPartition, i64, Option<Outcome>)>,
    room: &Room,
) {
    let (mut queued, mut changed) = (false, false);
    {
        let mut state = shared.state.lock();
        for (partition, high_watermark, outcome) in outcomes {
            let Some(sent) = sent.get(&partition) else { continue };
            match outcome {
                None => state.answered(&partition, sent, high_watermark),
                Some(Outcome::Data(fetched)) => {
                    state.answered(&partition, sent, high_watermark);
                    queued |= state.push(sent, fetched, room);
                }
                Some(Outcome::LeaderMoved(leader, epoch, error)) => {
                    if !state.lead_by_hint(&partition, sent, leader, epoch) {
                        state.lose_leader(&partition, sent, error);
                    }
                    changed = true;
                }
                Some(Outcome::Prefer(replica)) => {
                    state.answered(&partition, sent, high_watermark);
                    changed |= state.prefer(&partition, sent, replica);
                }
                Some(Outcome::LeaderLost(error)) => {
                    state.lose_leader(&partition, sent, error);
                    changed = true;
                }
                Some(Outcome::Failed(error)) => {
                    state.fail(&partition, Some(sent), error);
                    queued = true;
                }
                Some(Outcome::OutOfRange) => changed |= state.out_of_range(&partition, sent),
            }
        }
    }
    if queued {
        shared.ready.notify_one();
    }
    if changed {
        shared.changed();
    }
}
