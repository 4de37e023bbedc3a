//! Consumer groups, with the classic protocol and with that of KIP-848.
//!
//! [`Group`](state::Group) is the state machine of one classic group: requests and ticks go in, answers come out, and it
//! sees neither a socket nor a clock. [`ConsumerGroup`](consumer::ConsumerGroup) is the same for KIP-848, where every
//! answer can be given at once. [`Coordinator`] holds all groups, hands the answers to the requests that wait for them,
//! and ticks the groups when a deadline is due.

mod assignors;
mod consumer;
#[cfg(test)]
mod consumer_tests;
mod coordinator;
mod coordinator_consumer;
mod member;
mod offsets;
mod rebalance;
mod state;
mod stored;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use consumer::{Assignment, ConsumerAnswer, ConsumerHeartbeat, ConsumerOptions, TopicView};
pub(crate) use coordinator::{CommitRequest, Coordinator, DescribedGroup, GroupType};
pub(crate) use member::Protocol;
pub(crate) use offsets::CommittedOffset;
pub(crate) use state::{GroupOptions, JoinRequest, SyncRequest};
pub(crate) use stored::{StoredGroup, StoredMember};
