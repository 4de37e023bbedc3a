//! The authorizer: who may do what, from stored ACLs.
//!
//! Numbers are those of the wire. Without an authorizer everybody may do everything. A principal may do what some ACL
//! allows and none denies; super users may do everything.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::journal::{Entry, Journal};

/// Kind of resource.
pub(crate) mod resource {
    pub(crate) const ANY: i8 = 1;
    pub(crate) const TOPIC: i8 = 2;
    pub(crate) const GROUP: i8 = 3;
    pub(crate) const CLUSTER: i8 = 4;
    pub(crate) const TRANSACTIONAL_ID: i8 = 5;
    pub(crate) const USER: i8 = 7;
    /// Name of the one resource of kind [`CLUSTER`].
    pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";
}

/// How the name of a resource is meant.
pub(crate) mod pattern {
    pub(crate) const ANY: i8 = 1;
    /// In filters: every pattern that covers the name.
    pub(crate) const MATCH: i8 = 2;
    pub(crate) const LITERAL: i8 = 3;
    pub(crate) const PREFIXED: i8 = 4;
}

/// What is done to a resource.
pub(crate) mod operation {
    pub(crate) const ANY: i8 = 1;
    pub(crate) const ALL: i8 = 2;
    pub(crate) const READ: i8 = 3;
    pub(crate) const WRITE: i8 = 4;
    pub(crate) const CREATE: i8 = 5;
    pub(crate) const DELETE: i8 = 6;
    pub(crate) const ALTER: i8 = 7;
    pub(crate) const DESCRIBE: i8 = 8;
    pub(crate) const CLUSTER_ACTION: i8 = 9;
    pub(crate) const DESCRIBE_CONFIGS: i8 = 10;
    pub(crate) const ALTER_CONFIGS: i8 = 11;
    pub(crate) const IDEMPOTENT_WRITE: i8 = 12;
    /// Highest operation there is.
    pub(crate) const LAST: i8 = 14;
}

/// Whether an ACL allows or denies.
pub(crate) mod permission {
    pub(crate) const ANY: i8 = 1;
    pub(crate) const DENY: i8 = 2;
    pub(crate) const ALLOW: i8 = 3;
}

const WILDCARD: &str = "*";
const EVERYBODY: &str = "User:*";

/// One ACL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acl {
    pub(crate) resource_type: i8,
    pub(crate) resource_name: String,
    pub(crate) pattern_type: i8,
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

/// Which ACLs are meant; `None` and "any" match all.
#[derive(Debug, Clone)]
pub(crate) struct AclFilter {
    pub(crate) resource_type: i8,
    pub(crate) resource_name: Option<String>,
    pub(crate) pattern_type: i8,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl AclFilter {
    fn matches(&self, acl: &Acl) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let one_of = |wanted: i8, any: i8, value: i8| wanted == any || wanted == value;
        let name = match (self.pattern_type, &self.resource_name) {
            (pattern::MATCH, Some(name)) => acl.covers(name),
            (pattern::MATCH, None) => true,
            (pattern_type, name) => {
                one_of(pattern_type, pattern::ANY, acl.pattern_type) && is(name, &acl.resource_name)
            }
        };
        name && one_of(self.resource_type, resource::ANY, acl.resource_type)
            && is(&self.principal, &acl.principal)
            && is(&self.host, &acl.host)
            && one_of(self.operation, operation::ANY, acl.operation)
            && one_of(self.permission, permission::ANY, acl.permission)
    }
}

impl Acl {
    fn covers(&self, name: &str) -> bool {
        match self.pattern_type {
            pattern::PREFIXED => name.starts_with(&self.resource_name),
            _ => self.resource_name == name || self.resource_name == WILDCARD,
        }
    }

    fn concerns(&self, request: &AccessRequest<'_>) -> bool {
        (self.principal == request.principal || self.principal == EVERYBODY)
            && (self.host == request.host || self.host == WILDCARD)
            && self.resource_type == request.resource_type
    }

    /// Whether an ALLOW of this operation includes `wanted`.
    fn includes(&self, wanted: i8) -> bool {
        let implied: &[i8] = match wanted {
            operation::DESCRIBE => &[operation::READ, operation::WRITE, operation::DELETE, operation::ALTER],
            operation::DESCRIBE_CONFIGS => &[operation::ALTER_CONFIGS],
            _ => &[],
        };
        self.operation == wanted || self.operation == operation::ALL || implied.contains(&self.operation)
    }
}

/// Somebody wants to do something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRequest<'a> {
    /// `User:NAME`.
    pub(crate) principal: &'a str,
    /// Address the client comes from.
    pub(crate) host: &'a str,
    pub(crate) resource_type: i8,
    pub(crate) operation: i8,
}

/// All ACLs of the cluster.
#[derive(Debug)]
pub(crate) struct Authorizer {
    /// `None`: there is no authorizer.
    super_users: Option<BTreeSet<String>>,
    acls: RwLock<BTreeSet<Acl>>,
    journal: Arc<Journal>,
}

