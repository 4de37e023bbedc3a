//! CreateAcls, DescribeAcls and DeleteAcls.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::create_acls_request::AclCreation;
use kanat_protocol::messages::create_acls_response::AclCreationResult;
use kanat_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kanat_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kanat_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse, StrBytes,
};

use super::{Context, Handle, message, text};
use crate::acl::{Acl, AclFilter, operation, pattern, permission, resource};
use crate::error::{Refusal, wire_code};

/// Whether there are ACLs to work on, and the client may.
fn check(context: &Context, operation: i8) -> Result<(), Refusal> {
    context.check_cluster(operation)?;
    if context.cluster.authorizer.is_enabled() {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::SecurityDisabled, "No Authorizer is configured."))
}

impl Handle for CreateAclsRequest {
    async fn handle(self, context: &Context) -> CreateAclsResponse {
        context.run(move |context| create(&self, context)).await
    }
}

fn create(request: &CreateAclsRequest, context: &Context) -> CreateAclsResponse {
    let checked = check(context, operation::ALTER);
    let results = request.creations.iter().map(|creation| {
        let created = checked.clone().and_then(|()| {
            let added = context.cluster.authorizer.add(new_acl(creation)?);
            added.map_err(|error| Refusal::storage(&error))
        });
        AclCreationResult::default().with_error_code(wire_code(&created)).with_error_message(message(&created))
    });
    CreateAclsResponse::default().with_results(results.collect())
}

fn new_acl(creation: &AclCreation) -> Result<Acl, Refusal> {
    let invalid = |reason: &str| Err(Refusal::new(ErrorCode::InvalidRequest, reason));
    if !(resource::TOPIC..=resource::USER).contains(&creation.resource_type) {
        return invalid("the resource type is unknown");
    }
    if !(pattern::LITERAL..=pattern::PREFIXED).contains(&creation.resource_pattern_type) {
        return invalid("the pattern type must be literal or prefixed");
    }
    if !(operation::ALL..=operation::LAST).contains(&creation.operation) {
        return invalid("the operation is unknown");
    }
    if !(permission::DENY..=permission::ALLOW).contains(&creation.permission_type) {
        return invalid("the permission must be to allow or to deny");
    }
    if creation.resource_type == resource::CLUSTER && creation.resource_name.as_str() != resource::CLUSTER_NAME {
        return invalid("the only valid name for the CLUSTER resource is kafka-cluster");
    }
    if creation.resource_name.is_empty() || !creation.principal.contains(':') {
        return invalid("an ACL names a resource and a principal like User:NAME");
    }
    Ok(Acl {
        resource_type: creation.resource_type,
        resource_name: creation.resource_name.to_string(),
        pattern_type: creation.resource_pattern_type,
        principal: creation.principal.to_string(),
        host: creation.host.to_string(),
        operation: creation.operation,
        permission: creation.permission_type,
    })
}

fn owned(value: Option<&StrBytes>) -> Option<String> {
    value.map(ToString::to_string)
}

impl Handle for DescribeAclsRequest {
    async fn handle(self, context: &Context) -> DescribeAclsResponse {
        let filter = AclFilter {
            resource_type: self.resource_type_filter,
            resource_name: owned(self.resource_name_filter.as_ref()),
            pattern_type: self.pattern_type_filter,
            principal: owned(self.principal_filter.as_ref()),
            host: owned(self.host_filter.as_ref()),
            operation: self.operation,
            permission: self.permission_type,
        };
        let checked = check(context, operation::DESCRIBE);
        let found = if checked.is_ok() { context.cluster.authorizer.find(&filter) } else { Vec::new() };
        let mut resources: Vec<DescribeAclsResource> = Vec::new();
        // They come sorted by resource.
        for acl in found {
            let same = |known: &DescribeAclsResource| {
                known.resource_type == acl.resource_type
                    && known.resource_name.as_str() == acl.resource_name
                    && known.pattern_type == acl.pattern_type
            };
            if !resources.last().is_some_and(same) {
                let resource = DescribeAclsResource::default().with_resource_type(acl.resource_type);
                let resource = resource.with_resource_name(text(acl.resource_name.as_str()));
                resources.push(resource.with_pattern_type(acl.pattern_type));
            }
            let described = AclDescription::default()
                .with_principal(text(acl.principal))
                .with_host(text(acl.host))
                .with_operation(acl.operation)
                .with_permission_type(acl.permission);
            resources.last_mut().expect("just pushed").acls.push(described);
        }
        DescribeAclsResponse::default()
            .with_error_code(wire_code(&checked))
            .with_error_message(message(&checked))
            .with_resources(resources)
    }
}

impl Handle for DeleteAclsRequest {
    async fn handle(self, context: &Context) -> DeleteAclsResponse {
        context.run(move |context| delete(&self, context)).await
    }
}

fn delete(request: &DeleteAclsRequest, context: &Context) -> DeleteAclsResponse {
    let checked = check(context, operation::ALTER);
    let results = request.filters.iter().map(|filter| {
        let filter = AclFilter {
            resource_type: filter.resource_type_filter,
            resource_name: owned(filter.resource_name_filter.as_ref()),
            pattern_type: filter.pattern_type_filter,
            principal: owned(filter.principal_filter.as_ref()),
            host: owned(filter.host_filter.as_ref()),
            operation: filter.operation,
            permission: filter.permission_type,
        };
        let removed = checked.clone().and_then(|()| {
            let removed = context.cluster.authorizer.remove(&filter);
            removed.map_err(|error| Refusal::storage(&error))
        });
        let result = DeleteAclsFilterResult::default()
            .with_error_code(wire_code(&removed))
            .with_error_message(message(&removed));
        result.with_matching_acls(removed.unwrap_or_default().into_iter().map(matching).collect())
    });
    DeleteAclsResponse::default().with_filter_results(results.collect())
}

fn matching(acl: Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_resource_type(acl.resource_type)
        .with_resource_name(text(acl.resource_name))
        .with_pattern_type(acl.pattern_type)
        .with_principal(text(acl.principal))
        .with_host(text(acl.host))
        .with_operation(acl.operation)
        .with_permission_type(acl.permission)
}
