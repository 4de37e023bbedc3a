//! Committed offsets beside the ends of their partitions, and the file they are exported to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use kanat_client::{Client, Isolation, OffsetAndMetadata, OffsetSpec, TopicPartition};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::describe::describe;
use crate::output::Rows;

/// Every committed offset of a group, by partition.
pub(super) type Committed = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// Asks for the committed offsets of a group.
pub(super) async fn committed(client: &Client, group: &str) -> Result<Committed> {
    let fail = |error| Error::kafka(format!("asking for the offsets of group {group}"), error);
    Ok(client.group(group).committed_all().await.map_err(fail)?.into_iter().collect())
}

/// Offsets of partitions; those of topics that are gone are absent.
pub(super) async fn offsets(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<HashMap<TopicPartition, i64>> {
    let fail = |error| Error::kafka("asking for the offsets of partitions", error);
    let mut topics: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let metadata = client.metadata(Some(&topics)).await.map_err(fail)?;
    let exists = |partition: &&TopicPartition| {
        metadata.topic(&partition.topic).is_some_and(|topic| topic.partition(partition.partition).is_some())
    };
    let asked: Vec<_> = partitions.iter().filter(exists).map(|partition| (partition.clone(), spec)).collect();
    let listed = client.list_offsets(&asked, Isolation::ReadUncommitted).await.map_err(fail)?;
    Ok(listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
}

/// Prints the committed offsets of a group, `topic,partition,offset` a line.
///
/// # Errors
/// A group that does not exist is one.
pub(super) async fn export(client: &Client, group: &str, json: bool) -> Result<()> {
    let mut rows = Rows::new(&["topic", "partition", "offset"]);
    let committed = committed(client, group).await?;
    if committed.is_empty() {
        // Nothing tells a group that was never there from one without offsets but its description.
        describe(client, &[group]).await?;
    }
    for (partition, position) in &committed {
        if json {
            rows.push(vec![json!(&*partition.topic), json!(partition.partition), json!(position.offset)]);
        } else {
            crate::output::line(&format!("{},{},{}", partition.topic, partition.partition, position.offset));
        }
    }
    if json || committed.is_empty() {
        rows.show(json, &format!("group {group} has no committed offsets"));
    }
    Ok(())
}

/// Reads what [`export`] printed. Empty lines are passed over.
pub(super) fn read_file(path: &Path) -> Result<Vec<(TopicPartition, i64)>> {
    let invalid = |reason: String| Error::kafka(format!("reading {}", path.display()), reason);
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::FileUnreadable { path: path.to_owned(), source })?;
    let mut offsets = Vec::new();
    let mut seen = HashSet::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let position = parse_line(line);
        let (partition, offset) =
            position.ok_or_else(|| invalid(format!("line {number} must be topic,partition,offset")))?;
        if !seen.insert(partition.clone()) {
            return Err(invalid(format!("line {number} names {partition} again")));
        }
        offsets.push((partition, offset));
    }
    if offsets.is_empty() {
        return Err(invalid("it holds no offsets".to_owned()));
    }
    Ok(offsets)
}

fn parse_line(line: &str) -> Option<(TopicPartition, i64)> {
    let mut parts = line.trim().rsplitn(3, ',').map(|part| part.trim().trim_matches('"'));
    let offset = parts.next()?.parse().ok().filter(|offset: &i64| *offset >= 0)?;
    let partition = parts.next()?.parse().ok().filter(|partition: &i32| *partition >= 0)?;
    let topic = parts.next().filter(|topic| !topic.is_empty())?;
    Some((TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_topic_partition_and_offset() {
        assert_eq!(parse_line("orders,0,15"), Some((TopicPartition::new("orders", 0), 15)));
        assert_eq!(parse_line(" \"a.b\" , 3 , 0 "), Some((TopicPartition::new("a.b", 3), 0)));
        for line in ["orders,0", "orders,-1,5", "orders,0,-5", ",0,5", "orders,x,5"] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }
}
