//! Topics a group of consumers is subscribed to, read from what the members sent when they joined.

use std::collections::BTreeSet;

use super::state::Group;

/// Protocol type of groups whose members are consumers.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Topics some member subscribes to. Metadata that does not read as a subscription names none.
pub(super) fn topics(group: &Group) -> BTreeSet<String> {
    if group.protocol_type() != CONSUMER_PROTOCOL_TYPE {
        return BTreeSet::new();
    }
    let members = group.members().iter();
    members.flat_map(|member| &member.protocols).filter_map(|offered| parse(&offered.metadata)).flatten().collect()
}

/// A subscription begins with a 16-bit version and an array of topic names.
fn parse(metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        rest = tail;
    }
    Some(topics)
}
