//! Configs of consumer groups (KIP-848): how long a silent member stays, how often it is to be heard of.

use std::collections::BTreeMap;

use kanat_protocol::ErrorCode;

use crate::error::Refusal;
use crate::group::ConsumerOptions;
use crate::options::BrokerOptions;

/// A config a group can have; all are numbers.
#[derive(Debug)]
pub(crate) struct GroupConfigDef {
    pub(crate) name: &'static str,
    pub(crate) documentation: &'static str,
}

const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";

/// Every known group config, sorted by name.
pub(crate) const CONFIGS: [GroupConfigDef; 2] = [
    GroupConfigDef { name: HEARTBEAT_INTERVAL, documentation: "time between the heartbeats of a member" },
    GroupConfigDef { name: SESSION_TIMEOUT, documentation: "time after which a silent member is taken out" },
];

/// What holds for groups that set nothing.
pub(crate) fn defaults(options: &BrokerOptions) -> ConsumerOptions {
    ConsumerOptions {
        session_timeout_ms: options.consumer_group_session_timeout_ms,
        heartbeat_interval_ms: options.consumer_group_heartbeat_interval_ms,
        members_max: options.limits.group_members_max,
    }
}

/// What holds for a group that sets `own`, which was checked.
pub(crate) fn resolve(own: &BTreeMap<String, String>, defaults: ConsumerOptions) -> ConsumerOptions {
    let number = |name: &str| own.get(name).and_then(|value| value.trim().parse::<i32>().ok());
    let session_timeout_ms = number(SESSION_TIMEOUT).and_then(|number| u64::try_from(number).ok());
    ConsumerOptions {
        session_timeout_ms: session_timeout_ms.unwrap_or(defaults.session_timeout_ms),
        heartbeat_interval_ms: number(HEARTBEAT_INTERVAL).unwrap_or(defaults.heartbeat_interval_ms),
        ..defaults
    }
}

/// Value of a config as text.
pub(crate) fn value(options: &ConsumerOptions, name: &str) -> String {
    match name {
        HEARTBEAT_INTERVAL => options.heartbeat_interval_ms.to_string(),
        _ => options.session_timeout_ms.to_string(),
    }
}

/// Checks the configs of a group, in Kafka's words.
pub(crate) fn check(own: &BTreeMap<String, String>, defaults: ConsumerOptions) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal::new(ErrorCode::InvalidConfig, reason));
    for (name, value) in own {
        if !CONFIGS.iter().any(|config| config.name == name) {
            return invalid(format!("Unknown group config name: {name}"));
        }
        if !value.trim().parse::<i32>().is_ok_and(|number| number >= 1) {
            return invalid(format!("{name} = {value}: must be a number from 1 to {}", i32::MAX));
        }
    }
    let times = resolve(own, defaults);
    if u64::try_from(times.heartbeat_interval_ms).is_ok_and(|interval_ms| times.session_timeout_ms <= interval_ms) {
        return invalid(format!("{SESSION_TIMEOUT} must be greater than {HEARTBEAT_INTERVAL}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_and_sessions_outlast_heartbeats() {
        let defaults = || ConsumerOptions { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000, members_max: 9 };
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let set = own(&[(SESSION_TIMEOUT, "6000"), (HEARTBEAT_INTERVAL, "100")]);
        check(&set, defaults()).unwrap();
        let resolved = resolve(&set, defaults());
        assert_eq!((resolved.session_timeout_ms, resolved.heartbeat_interval_ms), (6_000, 100));
        for (pairs, reason) in [
            ([(SESSION_TIMEOUT, "5000")].as_slice(), "must be greater than"),
            (&[(SESSION_TIMEOUT, "soon")], "must be a number"),
            (&[(HEARTBEAT_INTERVAL, "0")], "must be a number"),
            (&[("share.session.timeout.ms", "1")], "Unknown group config name"),
        ] {
            let refusal = check(&own(pairs), defaults()).unwrap_err();
            assert!(refusal.code == ErrorCode::InvalidConfig && refusal.reason.contains(reason), "{}", refusal.reason);
        }
    }
}
