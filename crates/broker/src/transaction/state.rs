//! State machine of one transactional id.
//!
//! ```text
//!            partition added            end                       markers written
//!   Empty --------------------> Ongoing -----> PrepareCommit/Abort ---------------> CompleteCommit/Abort
//!     ^                            ^                                                       |    |
//!     |                            +-------------------- partition added ------------------+    |
//!     +----------------------------------- InitProducerId --------------------------------------+
//! ```
//!
//! With transaction version 2 (KIP-890) each end raises the epoch, so that late batches of the ended transaction are
//! refused. With older versions only InitProducerId and a forced abort do.

use std::collections::BTreeSet;

use kanat_protocol::ErrorCode;

/// Epoch from which on no further one is handed out; the producer gets a new id instead.
const EXHAUSTED_EPOCH: i16 = i16::MAX - 1;
const NO_EPOCH: i16 = -1;
const NO_PRODUCER_ID: i64 = -1;

/// Producer id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

impl Identity {
    pub(crate) const NONE: Self = Self { producer_id: NO_PRODUCER_ID, epoch: NO_EPOCH };
}

/// Phase of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl State {
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// InitProducerId as the state machine sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InitRequest {
    pub(crate) timeout_ms: u64,
    /// Identity the producer believes it has; `None` from a producer that starts.
    pub(crate) expected: Option<Identity>,
    /// Id for a producer without one, or whose epochs are used up.
    pub(crate) fresh_id: i64,
}

/// What InitProducerId leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Ready(Identity),
    /// The open transaction was fenced and must be aborted first; the producer shall ask again.
    Aborting,
}

/// What EndTxn leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Markers are to be written; the producer goes on under this identity.
    Prepared(Identity),
    /// An earlier request did it.
    Done(Identity),
}

/// One transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) identity: Identity,
    /// Epoch before the last bump the producer asked for.
    pub(crate) last_epoch: i16,
    /// Id before the epochs were used up.
    pub(crate) previous_id: i64,
    /// Id to take once the markers are written, because the epochs are used up.
    pub(crate) next_id: Option<i64>,
    pub(crate) timeout_ms: u64,
    pub(crate) state: State,
    pub(crate) partitions: BTreeSet<(String, i32)>,
    /// Groups whose offsets are part of the transaction.
    pub(crate) groups: BTreeSet<String>,
    /// Monotonic ms of the first partition.
    pub(crate) begun_ms: u64,
}

impl Transaction {
    pub(crate) fn new() -> Self {
        Self {
            identity: Identity::NONE,
            last_epoch: NO_EPOCH,
            previous_id: NO_PRODUCER_ID,
            next_id: None,
            timeout_ms: 0,
            state: State::Empty,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            begun_ms: 0,
        }
    }

