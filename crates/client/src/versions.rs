//! Which versions of each request this client speaks.
//!
//! Upper ends stop where the next version changes what we rely on: Produce 13 names topics by id only, Fetch 18 wants
//! the follower's high watermark, OffsetCommit 10 and OffsetFetch 10 name topics by id only.

use kanat_protocol::messages::ApiKey;
use kanat_protocol::version::VersionRange;

/// First Fetch version with sessions (KIP-227).
pub(crate) const FETCH_SESSIONS: i16 = 7;
/// First Fetch version that carries the reader's rack (KIP-392).
pub(crate) const FETCH_RACKS: i16 = 11;
/// First Fetch version that names topics by id only.
pub(crate) const FETCH_TOPIC_IDS: i16 = 13;

/// The versions spoken, or `None` for a request this client never sends.
pub(crate) fn spoken(api: ApiKey) -> Option<VersionRange> {
    let (min, max) = match api {
        ApiKey::Produce => (3, 12),
        ApiKey::Fetch => (4, 17),
        ApiKey::ListOffsets => (1, 7),
        ApiKey::Metadata => (4, 13),
        ApiKey::OffsetCommit => (2, 9),
        ApiKey::OffsetFetch => (1, 9),
        ApiKey::FindCoordinator => (1, 4),
        ApiKey::JoinGroup => (2, 9),
        ApiKey::Heartbeat => (0, 4),
        ApiKey::SyncGroup => (0, 5),
        ApiKey::ConsumerGroupHeartbeat => (0, 1),
        ApiKey::DescribeGroups => (0, 6),
        ApiKey::ListGroups => (0, 5),
        ApiKey::DeleteGroups => (0, 2),
        ApiKey::OffsetForLeaderEpoch => (2, 4),
        ApiKey::OffsetDelete => (0, 0),
        ApiKey::CreateTopics => (2, 7),
        ApiKey::DeleteTopics => (1, 6),
        ApiKey::CreatePartitions => (0, 3),
        ApiKey::DeleteRecords => (0, 2),
        ApiKey::InitProducerId => (0, 5),
        ApiKey::AddPartitionsToTxn => (0, 3),
        ApiKey::AddOffsetsToTxn => (0, 4),
        ApiKey::TxnOffsetCommit => (0, 5),
        ApiKey::EndTxn => (0, 5),
        ApiKey::DescribeConfigs => (1, 4),
        ApiKey::IncrementalAlterConfigs => (0, 1),
        ApiKey::ApiVersions => (0, 3),
        ApiKey::ConsumerGroupDescribe => (0, 1),
        ApiKey::DescribeCluster => (0, 2),
        ApiKey::DescribeTopicPartitions => (0, 0),
        ApiKey::CreateAcls => (1, 3),
        ApiKey::DescribeAcls => (1, 3),
        ApiKey::DeleteAcls => (1, 3),
        ApiKey::DescribeClientQuotas => (0, 1),
        ApiKey::AlterClientQuotas => (0, 1),
        ApiKey::DescribeUserScramCredentials => (0, 0),
        ApiKey::AlterUserScramCredentials => (0, 0),
        ApiKey::DescribeProducers => (0, 0),
        ApiKey::DescribeTransactions => (0, 0),
        ApiKey::ListTransactions => (0, 2),
        ApiKey::WriteTxnMarkers => (1, 1),
        ApiKey::ElectLeaders => (0, 2),
        ApiKey::AlterPartitionReassignments => (0, 1),
        ApiKey::ListPartitionReassignments => (0, 0),
        ApiKey::DescribeLogDirs => (1, 4),
        ApiKey::LeaveGroup => (0, 5),
        ApiKey::SaslHandshake => (1, 1),
        ApiKey::SaslAuthenticate => (0, 2),
        _ => return None,
    };
    Some(VersionRange { min, max })
}
