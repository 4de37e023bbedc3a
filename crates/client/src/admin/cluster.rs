//! The cluster itself: its brokers, its controller, its feature levels.

use kanat_protocol::messages::{ApiKey, ApiVersionsRequest, DescribeClusterRequest, StrBytes};

use super::Admin;
use super::ask::{Home, Node, Repeat, optional_text, text};
use crate::error::{Error, Result};

/// A broker of a [`ClusterDescription`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterBroker {
    /// Broker id.
    pub node_id: i32,
    /// Host it advertises.
    pub host: String,
    /// Port it advertises.
    pub port: i32,
    /// Its rack, when it has one.
    pub rack: Option<String>,
    /// Whether the controller keeps it out of service; such brokers are named by Kafka 4.0 and later only.
    pub fenced: bool,
}

/// The brokers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Id of the cluster.
    pub cluster_id: String,
    /// Broker that takes requests for the controller.
    pub controller: Option<i32>,
    /// Brokers in the order of their ids.
    pub brokers: Vec<ClusterBroker>,
}

/// A feature and its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRange {
    /// Name, such as `metadata.version` or `transaction.version`.
    pub name: String,
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

/// The features of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// What the broker asked could do, by name.
    pub supported: Vec<FeatureRange>,
    /// What the cluster has agreed on, by name.
    pub finalized: Vec<FeatureRange>,
    /// Rises with each change of what is agreed; `None` when the broker does not know.
    pub finalized_epoch: Option<i64>,
}

impl Admin {
    /// The brokers of the cluster, asked for now. Brokers before Kafka 2.8 answer from their metadata.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let ask = |node: Node| async move {
            let build = |version: i16| DescribeClusterRequest::default().with_include_fenced_brokers(version >= 2);
            let answer = node.ask_as(ApiKey::DescribeCluster, build).await?;
            let body = &answer.body;
            answer.check(|| "the cluster".to_owned(), body.error_code, body.error_message.as_ref())?;
            let mut brokers: Vec<ClusterBroker> = body
                .brokers
                .iter()
                .map(|row| ClusterBroker {
                    node_id: row.broker_id.0,
                    host: text(&row.host),
                    port: row.port,
                    rack: optional_text(row.rack.as_ref()),
                    fenced: row.is_fenced,
                })
                .collect();
            brokers.sort_unstable_by_key(|broker| broker.node_id);
            let controller = Some(body.controller_id.0).filter(|id| *id >= 0);
            Ok(ClusterDescription { cluster_id: text(&body.cluster_id), controller, brokers })
        };
        match self.ask_one(Home::Any, Repeat::Always, ask).await {
            Err(Error::UnsupportedApi { .. }) => self.cluster_by_metadata().await,
            described => described,
        }
    }

    async fn cluster_by_metadata(&self) -> Result<ClusterDescription> {
        let metadata = self.cluster.topics_after(&[], self.cluster.metadata().generation()).await?;
        let broker = |info: &crate::metadata::BrokerInfo| {
            let (host, port) = info.address.rsplit_once(':').unwrap_or((&info.address, ""));
            ClusterBroker {
                node_id: info.node_id,
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().unwrap_or(-1),
                rack: info.rack.clone(),
                fenced: false,
            }
        };
        let mut brokers: Vec<ClusterBroker> = metadata.brokers().map(broker).collect();
        brokers.sort_unstable_by_key(|broker| broker.node_id);
        let cluster_id = metadata.cluster_id().unwrap_or_default().to_owned();
        Ok(ClusterDescription { cluster_id, controller: metadata.controller(), brokers })
    }

    /// The feature levels of the cluster. Needs Kafka 2.7.
    ///
    /// # Errors
    /// When no broker answers until `retry_timeout_ms`.
    pub async fn describe_features(&self) -> Result<Features> {
        let ask = |node: Node| async move {
            let build = |version: i16| {
                let request = ApiVersionsRequest::default();
                if version < 3 {
                    return request;
                }
                request
                    .with_client_software_name(StrBytes::from_static_str("kanat"))
                    .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
            };
            let answer = node.ask_as(ApiKey::ApiVersions, build).await?;
            let body = &answer.body;
            answer.check(|| "features".to_owned(), body.error_code, None)?;
            let supported = body.supported_features.iter().map(|row| (&row.name, row.min_version, row.max_version));
            let finalized =
                body.finalized_features.iter().map(|row| (&row.name, row.min_version_level, row.max_version_level));
            Ok(Features {
                supported: ranges(supported),
                finalized: ranges(finalized),
                finalized_epoch: Some(body.finalized_features_epoch).filter(|epoch| *epoch >= 0),
            })
        };
        self.ask_one(Home::Any, Repeat::Always, ask).await
    }
}

fn ranges<'a>(rows: impl Iterator<Item = (&'a StrBytes, i16, i16)>) -> Vec<FeatureRange> {
    let mut ranges: Vec<FeatureRange> =
        rows.map(|(name, min, max)| FeatureRange { name: text(name), min, max }).collect();
    ranges.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    ranges
}
