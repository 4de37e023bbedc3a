//! Reading as a member of a consumer group: what was printed is committed, and nothing before it was.

use std::collections::HashMap;
use std::time::Duration;

use kanat_client::{
    Client, DescribedMember, GroupConsumer, GroupEvent, GroupOptions, GroupStart, Isolation, OffsetAndMetadata,
    OffsetSpec, TopicPartition,
};
use kanat_sync::{Error, Result};
use tokio::time::{Instant, timeout};

use super::{Printer, Progress, Start, fetching, partitions};
use crate::args::ConsumeArgs;
use crate::commands::client::{Cluster, wrong_property};

/// Time between commits of what was printed, milliseconds.
const COMMIT_INTERVAL_MS: u64 = 1_000;

/// Longest wait for records before the end is looked for, milliseconds.
const IDLE_MS: u64 = 200;

/// Time between two looks at the state of the group by a member that has nothing to read, milliseconds. Seen stable twice in
/// one generation, the group has nothing for it: a cooperative group is stable for a moment before partitions move.
const STABLE_MS: u64 = 1_000;

/// Printed and not yet committed: the next offset by partition.
type Printed = HashMap<TopicPartition, OffsetAndMetadata>;

/// Prints as a member of `group` until a limit, the end, or `stop`; then commits and leaves.
pub(super) async fn consume(
    cluster: &Cluster,
    args: &ConsumeArgs,
    group: &str,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let fail = |error| Error::kafka(format!("reading {} in group {group}", args.topics.join(", ")), error);
    let Cluster { client, properties } = cluster;
    let fetching = fetching(properties, args)?;
    let ends = ends(client, fetching.isolation, args).await?;
    let mut properties = properties.clone();
    properties.extend([("group.id", group)]);
    let mut options = GroupOptions::from_properties(&properties, args.topics.clone()).map_err(wrong_property)?;
    // What was printed is committed below.
    options.auto_commit_interval_ms = None;
    let options = options.with_start(start(args)?).with_consumer(fetching);
    let mut consumer = client.group_consumer(options).map_err(fail)?;
    let mut printed = Printed::new();
    let reading = read(client, &mut consumer, args, &ends, &mut printed);
    let outcome = tokio::select! {
        outcome = reading => outcome,
        () = stop => Ok(()),
    };
    // What was printed is committed whatever ended the reading; the first failure is the one to tell.
    let committed = consumer.commit_sync(printed).await.map_err(fail);
    let closed = consumer.close().await.map_err(fail);
    outcome.map_err(fail_as_read(group)).and(committed).and(closed)
}

fn fail_as_read(group: &str) -> impl Fn(Stop) -> Error {
    move |stop| match stop {
        Stop::Failed(error) => error,
        Stop::Client(error) => Error::kafka(format!("reading in group {group}"), error),
    }
}

/// Why reading ended before it should.
enum Stop {
    Failed(Error),
    Client(kanat_client::Error),
}

fn start(args: &ConsumeArgs) -> Result<GroupStart> {
    match (args.from_time, args.offset) {
        (Some(time), _) => Ok(GroupStart::Timestamp(time)),
        (None, Start::Beginning) => Ok(GroupStart::Earliest),
        (None, Start::End) => Ok(GroupStart::Latest),
        (None, Start::At(_) | Start::Last(_)) => {
            let reason =
                "a group begins where it has committed; --offset may be beginning or end, for where it has not";
            Err(Error::kafka("reading in a group", reason))
        }
    }
}

/// Where every partition ends now, when that is where to stop.
async fn ends(
    client: &Client,
    isolation: Isolation,
    args: &ConsumeArgs,
) -> Result<Option<HashMap<TopicPartition, i64>>> {
    if !args.exit_at_end {
        return Ok(None);
    }
    let asked: Vec<_> =
        partitions(client, args).await?.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
    let listed = client.list_offsets(&asked, isolation).await;
    let listed = listed.map_err(|error| Error::kafka("asking for the ends of partitions", error))?;
    Ok(Some(listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect()))
}

