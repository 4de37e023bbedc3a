//! One assigned partition: where it stands, who serves it, and what is to be settled before it is fetched again.

use tokio::time::Instant;

use super::session::Want;
use crate::error::Error;
use crate::types::{Position, TopicId, TopicPartition};

/// Why a partition has no usable leader, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) since: Instant,
    pub(super) attempts: u32,
    pub(super) last: Error,
    /// Generation of the metadata that proved wrong.
    pub(super) generation: u64,
}

impl Lost {
    /// Counts another attempt that failed.
    pub(super) fn again(lost: &mut Option<Lost>, generation: u64, error: Error) -> &Lost {
        let (since, attempts) = lost.take().map_or_else(|| (Instant::now(), 0), |lost| (lost.since, lost.attempts));
        lost.insert(Lost { since, attempts: attempts + 1, last: error, generation })
    }
}

/// What has to happen before a partition may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Ready,
    /// The broker says the offset is out of range; whether it is, is being asked.
    CheckingRange,
    /// The leader changed; whether its log holds what was read is being asked (KIP-320).
    CheckingEpoch,
    /// Stopped by an error that was or will be delivered; a seek starts it again.
    Failed,
}

/// A partition in a request, with the version the request was made for.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) version: u64,
    pub(super) position: Position,
    pub(super) generation: u64,
    /// Broker asked.
    pub(super) source: i32,
    /// Epoch of the leadership the request was made under.
    pub(super) leader_epoch: i32,
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) version: u64,
    /// Next record to deliver.
    pub(super) position: Position,
    /// Next record to fetch; ahead of `position` by what is queued.
    pub(super) fetch: Position,
    pub(super) topic_id: Option<TopicId>,
    pub(super) leader: Option<i32>,
    pub(super) leader_epoch: i32,
    /// Newest leadership whose log is known to hold everything before `fetch`.
    pub(super) validated_epoch: i32,
    /// Replica the leader sends this reader to (KIP-392).
    pub(super) preferred: Option<i32>,
    pub(super) lost: Option<Lost>,
    pub(super) paused: bool,
    pub(super) standing: Standing,
    pub(super) high_watermark: i64,
}

impl Partition {
    pub(super) fn new(version: u64, position: Position) -> Self {
        Partition {
            version,
            position,
            fetch: position,
            topic_id: None,
            leader: None,
            leader_epoch: -1,
            validated_epoch: -1,
            preferred: None,
            lost: None,
            paused: false,
            standing: Standing::Ready,
            high_watermark: -1,
        }
    }

    /// Starts over at `position`, whatever was being checked or had failed.
    pub(super) fn restart(&mut self, version: u64, position: Position) {
        if self.standing == Standing::Failed {
            // Whatever stopped it is judged anew, a changed topic id included.
            (self.topic_id, self.leader, self.lost, self.preferred) = (None, None, None, None);
            self.leader_epoch = -1;
        }
        (self.version, self.position, self.fetch) = (version, position, position);
        (self.standing, self.validated_epoch) = (Standing::Ready, -1);
    }

    /// The broker to fetch from.
    pub(super) fn source(&self) -> Option<i32> {
        self.leader.map(|leader| self.preferred.unwrap_or(leader))
    }

    /// Whether something is to be fetched from `broker` now.
    pub(super) fn is_fetched_from(&self, broker: i32) -> bool {
        !self.paused && self.standing == Standing::Ready && self.source() == Some(broker)
    }

    /// Whether the leader has to be asked first where the epoch of the last record read ends in its log.
    pub(super) fn needs_epoch_check(&self) -> bool {
        let newer = self.leader_epoch > self.validated_epoch && self.leader_epoch > self.fetch.leader_epoch;
        newer
            && self.fetch.leader_epoch >= 0
            && self.leader.is_some()
            && !self.paused
            && self.standing == Standing::Ready
    }

    pub(super) fn sent(&self, generation: u64, source: i32) -> Sent {
        let (version, position, leader_epoch) = (self.version, self.fetch, self.leader_epoch);
        Sent { version, position, generation, source, leader_epoch }
    }

    /// Whether an answer to `sent` is still about this partition as it stands.
    pub(super) fn answers(&self, sent: &Sent, standing: Standing) -> bool {
        self.version == sent.version && self.fetch.offset == sent.position.offset && self.standing == standing
    }

    pub(super) fn want(&self, name: &TopicPartition, bytes_max: i32) -> Want {
        Want {
            partition: name.clone(),
            topic_id: self.topic_id,
            offset: self.fetch.offset,
            leader_epoch: self.leader_epoch,
            bytes_max,
        }
    }
}
