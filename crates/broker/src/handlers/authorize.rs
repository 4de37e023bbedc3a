//! Which operation a request needs on which resource, and what refuses it.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;

use super::Context;
use crate::acl::{AccessRequest, operation, resource};
use crate::error::Refusal;

impl Context {
    fn may(&self, resource_type: i8, operation: i8, name: &str) -> bool {
        let authorizer = &self.cluster.authorizer;
        if !authorizer.is_enabled() {
            return true;
        }
        let host = self.peer.ip().to_string();
        let request = AccessRequest { principal: &self.principal, host: &host, resource_type, operation };
        authorizer.allows(&request, name)
    }

    /// Whether the request may touch a topic.
    pub(super) fn authorize_topic(&self, topic: &str) -> Result<(), Refusal> {
        let operation = match self.api {
            ApiKey::Produce | ApiKey::AddPartitionsToTxn => operation::WRITE,
            ApiKey::Fetch
            | ApiKey::OffsetCommit
            | ApiKey::TxnOffsetCommit
            | ApiKey::OffsetDelete
            | ApiKey::DescribeProducers => operation::READ,
            ApiKey::DeleteTopics | ApiKey::DeleteRecords => operation::DELETE,
            ApiKey::CreatePartitions => operation::ALTER,
            ApiKey::CreateTopics => operation::CREATE,
            ApiKey::DescribeConfigs => operation::DESCRIBE_CONFIGS,
            ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => operation::ALTER_CONFIGS,
            // What brokers and administrators of the cluster do is checked as such.
            ApiKey::WriteTxnMarkers | ApiKey::ElectLeaders | ApiKey::AlterPartitionReassignments => return Ok(()),
            _ => operation::DESCRIBE,
        };
        let cluster_creates = || self.may(resource::CLUSTER, operation::CREATE, resource::CLUSTER_NAME);
        if self.may(resource::TOPIC, operation, topic) || operation == operation::CREATE && cluster_creates() {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::TopicAuthorizationFailed, "Topic authorization failed."))
    }

    /// Whether the request may touch a group.
    pub(super) fn authorize_group(&self, group: &str) -> Result<(), ErrorCode> {
        let operation = match self.api {
            ApiKey::OffsetFetch
            | ApiKey::DescribeGroups
            | ApiKey::ConsumerGroupDescribe
            | ApiKey::ListGroups
            | ApiKey::FindCoordinator => operation::DESCRIBE,
            ApiKey::DescribeConfigs => operation::DESCRIBE_CONFIGS,
            ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => operation::ALTER_CONFIGS,
            ApiKey::DeleteGroups | ApiKey::OffsetDelete => operation::DELETE,
            _ => operation::READ,
        };
        let allowed = self.may(resource::GROUP, operation, group);
        if allowed { Ok(()) } else { Err(ErrorCode::GroupAuthorizationFailed) }
    }

    /// Whether the request may act for a transactional id.
    pub(super) fn authorize_transactional_id(&self, id: &str) -> Result<(), ErrorCode> {
        let operation = match self.api {
            ApiKey::DescribeTransactions | ApiKey::ListTransactions | ApiKey::FindCoordinator => operation::DESCRIBE,
            _ => operation::WRITE,
        };
        let allowed = self.may(resource::TRANSACTIONAL_ID, operation, id);
        if allowed { Ok(()) } else { Err(ErrorCode::TransactionalIdAuthorizationFailed) }
    }

    /// Whether the request may do this to the cluster, after what the fault plan forces on it.
    pub(crate) fn check_cluster(&self, operation: i8) -> Result<(), Refusal> {
        self.check_request()?;
        if self.may(resource::CLUSTER, operation, resource::CLUSTER_NAME) {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Cluster authorization failed."))
    }

    /// Whether the client may write idempotently: to the cluster as such, or to some topic at all.
    pub(super) fn authorize_idempotence(&self) -> Result<(), ErrorCode> {
        let host = self.peer.ip().to_string();
        let request = AccessRequest {
            principal: &self.principal,
            host: &host,
            resource_type: resource::TOPIC,
            operation: operation::WRITE,
        };
        let cluster = || self.may(resource::CLUSTER, operation::IDEMPOTENT_WRITE, resource::CLUSTER_NAME);
        let allowed = self.cluster.authorizer.allows_some(&request) || cluster();
        if allowed { Ok(()) } else { Err(ErrorCode::ClusterAuthorizationFailed) }
    }
}