impl Authorizer {
    pub(crate) fn new(super_users: Option<BTreeSet<String>>, acls: BTreeSet<Acl>, journal: Arc<Journal>) -> Self {
        Self { super_users, acls: RwLock::new(acls), journal }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.super_users.is_some()
    }

    /// Whether the request may act on the resource of this name.
    pub(crate) fn allows(&self, request: &AccessRequest<'_>, name: &str) -> bool {
        self.decide(request, |acl| acl.covers(name))
    }

    /// Whether the request may act on some resource of its kind.
    pub(crate) fn allows_some(&self, request: &AccessRequest<'_>) -> bool {
        self.decide(request, |acl| acl.permission == permission::ALLOW)
    }

    fn decide(&self, request: &AccessRequest<'_>, covers: impl Fn(&Acl) -> bool) -> bool {
        let Some(super_users) = &self.super_users else { return true };
        if super_users.contains(request.principal) {
            return true;
        }
        let acls = self.acls.read();
        let mut allowed = false;
        for acl in acls.iter().filter(|acl| acl.concerns(request) && covers(acl)) {
            match acl.permission {
                permission::DENY if acl.operation == request.operation || acl.operation == operation::ALL => {
                    return false;
                }
                permission::ALLOW => allowed |= acl.includes(request.operation),
                _ => {}
            }
        }
        allowed
    }

    /// Stores an ACL; storing it twice does nothing.
    pub(crate) fn add(&self, acl: Acl) -> io::Result<()> {
        self.acls.write().insert(acl.clone());
        self.journal.append(&[Entry::Acl { acl }])
    }

    /// ACLs a filter matches.
    pub(crate) fn find(&self, filter: &AclFilter) -> Vec<Acl> {
        self.acls.read().iter().filter(|acl| filter.matches(acl)).cloned().collect()
    }

    /// Takes out the ACLs a filter matches.
    pub(crate) fn remove(&self, filter: &AclFilter) -> io::Result<Vec<Acl>> {
        let removed: Vec<Acl> = {
            let mut acls = self.acls.write();
            let (removed, kept) = std::mem::take(&mut *acls).into_iter().partition(|acl| filter.matches(acl));
            *acls = kept;
            BTreeSet::into_iter(removed).collect()
        };
        let entries: Vec<Entry> = removed.iter().map(|acl| Entry::AclDeleted { acl: acl.clone() }).collect();
        self.journal.append(&entries)?;
        Ok(removed)
    }

    /// Journal entries that make the ACLs anew.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        self.acls.read().iter().map(|acl| Entry::Acl { acl: acl.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorizer(super_users: Option<BTreeSet<String>>) -> Authorizer {
        Authorizer::new(super_users, BTreeSet::new(), Arc::new(Journal::in_memory()))
    }

    fn acl(name: &str, pattern_type: i8, principal: &str, operation: i8, permission: i8) -> Acl {
        Acl {
            resource_type: resource::TOPIC,
            resource_name: name.to_owned(),
            pattern_type,
            principal: principal.to_owned(),
            host: WILDCARD.to_owned(),
            operation,
            permission,
        }
    }

    #[test]
    fn a_denial_wins_and_nothing_is_allowed_by_itself() {
        let authorizer = authorizer(Some(BTreeSet::from(["User:root".to_owned()])));
        let may = |principal: &str, operation: i8, topic: &str| {
            let request = AccessRequest { principal, host: "10.0.0.1", resource_type: resource::TOPIC, operation };
            authorizer.allows(&request, topic)
        };
        assert!(may("User:root", operation::WRITE, "orders") && !may("User:ann", operation::READ, "orders"));
        authorizer.add(acl("ord", pattern::PREFIXED, "User:ann", operation::READ, permission::ALLOW)).unwrap();
        assert!(may("User:ann", operation::READ, "orders") && may("User:ann", operation::DESCRIBE, "orders"));
        assert!(!may("User:ann", operation::WRITE, "orders") && !may("User:ann", operation::READ, "other"));
        authorizer.add(acl(WILDCARD, pattern::LITERAL, EVERYBODY, operation::ALL, permission::ALLOW)).unwrap();
        assert!(may("User:bob", operation::WRITE, "other"));
        authorizer.add(acl("orders", pattern::LITERAL, "User:ann", operation::READ, permission::DENY)).unwrap();
        assert!(!may("User:ann", operation::READ, "orders") && may("User:ann", operation::WRITE, "orders"));
        let filter = AclFilter {
            resource_type: resource::ANY,
            resource_name: Some("orders".to_owned()),
            pattern_type: pattern::MATCH,
            principal: Some("User:ann".to_owned()),
            host: None,
            operation: operation::ANY,
            permission: permission::ANY,
        };
        assert_eq!(authorizer.find(&filter).len(), 2, "the literal one and the prefix");
        assert_eq!(authorizer.remove(&filter).unwrap().len(), 2);
        assert!(may("User:ann", operation::READ, "orders"), "as everybody");
    }

    #[test]
    fn without_an_authorizer_everything_goes() {
        let request = AccessRequest { principal: "User:x", host: "h", resource_type: resource::CLUSTER, operation: 7 };
        assert!(authorizer(None).allows(&request, resource::CLUSTER_NAME));
    }
}
