//! Groups: list, describe, delete, remove members.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::consumer_group_describe_response::{
    Assignment as WireAssignment, DescribedGroup as WireConsumerGroup, Member as WireConsumerMember,
};
use kanat_protocol::messages::describe_groups_response::DescribedGroup as WireClassicGroup;
use kanat_protocol::messages::leave_group_request::MemberIdentity;
use kanat_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, LeaveGroupRequest,
    ListGroupsRequest,
};

use super::ask::{Answer, Home, Node, Repeat, optional_text, text};
use super::{Admin, Outcomes, named, owned};
use crate::cluster::str_bytes;
use crate::coordinator::CoordinatorKind;
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// Which protocol a group speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupType {
    /// The classic protocol: members agree on the assignment.
    Classic,
    /// The consumer protocol of KIP-848: the coordinator assigns.
    Consumer,
    /// Another one, such as `share` or `streams`.
    Other(String),
}

impl GroupType {
    fn from_wire(name: &str) -> GroupType {
        match name.to_ascii_lowercase().as_str() {
            "classic" => GroupType::Classic,
            "consumer" => GroupType::Consumer,
            _ => GroupType::Other(name.to_owned()),
        }
    }

    /// Kafka's name in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
            GroupType::Other(name) => name,
        }
    }
}

/// Which groups to list; an empty list does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListGroupsOptions {
    /// States, such as `Stable` or `Empty`. Needs Kafka 2.6.
    pub states: Vec<String>,
    /// Types, such as `classic` or `consumer`. Needs Kafka 3.8.
    pub types: Vec<String>,
}

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Group id.
    pub group: String,
    /// `consumer` for consumer groups, `connect` for Kafka Connect; empty for groups that only had offsets committed.
    pub protocol_type: String,
    /// State; `None` when the broker does not say (before Kafka 2.6).
    pub state: Option<String>,
    /// Type; `None` when the broker does not say (before Kafka 3.8).
    pub group_type: Option<GroupType>,
    /// Broker that coordinates it.
    pub coordinator: i32,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Id the coordinator gave it, or that it chose itself (KIP-848).
    pub member_id: String,
    /// Its own fixed name, when it has one.
    pub instance_id: Option<String>,
    /// Client id it sends.
    pub client_id: String,
    /// Host it connects from.
    pub client_host: String,
    /// Rack it says it is in (KIP-848).
    pub rack: Option<String>,
    /// Epoch it has reached (KIP-848), else -1.
    pub epoch: i32,
    /// Partitions it owns, sorted. Empty for protocol types other than `consumer`.
    pub assigned: Vec<TopicPartition>,
    /// Partitions it shall own once the others have let go of them (KIP-848), sorted.
    pub target: Vec<TopicPartition>,
}

/// A group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Group id.
    pub group: String,
    /// Protocol.
    pub group_type: GroupType,
    /// `Empty`, `Stable`, `Dead`; `PreparingRebalance` and `CompletingRebalance` of classic groups; `Assigning` and
    /// `Reconciling` of KIP-848 groups.
    pub state: String,
    /// `consumer` for consumer groups, `connect` for Kafka Connect; empty for groups that only had offsets committed.
    pub protocol_type: String,
    /// How partitions are assigned, such as `range` or `uniform`; empty while there is no member.
    pub assignor: String,
    /// Epoch of the group (KIP-848), else -1.
    pub epoch: i32,
    /// Epoch of the target assignment (KIP-848), else -1.
    pub assignment_epoch: i32,
    /// Broker that coordinates it.
    pub coordinator: i32,
    /// Members at the moment.
    pub members: Vec<DescribedMember>,
}

/// A member to remove from a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberToRemove {
    /// By the id the coordinator gave it.
    Member(String),
    /// By its fixed name.
    Instance(String),
}

