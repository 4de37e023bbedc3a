//! What a transactional producer may do next. No clock and no socket inside: what was asked and what was answered comes
//! in, what is to be done comes out.
//!
//! ```text
//!                 initialised            begin                commit, abort
//! Uninitialised ─────────────> Ready ─────────────> Open ──────────────────> Ending ──> Ready
//!       ^                                            │ a record or offset       │ outcome unknown
//!       │                                            v failed                   v
//!       │                                        MustAbort ── abort ──>     Undecided ── abort ──> ...
//!       └───────── the epoch is not bumped after a failure, or the transaction was committed after all
//! any ── another producer has the id ──> Fatal
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use kanat_protocol::ErrorCode;

use crate::error::{Error, Result};
use crate::produce::Identity;
use crate::types::TopicPartition;

#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// The producer must ask for its identity before it begins.
    Uninitialised,
    Ready,
    Open,
    /// Something of the transaction is lost: it can only be aborted.
    MustAbort(Error),
    Ending,
    /// The coordinator was asked to end the transaction and did not answer. Aborting it tells what became of it.
    Undecided,
    /// Nothing helps.
    Fatal(Error),
}

/// How a transaction is to be ended at the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The coordinator knows nothing of it: there is nothing to end.
    Empty,
    /// By an EndTxn request under this identity.
    Ask(Identity),
}

#[derive(Debug)]
pub(super) struct Machine {
    transactional_id: Arc<str>,
    phase: Phase,
    identity: Identity,
    /// The coordinator notices partitions by itself and gives a new epoch with every end (KIP-890).
    implicit: bool,
    /// Partitions the coordinator knows of.
    enrolled: HashSet<TopicPartition>,
    /// Groups whose offsets the coordinator knows of.
    groups: HashSet<String>,
    /// The coordinator may know of the transaction.
    touched: bool,
    /// The transaction failed; the epoch must be bumped before the next one.
    damaged: bool,
}

impl Machine {
    pub(super) fn new(transactional_id: Arc<str>) -> Machine {
        Machine {
            transactional_id,
            phase: Phase::Uninitialised,
            identity: Identity::NONE,
            implicit: false,
            enrolled: HashSet::new(),
            groups: HashSet::new(),
            touched: false,
            damaged: false,
        }
    }

    /// The identity to ask the next one with: the one before, so that a newer producer of the same id is noticed.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The identity of the open transaction, `None` when nothing may be sent.
    pub(super) fn sending_identity(&self) -> Option<Identity> {
        matches!(self.phase, Phase::Open).then_some(self.identity)
    }

    pub(super) fn is_implicit(&self) -> bool {
        self.implicit
    }

    pub(super) fn needs_identity(&self) -> Result<bool> {
        match &self.phase {
            Phase::Fatal(error) => Err(error.clone()),
            phase => Ok(matches!(phase, Phase::Uninitialised)),
        }
    }

    pub(super) fn initialised(&mut self, identity: Identity, implicit: bool) {
        (self.identity, self.implicit) = (identity, implicit);
        self.phase = Phase::Ready;
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        match &self.phase {
            Phase::Ready => {
                self.enrolled.clear();
                self.groups.clear();
                (self.touched, self.damaged) = (false, false);
                self.phase = Phase::Open;
                Ok(())
            }
            Phase::Fatal(error) => Err(error.clone()),
            _ => Err(Error::TransactionState { reason: "the transaction before is not ended: abort it".into() }),
        }
    }

