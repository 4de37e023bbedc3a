//! One broker as the sender sees it: the partitions that may send to it and the requests under way.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::accumulator::Accumulator;
use super::queue::Draft;
use crate::connection::Connection;
use crate::error::Result;
use crate::metadata::Metadata;

/// A request under way.
pub(super) struct Request {
    pub(super) token: u64,
    pub(super) connection: Arc<Connection>,
    pub(super) version: i16,
    pub(super) drafts: Vec<Draft>,
    pub(super) deadline: Instant,
}

/// One broker.
pub(super) struct Lane {
    /// Partitions that may send.
    pub(super) ready: VecDeque<usize>,
    pub(super) under_way: VecDeque<Request>,
    /// A request is dialling or compressing; the next ones keep their place behind it.
    pub(super) preparing: bool,
    /// When small batches left last.
    pub(super) last_small: Option<Instant>,
    /// The broker asked for a rest.
    pub(super) throttled_until: Option<Instant>,
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane {
            ready: VecDeque::new(),
            under_way: VecDeque::new(),
            preparing: false,
            last_small: None,
            throttled_until: None,
        }
    }

    /// Open batches of the same broker leave together although their linger is not over: one request instead of many.
    pub(super) fn take_along(&mut self, node_id: i32, metadata: &Metadata, accumulator: &mut Accumulator) {
        let lingering: Vec<usize> = accumulator.lingering().collect();
        for index in lingering {
            let queue = accumulator.queue_mut(index);
            if queue.listed || queue.open.is_none() || queue.leader != Some((metadata.generation(), node_id)) {
                continue;
            }
            queue.due = true;
            if accumulator.may_send(index) {
                accumulator.queue_mut(index).listed = true;
                self.ready.push_back(index);
            }
        }
    }
}

/// The broker that leads a partition, remembered until the metadata changes.
pub(super) fn leader(metadata: &Metadata, accumulator: &mut Accumulator, index: usize) -> Result<i32> {
    let queue = accumulator.queue_mut(index);
    if let Some((generation, node_id)) = queue.leader
        && generation == metadata.generation()
    {
        return Ok(node_id);
    }
    let (node_id, _) = metadata.leader(&queue.partition.topic, queue.partition.partition)?;
    queue.leader = Some((metadata.generation(), node_id));
    Ok(node_id)
}
