//! Configs that administrators change while the broker runs: of topics, of all nodes, of groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use parking_lot::{Mutex, RwLock};

use super::{Cluster, unknown_topic};
use crate::error::Refusal;
use crate::group::ConsumerOptions;
use crate::group_config;
use crate::journal::{ConfigOwner, Entry};
use crate::topic::TopicConfigs;
use crate::topic_config::{self, LogConfig, TopicDefaults, find, find_by_broker_name};

/// Values by name.
type Values = BTreeMap<String, String>;

/// What is set for all nodes and for groups.
#[derive(Debug)]
pub(super) struct Configs {
    topic_defaults: RwLock<Arc<TopicDefaults>>,
    groups: Mutex<BTreeMap<String, Values>>,
}

impl Configs {
    /// Configs from the options and the journal.
    pub(super) fn new(topic_defaults: &Values, restored: &BTreeMap<ConfigOwner, Values>) -> Self {
        let nodes = restored.get(&ConfigOwner::Nodes).cloned().unwrap_or_default();
        let by_topic_name =
            |(name, value): (String, String)| Some((find_by_broker_name(&name)?.name.to_owned(), value));
        let dynamic = nodes.into_iter().filter_map(by_topic_name).collect();
        let defaults = TopicDefaults { dynamic, fixed: topic_defaults.clone() };
        let groups = restored.iter().filter_map(|(owner, values)| match owner {
            ConfigOwner::Nodes => None,
            ConfigOwner::Group(group) => Some((group.clone(), values.clone())),
        });
        Self { topic_defaults: RwLock::new(Arc::new(defaults)), groups: Mutex::new(groups.collect()) }
    }
}

impl Cluster {
    /// Values of topics that do not set a config themselves.
    pub(crate) fn topic_defaults(&self) -> Arc<TopicDefaults> {
        Arc::clone(&self.configs.topic_defaults.read())
    }

    pub(super) fn resolve_configs(&self, own: Values) -> TopicConfigs {
        let log = LogConfig::new(&own, &self.topic_defaults());
        TopicConfigs { own, log }
    }

    /// Replaces the configs of a topic by what `change` makes of them.
    pub(crate) fn change_topic_configs(
        &self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&mut Values) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let topic = self.topic(name).ok_or_else(|| unknown_topic(name))?;
        let mut own = topic.configs().own.clone();
        change(&mut own)?;
        for (name, value) in &own {
            topic_config::check(name, value).map_err(|reason| Refusal::new(ErrorCode::InvalidConfig, reason))?;
        }
        if validate_only {
            return Ok(());
        }
        topic.set_configs(self.resolve_configs(own));
        self.journal_entries(&[topic.entry()])
    }

    /// What is set for all nodes, by the names nodes have for it.
    pub(crate) fn node_configs(&self) -> Values {
        let defaults = self.topic_defaults();
        let by_broker_name =
            |(name, value): (&String, &String)| Some((find(name)?.broker_name.to_owned(), value.clone()));
        defaults.dynamic.iter().filter_map(by_broker_name).collect()
    }

    /// Replaces what is set for all nodes by what `change` makes of it. Topics that leave it open follow at once.
    pub(crate) fn change_node_configs(
        &self,
        validate_only: bool,
        change: impl FnOnce(&mut Values) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let mut values = self.node_configs();
        change(&mut values)?;
        let mut dynamic = Values::new();
        for (name, value) in &values {
            let unknown = || Refusal::new(ErrorCode::InvalidConfig, format!("Unknown broker config name: {name}"));
            let config = find_by_broker_name(name).ok_or_else(unknown)?;
            let checked = topic_config::check(config.name, value);
            checked.map_err(|reason| Refusal::new(ErrorCode::InvalidConfig, format!("{name} ({reason})")))?;
            dynamic.insert(config.name.to_owned(), value.clone());
        }
        if validate_only {
            return Ok(());
        }
        let fixed = self.options.topic_defaults.clone();
        *self.configs.topic_defaults.write() = Arc::new(TopicDefaults { dynamic, fixed });
        for topic in self.topics() {
            topic.set_configs(self.resolve_configs(topic.configs().own.clone()));
        }
        self.journal_entries(&[Entry::Configs { owner: ConfigOwner::Nodes, values }])
    }

    /// What is set for a group.
    pub(crate) fn group_configs(&self, group: &str) -> Values {
        self.configs.groups.lock().get(group).cloned().unwrap_or_default()
    }

    /// What holds for a KIP-848 group.
    pub(crate) fn group_options(&self, group: &str) -> ConsumerOptions {
        group_config::resolve(&self.group_configs(group), group_config::defaults(&self.options))
    }

    /// Replaces what is set for a group by what `change` makes of it.
    pub(crate) fn change_group_configs(
        &self,
        group: &str,
        validate_only: bool,
        change: impl FnOnce(&mut Values) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.changes.lock();
        let mut values = self.group_configs(group);
        change(&mut values)?;
        group_config::check(&values, group_config::defaults(&self.options))?;
        if validate_only {
            return Ok(());
        }
        if values.is_empty() {
            self.configs.groups.lock().remove(group);
        } else {
            self.configs.groups.lock().insert(group.to_owned(), values.clone());
        }
        self.journal_entries(&[Entry::Configs { owner: ConfigOwner::Group(group.to_owned()), values }])
    }

    /// Journal entries that make the configs of nodes and groups anew.
    pub(super) fn config_snapshot(&self) -> Vec<Entry> {
        let nodes = Entry::Configs { owner: ConfigOwner::Nodes, values: self.node_configs() };
        let groups = self.configs.groups.lock();
        let groups = groups.iter().map(|(group, values)| {
            let owner = ConfigOwner::Group(group.clone());
            Entry::Configs { owner, values: values.clone() }
        });
        std::iter::once(nodes).chain(groups).collect()
    }
}
