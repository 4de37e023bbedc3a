//! ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848).

use std::collections::{BTreeMap, BTreeSet};

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member, TopicPartitions as DescribedPartitions,
};
use kanat_protocol::messages::consumer_group_heartbeat_response::{Assignment as ToldAssignment, TopicPartitions};
use kanat_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId, StrBytes, TopicName, Uuid,
};

use super::{Context, Handle, message, text};
use crate::cluster::CoordinatorKind;
use crate::error::{Refusal, wire_code};
use crate::features::GROUP_VERSION;
use crate::group::{Assignment, ConsumerAnswer, ConsumerHeartbeat};

/// First version whose clients make their member id themselves.
const OWN_MEMBER_ID_VERSION_MIN: i16 = 1;
/// Member type of DescribedGroup: a member with the protocol of KIP-848.
const CONSUMER_MEMBER: i8 = 1;

impl Handle for ConsumerGroupHeartbeatRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    async fn handle(self, context: &Context) -> ConsumerGroupHeartbeatResponse {
        let answered = context.run(move |context| heartbeat(self, context)).await;
        let response = ConsumerGroupHeartbeatResponse::default()
            .with_error_code(wire_code(&answered))
            .with_error_message(message(&answered));
        match answered {
            Ok(answer) => response
                .with_member_id(Some(text(answer.member_id)))
                .with_member_epoch(answer.member_epoch)
                .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
                .with_assignment(answer.assignment.map(|assignment| told(&assignment))),
            Err(_) => response,
        }
    }
}

fn heartbeat(request: ConsumerGroupHeartbeatRequest, context: &Context) -> Result<ConsumerAnswer, Refusal> {
    if context.cluster.features.level(GROUP_VERSION) < 1 {
        return Err(Refusal::new(ErrorCode::UnsupportedVersion, "the consumer group protocol is not enabled"));
    }
    check(&request, context)?;
    let coordinated = context.check_coordinator(&request.group_id);
    coordinated.map_err(|code| Refusal::new(code, "this node does not coordinate the group"))?;
    let owned = |value: &StrBytes| value.to_string();
    let heartbeat = ConsumerHeartbeat {
        member_id: owned(&request.member_id),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id.as_ref().map(owned),
        rack_id: request.rack_id.as_ref().map(owned),
        rebalance_timeout_ms: u64::try_from(request.rebalance_timeout_ms).ok(),
        client_id: context.client_id.to_string(),
        client_host: format!("/{}", context.peer.ip()),
        topics: request.subscribed_topic_names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        regex: request.subscribed_topic_regex.as_ref().map(owned),
        assignor: request.server_assignor.as_ref().map(owned),
        owned: request.topic_partitions.map(|topics| {
            let topics = topics.iter();
            topics.flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index))).collect()
        }),
    };
    let cluster = &context.cluster;
    let options = cluster.group_options(&request.group_id);
    cluster.coordinator.consumer_heartbeat(&request.group_id, heartbeat, &cluster.topic_view(), &options)
}

/// The rules of a heartbeat that need no group.
fn check(request: &ConsumerGroupHeartbeatRequest, context: &Context) -> Result<(), Refusal> {
    let is_blank = |value: &Option<StrBytes>| value.as_ref().is_some_and(|value| value.trim().is_empty());
    let joins = request.member_epoch == 0;
    let needs_member_id = !joins || context.version >= OWN_MEMBER_ID_VERSION_MIN;
    let owns = request.topic_partitions.as_ref().is_none_or(|topics| !topics.is_empty());
    let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    let reason = if request.group_id.trim().is_empty() {
        "GroupId can't be empty."
    } else if needs_member_id && request.member_id.trim().is_empty() {
        "MemberId can't be empty."
    } else if is_blank(&request.instance_id) {
        "InstanceId can't be empty."
    } else if is_blank(&request.rack_id) {
        "RackId can't be empty."
    } else if request.member_epoch < -2 {
        "MemberEpoch is invalid."
    } else if request.member_epoch == -2 && request.instance_id.is_none() {
        "InstanceId can't be null."
    } else if joins && request.rebalance_timeout_ms == -1 {
        "RebalanceTimeoutMs must be provided in first request."
    } else if joins && owns {
        "TopicPartitions must be empty when (re-)joining."
    } else if joins && !subscribes {
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
    } else {
        return Ok(());
    };
    Err(Refusal::new(ErrorCode::InvalidRequest, reason))
}

fn by_topic(assignment: &Assignment) -> BTreeMap<Uuid, Vec<i32>> {
    let mut topics = BTreeMap::<Uuid, Vec<i32>>::new();
    for (topic, index) in assignment {
        topics.entry(*topic).or_default().push(*index);
    }
    topics
}

fn told(assignment: &Assignment) -> ToldAssignment {
    let topics = by_topic(assignment).into_iter();
    let topics =
        topics.map(|(topic, indexes)| TopicPartitions::default().with_topic_id(topic).with_partitions(indexes));
    ToldAssignment::default().with_topic_partitions(topics.collect())
}

impl Handle for ConsumerGroupDescribeRequest {
    async fn handle(self, context: &Context) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.into_iter().map(|group_id| describe(group_id, context));
        ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
    }
}

fn describe(group_id: GroupId, context: &Context) -> DescribedGroup {
    let described = DescribedGroup::default().with_authorized_operations(i32::MIN).with_group_id(group_id.clone());
    if let Err(code) = context.check_coordinator(&group_id) {
        return described.with_error_code(code.code());
    }
    let filled = context.cluster.coordinator.with_consumer_group(&group_id, |group| {
        let members = group.members().map(|member| {
            let topics: BTreeSet<TopicName> = member.topics.iter().map(|topic| TopicName(text(topic))).collect();
            Member::default()
                .with_member_id(text(&member.id))
                .with_instance_id(member.instance_id.as_ref().map(text))
                .with_rack_id(member.rack_id.as_ref().map(text))
                .with_member_epoch(member.epoch)
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_subscribed_topic_names(topics.into_iter().collect())
                .with_subscribed_topic_regex(member.regex.as_ref().map(text))
                .with_assignment(described_assignment(&member.assigned, context))
                .with_target_assignment(described_assignment(&group.target(&member.id), context))
                .with_member_type(CONSUMER_MEMBER)
        });
        described
            .clone()
            .with_group_state(text(group.state()))
            .with_group_epoch(group.epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(text(group.assignor().as_str()))
            .with_members(members.collect())
    });
    filled.unwrap_or_else(|| {
        let reason = format!("Group {} not found.", &*group_id);
        described.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text(reason)))
    })
}

fn described_assignment(assignment: &Assignment, context: &Context) -> DescribedAssignment {
    let topics = by_topic(assignment).into_iter().filter_map(|(id, indexes)| {
        let topic = context.cluster.topic_by_id(id)?;
        let partitions = DescribedPartitions::default().with_topic_id(id).with_partitions(indexes);
        Some(partitions.with_topic_name(TopicName(text(&*topic.name))))
    });
    DescribedAssignment::default().with_topic_partitions(topics.collect())
}
