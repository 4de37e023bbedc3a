//! Access control lists.

use kanat_protocol::messages::create_acls_request::AclCreation;
use kanat_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kanat_protocol::messages::{ApiKey, CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

use super::ask::{Home, Node, Repeat, text};
use super::{Admin, Outcomes, named, wire_enum};
use crate::cluster::str_bytes;
use crate::error::Result;

/// "Any" in filters.
const ANY: i8 = 1;

wire_enum! {
    /// What an entry is about.
    AclResourceType {
        /// A topic.
        Topic = 2, "topic";
        /// A consumer group.
        Group = 3, "group";
        /// The cluster; its name is `kafka-cluster`.
        Cluster = 4, "cluster";
        /// A transactional id.
        TransactionalId = 5, "transactional-id";
        /// A delegation token.
        DelegationToken = 6, "delegation-token";
        /// A user, for those who manage its tokens.
        User = 7, "user";
    }
}

wire_enum! {
    /// How the name of an entry's resource is meant.
    AclPatternType {
        /// In filters only: whatever applies to a resource of this name, literal, prefixed and `*`.
        Match = 2, "match";
        /// The name itself; `*` is every name.
        Literal = 3, "literal";
        /// Every name that begins so.
        Prefixed = 4, "prefixed";
    }
}

wire_enum! {
    /// What an entry allows or denies.
    AclOperation {
        /// Everything.
        All = 2, "all";
        /// Read records, commit offsets.
        Read = 3, "read";
        /// Write records.
        Write = 4, "write";
        /// Create topics.
        Create = 5, "create";
        /// Delete.
        Delete = 6, "delete";
        /// Change other things than the configuration, such as the number of partitions.
        Alter = 7, "alter";
        /// See that it exists, and its offsets.
        Describe = 8, "describe";
        /// What brokers do among themselves.
        ClusterAction = 9, "cluster-action";
        /// See the configuration.
        DescribeConfigs = 10, "describe-configs";
        /// Change the configuration.
        AlterConfigs = 11, "alter-configs";
        /// Write idempotently on brokers before Kafka 3.0.
        IdempotentWrite = 12, "idempotent-write";
        /// Make delegation tokens of another user.
        CreateTokens = 13, "create-tokens";
        /// See delegation tokens of another user.
        DescribeTokens = 14, "describe-tokens";
        /// Take part in two-phase commit.
        TwoPhaseCommit = 15, "two-phase-commit";
    }
}

wire_enum! {
    /// Whether an entry allows or denies. Denial wins.
    AclPermission {
        /// It denies.
        Deny = 2, "deny";
        /// It allows.
        Allow = 3, "allow";
    }
}

/// What an entry is about: type, name, and how the name is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclResource {
    /// Type.
    pub kind: AclResourceType,
    /// Name or beginning of names; `*` with a literal pattern is every name.
    pub name: String,
    /// How the name is meant.
    pub pattern: AclPatternType,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// What it is about.
    pub resource: AclResource,
    /// Whom: `User:name`, or `User:*` for everybody.
    pub principal: String,
    /// From which host; `*` for every host.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Allowed or denied.
    pub permission: AclPermission,
}

/// Entries to look for: `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclFilter {
    /// Type of the resource.
    pub kind: Option<AclResourceType>,
    /// Name of the resource.
    pub name: Option<String>,
    /// How the name is meant; [`AclPatternType::Match`] finds whatever applies to a resource of that name.
    pub pattern: Option<AclPatternType>,
    /// Whom.
    pub principal: Option<String>,
    /// From which host.
    pub host: Option<String>,
    /// What.
    pub operation: Option<AclOperation>,
    /// Allowed or denied.
    pub permission: Option<AclPermission>,
}

impl AclFilter {
    /// The filter that matches one entry exactly.
    pub fn exactly(acl: &Acl) -> AclFilter {
        AclFilter {
            kind: Some(acl.resource.kind),
            name: Some(acl.resource.name.clone()),
            pattern: Some(acl.resource.pattern),
            principal: Some(acl.principal.clone()),
            host: Some(acl.host.clone()),
            operation: Some(acl.operation),
            permission: Some(acl.permission),
        }
    }
}