impl Admin {
    /// The groups of every coordinator, sorted by id.
    ///
    /// # Errors
    /// The first coordinator that does not answer until `retry_timeout_ms`: a list without its groups would look whole.
    /// [`Error::Encode`] when a broker is too old for a filter.
    pub async fn list_groups(&self, options: &ListGroupsOptions) -> Result<Vec<GroupListing>> {
        let names = |names: &[String]| names.iter().map(|name| str_bytes(name)).collect();
        let request = ListGroupsRequest::default()
            .with_states_filter(names(&options.states))
            .with_types_filter(names(&options.types));
        let ask = |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::ListGroups, &request).await?;
                answer.check(|| "groups".to_owned(), answer.body.error_code, None)?;
                let listing = |row: &kanat_protocol::messages::list_groups_response::ListedGroup| GroupListing {
                    group: text(&row.group_id.0),
                    protocol_type: text(&row.protocol_type),
                    state: Some(text(&row.group_state)).filter(|state| !state.is_empty()),
                    group_type: Some(row.group_type.as_str()).filter(|kind| !kind.is_empty()).map(GroupType::from_wire),
                    coordinator: node.id(),
                };
                Ok(answer.body.groups.iter().map(listing).collect::<Vec<_>>())
            }
        };
        let mut groups = Vec::new();
        for (_, listed) in self.ask_brokers(None, ask).await? {
            groups.extend(listed?);
        }
        groups.sort_unstable_by(|left: &GroupListing, right| left.group.cmp(&right.group));
        groups.dedup_by(|left, right| left.group == right.group);
        Ok(groups)
    }

    /// State, protocol and members of groups of either protocol. A group that does not exist is in the result as
    /// [`Error::Server`] with `GROUP_ID_NOT_FOUND`; brokers before Kafka 4.0 describe it with the state `Dead` instead.
    ///
    /// # Errors
    /// When no coordinator answers until `retry_timeout_ms`.
    pub async fn describe_groups(&self, groups: &[&str]) -> Result<Outcomes<String, DescribedGroup>> {
        let names = owned(groups);
        let ask = |node: Node, names: Vec<String>| describe_at(node, names);
        let outcomes = self.ask_each(&names, Repeat::Always, |name| coordinator_of(name), ask).await?;
        Ok(named(&names, outcomes))
    }

    /// Deletes groups with their offsets and says of each whether it was.
    ///
    /// # Errors
    /// When no coordinator answers until `retry_timeout_ms`. A group that has members is in the result as
    /// [`Error::GroupActive`].
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<Outcomes> {
        let names = owned(groups);
        let ask = |node: Node, names: Vec<String>| async move {
            let request = DeleteGroupsRequest::default().with_groups_names(group_ids(&names));
            let answer = node.ask(ApiKey::DeleteGroups, &request).await?;
            let outcome = |name: &String| {
                let row = answer.body.results.iter().find(|row| row.group_id.0.as_str() == name);
                let row = answer.found(row, || format!("group {name}"))?;
                if ErrorCode::from_code(row.error_code) == Some(ErrorCode::NonEmptyGroup) {
                    return Err(Error::GroupActive { group: name.as_str().into() });
                }
                answer.check(|| format!("group {name}"), row.error_code, None)
            };
            Ok(names.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(&names, Repeat::UnlessUnknown, |name| coordinator_of(name), ask).await?;
        Ok(named(&names, outcomes))
    }

    /// Removes members from a classic group, which then rebalances; `reason` goes to the coordinator's log. Needs Kafka
    /// 2.3.
    ///
    /// # Errors
    /// The coordinator's refusal of the request; that of a member is in the result.
    pub async fn remove_group_members(
        &self,
        group: &str,
        members: &[MemberToRemove],
        reason: &str,
    ) -> Result<Vec<(MemberToRemove, Result<()>)>> {
        let (id, wanted, reason) = (group.to_owned(), members.to_vec(), reason.to_owned());
        let ask = move |node: Node| {
            let (id, wanted, reason) = (id.clone(), wanted.clone(), reason.clone());
            async move { remove_at(node, &id, &wanted, &reason).await }
        };
        let home = coordinator_of(group);
        self.ask_one(home, Repeat::UnlessUnknown, ask).await
    }
}

/// Where a group is asked about.
pub(super) fn coordinator_of(group: &str) -> Home {
    Home::Coordinator(CoordinatorKind::Group, group.to_owned())
}

fn group_ids(names: &[String]) -> Vec<GroupId> {
    names.iter().map(|name| GroupId(str_bytes(name))).collect()
}

/// Asks in both protocols: a coordinator knows a group in one of them and denies it in the other.
async fn describe_at(node: Node, names: Vec<String>) -> Result<Vec<Result<DescribedGroup>>> {
    let mut found: HashMap<String, Result<DescribedGroup>> = match describe_consumer(&node, &names).await {
        Ok(found) => found,
        Err(Error::UnsupportedApi { .. }) => HashMap::new(),
        Err(error) => return Err(error),
    };
    let classic: Vec<String> = names.iter().filter(|name| !is_found(found.get(*name))).cloned().collect();
    if !classic.is_empty() {
        found.extend(describe_classic(&node, &classic).await?);
    }
    Ok(names.iter().filter_map(|name| found.get(name).cloned()).collect())
}

fn is_found(described: Option<&Result<DescribedGroup>>) -> bool {
    match described {
        None => false,
        Some(Ok(_)) => true,
        Some(Err(error)) => !matches!(error.code(), Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)),
    }
}

