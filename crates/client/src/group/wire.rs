//! The requests of the classic protocol: from what the state machine says to the messages, and back.

use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kanat_protocol::messages::leave_group_request::MemberIdentity;
use kanat_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kanat_protocol::messages::{ApiKey, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest};

use super::classic::{JoinAnswer, JoinProtocol, JoinedMember, MemberId};
use super::options::MembershipOptions;
use crate::cluster::str_bytes;
use crate::connection::Connection;
use crate::coordinator::Coordinator;
use crate::error::{Error, Result};

/// What the coordinator may take beyond the wait a join or sync is held for.
const HELD_REQUEST_GRACE: Duration = Duration::from_secs(5);

/// The requests of one member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests<'a> {
    pub(super) coordinator: &'a Coordinator,
    pub(super) options: &'a MembershipOptions,
    pub(super) connection: &'a Connection,
}

fn millis(time_ms: u32) -> i32 {
    i32::try_from(time_ms).unwrap_or(i32::MAX)
}

impl Requests<'_> {
    fn request_timeout(&self) -> Duration {
        self.coordinator.cluster().options().request_timeout()
    }

    /// The coordinator holds a join until every member has joined, and a sync until the leader has assigned.
    fn held_timeout(&self) -> Duration {
        let held = Duration::from_millis(u64::from(self.options.rebalance_timeout_ms)) + HELD_REQUEST_GRACE;
        held.max(self.request_timeout())
    }

    fn refused(&self, api: ApiKey, code: ErrorCode) -> Error {
        self.connection.server_error(api, self.coordinator.subject(), code, None)
    }

    fn check(&self, api: ApiKey, code: i16) -> Result<()> {
        ErrorCode::from_code(code).map_or(Ok(()), |code| Err(self.refused(api, code)))
    }

    /// The error of a refusal comes with the member id the coordinator wants to hear next time.
    pub(super) async fn join(
        &self,
        member_id: &str,
        protocols: Vec<JoinProtocol>,
    ) -> Result<JoinAnswer, (Error, Option<String>)> {
        let offered = |protocol: JoinProtocol| {
            JoinGroupRequestProtocol::default().with_name(str_bytes(&protocol.name)).with_metadata(protocol.metadata)
        };
        let request = JoinGroupRequest::default()
            .with_group_id(self.coordinator.group_id())
            .with_session_timeout_ms(millis(self.options.session_timeout_ms))
            .with_rebalance_timeout_ms(millis(self.options.rebalance_timeout_ms))
            .with_member_id(str_bytes(member_id))
            .with_group_instance_id(self.options.instance_id.as_deref().map(str_bytes))
            .with_protocol_type(str_bytes(&self.options.protocol_type))
            .with_protocols(protocols.into_iter().map(offered).collect());
        let response = self.connection.request(ApiKey::JoinGroup, &request, self.held_timeout());
        let response = response.await.map_err(|error| (error, None))?;
        let member_id = response.member_id.as_str().to_owned();
        if let Some(code) = ErrorCode::from_code(response.error_code) {
            return Err((self.refused(ApiKey::JoinGroup, code), Some(member_id)));
        }
        let members = response.members.into_iter().map(|member| JoinedMember {
            member_id: member.member_id.as_str().to_owned(),
            instance_id: member.group_instance_id.map(|id| id.as_str().to_owned()),
            metadata: member.metadata,
        });
        Ok(JoinAnswer {
            generation: response.generation_id,
            protocol: response.protocol_name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            leader_id: response.leader.as_str().to_owned(),
            member_id,
            skip_assignment: response.skip_assignment,
            members: members.collect(),
        })
    }

    pub(super) async fn sync(&self, id: &MemberId, protocol: &str, assignments: Vec<(String, Bytes)>) -> Result<Bytes> {
        let version = self.connection.version(ApiKey::SyncGroup)?;
        let assigned = |(member_id, assignment): (String, Bytes)| {
            SyncGroupRequestAssignment::default().with_member_id(str_bytes(&member_id)).with_assignment(assignment)
        };
        let mut request = SyncGroupRequest::default()
            .with_group_id(self.coordinator.group_id())
            .with_generation_id(id.generation)
            .with_member_id(str_bytes(&id.member_id))
            .with_group_instance_id(self.options.instance_id.as_deref().map(str_bytes))
            .with_assignments(assignments.into_iter().map(assigned).collect());
        // Version 5 lets the coordinator check that both sides mean the same protocol.
        if version >= 5 {
            request = request
                .with_protocol_type(Some(str_bytes(&self.options.protocol_type)))
                .with_protocol_name(Some(str_bytes(protocol)));
        }
        let response =
            self.connection.request_version(ApiKey::SyncGroup, version, &request, self.held_timeout()).await?;
        self.check(ApiKey::SyncGroup, response.error_code)?;
        Ok(response.assignment)
    }

    pub(super) async fn heartbeat(&self, id: &MemberId) -> Result<()> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.coordinator.group_id())
            .with_generation_id(id.generation)
            .with_member_id(str_bytes(&id.member_id))
            .with_group_instance_id(self.options.instance_id.as_deref().map(str_bytes));
        let response = self.connection.request(ApiKey::Heartbeat, &request, self.request_timeout()).await?;
        self.check(ApiKey::Heartbeat, response.error_code)
    }

    pub(super) async fn leave(&self, member_id: &str) -> Result<()> {
        let version = self.connection.version(ApiKey::LeaveGroup)?;
        let request = LeaveGroupRequest::default().with_group_id(self.coordinator.group_id());
        let request = if version >= 3 {
            let member = MemberIdentity::default()
                .with_member_id(str_bytes(member_id))
                .with_group_instance_id(self.options.instance_id.as_deref().map(str_bytes));
            request.with_members(vec![member])
        } else {
            request.with_member_id(str_bytes(member_id))
        };
        let timeout = self.request_timeout();
        let response = self.connection.request_version(ApiKey::LeaveGroup, version, &request, timeout).await?;
        self.check(ApiKey::LeaveGroup, response.error_code)?;
        response.members.first().map_or(Ok(()), |member| self.check(ApiKey::LeaveGroup, member.error_code))
    }
}
