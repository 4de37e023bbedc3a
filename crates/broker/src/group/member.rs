//! One member of a group.

use bytes::Bytes;

use super::state::{JoinRequest, Ticket};

/// An assignment strategy a member offers, with the metadata (subscription) it sends under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// A member and what it waits for.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: u64,
    pub(crate) rebalance_timeout_ms: u64,
    /// In order of preference.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    pub(super) parked_join: Option<Ticket>,
    pub(super) parked_sync: Option<Ticket>,
    session_ends_ms: u64,
}

impl Member {
    pub(super) fn new(now_ms: u64, id: String, request: JoinRequest) -> Self {
        Self {
            id,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            parked_join: None,
            parked_sync: None,
            session_ends_ms: now_ms + request.session_timeout_ms,
        }
    }

    /// Takes over what a repeated join says.
    pub(super) fn update(&mut self, now_ms: u64, request: JoinRequest) {
        self.client_id = request.client_id;
        self.client_host = request.client_host;
        self.session_timeout_ms = request.session_timeout_ms;
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.protocols = request.protocols;
        self.touch(now_ms);
    }

    /// The member was heard of.
    pub(super) fn touch(&mut self, now_ms: u64) {
        self.session_ends_ms = now_ms + self.session_timeout_ms;
    }

    /// End of the session; a member that waits for our answer has none.
    pub(super) fn session_deadline_ms(&self) -> Option<u64> {
        (self.parked_join.is_none() && self.parked_sync.is_none()).then_some(self.session_ends_ms)
    }

    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        self.session_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }

    /// Metadata the member sent for `protocol`; empty when it does not offer it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let offered = self.protocols.iter().find(|offered| offered.name == protocol);
        offered.map(|offered| offered.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offered| offered.name == protocol)
    }
}
