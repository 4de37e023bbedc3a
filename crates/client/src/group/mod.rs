//! Consumer groups: membership, assignment, committed offsets.
//!
//! ```text
//! GroupConsumer ── next() ──> records, assigned, revoked, lost
//!   │   └─ commits, one at a time ──> coordinator
//!   └─ task: Membership (classic) or heartbeats (KIP-848) ──> coordinator, on a connection of its own
//! ```
//!
//! [`Membership`] is the lower half alone, for groups of any kind. [`Group`] looks at a group from outside.

mod assignor;
mod classic;
mod closing;
mod consumer;
mod heartbeats;
mod link;
mod membership;
mod modern;
mod offsets;
mod options;
mod outside;
mod wire;

pub use self::assignor::{
    Assignor, CooperativeStickyAssignor, MemberAssignments, RangeAssignor, RebalanceMode, RoundRobinAssignor,
    StickyAssignor, Subscriber, TopicLayout, TopicLayouts,
};
pub use self::classic::{JoinProtocol, JoinedMember, Leadership, MemberAssignment, MembershipEvent};
pub use self::closing::LeaveMode;
pub use self::consumer::{CommitFuture, GroupCommitter, GroupConsumer, GroupEvent, Revocation};
pub use self::membership::Membership;
pub use self::options::{GroupOptions, GroupProtocol, GroupStart, MembershipOptions, Subscription};
pub use self::outside::Group;
