//! What a sink task asks of its worker, kept until the worker acts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kanat_connect::connector::SinkTaskContext;
use kanat_connect::record::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The wishes of a task.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) commit: bool,
    pub(super) seeks: BTreeMap<TopicPartition, i64>,
    pub(super) retry_after: Option<Duration>,
    /// Whether the set of paused partitions is another.
    pub(super) pauses_changed: bool,
}

#[derive(Debug, Default)]
struct State {
    assignment: BTreeSet<TopicPartition>,
    /// Partitions the task itself has paused.
    paused: BTreeSet<TopicPartition>,
    wishes: Wishes,
}

/// The context of a sink task.
#[derive(Debug)]
pub(super) struct SinkContext {
    connector: String,
    task: u32,
    state: Mutex<State>,
    /// The task wants something.
    pub(super) notify: Notify,
}

impl SinkContext {
    pub(super) fn new(connector: &str, task: u32) -> SinkContext {
        SinkContext { connector: connector.to_owned(), task, state: Mutex::default(), notify: Notify::new() }
    }

    pub(super) fn assign(&self, partitions: &[TopicPartition]) {
        self.state.lock().assignment.extend(partitions.iter().cloned());
    }

    pub(super) fn unassign(&self, partitions: &[TopicPartition]) {
        let mut state = self.state.lock();
        for partition in partitions {
            state.assignment.remove(partition);
            state.paused.remove(partition);
            state.wishes.seeks.remove(partition);
        }
    }

    /// What the task has asked for since the last call.
    pub(super) fn take(&self) -> Wishes {
        std::mem::take(&mut self.state.lock().wishes)
    }

    pub(super) fn has_paused(&self, partition: &TopicPartition) -> bool {
        self.state.lock().paused.contains(partition)
    }
}

impl SinkTaskContext for SinkContext {
    fn connector(&self) -> &str {
        &self.connector
    }

    fn task(&self) -> usize {
        self.task as usize
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.state.lock().assignment.iter().cloned().collect()
    }

    fn request_commit(&self) {
        self.state.lock().wishes.commit = true;
        self.notify.notify_one();
    }

    fn seek(&self, partition: &TopicPartition, offset: i64) {
        let mut state = self.state.lock();
        if state.assignment.contains(partition) {
            state.wishes.seeks.insert(partition.clone(), offset);
        }
        self.notify.notify_one();
    }

    fn pause(&self, partitions: &[TopicPartition]) {
        let mut state = self.state.lock();
        let own: Vec<TopicPartition> =
            partitions.iter().filter(|partition| state.assignment.contains(*partition)).cloned().collect();
        state.paused.extend(own);
        state.wishes.pauses_changed = true;
        self.notify.notify_one();
    }

    fn resume(&self, partitions: &[TopicPartition]) {
        let mut state = self.state.lock();
        for partition in partitions {
            state.paused.remove(partition);
        }
        state.wishes.pauses_changed = true;
        self.notify.notify_one();
    }

    fn retry_after(&self, delay: Duration) {
        self.state.lock().wishes.retry_after = Some(delay);
    }
}
