//! `kanat group reset`: moves the committed offsets of a group that nobody is a member of.

use std::collections::HashMap;

use kanat_client::{Client, Error as ClientError, OffsetAndMetadata, OffsetSpec, TopicPartition};
use kanat_protocol::ErrorCode;
use kanat_sync::{Error, Result};
use serde_json::json;

use super::expand;
use super::positions::{Committed, committed, offsets, read_file};
use crate::args::ResetArgs;
use crate::output::{Rows, complain, counted};

/// Where the log of a partition begins and ends.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    first: i64,
    end: i64,
}

/// Works out the new offsets, shows them, and commits them with `--execute`.
pub(super) async fn run(client: &Client, args: &ResetArgs, json: bool) -> Result<()> {
    let group = args.group.as_str();
    require_no_members(client, group, args.execute).await?;
    let committed = committed(client, group).await?;
    let targets = targets(client, args, &committed).await?;
    let mut rows = Rows::new(&["topic", "partition", "current", "new", "end"]);
    let mut wanted = Vec::with_capacity(targets.len());
    for (partition, target, bounds) in targets {
        let current = committed.get(&partition).map(|position| position.offset);
        rows.push(vec![
            json!(&*partition.topic),
            json!(partition.partition),
            json!(current),
            json!(target),
            json!(bounds.end),
        ]);
        wanted.push((partition, OffsetAndMetadata::new(target)));
    }
    if args.execute {
        commit(client, group, &wanted).await?;
    }
    rows.show(json, "no partitions");
    if !args.execute {
        complain("nothing was changed; add --execute to commit these offsets");
    }
    Ok(())
}

/// Refuses a group that has members, which would commit over what is set here.
async fn require_no_members(client: &Client, group: &str, execute: bool) -> Result<()> {
    let action = || format!("resetting group {group}");
    let described = client.admin().describe_groups(&[group]).await.map_err(|error| Error::kafka(action(), error))?;
    for (_, outcome) in described {
        match outcome {
            Ok(described) if described.members.is_empty() => {}
            Ok(_) if execute => {
                return Err(Error::kafka(action(), ClientError::GroupActive { group: group.into() }));
            }
            Ok(described) => complain(&format!(
                "warning: group {group} has {}; stop them before --execute",
                counted(described.members.len(), "member")
            )),
            // A group that does not exist yet gets its first offsets.
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {}
            Err(error) => return Err(Error::kafka(action(), error)),
        }
    }
    Ok(())
}

async fn commit(client: &Client, group: &str, wanted: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
    let fail = |error| Error::kafka(format!("resetting group {group}"), error);
    for (_, outcome) in client.admin().alter_group_offsets(group, wanted).await.map_err(fail)? {
        outcome.map_err(fail)?;
    }
    Ok(())
}

/// Partitions, their new offsets and their bounds.
async fn targets(
    client: &Client,
    args: &ResetArgs,
    committed: &Committed,
) -> Result<Vec<(TopicPartition, i64, Bounds)>> {
    let from_file: Option<HashMap<TopicPartition, i64>> = match &args.from_file {
        Some(path) => Some(read_file(path)?.into_iter().collect()),
        None => None,
    };
    let mut partitions: Vec<TopicPartition> = match &from_file {
        Some(offsets) => offsets.keys().cloned().collect(),
        None if args.topics.is_empty() => committed.keys().cloned().collect(),
        None => expand(client, &args.topics).await?,
    };
    partitions.sort_unstable();
    if partitions.is_empty() {
        let reason = "it has no committed offsets; name topics with --topic";
        return Err(Error::kafka(format!("resetting group {}", args.group), reason));
    }
    let first = offsets(client, &partitions, OffsetSpec::Earliest).await?;
    let end = offsets(client, &partitions, OffsetSpec::Latest).await?;
    let time = args.to_datetime.or(args.by_duration);
    let dated = match time {
        Some(time) => offsets(client, &partitions, OffsetSpec::Timestamp(time)).await?,
        None => HashMap::new(),
    };
    let mut targets = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (Some(&first), Some(&end)) = (first.get(&partition), end.get(&partition)) else {
            let reason = format!("{partition} does not exist any more; name the topics to reset with --topic");
            return Err(Error::kafka(format!("resetting group {}", args.group), reason));
        };
        let bounds = Bounds { first, end };
        let current = committed.get(&partition).map(|position| position.offset);
        let filed = from_file.as_ref().and_then(|offsets| offsets.get(&partition).copied());
        let target = target(args, bounds, current, dated.get(&partition).copied(), filed)
            .ok_or_else(|| Error::kafka(format!("resetting group {}", args.group), no_current(&partition)))?;
        if target != target.clamp(first, end) {
            complain(&format!(
                "warning: {target} is outside {partition}, which holds {first} to {end}; its nearest end is taken"
            ));
        }
        targets.push((partition, target.clamp(first, end), bounds));
    }
    Ok(targets)
}

fn no_current(partition: &TopicPartition) -> String {
    format!("{partition} has no committed offset to start from; use --to-earliest, --to-latest or --to-offset")
}

/// The new offset of a partition, before it is held against the bounds. `None` when it needs a current one and there is
/// none.
fn target(
    args: &ResetArgs,
    bounds: Bounds,
    current: Option<i64>,
    dated: Option<i64>,
    filed: Option<i64>,
) -> Option<i64> {
    if args.to_earliest {
        return Some(bounds.first);
    }
    if args.to_latest {
        return Some(bounds.end);
    }
    if let Some(records) = args.shift_by {
        return current.map(|current| current.saturating_add(records));
    }
    // No record is that young: whatever comes next is.
    let dated = dated.map(|offset| if offset < 0 { bounds.end } else { offset });
    args.to_offset.or(dated).or(filed).or(current)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, GroupCommand};

    fn args(flags: &str) -> ResetArgs {
        let cli = Cli::try_parse_from(format!("kanat group reset g {flags}").split_whitespace()).unwrap();
        let Command::Group(group) = cli.command else { panic!("group was asked for") };
        let GroupCommand::Reset(args) = group.command else { panic!("reset was asked for") };
        args
    }

    #[test]
    fn every_way_to_reset_gives_its_offset() {
        let bounds = Bounds { first: 10, end: 50 };
        for (flags, expected) in [
            ("--to-earliest", Some(10)),
            ("--to-latest", Some(50)),
            ("--to-current", Some(30)),
            ("--to-offset 44", Some(44)),
            ("--shift-by -5", Some(25)),
            ("--shift-by 7", Some(37)),
            ("--to-datetime 2026-01-01", Some(40)),
        ] {
            let dated = flags.contains("datetime").then_some(40);
            assert_eq!(target(&args(flags), bounds, Some(30), dated, None), expected, "{flags}");
        }
        assert_eq!(target(&args("--to-datetime now"), bounds, Some(30), Some(-1), None), Some(50));
        assert_eq!(target(&args("--from-file f"), bounds, Some(30), None, Some(12)), Some(12));
        assert_eq!(target(&args("--shift-by 1"), bounds, None, None, None), None);
    }

    #[test]
    fn exactly_one_way_is_given_and_nothing_is_done_unasked() {
        let parse = |flags: &str| Cli::try_parse_from(format!("kanat group reset g {flags}").split_whitespace());
        assert!(parse("").is_err());
        assert!(parse("--to-earliest --to-latest").is_err());
        assert!(parse("--to-earliest --execute --dry-run").is_err());
        assert!(!args("--to-earliest").execute);
        assert!(!args("--to-earliest --dry-run").execute);
    }
}
