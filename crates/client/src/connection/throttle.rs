//! Brokers that enforce quotas answer at once and say for how long they want no further request (KIP-219): until then
//! they read nothing, so a request sent earlier would only wait inside its own deadline.

use std::any::Any;
use std::time::Duration;

use kanat_protocol::messages::*;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The silence one connection has to keep.
#[derive(Debug)]
pub(super) struct Throttle {
    until: Mutex<Option<Instant>>,
    max: Duration,
}

impl Throttle {
    /// `max_ms` bounds what a broker can ask for.
    pub(super) fn new(max_ms: u64) -> Throttle {
        Throttle { until: Mutex::new(None), max: Duration::from_millis(max_ms) }
    }

    /// Reads the throttle time of an answer; `None` when there is none.
    pub(super) fn on_answer<M: Body>(&self, api: ApiKey, version: i16, response: &M) -> Option<Duration> {
        let asked_ms = throttle_time_ms(api, version, response);
        let silence = Duration::from_millis(u64::try_from(asked_ms).ok().filter(|asked| *asked > 0)?).min(self.max);
        let mut until = self.until.lock();
        *until = (*until).max(Some(Instant::now() + silence));
        Some(silence)
    }

    /// Waits until requests are welcome.
    pub(super) async fn wait(&self) {
        loop {
            let until = *self.until.lock();
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }
}

macro_rules! throttle_times {
    ($api:expr, $version:expr, $response:expr; $($key:ident $message:ident since $since:literal,)*) => {
        match $api {
            $(ApiKey::$key if $version >= $since => {
                $response.downcast_ref::<$message>().map_or(0, |response| response.throttle_time_ms)
            })*
            _ => 0,
        }
    };
}

/// What an answer asks for. The versions are those from which on a broker leaves the waiting to the client; with an
/// older one it waited itself before it answered.
fn throttle_time_ms(api: ApiKey, version: i16, response: &dyn Any) -> i32 {
    throttle_times! { api, version, response;
        Produce ProduceResponse since 6,
        Fetch FetchResponse since 8,
        ListOffsets ListOffsetsResponse since 3,
        Metadata MetadataResponse since 6,
        OffsetCommit OffsetCommitResponse since 4,
        OffsetFetch OffsetFetchResponse since 4,
        FindCoordinator FindCoordinatorResponse since 2,
        JoinGroup JoinGroupResponse since 3,
        Heartbeat HeartbeatResponse since 2,
        LeaveGroup LeaveGroupResponse since 2,
        SyncGroup SyncGroupResponse since 2,
        DescribeGroups DescribeGroupsResponse since 2,
        ListGroups ListGroupsResponse since 2,
        DeleteGroups DeleteGroupsResponse since 1,
        CreateTopics CreateTopicsResponse since 3,
        DeleteTopics DeleteTopicsResponse since 2,
        CreatePartitions CreatePartitionsResponse since 1,
        DeleteRecords DeleteRecordsResponse since 1,
        InitProducerId InitProducerIdResponse since 1,
        OffsetForLeaderEpoch OffsetForLeaderEpochResponse since 2,
        AddPartitionsToTxn AddPartitionsToTxnResponse since 1,
        AddOffsetsToTxn AddOffsetsToTxnResponse since 1,
        EndTxn EndTxnResponse since 1,
        TxnOffsetCommit TxnOffsetCommitResponse since 1,
        DescribeConfigs DescribeConfigsResponse since 2,
        IncrementalAlterConfigs IncrementalAlterConfigsResponse since 0,
        OffsetDelete OffsetDeleteResponse since 0,
        DescribeAcls DescribeAclsResponse since 1,
        CreateAcls CreateAclsResponse since 1,
        DeleteAcls DeleteAclsResponse since 1,
        DescribeClientQuotas DescribeClientQuotasResponse since 0,
        AlterClientQuotas AlterClientQuotasResponse since 0,
        DescribeUserScramCredentials DescribeUserScramCredentialsResponse since 0,
        AlterUserScramCredentials AlterUserScramCredentialsResponse since 0,
        DescribeCluster DescribeClusterResponse since 0,
        DescribeProducers DescribeProducersResponse since 0,
        DescribeTransactions DescribeTransactionsResponse since 0,
        ListTransactions ListTransactionsResponse since 0,
        ElectLeaders ElectLeadersResponse since 0,
        AlterPartitionReassignments AlterPartitionReassignmentsResponse since 0,
        ListPartitionReassignments ListPartitionReassignmentsResponse since 0,
        DescribeLogDirs DescribeLogDirsResponse since 1,
        ConsumerGroupHeartbeat ConsumerGroupHeartbeatResponse since 0,
        ConsumerGroupDescribe ConsumerGroupDescribeResponse since 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_as_long_as_the_broker_asks_within_the_bound() {
        let throttle = Throttle::new(1_000);
        let fetch = |ms| FetchResponse::default().with_throttle_time_ms(ms);
        let started = Instant::now();
        throttle.wait().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 12, &fetch(300)), Some(Duration::from_millis(300)));
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 12, &fetch(100)), Some(Duration::from_millis(100)));
        throttle.wait().await;
        assert!(started.elapsed() >= Duration::from_millis(300), "the longer silence holds");
        let asked = Instant::now();
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 12, &fetch(i32::MAX)), Some(Duration::from_secs(1)));
        throttle.wait().await;
        assert!(asked.elapsed() < Duration::from_millis(1_100), "a broker cannot silence the client for ever");
    }

    #[test]
    fn old_versions_and_answers_without_throttling_ask_for_nothing() {
        let throttle = Throttle::new(1_000);
        let throttled = FetchResponse::default().with_throttle_time_ms(300);
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 7, &throttled), None);
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 12, &throttled.clone().with_throttle_time_ms(-5)), None);
        assert_eq!(throttle.on_answer(ApiKey::Fetch, 12, &throttled.with_throttle_time_ms(0)), None);
    }
}