async fn read(
    client: &Client,
    consumer: &mut GroupConsumer,
    args: &ConsumeArgs,
    ends: &Option<HashMap<TopicPartition, i64>>,
    printed: &mut Printed,
) -> std::result::Result<(), Stop> {
    let mut printer = Printer::new(args);
    let mut committed_at = Instant::now();
    let mut idle = Idle::default();
    while !printer.is_done() && !is_at_end(consumer, ends) {
        if ends.is_some() && idle.is_left_out(client, consumer).await.map_err(Stop::Client)? {
            return Ok(());
        }
        if committed_at.elapsed() >= Duration::from_millis(COMMIT_INTERVAL_MS) && !printed.is_empty() {
            commit(consumer, printed).await?;
            committed_at = Instant::now();
        }
        // Nothing arrived for a while: the end and the commits are looked at again.
        let Ok(event) = timeout(Duration::from_millis(IDLE_MS), consumer.next()).await else { continue };
        match event.map_err(Stop::Client)? {
            GroupEvent::Fetched(fetched) => {
                let progress = printer.print(&fetched, i64::MAX).map_err(Stop::Failed)?;
                if let Some(position) = printer.position {
                    printed.insert(fetched.tp.clone(), OffsetAndMetadata::new(position));
                }
                if progress != Progress::Further {
                    return Ok(());
                }
            }
            GroupEvent::Revoked(revocation) => {
                // Before somebody else reads on from there.
                commit(consumer, printed).await?;
                revocation.release();
            }
            GroupEvent::Lost(partitions) => printed.retain(|partition, _| !partitions.contains(partition)),
            _ => {}
        }
    }
    Ok(())
}

/// Commits what was printed. It is forgotten only when that is done: Ctrl-C may come in between.
async fn commit(consumer: &GroupConsumer, printed: &mut Printed) -> std::result::Result<(), Stop> {
    consumer.commit_sync(printed.clone()).await.map_err(Stop::Client)?;
    printed.clear();
    Ok(())
}

/// Whether every partition this member owns is read to where it ended at the start.
fn is_at_end(consumer: &GroupConsumer, ends: &Option<HashMap<TopicPartition, i64>>) -> bool {
    let Some(ends) = ends else { return false };
    let assigned = consumer.assignment();
    let is_done = |(partition, position): &(TopicPartition, i64)| ends.get(partition).is_none_or(|end| position >= end);
    !assigned.is_empty() && assigned.iter().all(is_done)
}

/// Finds out that a group has no partition for this member.
#[derive(Debug, Default)]
struct Idle {
    /// When the group was looked at last.
    looked_at: Option<Instant>,
    /// The generation it was stable in then.
    stable_in: Option<i32>,
}

impl Idle {
    /// Whether the group is stable and this member has nothing to read, at two looks in a row.
    async fn is_left_out(&mut self, client: &Client, consumer: &GroupConsumer) -> kanat_client::Result<bool> {
        let member = consumer.group_metadata();
        if !consumer.assignment().is_empty() || member.generation < 0 {
            *self = Self::default();
            return Ok(false);
        }
        let now = Instant::now();
        if now.duration_since(*self.looked_at.get_or_insert(now)) < Duration::from_millis(STABLE_MS) {
            return Ok(false);
        }
        self.looked_at = Some(now);
        let described = client.admin().describe_groups(&[&member.group_id]).await?;
        let has_nothing = described.into_iter().filter_map(|(_, outcome)| outcome.ok()).any(|group| {
            let nothing = |other: &DescribedMember| other.member_id == member.member_id && other.assigned.is_empty();
            group.state == "Stable" && group.members.iter().any(nothing)
        });
        let stable_in = has_nothing.then_some(member.generation);
        let before = std::mem::replace(&mut self.stable_in, stable_in);
        Ok(stable_in.is_some() && before == stable_in)
    }
}