impl Admin {
    /// Adds entries and says of each whether it was. Adding one that is there already is no error.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`. A cluster without an authorizer refuses every entry with
    /// `SECURITY_DISABLED`.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<Outcomes<Acl>> {
        let ask = |node: Node, acls: Vec<Acl>| async move {
            let creation = |acl: &Acl| {
                AclCreation::default()
                    .with_resource_type(acl.resource.kind.code())
                    .with_resource_name(str_bytes(&acl.resource.name))
                    .with_resource_pattern_type(acl.resource.pattern.code())
                    .with_principal(str_bytes(&acl.principal))
                    .with_host(str_bytes(&acl.host))
                    .with_operation(acl.operation.code())
                    .with_permission_type(acl.permission.code())
            };
            let request = CreateAclsRequest::default().with_creations(acls.iter().map(creation).collect());
            let answer = node.ask(ApiKey::CreateAcls, &request).await?;
            let outcome = |(index, acl): (usize, &Acl)| {
                let subject = || format!("entry for {} on {}", acl.principal, acl.resource.name);
                let row = answer.found(answer.body.results.get(index), subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())
            };
            Ok(acls.iter().enumerate().map(outcome).collect())
        };
        let outcomes = self.ask_each(acls, Repeat::Always, |_| Home::Controller, ask).await?;
        Ok(named(acls, outcomes))
    }

    /// The entries a filter matches, sorted.
    ///
    /// # Errors
    /// The broker's refusal, `SECURITY_DISABLED` when the cluster has no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<Acl>> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(filter.kind.map_or(ANY, AclResourceType::code))
            .with_resource_name_filter(filter.name.as_deref().map(str_bytes))
            .with_pattern_type_filter(filter.pattern.map_or(ANY, AclPatternType::code))
            .with_principal_filter(filter.principal.as_deref().map(str_bytes))
            .with_host_filter(filter.host.as_deref().map(str_bytes))
            .with_operation(filter.operation.map_or(ANY, AclOperation::code))
            .with_permission_type(filter.permission.map_or(ANY, AclPermission::code));
        let ask = move |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::DescribeAcls, &request).await?;
                let body = &answer.body;
                answer.check(|| "access control".to_owned(), body.error_code, body.error_message.as_ref())?;
                let mut acls = Vec::new();
                for row in &body.resources {
                    let resource = AclResource {
                        kind: AclResourceType::from_code(row.resource_type),
                        name: text(&row.resource_name),
                        pattern: AclPatternType::from_code(row.pattern_type),
                    };
                    acls.extend(row.acls.iter().map(|row| Acl {
                        resource: resource.clone(),
                        principal: text(&row.principal),
                        host: text(&row.host),
                        operation: AclOperation::from_code(row.operation),
                        permission: AclPermission::from_code(row.permission_type),
                    }));
                }
                acls.sort_unstable();
                Ok(acls)
            }
        };
        self.ask_one(Home::Any, Repeat::Always, ask).await
    }

    /// Deletes the entries that filters match and returns them, per filter.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`. A filter whose entries could not all be deleted is in the
    /// result.
    pub async fn delete_acls(&self, filters: &[AclFilter]) -> Result<Outcomes<AclFilter, Vec<Acl>>> {
        let ask = |node: Node, filters: Vec<AclFilter>| async move {
            let wanted = |filter: &AclFilter| {
                DeleteAclsFilter::default()
                    .with_resource_type_filter(filter.kind.map_or(ANY, AclResourceType::code))
                    .with_resource_name_filter(filter.name.as_deref().map(str_bytes))
                    .with_pattern_type_filter(filter.pattern.map_or(ANY, AclPatternType::code))
                    .with_principal_filter(filter.principal.as_deref().map(str_bytes))
                    .with_host_filter(filter.host.as_deref().map(str_bytes))
                    .with_operation(filter.operation.map_or(ANY, AclOperation::code))
                    .with_permission_type(filter.permission.map_or(ANY, AclPermission::code))
            };
            let request = DeleteAclsRequest::default().with_filters(filters.iter().map(wanted).collect());
            let answer = node.ask(ApiKey::DeleteAcls, &request).await?;
            let outcome = |(index, _): (usize, &AclFilter)| {
                let subject = || "access control".to_owned();
                let row = answer.found(answer.body.filter_results.get(index), subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())?;
                let mut deleted = Vec::with_capacity(row.matching_acls.len());
                for acl in &row.matching_acls {
                    answer.check(subject, acl.error_code, acl.error_message.as_ref())?;
                    deleted.push(Acl {
                        resource: AclResource {
                            kind: AclResourceType::from_code(acl.resource_type),
                            name: text(&acl.resource_name),
                            pattern: AclPatternType::from_code(acl.pattern_type),
                        },
                        principal: text(&acl.principal),
                        host: text(&acl.host),
                        operation: AclOperation::from_code(acl.operation),
                        permission: AclPermission::from_code(acl.permission_type),
                    });
                }
                deleted.sort_unstable();
                Ok(deleted)
            };
            Ok(filters.iter().enumerate().map(outcome).collect())
        };
        let outcomes = self.ask_each(filters, Repeat::UnlessUnknown, |_| Home::Controller, ask).await?;
        Ok(named(filters, outcomes))
    }
}
