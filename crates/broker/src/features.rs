//! Features of the cluster (KIP-584): which levels are known and which are in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use parking_lot::RwLock;

use crate::error::Refusal;
use crate::journal::{Entry, Journal};

/// A feature and the levels it can have. Level 0 means that it is off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) level_min: i16,
    pub(crate) level_max: i16,
}

/// KIP-848 groups from level 1 on.
pub(crate) const GROUP_VERSION: &Feature = &Feature { name: "group.version", level_min: 0, level_max: 1 };
/// Records of the cluster's own metadata: 3.3-IV3 to 4.2-IV1, of which the last is in use.
pub(crate) const METADATA_VERSION: &Feature = &Feature { name: "metadata.version", level_min: 7, level_max: 29 };
/// The second transaction protocol (KIP-890) from level 2 on.
pub(crate) const TRANSACTION_VERSION: &Feature = &Feature { name: "transaction.version", level_min: 0, level_max: 2 };

/// All features, by name.
pub(crate) const FEATURES: [&Feature; 3] = [GROUP_VERSION, METADATA_VERSION, TRANSACTION_VERSION];

/// How far an update may go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

/// A level somebody wants.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) feature: String,
    pub(crate) level: i16,
    pub(crate) direction: Direction,
}

/// Levels by feature.
type Levels = BTreeMap<&'static str, i16>;

#[derive(Debug)]
struct State {
    /// Levels the broker started with.
    configured: Levels,
    /// Levels set since, which the journal keeps.
    set: Levels,
    /// Grows with every change.
    epoch: i64,
}

impl State {
    fn levels(&self) -> Levels {
        self.configured.iter().chain(&self.set).map(|(name, level)| (*name, *level)).collect()
    }
}

/// Levels in use.
#[derive(Debug)]
pub(crate) struct Features {
    state: RwLock<State>,
    journal: Arc<Journal>,
}

impl Features {
    /// The levels of the options, unless the journal knows better.
    pub(crate) fn new(
        configured: [(&'static Feature, i16); 2],
        restored: &BTreeMap<String, i16>,
        journal: Arc<Journal>,
    ) -> Self {
        let latest = [(METADATA_VERSION, METADATA_VERSION.level_max)];
        let configured = configured.into_iter().chain(latest).map(|(feature, level)| (feature.name, level)).collect();
        let known = FEATURES.iter().filter_map(|feature| Some((feature.name, *restored.get(feature.name)?)));
        Self { state: RwLock::new(State { configured, set: known.collect(), epoch: 1 }), journal }
    }

    pub(crate) fn level(&self, feature: &Feature) -> i16 {
        let state = self.state.read();
        state.set.get(feature.name).or_else(|| state.configured.get(feature.name)).copied().unwrap_or(0)
    }

    /// Levels in use above 0, and their epoch.
    pub(crate) fn finalized(&self) -> (Levels, i64) {
        let state = self.state.read();
        let mut levels = state.levels();
        levels.retain(|_, level| *level > 0);
        (levels, state.epoch)
    }

    /// Makes all updates or none.
    pub(crate) fn update(&self, updates: &[Update], validate_only: bool) -> Result<(), Refusal> {
        let checked = {
            let mut state = self.state.write();
            let levels = state.levels();
            let checked: Levels = updates.iter().map(|update| check(update, &levels)).collect::<Result<_, _>>()?;
            if validate_only {
                return Ok(());
            }
            state.epoch += 1;
            state.set.extend(&checked);
            checked
        };
        self.journal.append(&entries(&checked)).map_err(|error| Refusal::storage(&error))
    }

    /// Journal entries that set the levels anew.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        entries(&self.state.read().set)
    }
}

fn entries(levels: &Levels) -> Vec<Entry> {
    levels.iter().map(|(name, level)| Entry::Feature { name: (*name).to_owned(), level: *level }).collect()
}

/// The level an update sets, by the rules of Kafka's controller and in its words.
fn check(update: &Update, levels: &Levels) -> Result<(&'static str, i16), Refusal> {
    let Update { feature: name, level, direction } = update;
    let invalid = |reason: String| {
        let reason = format!("Invalid update version {level} for feature {name}. {reason}");
        Err(Refusal::new(ErrorCode::InvalidUpdateVersion, reason))
    };
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        return invalid("Local controller 0 does not support this feature.".to_owned());
    };
    if *level < 0 {
        return invalid("A feature version cannot be less than 0.".to_owned());
    }
    let (min, max) = (feature.level_min, feature.level_max);
    if *level > max || (*level != 0 && *level < min) {
        return invalid(format!("Local controller 0 only supports versions {min}-{max}"));
    }
    let current = levels.get(feature.name).copied().unwrap_or(0);
    if *level < current {
        if *feature == METADATA_VERSION {
            return invalid("Unsafe metadata downgrade is not supported in this version.".to_owned());
        }
        if *direction == Direction::Upgrade {
            let reason = "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                          unsafe downgrade.";
            return invalid(reason.to_owned());
        }
    } else if *level > current && *direction != Direction::Upgrade {
        return invalid("Can't downgrade to a newer version.".to_owned());
    }
    Ok((feature.name, *level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_up_freely_and_down_on_demand() {
        let journal = Arc::new(Journal::in_memory());
        let restored = BTreeMap::from([("group.version".to_owned(), 0)]);
        let features = Features::new([(GROUP_VERSION, 1), (TRANSACTION_VERSION, 2)], &restored, journal);
        assert_eq!(features.level(GROUP_VERSION), 0, "the journal knows better");
        let update = |name: &str, level: i16, direction: Direction| {
            features.update(&[Update { feature: name.to_owned(), level, direction }], false)
        };
        update("group.version", 1, Direction::Upgrade).unwrap();
        update("transaction.version", 1, Direction::SafeDowngrade).unwrap();
        assert_eq!((features.level(GROUP_VERSION), features.level(TRANSACTION_VERSION)), (1, 1));
        for (name, level, direction, reason) in [
            ("share.version", 1, Direction::Upgrade, "does not support this feature"),
            ("group.version", 2, Direction::Upgrade, "only supports versions 0-1"),
            ("group.version", -1, Direction::Upgrade, "cannot be less than 0"),
            ("group.version", 0, Direction::Upgrade, "without setting the upgrade type"),
            ("transaction.version", 2, Direction::SafeDowngrade, "Can't downgrade to a newer version"),
            ("metadata.version", 20, Direction::UnsafeDowngrade, "metadata downgrade is not supported"),
        ] {
            let refusal = update(name, level, direction).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidUpdateVersion, "{name} {level}");
            assert!(refusal.reason.contains(reason), "{}", refusal.reason);
        }
        let both = [("transaction.version", 2), ("group.version", 9)];
        let both = both.map(|(name, level)| Update { feature: name.to_owned(), level, direction: Direction::Upgrade });
        features.update(&both, false).unwrap_err();
        assert_eq!(features.level(TRANSACTION_VERSION), 1, "all or none");
        assert_eq!(features.finalized().1, 3);
    }
}
