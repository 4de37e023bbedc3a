//! Which topics a subscription means now.

use std::collections::HashSet;
use std::sync::Arc;

use fancy_regex::Regex;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::group::options::Subscription;
use crate::metadata::Metadata;

/// A subscription ready to be looked up.
#[derive(Debug)]
pub(super) enum Wanted {
    Names(Vec<String>),
    Matches(Regex),
}

/// The topics of a subscription at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Sorted. Under a list of names, all of them.
    pub(super) topics: Vec<Arc<str>>,
    /// Some of them do not exist yet.
    pub(super) incomplete: bool,
}

impl Wanted {
    /// The pattern has to match a topic's whole name, as in the Java client.
    pub(super) fn new(subscription: &Subscription) -> Result<Wanted> {
        match subscription {
            Subscription::Topics(names) => Ok(Wanted::Names(names.clone())),
            Subscription::Regex(pattern) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(regex) => Ok(Wanted::Matches(regex)),
                Err(error) => {
                    Err(Error::InvalidOption { option: "subscription".to_owned(), reason: error.to_string() })
                }
            },
        }
    }

    /// Looks the topics up, asking brokers if `fresh` or if metadata is too old.
    pub(super) async fn find(&self, cluster: &Cluster, fresh: bool) -> Result<(Found, Arc<Metadata>)> {
        match self {
            Wanted::Names(names) => {
                let metadata = named(cluster, names, fresh).await?;
                let incomplete = names.iter().any(|name| metadata.topic(name).is_none());
                let unique: HashSet<&str> = names.iter().map(String::as_str).collect();
                let mut topics: Vec<Arc<str>> = unique.into_iter().map(Arc::from).collect();
                topics.sort_unstable();
                Ok((Found { topics, incomplete }, metadata))
            }
            Wanted::Matches(regex) => {
                let metadata = cluster.all_topics().await?;
                let mut topics = Vec::new();
                for topic in metadata.topics().filter(|topic| !topic.internal) {
                    let matched = regex.is_match(&topic.name).map_err(|error| Error::InvalidOption {
                        option: "subscription".to_owned(),
                        reason: format!("cannot be matched against topic {}: {error}", topic.name),
                    })?;
                    if matched {
                        topics.push(Arc::clone(&topic.name));
                    }
                }
                topics.sort_unstable();
                Ok((Found { topics, incomplete: false }, metadata))
            }
        }
    }
}

/// Metadata of these topics.
pub(super) async fn named<S: AsRef<str> + Sync>(cluster: &Cluster, names: &[S], fresh: bool) -> Result<Arc<Metadata>> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if fresh {
        cluster.topics_after(&names, cluster.metadata().generation()).await
    } else {
        cluster.topics(&names).await
    }
}
