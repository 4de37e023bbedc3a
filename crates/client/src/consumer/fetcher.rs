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
use kanat_protocol::messages::{ApiKey, FetchResponse};
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::filter::{Aborted, Filter};
use super::session::{FetchSession, SessionAnswer, Want};
use super::state::{Fetched, Room, Sent};
use super::wire::{Names, fetch_request, fetch_version};
use crate::broker::{Broker, ConnectionClass, LongPoll};
use crate::cluster::code_moves_leader;
use crate::connection::Connection;
use crate::error::{Error, Result};
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
    OutOfRange,
    Failed(Error),
}

/// Fetches from one broker until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>, broker_id: i32) {
    let mut changes = shared.changes.subscribe();
    let mut session = FetchSession::default();
    let mut session_connection = None;
    let mut rounds: usize = 0;
    loop {
        changes.borrow_and_update();
        let Some(broker) = shared.cluster.broker(broker_id).filter(|_| shared.wants_anything(broker_id)) else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        let room = shared.take_room().await;
        rounds = rounds.wrapping_add(1);
        let (wants, mut sent) = shared.collect_wants(broker_id, rounds);
        if wants.is_empty() {
            continue;
        }
        match fetch(&shared, &broker, &mut session, &mut session_connection, wants, &sent, &room).await {
            Ok(Some((names, response, connection))) => {
                let round = Round { names, sent: std::mem::take(&mut sent), response, connection };
                deliver(&shared, round, room);
            }
            Ok(None) => {}
            Err(error) => {
                session.on_lost();
                shared.fetch_failed(sent, &error);
            }
        }
    }
}

/// Sends one request. `None` when the broker refused the session or the application changed what is wanted, both of
/// which the next round starts anew from.
async fn fetch(
    shared: &Shared,
    broker: &Broker,
    session: &mut FetchSession,
    session_connection: &mut Option<Arc<Connection>>,
    mut wants: Vec<Want>,
    sent: &HashMap<TopicPartition, Sent>,
    room: &OwnedSemaphorePermit,
) -> Result<Option<(Names, FetchResponse, Arc<Connection>)>> {
    let connection = broker.connection(ConnectionClass::Fetch).await?;
    if session_connection.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &connection)) {
        session.on_lost();
        *session_connection = Some(Arc::clone(&connection));
    }
    let version = fetch_version(connection.version(ApiKey::Fetch)?, &wants);
    if version < crate::versions::FETCH_TOPIC_IDS {
        wants.iter_mut().for_each(|want| want.topic_id = None);
    }
    let names = Names::new(wants.iter());
    let in_session = version >= FETCH_SESSIONS;
    let request = if in_session { session.next_request(wants) } else { session.sessionless_request(wants) };
    let bytes_max = i32::try_from(room.num_permits()).unwrap_or(i32::MAX);
    let message = fetch_request(version, &request, &shared.options, bytes_max);
    let wait = Duration::from_millis(u64::from(shared.options.fetch_wait_ms_max));
    let timeout = shared.cluster.options().request_timeout() + wait;
    tracing::trace!(broker = broker.node_id(), partitions = sent.len(), changed = request.send.len(), "fetching");
    let waiting = LongPoll::new(broker, &connection);
    let response = tokio::select! {
        response = connection.request_version(ApiKey::Fetch, version, &message, timeout) => response?,
        () = shared.overtaken(broker.node_id(), sent) => {
            session.on_lost();
            return Ok(None);
        }
    };
    waiting.answered();
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
        session.on_answer(answer);
    }
    let accepted = matches!(answer, SessionAnswer::Accepted(_));
    Ok(accepted.then_some((names, response, connection)))
}

/// Reads the answer and queues its items.
fn deliver(shared: &Arc<Shared>, round: Round, room: OwnedSemaphorePermit) {
    let room = shared.shrink_room(room, response_bytes(&round.response));
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
        return Some(match code {
            ErrorCode::OffsetOutOfRange => Outcome::OutOfRange,
            code if code_moves_leader(code) || code.is_retriable() => Outcome::LeaderLost(error),
            _ => Outcome::Failed(error),
        });
    }
    let records = data.records.filter(|records| !records.is_empty())?;
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .iter()
        .map(|aborted| Aborted { first_offset: aborted.first_offset, producer_id: aborted.producer_id.0 })
        .collect();
    let filter = Filter { isolation: shared.options.isolation, check_crc: shared.options.check_crc };
    match filter.apply(partition, sent.offset, records, aborted) {
        Err(error) => Some(Outcome::Failed(error)),
        Ok(filtered) if filtered.next_offset == sent.offset => None,
        Ok(filtered) => Some(Outcome::Data(Fetched {
            tp: partition.clone(),
            batches: filtered.batches,
            first_offset: sent.offset,
            next_offset: filtered.next_offset,
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
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
                Some(Outcome::LeaderLost(error)) => {
                    state.lose_leader(&partition, sent, error);
                    changed = true;
                }
                Some(Outcome::Failed(error)) => {
                    state.fail(&partition, Some(sent), error);
                    queued = true;
                }
                Some(Outcome::OutOfRange) => changed |= state.hold(&partition, sent),
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
