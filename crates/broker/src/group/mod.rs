//! Consumer groups with the classic protocol.
//!
//! [`Group`](state::Group) is the state machine of one group: requests and ticks go in, answers come out, and it sees neither a
//! socket nor a clock. [`Coordinator`] holds all groups, hands the answers to the requests that wait for them, and
//! ticks the groups when a deadline is due.

mod coordinator;
mod member;
mod offsets;
mod rebalance;
mod state;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use coordinator::{CommitRequest, Coordinator};
pub(crate) use member::Protocol;
pub(crate) use offsets::CommittedOffset;
pub(crate) use state::{GroupOptions, JoinRequest, SyncRequest};