    /// InitProducerId. `bumps` says whether an end raises the epoch (transaction version 2).
    pub(crate) fn init(&mut self, request: InitRequest, bumps: bool) -> Result<Init, ErrorCode> {
        if self.identity.producer_id < 0 {
            self.identity.producer_id = request.fresh_id;
        }
        if !self.may_continue(request.expected) {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::PrepareCommit | State::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing => {
                self.fence(bumps, request.fresh_id);
                Ok(Init::Aborting)
            }
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                self.bump(&request)?;
                self.timeout_ms = request.timeout_ms;
                self.state = State::Empty;
                Ok(Init::Ready(self.identity))
            }
        }
    }

    fn may_continue(&self, expected: Option<Identity>) -> bool {
        expected.is_none_or(|expected| {
            self.identity.epoch == NO_EPOCH
                || expected.producer_id == self.identity.producer_id
                || (expected.producer_id == self.previous_id && expected.epoch >= EXHAUSTED_EPOCH)
        })
    }

    fn bump(&mut self, request: &InitRequest) -> Result<(), ErrorCode> {
        let epoch = self.identity.epoch;
        let expected_epoch = request.expected.map(|expected| expected.epoch);
        if epoch >= EXHAUSTED_EPOCH && expected_epoch.is_none_or(|expected| expected == epoch) {
            self.previous_id = self.identity.producer_id;
            self.last_epoch = if expected_epoch.is_some() { epoch } else { NO_EPOCH };
            self.identity = Identity { producer_id: request.fresh_id, epoch: 0 };
            return Ok(());
        }
        match expected_epoch {
            None => self.last_epoch = NO_EPOCH,
            Some(expected) if epoch == NO_EPOCH || expected == epoch => self.last_epoch = epoch,
            // The answer to the same request was lost.
            Some(expected) if expected == self.last_epoch => return Ok(()),
            Some(_) => return Err(ErrorCode::ProducerFenced),
        }
        self.identity.epoch = epoch.saturating_add(1);
        Ok(())
    }

    fn check_identity(&self, identity: Identity) -> Result<(), ErrorCode> {
        if identity.producer_id != self.identity.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if identity.epoch != self.identity.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            State::PrepareCommit | State::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            _ => Ok(()),
        }
    }

    /// Makes partitions and groups part of the transaction, which begins with the first of them. Tells whether anything
    /// changed.
    pub(crate) fn add(
        &mut self,
        now_ms: u64,
        identity: Identity,
        partitions: impl IntoIterator<Item = (String, i32)>,
        group: Option<&str>,
    ) -> Result<bool, ErrorCode> {
        self.check_identity(identity)?;
        let mut changed = self.state != State::Ongoing;
        if changed {
            self.state = State::Ongoing;
            self.begun_ms = now_ms;
            self.partitions.clear();
            self.groups.clear();
        }
        for partition in partitions {
            changed |= self.partitions.insert(partition);
        }
        if let Some(group) = group {
            changed |= self.groups.insert(group.to_owned());
        }
        Ok(changed)
    }

    /// Whether a producer that does not add partitions implicitly may write to one.
    pub(crate) fn verify(&self, identity: Identity, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        let has = |known: &(String, i32)| known.0 == topic && known.1 == partition;
        self.verify_part(identity, self.partitions.iter().any(has))
    }

    /// Whether a producer that does not add groups implicitly may commit offsets of one.
    pub(crate) fn verify_group(&self, identity: Identity, group: &str) -> Result<(), ErrorCode> {
        self.verify_part(identity, self.groups.contains(group))
    }

    fn verify_part(&self, identity: Identity, is_part: bool) -> Result<(), ErrorCode> {
        self.check_identity(identity)?;
        if self.state == State::Ongoing && is_part { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    /// EndTxn. `bumps` is true for clients of transaction version 2; `fresh_id` replaces an id without epochs left.
    pub(crate) fn end(
        &mut self,
        identity: Identity,
        commit: bool,
        bumps: bool,
        fresh_id: i64,
    ) -> Result<End, ErrorCode> {
        let rotated = bumps
            && identity.producer_id == self.previous_id
            && identity.epoch == EXHAUSTED_EPOCH
            && self.identity.epoch == 0;
        if identity.producer_id != self.identity.producer_id && !rotated {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let ended = !matches!(self.state, State::Empty | State::Ongoing);
        let bumped = bumps && ended && self.identity.epoch > 0 && identity.epoch == self.identity.epoch - 1;
        let repeated = rotated || bumped;
        if identity.epoch != self.identity.epoch && !repeated {
            return Err(ErrorCode::ProducerFenced);
        }
        let invalid = Err(ErrorCode::InvalidTxnState);
        match (self.state, commit) {
            (State::Ongoing, _) => Ok(self.prepare(commit, bumps, fresh_id)),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
            (State::CompleteCommit, true) | (State::CompleteAbort, false) if repeated || !bumps => {
                Ok(End::Done(self.identity))
            }
            // A transaction without partitions, which only its producer knows of, is aborted.
            (State::Empty | State::CompleteCommit | State::CompleteAbort, false) if bumps && !repeated => {
                self.partitions.clear();
                self.groups.clear();
                Ok(self.prepare(false, bumps, fresh_id))
            }
            _ => invalid,
        }
    }

    fn prepare(&mut self, commit: bool, bumps: bool, fresh_id: i64) -> End {
        self.state = if commit { State::PrepareCommit } else { State::PrepareAbort };
        if !bumps {
            return End::Prepared(self.identity);
        }
        self.last_epoch = self.identity.epoch;
        self.next_id = (self.identity.epoch >= EXHAUSTED_EPOCH).then_some(fresh_id);
        self.identity.epoch = self.identity.epoch.saturating_add(1);
        End::Prepared(match self.next_id {
            Some(producer_id) => Identity { producer_id, epoch: 0 },
            None => self.identity,
        })
    }

    /// Takes the transaction from its producer: a newer one came, or its time is up.
    pub(crate) fn fence(&mut self, bumps: bool, fresh_id: i64) {
        if self.identity.epoch < EXHAUSTED_EPOCH {
            self.identity.epoch += 1;
        }
        self.last_epoch = NO_EPOCH;
        self.prepare(false, bumps, fresh_id);
    }

    /// When an open transaction is aborted.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        (self.state == State::Ongoing).then(|| self.begun_ms.saturating_add(self.timeout_ms))
    }

    /// Whether markers are due: `Some(true)` for commit markers.
    pub(crate) fn markers(&self) -> Option<bool> {
        match self.state {
            State::PrepareCommit => Some(true),
            State::PrepareAbort => Some(false),
            State::Empty | State::Ongoing | State::CompleteCommit | State::CompleteAbort => None,
        }
    }

    /// All markers are written.
    pub(crate) fn complete(&mut self) {
        self.partitions.clear();
        self.groups.clear();
        match self.state {
            State::PrepareCommit => self.state = State::CompleteCommit,
            State::PrepareAbort => self.state = State::CompleteAbort,
            State::Empty | State::Ongoing | State::CompleteCommit | State::CompleteAbort => return,
        }
        if let Some(producer_id) = self.next_id.take() {
            self.previous_id = self.identity.producer_id;
            self.identity = Identity { producer_id, epoch: 0 };
        }
    }
}
