//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::join_group_response::JoinGroupResponseMember;
use kanat_protocol::messages::leave_group_response::MemberResponse;
use kanat_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    StrBytes, SyncGroupRequest, SyncGroupResponse,
};

use super::{Context, Handle, group_code, text};
use crate::cluster::CoordinatorKind;
use crate::group::{JoinRequest, Protocol, SyncRequest};

/// First version whose clients can be told their member id before they are let in.
const MEMBER_ID_REQUIRED_VERSION_MIN: i16 = 4;
/// First version whose leader can be told to leave the assignment alone.
const SKIP_ASSIGNMENT_VERSION_MIN: i16 = 9;
/// First version of LeaveGroup that names several members.
const BATCHED_LEAVE_VERSION_MIN: i16 = 3;
/// Version of JoinGroup without a rebalance timeout of its own.
const SESSION_TIMEOUT_ONLY_VERSION: i16 = 0;

impl Handle for JoinGroupRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    async fn handle(self, context: &Context) -> JoinGroupResponse {
        let refused = |code: ErrorCode, member_id: StrBytes| {
            JoinGroupResponse::default()
                .with_error_code(code.code())
                .with_generation_id(-1)
                .with_protocol_name(Some(text("")))
                .with_member_id(member_id)
        };
        if let Err(code) = context.check_coordinator(&self.group_id) {
            return refused(code, self.member_id);
        }
        let group_id = self.group_id.to_string();
        let joined = tokio::select! {
            biased;
            joined = context.cluster.coordinator.join(&group_id, join_request(self, context)) => joined,
            // The member's session ends when it does not come back.
            () = context.client_gone() => Err((ErrorCode::NetworkException, String::new())),
        };
        let joined = match joined {
            Ok(joined) => joined,
            Err((code, member_id)) => return refused(code, text(member_id)),
        };
        let members = joined.members.into_iter().map(|(member_id, instance_id, metadata)| {
            JoinGroupResponseMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(instance_id.map(text))
                .with_metadata(metadata)
        });
        JoinGroupResponse::default()
            .with_generation_id(joined.generation)
            .with_protocol_type(Some(text(joined.protocol_type)))
            .with_protocol_name(Some(text(joined.protocol_name)))
            .with_leader(text(joined.leader))
            .with_skip_assignment(joined.skip_assignment)
            .with_member_id(text(joined.member_id))
            .with_members(members.collect())
    }
}

fn join_request(request: JoinGroupRequest, context: &Context) -> JoinRequest {
    let rebalance_timeout_ms = match context.version {
        SESSION_TIMEOUT_ONLY_VERSION => request.session_timeout_ms,
        _ => request.rebalance_timeout_ms,
    };
    let protocols = request.protocols.into_iter();
    JoinRequest {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|instance_id| instance_id.to_string()),
        client_id: context.client_id.to_string(),
        client_host: format!("/{}", context.peer.ip()),
        session_timeout_ms: u64::try_from(request.session_timeout_ms).unwrap_or(0),
        rebalance_timeout_ms: u64::try_from(rebalance_timeout_ms).unwrap_or(0),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|protocol| Protocol { name: protocol.name.to_string(), metadata: protocol.metadata })
            .collect(),
        member_id_required: context.version >= MEMBER_ID_REQUIRED_VERSION_MIN,
        can_skip_assignment: context.version >= SKIP_ASSIGNMENT_VERSION_MIN,
    }
}

impl Handle for SyncGroupRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    async fn handle(self, context: &Context) -> SyncGroupResponse {
        let group_id = self.group_id.to_string();
        let synced = match context.check_coordinator(&group_id) {
            Err(code) => Err(code),
            Ok(()) => tokio::select! {
                biased;
                synced = context.cluster.coordinator.sync(&group_id, sync_request(self)) => synced,
                () = context.client_gone() => Err(ErrorCode::NetworkException),
            },
        };
        match synced {
            Ok(synced) => SyncGroupResponse::default()
                .with_protocol_type(Some(text(synced.protocol_type)))
                .with_protocol_name(Some(text(synced.protocol_name)))
                .with_assignment(synced.assignment),
            Err(code) => SyncGroupResponse::default().with_error_code(code.code()),
        }
    }
}

fn sync_request(request: SyncGroupRequest) -> SyncRequest {
    let owned = |value: StrBytes| value.to_string();
    let assignments = request.assignments.into_iter();
    SyncRequest {
        member_id: owned(request.member_id),
        instance_id: request.group_instance_id.map(owned),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(owned),
        protocol_name: request.protocol_name.map(owned),
        assignments: assignments.map(|assigned| (owned(assigned.member_id), assigned.assignment)).collect(),
    }
}

impl Handle for HeartbeatRequest {
    fn coordinator_key(&self) -> Option<(CoordinatorKind, String)> {
        Some((CoordinatorKind::Group, self.group_id.to_string()))
    }

    async fn handle(self, context: &Context) -> HeartbeatResponse {
        let alive = context.check_coordinator(&self.group_id).and_then(|()| {
            let instance_id = self.group_instance_id.as_deref();
            context.cluster.coordinator.heartbeat(&self.group_id, &self.member_id, instance_id, self.generation_id)
        });
        HeartbeatResponse::default().with_error_code(group_code(alive))
    }
}

impl Handle for LeaveGroupRequest {
    async fn handle(self, context: &Context) -> LeaveGroupResponse {
        if let Err(code) = context.check_coordinator(&self.group_id) {
            return LeaveGroupResponse::default().with_error_code(code.code());
        }
        let coordinator = &context.cluster.coordinator;
        if context.version < BATCHED_LEAVE_VERSION_MIN {
            let left = coordinator.leave(&self.group_id, &self.member_id, None);
            return LeaveGroupResponse::default().with_error_code(group_code(left));
        }
        let members = self.members.into_iter().map(|member| {
            let left = coordinator.leave(&self.group_id, &member.member_id, member.group_instance_id.as_deref());
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(group_code(left))
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }
}
