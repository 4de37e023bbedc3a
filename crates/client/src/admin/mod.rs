//! Administration of a cluster, one module a noun: topics, records, configurations, groups and their offsets, the
//! cluster itself, reassignments, access control, quotas, SCRAM users, transactions.
//!
//! Every method names what it asks about and gets an outcome for each ([`Outcomes`]): one topic that cannot be deleted
//! does not hide that the others were. [`ask`] sends each item to the node that can answer it.

mod acls;
mod ask;
mod cluster;
mod configs;
mod group_offsets;
mod groups;
mod log_dirs;
mod quotas;
mod reassignments;
mod records;
mod scram;
mod topics;
mod transactions;

use std::sync::Arc;

pub use self::acls::{Acl, AclFilter, AclOperation, AclPatternType, AclPermission, AclResource, AclResourceType};
pub use self::cluster::{ClusterBroker, ClusterDescription, FeatureRange, Features};
pub use self::configs::{
    AlterConfig, ConfigEntry, ConfigOperation, ConfigResource, ConfigResourceType, ConfigSource, ConfigSynonym,
    ConfigType, DescribeConfigsOptions,
};
pub use self::groups::{DescribedGroup, DescribedMember, GroupListing, GroupType, ListGroupsOptions, MemberToRemove};
pub use self::log_dirs::{LogDir, LogDirPartition};
pub use self::quotas::{QuotaAlteration, QuotaEntity, QuotaFilter, QuotaMatch, QuotaValues};
pub use self::reassignments::{Election, Reassignment};
pub(crate) use self::records::delete_records;
pub use self::scram::{ScramMechanism, ScramUpsertion, ScramUser};
pub use self::topics::{CreatedTopic, NewPartitions, NewTopic, PartitionDescription, TopicDescription};
pub use self::transactions::{
    ActiveProducer, FencedProducer, ListTransactionsOptions, OpenTransaction, TransactionDescription,
    TransactionListing,
};

use crate::cluster::Cluster;
use crate::error::Result;

/// Per item of a request: done, or why not.
pub type Outcomes<K = String, T = ()> = Vec<(K, Result<T>)>;

/// Administration of a cluster. Made by [`Client::admin`](crate::Client::admin).
///
/// Methods about many things return one outcome for each, in the order asked. They fail as a whole only when no node
/// answered at all until `retry_timeout_ms`. Requests go to the node that can answer them, one request per node, and are
/// sent again when that node moved. What changes something and cannot be told to have happened is not sent twice: its
/// error says that the outcome is unknown ([`Error::is_outcome_unknown`](crate::Error::is_outcome_unknown)).
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Admin {
        Admin { cluster }
    }

    /// How long brokers may work on a request, in milliseconds.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.options().request_timeout_ms).unwrap_or(i32::MAX)
    }
}

/// The items with their outcomes.
fn named<K: Clone, T>(keys: &[K], outcomes: Vec<Result<T>>) -> Outcomes<K, T> {
    keys.iter().cloned().zip(outcomes).collect()
}

/// Names as owned strings.
fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A wire number with a name: an enum both ways, numbers of newer brokers kept.
macro_rules! wire_enum {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A number this client has no name for.
            Other(i8),
        }

        impl $name {
            /// Those with a name, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The number on the wire.
            pub fn code(self) -> i8 {
                match self {
                    $($name::$variant => $code,)*
                    $name::Other(code) => code,
                }
            }

            /// From the number on the wire.
            pub fn from_code(code: i8) -> $name {
                match code {
                    $($code => $name::$variant,)*
                    other => $name::Other(other),
                }
            }

            /// Kafka's name; `unknown` for a number without one.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Other(_) => "unknown",
                }
            }

            /// From Kafka's name, in any case, with `-` or `_` between words or nothing.
            pub fn from_name(name: &str) -> Option<$name> {
                let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
                let wanted = plain(name);
                $name::ALL.iter().copied().find(|known| plain(known.as_str()) == wanted)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $name::Other(code) => write!(f, "unknown ({code})"),
                    known => f.write_str(known.as_str()),
                }
            }
        }
    };
}
use wire_enum;
