//! Who gets which partition: what an assignor is told, what it answers, and the four that Kafka's clients share.
//!
//! The leader of a classic group reads every member's subscription, lets the assignor of the chosen name decide, and
//! sends each member its share. Names and bytes are those of the Java client, so that members of different make can
//! lead one another. An assignor is a pure function: the same members in any order get the same partitions.

pub(crate) mod protocol;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

pub use self::range::RangeAssignor;
pub use self::round_robin::RoundRobinAssignor;
pub use self::sticky::{CooperativeStickyAssignor, StickyAssignor};
use crate::metadata::Metadata;
use crate::types::TopicPartition;

/// What members give up before they join again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceMode {
    /// Everything: partitions rest until the new assignment is there.
    Eager,
    /// Only what goes to another member; the rest is read on during the rebalance.
    Cooperative,
}

/// A topic as an assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicLayout {
    /// Partitions, numbered from 0.
    pub partition_count: i32,
    /// Racks that hold a copy, per partition. Empty when no broker names a rack.
    pub racks: Vec<Vec<Arc<str>>>,
}

/// The topics that some member subscribes to and that exist, by name.
pub type TopicLayouts = BTreeMap<Arc<str>, TopicLayout>;

/// A member of a group as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscriber {
    /// Id the coordinator gave it.
    pub member_id: String,
    /// Its own fixed name, when it has one.
    pub instance_id: Option<String>,
    /// Rack it reads from.
    pub rack: Option<String>,
    /// Topics it subscribes to. Those missing from the layouts do not exist.
    pub topics: Vec<Arc<str>>,
    /// Partitions it says it holds; empty under the eager mode.
    pub owned: Vec<TopicPartition>,
    /// Generation in which it got `owned`, -1 when unknown.
    pub generation: i32,
    /// Bytes of the member's assignor, from [`Assignor::user_data`].
    pub user_data: Bytes,
}

/// Partitions per member id. A member that is absent gets none.
pub type MemberAssignments = HashMap<String, Vec<TopicPartition>>;

/// Decides who reads what in a classic group. Implement it for a policy of your own; every member of the group must
/// offer an assignor of the same [name](Self::name).
pub trait Assignor: Debug + Send + Sync + 'static {
    /// Name the members agree on, such as `range`.
    fn name(&self) -> &str;

    /// What members give up before they join again. A consumer is cooperative when all its assignors are.
    fn mode(&self) -> RebalanceMode {
        RebalanceMode::Eager
    }

    /// Bytes to send with the subscription: `owned` is what this member was assigned last, in `generation`.
    fn user_data(&self, owned: &[TopicPartition], generation: i32) -> Option<Bytes> {
        let _ = (owned, generation);
        None
    }

    /// Distributes every partition of `topics` over the members subscribed to it. The order of `members` must not
    /// matter. Under the cooperative mode a partition that another member still owns is left out this time.
    fn assign(&self, topics: &TopicLayouts, members: &[Subscriber]) -> MemberAssignments;
}

/// Members in the order every assignor uses: those with an instance id by it, then the others by member id. A static
/// member keeps its place when it comes back under another member id.
pub(crate) fn in_order(members: &[Subscriber]) -> Vec<&Subscriber> {
    let mut ordered: Vec<&Subscriber> = members.iter().collect();
    ordered.sort_by(|left, right| {
        let key = |member: &Subscriber| (member.instance_id.is_none(), member.instance_id.clone());
        key(left).cmp(&key(right)).then_with(|| left.member_id.cmp(&right.member_id))
    });
    ordered
}

/// Topics of a metadata snapshot as assignors see them; those that do not exist are left out.
pub(crate) fn layouts<'a>(metadata: &Metadata, names: impl IntoIterator<Item = &'a str>) -> TopicLayouts {
    let mut layouts = TopicLayouts::new();
    let rack_of = |node: &i32| metadata.broker(*node).and_then(|broker| broker.rack.as_deref()).map(Arc::<str>::from);
    let racks_known = metadata.brokers().any(|broker| broker.rack.is_some());
    for name in names {
        let Some(topic) = metadata.topic(name) else { continue };
        let racks = if racks_known {
            topic.partitions.iter().map(|partition| partition.replicas.iter().filter_map(rack_of).collect()).collect()
        } else {
            Vec::new()
        };
        let partition_count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        layouts.insert(Arc::clone(&topic.name), TopicLayout { partition_count, racks });
    }
    layouts
}
