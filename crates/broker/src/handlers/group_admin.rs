//! ListGroups, DescribeGroups and DeleteGroups.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::delete_groups_response::DeletableGroupResult;
use kanat_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kanat_protocol::messages::list_groups_response::ListedGroup;
use kanat_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    ListGroupsRequest, ListGroupsResponse, StrBytes,
};

use super::{Context, Handle, group_code, text};
use crate::error::wire_code;
use crate::group::GroupType;

/// State of a group nobody knows.
const DEAD: &str = "Dead";
/// First version that can say that a group does not exist.
const NOT_FOUND_VERSION_MIN: i16 = 6;

impl Handle for ListGroupsRequest {
    async fn handle(self, context: &Context) -> ListGroupsResponse {
        let checked = context.check_request();
        let matches = |filter: &[StrBytes], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        // Every node lists the groups it coordinates.
        let groups = context.cluster.coordinator.list().into_iter().filter(|group| {
            context.cluster.coordinator_of(&group.id).is_some_and(|node| node.id == context.node_id)
                && context.authorize_group(&group.id).is_ok()
                && matches(&self.states_filter, group.state)
                && matches(&self.types_filter, group.group_type.as_str())
        });
        let groups = groups.map(|group| {
            ListedGroup::default()
                .with_group_id(GroupId(text(group.id)))
                .with_protocol_type(text(group.protocol_type))
                .with_group_state(text(group.state))
                .with_group_type(text(group.group_type.as_str()))
        });
        ListGroupsResponse::default().with_error_code(wire_code(&checked)).with_groups(groups.collect())
    }
}

impl Handle for DescribeGroupsRequest {
    async fn handle(self, context: &Context) -> DescribeGroupsResponse {
        let groups = self.groups.into_iter().map(|group_id| describe(group_id, context));
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }
}

fn describe(group_id: GroupId, context: &Context) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(group_id.clone());
    if let Err(code) = context.check_coordinator(&group_id) {
        return described.with_error_code(code.code());
    }
    let classic = |group: &crate::group::DescribedGroup| group.group_type == GroupType::Classic;
    let Some(group) = context.cluster.coordinator.describe(&group_id).filter(classic) else {
        let described = described.with_group_state(text(DEAD));
        if context.version < NOT_FOUND_VERSION_MIN {
            return described;
        }
        let reason = format!("group {} does not exist", &*group_id);
        return described.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text(reason)));
    };
    let members = group.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(member.id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    });
    described
        .with_group_state(text(group.state))
        .with_protocol_type(text(group.protocol_type))
        .with_protocol_data(text(group.protocol_name))
        .with_members(members.collect())
}

impl Handle for DeleteGroupsRequest {
    async fn handle(self, context: &Context) -> DeleteGroupsResponse {
        context
            .run(move |context| {
                let results = self.groups_names.into_iter().map(|group_id| {
                    let deleted = context
                        .check_coordinator(&group_id)
                        .and_then(|()| context.cluster.coordinator.delete(&group_id));
                    DeletableGroupResult::default().with_group_id(group_id).with_error_code(group_code(deleted))
                });
                DeleteGroupsResponse::default().with_results(results.collect())
            })
            .await
    }
}
