//! Topics that a source creates before it writes to them, with the settings of `topic.creation.*`.

use std::collections::HashSet;

use fancy_regex::Regex;
use kanat_client::{Admin, Error as ClientError, ErrorCode, NewTopic};
use kanat_connect::config::Properties;
use kanat_connect::{Error, Result};

const PREFIX: &str = "topic.creation.";

/// A group of topics and how they are made.
#[derive(Debug, Clone)]
struct Group {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    partitions: i32,
    replication: i16,
    configs: Vec<(String, String)>,
}

/// Which topics are known to exist, and how others are made.
#[derive(Debug)]
pub(super) struct TopicCreation {
    groups: Vec<Group>,
    known: HashSet<String>,
}

impl TopicCreation {
    /// The groups of a connector. Without `topic.creation.default.*`, or when the worker does not allow it, topics get
    /// the broker's defaults.
    ///
    /// # Errors
    /// A pattern or number that is none.
    pub(super) fn new(config: &Properties, enabled: bool) -> Result<TopicCreation> {
        let given = |key: &str| config.get(&format!("{PREFIX}default.{key}")).is_some_and(Option::is_some);
        let names = config.get("topic.creation.groups").cloned().flatten().unwrap_or_default();
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let is_configured = given("replication.factor") && given("partitions");
        if !names.is_empty() && enabled && !is_configured {
            return Err(Error::Config(
                "Missing required configuration \"topic.creation.default.replication.factor\" which has no default \
                 value."
                    .to_owned(),
            ));
        }
        let groups = if is_configured && enabled {
            names.into_iter().chain(["default"]).map(|name| Group::new(config, name)).collect::<Result<_>>()?
        } else {
            Vec::new()
        };
        Ok(TopicCreation { groups, known: HashSet::new() })
    }

    /// Whether a topic is known to exist.
    pub(super) fn knows(&self, topic: &str) -> bool {
        self.known.contains(topic)
    }

    /// Makes a topic if it does not exist.
    ///
    /// # Errors
    /// The broker's refusal.
    pub(super) async fn ensure(&mut self, admin: &Admin, topic: &str) -> Result<(), ClientError> {
        match admin.create_topic(&self.new_topic(topic)).await {
            Ok(()) => {}
            Err(ClientError::Server { code: ErrorCode::TopicAlreadyExists, .. }) => {}
            Err(error) => return Err(error),
        }
        self.known.insert(topic.to_owned());
        Ok(())
    }

    fn new_topic(&self, topic: &str) -> NewTopic {
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(topic).unwrap_or(false));
        let group = self.groups.iter().find(|group| matches(&group.include) && !matches(&group.exclude));
        let Some(group) = group else { return NewTopic::new(topic, -1).with_replication(-1) };
        let new = NewTopic::new(topic, group.partitions).with_replication(group.replication);
        group.configs.iter().fold(new, |new, (key, value)| new.with_config(key, value))
    }
}

impl Group {
    fn new(config: &Properties, name: &str) -> Result<Group> {
        let own = |key: &str| config.get(&format!("{PREFIX}{name}.{key}")).cloned().flatten();
        let or_default = |key: &str| {
            own(key).or_else(|| config.get(&format!("{PREFIX}default.{key}")).cloned().flatten()).unwrap_or_default()
        };
        let patterns = |text: Option<String>| {
            let text = text.unwrap_or_default();
            let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
            let compiled: Result<Vec<Regex>> = patterns
                .map(|pattern| {
                    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                        Error::config_value(&format!("{PREFIX}{name}.include"), pattern, &error.to_string())
                    })
                })
                .collect();
            compiled
        };
        let number = |key: &str| {
            let text = or_default(key);
            let number = text.trim().parse::<i32>().ok().filter(|number| *number == -1 || *number > 0);
            number.ok_or_else(|| {
                Error::config_value(&format!("{PREFIX}{name}.{key}"), &text, "Value must be a positive number or -1")
            })
        };
        let prefix = format!("{PREFIX}{name}.");
        let known = ["include", "exclude", "partitions", "replication.factor"];
        let configs = config.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(&prefix).filter(|key| !known.contains(key))?;
            Some((key.to_owned(), value.clone()?))
        });
        let include = if name == "default" { Some(".*".to_owned()) } else { own("include") };
        let replication = number("replication.factor")?;
        Ok(Group {
            include: patterns(include)?,
            exclude: if name == "default" { Vec::new() } else { patterns(own("exclude"))? },
            partitions: number("partitions")?,
            replication: i16::try_from(replication)
                .map_err(|_| Error::config_value("replication.factor", &replication.to_string(), "is too large"))?,
            configs: configs.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creation(pairs: &[(&str, &str)], enabled: bool) -> Result<TopicCreation> {
        let config = pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), Some((*value).to_owned()))).collect();
        TopicCreation::new(&config, enabled)
    }

    const GROUPS: [(&str, &str); 7] = [
        ("groups", "small"),
        ("default.partitions", "6"),
        ("default.replication.factor", "-1"),
        ("small.include", "s-.*, t"),
        ("small.exclude", "s-big"),
        ("small.partitions", "1"),
        ("small.cleanup.policy", "compact"),
    ];

    #[test]
    fn the_first_group_that_matches_counts() {
        let creation = creation(&GROUPS, true).unwrap();
        let shape = |topic| {
            let new = creation.new_topic(topic);
            (new.partitions, new.replication, new.configs.len())
        };
        assert_eq!(shape("s-1"), (1, -1, 1));
        assert_eq!(shape("t"), (1, -1, 1));
        assert_eq!(shape("s-big"), (6, -1, 0));
        assert_eq!(shape("other"), (6, -1, 0));
    }

    #[test]
    fn without_defaults_the_broker_decides() {
        let new = creation(&[], true).unwrap().new_topic("t");
        assert_eq!((new.partitions, new.replication), (-1, -1));
        let new = creation(&GROUPS, false).unwrap().new_topic("s-1");
        assert_eq!((new.partitions, new.replication), (-1, -1));
    }

    #[test]
    fn wrong_settings_are_refused() {
        assert!(creation(&[("groups", "small")], true).is_err());
        let mut zero = GROUPS.to_vec();
        zero[2] = ("default.replication.factor", "0");
        assert!(creation(&zero, true).unwrap_err().to_string().contains("positive number or -1"));
    }
}
