//! The coordinator's part for groups of KIP-848.

use kanat_protocol::ErrorCode;

use super::consumer::{ConsumerAnswer, ConsumerGroup, ConsumerHeartbeat, ConsumerOptions, TopicView};
use super::coordinator::{Coordinator, GroupEntry};
use super::stored::StoredGroup;
use crate::error::Refusal;
use crate::journal::Entry;

impl Coordinator {
    /// ConsumerGroupHeartbeat. A group comes into being with its first member, also in place of an empty classic one.
    pub(crate) fn consumer_heartbeat(
        &self,
        group_id: &str,
        mut request: ConsumerHeartbeat,
        topics: &TopicView,
        options: &ConsumerOptions,
    ) -> Result<ConsumerAnswer, Refusal> {
        if request.member_id.is_empty() {
            request.member_id = self.member_token();
        }
        let now_ms = self.now_ms();
        let kept = self.journal.is_kept();
        let answer = {
            let mut inner = self.inner.lock();
            if !inner.groups.contains_key(group_id) && request.member_epoch != 0 {
                return Err(no_such_group());
            }
            if !inner.groups.contains_key(group_id) && inner.groups.len() >= self.groups_max {
                return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, "the broker has its most groups"));
            }
            let entry = inner.groups.entry(group_id.to_owned()).or_default();
            let group = entry.become_consumer(request.member_epoch)?;
            let before = kept.then(|| group.to_stored());
            let answer = group.heartbeat(now_ms, &request, topics, options);
            self.write_down(group_id, before, group)?;
            answer
        };
        self.changed.notify_one();
        answer
    }

    /// Writes a group down if it is not what it was. Called under the lock of all groups, so that entries come in order.
    fn write_down(&self, id: &str, before: Option<StoredGroup>, group: &ConsumerGroup) -> Result<(), Refusal> {
        let Some(before) = before else { return Ok(()) };
        let stored = group.to_stored();
        if stored == before {
            return Ok(());
        }
        let entry = Entry::ConsumerGroup { group: id.to_owned(), stored };
        self.journal.append(&[entry]).map_err(|error| Refusal::storage(&error))
    }

    /// Takes a group from the journal.
    pub(crate) fn restore_consumer(&self, group_id: &str, stored: StoredGroup, options: &ConsumerOptions) {
        let group = ConsumerGroup::from_stored(stored, self.now_ms(), options);
        self.inner.lock().groups.entry(group_id.to_owned()).or_default().consumer = Some(group);
    }

    /// Lets `read` look at a group of KIP-848; `None` if there is no such group.
    pub(crate) fn with_consumer_group<T>(&self, group_id: &str, read: impl FnOnce(&ConsumerGroup) -> T) -> Option<T> {
        let inner = self.inner.lock();
        inner.groups.get(group_id)?.consumer.as_ref().map(read)
    }

    /// Whether a member that asks for offsets has the epoch it says.
    pub(crate) fn check_member_epoch(&self, group_id: &str, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        let checked = self.with_consumer_group(group_id, |group| group.check_epoch(member_id, epoch));
        checked.unwrap_or(Ok(()))
    }
}

impl GroupEntry {
    fn become_consumer(&mut self, member_epoch: i32) -> Result<&mut ConsumerGroup, Refusal> {
        if !self.group.is_unused() {
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, "the group uses the classic protocol"));
        }
        if self.consumer.is_none() && member_epoch != 0 {
            return Err(no_such_group());
        }
        self.group = super::state::Group::default();
        Ok(self.consumer.get_or_insert_default())
    }
}

fn no_such_group() -> Refusal {
    Refusal::new(ErrorCode::GroupIdNotFound, "there is no group of the consumer protocol with this id")
}