async fn describe_consumer(node: &Node, names: &[String]) -> Result<HashMap<String, Result<DescribedGroup>>> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(group_ids(names));
    let answer = node.ask(ApiKey::ConsumerGroupDescribe, &request).await?;
    let describe = |name: &String| {
        let subject = || format!("group {name}");
        let row = answer.body.groups.iter().find(|row| row.group_id.0.as_str() == name);
        let described = answer.found(row, subject).and_then(|row| {
            answer.check(subject, row.error_code, row.error_message.as_ref())?;
            Ok(from_consumer_group(row, node.id()))
        });
        (name.clone(), described)
    };
    Ok(names.iter().map(describe).collect())
}

fn from_consumer_group(row: &WireConsumerGroup, coordinator: i32) -> DescribedGroup {
    let member = |row: &WireConsumerMember| DescribedMember {
        member_id: text(&row.member_id),
        instance_id: optional_text(row.instance_id.as_ref()),
        client_id: text(&row.client_id),
        client_host: text(&row.client_host),
        rack: optional_text(row.rack_id.as_ref()),
        epoch: row.member_epoch,
        assigned: partitions(&row.assignment),
        target: partitions(&row.target_assignment),
    };
    DescribedGroup {
        group: text(&row.group_id.0),
        group_type: GroupType::Consumer,
        state: text(&row.group_state),
        protocol_type: "consumer".to_owned(),
        assignor: text(&row.assignor_name),
        epoch: row.group_epoch,
        assignment_epoch: row.assignment_epoch,
        coordinator,
        members: row.members.iter().map(member).collect(),
    }
}

fn partitions(assignment: &WireAssignment) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for topic in &assignment.topic_partitions {
        let name: std::sync::Arc<str> = topic.topic_name.0.as_str().into();
        let named =
            topic.partitions.iter().map(|partition| TopicPartition::new(std::sync::Arc::clone(&name), *partition));
        partitions.extend(named);
    }
    partitions.sort_unstable();
    partitions
}

async fn describe_classic(node: &Node, names: &[String]) -> Result<HashMap<String, Result<DescribedGroup>>> {
    let request = DescribeGroupsRequest::default().with_groups(group_ids(names));
    let answer = node.ask(ApiKey::DescribeGroups, &request).await?;
    let describe = |name: &String| {
        let subject = || format!("group {name}");
        let row = answer.body.groups.iter().find(|row| row.group_id.0.as_str() == name);
        let described = answer.found(row, subject).and_then(|row| {
            answer.check(subject, row.error_code, row.error_message.as_ref())?;
            from_classic_group(row, node.id(), &answer)
        });
        (name.clone(), described)
    };
    Ok(names.iter().map(describe).collect())
}

