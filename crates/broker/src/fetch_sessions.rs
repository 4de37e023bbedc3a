//! Fetch sessions (KIP-227): a client names its partitions once and afterwards only what changed.
//!
//! A session is an ordered list of partitions with the offset the client wants next and what it was last told. The
//! request's session id and epoch say whether a session begins, goes on, or ends; an answer of an ongoing session holds
//! only partitions with news. Partitions that were just served move to the end, so that none starves under a byte
//! limit.

use std::collections::HashMap;

use indexmap::IndexMap;
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::Uuid;

use crate::options::Limits;

/// Epoch that begins a session.
pub(crate) const INITIAL_EPOCH: i32 = 0;
/// Epoch that ends one, or fetches without any.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// Names a partition the way the request did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartitionKey {
    /// Name up to version 12, empty from 13 on.
    pub(crate) topic: String,
    /// Nil up to version 12.
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

/// What the client wants of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) offset: i64,
    pub(crate) bytes_max: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// What the client was last told of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
}

#[derive(Debug)]
struct SessionPartition {
    wanted: Wanted,
    told: Option<Told>,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    by_topic_id: bool,
    partitions: IndexMap<PartitionKey, SessionPartition>,
    last_used: u64,
}

/// Partitions to fetch, and how to answer.
#[derive(Debug)]
pub(crate) struct Plan {
    /// 0 without a session.
    pub(crate) session_id: i32,
    /// Leave out partitions without news.
    pub(crate) incremental: bool,
    pub(crate) partitions: Vec<(PartitionKey, Wanted)>,
}

/// The parts of a fetch request that concern sessions.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    pub(crate) by_topic_id: bool,
    pub(crate) partitions: Vec<(PartitionKey, Wanted)>,
    pub(crate) forgotten: Vec<PartitionKey>,
}

/// The sessions of one node.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    sessions: HashMap<i32, Session>,
    sessions_max: usize,
    partitions_max: usize,
    uses: u64,
    random: fastrand::Rng,
}

impl FetchSessions {
    pub(crate) fn new(limits: &Limits, random: fastrand::Rng) -> Self {
        Self {
            sessions: HashMap::new(),
            sessions_max: limits.fetch_sessions_max,
            partitions_max: limits.fetch_session_partitions_max,
            uses: 0,
            random,
        }
    }

    /// Partitions the session holds; used to match fault rules.
    pub(crate) fn partitions(&self, session_id: i32) -> Vec<PartitionKey> {
        self.sessions.get(&session_id).map(|session| session.partitions.keys().cloned().collect()).unwrap_or_default()
    }

    /// Begins, continues or ends a session as the request says.
    pub(crate) fn begin(&mut self, request: SessionRequest) -> Result<Plan, ErrorCode> {
        match request.epoch {
            INITIAL_EPOCH | FINAL_EPOCH => {
                self.sessions.remove(&request.session_id);
                let session_id = if request.epoch == INITIAL_EPOCH { self.open(&request) } else { 0 };
                Ok(Plan { session_id, incremental: false, partitions: request.partitions })
            }
            _ => self.go_on(request),
        }
    }

    fn open(&mut self, request: &SessionRequest) -> i32 {
        let count = request.partitions.len();
        if self.sessions_max == 0 || count == 0 || count > self.partitions_max {
            return 0;
        }
        if self.sessions.len() >= self.sessions_max {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used).map(|(id, _)| *id);
            oldest.and_then(|id| self.sessions.remove(&id));
        }
        let mut session_id = self.random.i32(1..);
        while self.sessions.contains_key(&session_id) {
            session_id = self.random.i32(1..);
        }
        let partitions = request.partitions.iter().cloned();
        self.uses += 1;
        let session = Session {
            epoch: 1,
            by_topic_id: request.by_topic_id,
            partitions: partitions.map(|(key, wanted)| (key, SessionPartition { wanted, told: None })).collect(),
            last_used: self.uses,
        };
        self.sessions.insert(session_id, session);
        session_id
    }

    fn go_on(&mut self, request: SessionRequest) -> Result<Plan, ErrorCode> {
        let partitions_max = self.partitions_max;
        let session = self.sessions.get_mut(&request.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_topic_id != request.by_topic_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        self.uses += 1;
        session.last_used = self.uses;
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        for key in &request.forgotten {
            session.partitions.shift_remove(key);
        }
        for (key, wanted) in request.partitions {
            let has_room = session.partitions.len() < partitions_max;
            match session.partitions.get_mut(&key) {
                Some(partition) => partition.wanted = wanted,
                None if !has_room => return Err(ErrorCode::InvalidRequest),
                None => {
                    session.partitions.insert(key, SessionPartition { wanted, told: None });
                }
            }
        }
        let partitions = session.partitions.iter().map(|(key, partition)| (key.clone(), partition.wanted)).collect();
        Ok(Plan { session_id: request.session_id, incremental: true, partitions })
    }

    /// Notes what an answer tells of a partition; returns whether that is news. `has_records` moves it to the end.
    pub(crate) fn tell(&mut self, session_id: i32, key: &PartitionKey, told: Option<Told>, has_records: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else { return true };
        let Some(index) = session.partitions.get_index_of(key) else { return true };
        let partition = &mut session.partitions[index];
        // An error (no bounds) is always news, and so is what follows it.
        let news = has_records || told.is_none() || partition.told != told;
        partition.told = told;
        if has_records {
            session.partitions.move_index(index, session.partitions.len() - 1);
        }
        news
    }
}
