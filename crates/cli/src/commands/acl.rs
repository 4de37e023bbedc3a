//! `kanat acl`: access control entries.

use std::collections::BTreeSet;

use kanat_client::{Acl, AclFilter, AclOperation, AclPatternType, AclPermission, AclResource, AclResourceType, Admin};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::outcomes::tell;
use crate::args::{AclAddArgs, AclArgs, AclCommand, AclMatchArgs, FileArgs};
use crate::output::{Rows, complain};

/// Does what the command line asks with entries.
pub(super) async fn run(files: &FileArgs, args: &AclArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        AclCommand::List(wanted) => show(&find(&admin, &filters(wanted)).await?, json, "no entries"),
        AclCommand::Add(wanted) => return add(&admin, wanted, json).await,
        AclCommand::Remove { entries, all, dry_run } => {
            let filters = filters(entries);
            if filters == [AclFilter::default()] && !all {
                return Err(Error::MissingFlag { flag: "--topic", purpose: "what to remove; or --all" });
            }
            if *dry_run {
                show(&find(&admin, &filters).await?, json, "no entries");
                complain("nothing was removed; leave out --dry-run to remove these entries");
                return Ok(());
            }
            show(&remove(&admin, &filters).await?, json, "no entries were there to remove");
        }
    }
    Ok(())
}

/// One filter for each resource named, or one for all.
fn filters(args: &AclMatchArgs) -> Vec<AclFilter> {
    let any = AclFilter {
        pattern: args.pattern,
        principal: args.principal.clone(),
        host: args.host.clone(),
        operation: args.operation,
        ..AclFilter::default()
    };
    let resources = args.resource.resources();
    if resources.is_empty() {
        return vec![any];
    }
    let named = |(kind, name)| AclFilter { kind: Some(kind), name: Some(name), ..any.clone() };
    resources.into_iter().map(named).collect()
}

async fn find(admin: &Admin, filters: &[AclFilter]) -> Result<BTreeSet<Acl>> {
    let mut found = BTreeSet::new();
    for filter in filters {
        let acls = admin.describe_acls(filter).await;
        found.extend(acls.map_err(|error| Error::kafka("listing access control entries", error))?);
    }
    Ok(found)
}

async fn remove(admin: &Admin, filters: &[AclFilter]) -> Result<BTreeSet<Acl>> {
    let fail = |error| Error::kafka("removing access control entries", error);
    let mut removed = BTreeSet::new();
    for (_, outcome) in admin.delete_acls(filters).await.map_err(fail)? {
        removed.extend(outcome.map_err(fail)?);
    }
    Ok(removed)
}

fn show(acls: &BTreeSet<Acl>, json: bool, none: &str) {
    let mut rows = Rows::new(&["resource", "name", "pattern", "principal", "host", "operation", "permission"]);
    for acl in acls {
        rows.push(vec![
            json!(acl.resource.kind.as_str()),
            json!(acl.resource.name),
            json!(acl.resource.pattern.as_str()),
            json!(acl.principal),
            json!(acl.host),
            json!(acl.operation.as_str()),
            json!(acl.permission.as_str()),
        ]);
    }
    rows.show(json, none);
}

async fn add(admin: &Admin, args: &AclAddArgs, json: bool) -> Result<()> {
    if args.resource.resources().is_empty() {
        let purpose = "what the entries are about; or --group, --transactional-id, --cluster";
        return Err(Error::MissingFlag { flag: "--topic", purpose });
    }
    let acls = entries(args);
    if acls.is_empty() {
        return Err(Error::kafka("adding access control entries", "--producer and --consumer need --topic or --group"));
    }
    let created = admin.create_acls(&acls).await;
    let created = created.map_err(|error| Error::kafka("adding access control entries", error))?;
    let outcomes = created.into_iter().map(|(acl, outcome)| {
        let resource = &acl.resource;
        let name = format!(
            "entry {} {} {} on {} {}",
            acl.permission, acl.principal, acl.operation, resource.kind, resource.name
        );
        (name, outcome)
    });
    tell(json, outcomes, "adding", "added")
}

/// One entry for each resource, principal, host and operation.
fn entries(args: &AclAddArgs) -> Vec<Acl> {
    let mut entries = BTreeSet::new();
    for (kind, name) in args.resource.resources() {
        let mut operations = args.operations.clone();
        if args.producer {
            operations.extend(producer_operations(kind));
        }
        if args.consumer {
            operations.extend(consumer_operations(kind));
        }
        let prefixed = args.prefixed && kind != AclResourceType::Cluster;
        let pattern = if prefixed { AclPatternType::Prefixed } else { AclPatternType::Literal };
        for operation in operations {
            for principal in &args.principals {
                entries.extend(args.hosts.iter().map(|host| Acl {
                    resource: AclResource { kind, name: name.clone(), pattern },
                    principal: principal.clone(),
                    host: host.clone(),
                    operation,
                    permission: if args.deny { AclPermission::Deny } else { AclPermission::Allow },
                }));
            }
        }
    }
    entries.into_iter().collect()
}

fn producer_operations(kind: AclResourceType) -> Vec<AclOperation> {
    match kind {
        AclResourceType::Topic => vec![AclOperation::Write, AclOperation::Describe, AclOperation::Create],
        AclResourceType::TransactionalId => vec![AclOperation::Write, AclOperation::Describe],
        _ => Vec::new(),
    }
}

fn consumer_operations(kind: AclResourceType) -> Vec<AclOperation> {
    match kind {
        AclResourceType::Topic => vec![AclOperation::Read, AclOperation::Describe],
        AclResourceType::Group => vec![AclOperation::Read],
        _ => Vec::new(),
    }
}