fn from_classic_group<R>(row: &WireClassicGroup, coordinator: i32, answer: &Answer<R>) -> Result<DescribedGroup> {
    let is_consumer = row.protocol_type.as_str() == "consumer";
    let mut members = Vec::with_capacity(row.members.len());
    for member in &row.members {
        let assigned = if is_consumer { read_assignment(member.member_assignment.clone()) } else { Some(Vec::new()) };
        let unreadable = || {
            let (member, group) = (member.member_id.as_str(), row.group_id.0.as_str());
            answer.malformed(format!("the assignment of member {member} of group {group} cannot be read"))
        };
        members.push(DescribedMember {
            member_id: text(&member.member_id),
            instance_id: optional_text(member.group_instance_id.as_ref()),
            client_id: text(&member.client_id),
            client_host: text(&member.client_host),
            rack: None,
            epoch: -1,
            assigned: assigned.ok_or_else(unreadable)?,
            target: Vec::new(),
        });
    }
    Ok(DescribedGroup {
        group: text(&row.group_id.0),
        group_type: GroupType::Classic,
        state: text(&row.group_state),
        protocol_type: text(&row.protocol_type),
        assignor: text(&row.protocol_data),
        epoch: -1,
        assignment_epoch: -1,
        coordinator,
        members,
    })
}

/// The partitions of a classic consumer's assignment: version, topics with partitions, user data. Counts are taken on
/// trust only as far as the bytes reach.
fn read_assignment(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut partitions = Vec::new();
    let _version = bytes.try_get_i16().ok()?;
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if length > bytes.len() {
            return None;
        }
        let name = bytes.split_to(length);
        let topic: std::sync::Arc<str> = std::str::from_utf8(&name).ok()?.into();
        for _ in 0..bytes.try_get_i32().ok()? {
            partitions.push(TopicPartition::new(std::sync::Arc::clone(&topic), bytes.try_get_i32().ok()?));
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

async fn remove_at(
    node: Node,
    group: &str,
    wanted: &[MemberToRemove],
    reason: &str,
) -> Result<Vec<(MemberToRemove, Result<()>)>> {
    let build = |version: i16| {
        let identity = |member: &MemberToRemove| {
            let identity = match member {
                MemberToRemove::Member(id) => MemberIdentity::default().with_member_id(str_bytes(id)),
                MemberToRemove::Instance(id) => MemberIdentity::default().with_group_instance_id(Some(str_bytes(id))),
            };
            if version >= 5 { identity.with_reason(Some(str_bytes(reason))) } else { identity }
        };
        LeaveGroupRequest::default()
            .with_group_id(GroupId(str_bytes(group)))
            .with_members(wanted.iter().map(identity).collect())
    };
    let answer = node.ask_as(ApiKey::LeaveGroup, build).await?;
    answer.check(|| format!("group {group}"), answer.body.error_code, None)?;
    let outcome = |member: &MemberToRemove| {
        let row = answer.body.members.iter().find(|row| match member {
            MemberToRemove::Member(id) => row.member_id.as_str() == id,
            MemberToRemove::Instance(id) => row.group_instance_id.as_ref().is_some_and(|name| name.as_str() == id),
        });
        let subject = || format!("{member:?} of group {group}");
        let outcome = answer.found(row, subject).and_then(|row| answer.check(subject, row.error_code, None));
        (member.clone(), outcome)
    };
    Ok(wanted.iter().map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_broken_one_refused() {
        let whole: &[u8] = b"\0\x01\0\0\0\x01\0\x03abc\0\0\0\x02\0\0\0\x05\0\0\0\x01\xff\xff\xff\xff";
        let read = read_assignment(Bytes::from_static(whole)).unwrap();
        assert_eq!(read, [TopicPartition::new("abc", 1), TopicPartition::new("abc", 5)]);
        assert_eq!(read_assignment(Bytes::new()), Some(Vec::new()));
        for length in 1..whole.len() - 4 {
            assert_eq!(read_assignment(Bytes::from_static(&whole[..length])), None, "{length}");
        }
        // A count that the bytes cannot hold ends at the last byte, not at the count.
        assert_eq!(read_assignment(Bytes::from_static(b"\0\x01\x7f\xff\xff\xff\0\x01a")), None);
    }
}