    /// Whether a transaction was begun and nobody ended it, or whoever was ending it gave up waiting.
    pub(super) fn is_unended(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::MustAbort(_) | Phase::Ending | Phase::Undecided)
    }

    /// Whether records and offsets are still taken.
    pub(super) fn check_open(&self) -> Result<()> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::MustAbort(cause) => Err(Error::TransactionMustAbort { cause: Box::new(cause.clone()) }),
            Phase::Fatal(error) => Err(error.clone()),
            _ => Err(Error::TransactionState { reason: "no transaction is open".into() }),
        }
    }

    /// Whether a batch may go to a partition; if not, enrol it first.
    pub(super) fn may_send(&mut self, partition: &TopicPartition) -> bool {
        if self.implicit {
            self.touched = true;
            return true;
        }
        self.enrolled.contains(partition)
    }

    /// The coordinator is being told of partitions, or of a group.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    pub(super) fn enrolled(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.enrolled.extend(partitions);
    }

    /// Whether the coordinator must be told of the group first.
    pub(super) fn needs_group(&self, group: &str) -> bool {
        !self.implicit && !self.groups.contains(group)
    }

    pub(super) fn group_added(&mut self, group: &str) {
        self.groups.insert(group.to_owned());
    }

    /// A record, a partition or an offset of the transaction failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.damaged = true;
        if is_fatal(error) {
            self.phase = Phase::Fatal(self.named(error));
        } else if matches!(self.phase, Phase::Open) {
            self.phase = Phase::MustAbort(error.clone());
        }
    }

    /// The application ends the transaction. Everything sent must be decided by now.
    pub(super) fn end(&mut self, commit: bool) -> Result<Ending> {
        if commit {
            self.check_open()?;
        } else if let Phase::Fatal(error) = &self.phase {
            return Err(error.clone());
        } else if !self.is_unended() {
            return Err(Error::TransactionState { reason: "no transaction is open".into() });
        }
        // Batches that were given up leave gaps in the sequences, which only another epoch closes.
        self.damaged |= !commit;
        if self.touched {
            self.phase = Phase::Ending;
            return Ok(Ending::Ask(self.identity));
        }
        self.phase = if self.damaged { Phase::Uninitialised } else { Phase::Ready };
        Ok(Ending::Empty)
    }

    /// The coordinator ended the transaction; `bumped` is the identity it gave for the next one.
    pub(super) fn ended(&mut self, bumped: Option<Identity>) {
        self.phase = match bumped {
            Some(identity) => {
                self.identity = identity;
                Phase::Ready
            }
            // Sequences of a failed transaction may have gaps.
            None if self.damaged => Phase::Uninitialised,
            None => Phase::Ready,
        };
    }

    /// Whether the coordinator refuses to abort because nothing is open: it never heard of the transaction, or it was
    /// committed although the answer was lost. The next identity keeps late requests of this one out.
    pub(super) fn was_not_open(&mut self, commit: bool, refusal: &Error) -> bool {
        let not_open = !commit && refusal.code() == Some(ErrorCode::InvalidTxnState);
        if not_open {
            self.phase = Phase::Uninitialised;
        }
        not_open
    }

    /// The end failed. Returns the error for the application.
    pub(super) fn end_failed(&mut self, commit: bool, error: Error) -> Error {
        if is_fatal(&error) && error.code() != Some(ErrorCode::InvalidTxnState) {
            let error = self.named(&error);
            self.phase = Phase::Fatal(error.clone());
            return error;
        }
        if commit && error.code() == Some(ErrorCode::TransactionAbortable) {
            self.damaged = true;
            self.phase = Phase::MustAbort(error.clone());
            return Error::TransactionMustAbort { cause: Box::new(error) };
        }
        self.phase = Phase::Undecided;
        if commit { Error::CommitUnknown { cause: Box::new(error) } } else { error }
    }

    /// The identity was refused.
    pub(super) fn not_initialised(&mut self, error: &Error) -> Error {
        if is_fatal(error) {
            let error = self.named(error);
            self.phase = Phase::Fatal(error.clone());
            return error;
        }
        error.clone()
    }

    /// Gives the fence its name, wherever it was noticed.
    fn named(&self, error: &Error) -> Error {
        match error.code() {
            Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch) => {
                Error::ProducerFenced { transactional_id: Arc::clone(&self.transactional_id) }
            }
            _ => error.clone(),
        }
    }
}

/// Errors after which the producer can do nothing any more.
fn is_fatal(error: &Error) -> bool {
    match error {
        Error::ProducerFenced { .. } => true,
        // A sequence that broke says so by the epoch too; asking for the next identity tells whether it is a fence.
        Error::SequenceBroken { .. } => false,
        error => matches!(
            error.code(),
            Some(
                ErrorCode::ProducerFenced
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::TransactionalIdAuthorizationFailed
                    | ErrorCode::ClusterAuthorizationFailed
                    | ErrorCode::InvalidTransactionTimeout
                    | ErrorCode::InvalidTxnState
                    | ErrorCode::UnsupportedVersion
            )
        ),
    }
}
