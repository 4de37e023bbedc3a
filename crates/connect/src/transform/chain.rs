//! A connector's chain of transforms, from the keys `transforms…` and `predicates…`.

use std::sync::Arc;

use super::{Parts, Predicate, Transformation, Verdict};
use crate::config::{
    ConfigDef, ConfigKey, ConfigType, ConfigValue, Importance, Parsed, Properties, Recommender, Width,
};
use crate::error::{Error, Result};
use crate::plugin::{PluginInfo, PluginKind, Plugins};
use crate::record::Record;

/// A record that a transform or predicate could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Class of the transform or predicate.
    pub class: &'static str,
    /// Why.
    pub error: Error,
}

/// Result of [`Chain::apply`]; the failure names the class that failed.
pub type Applied = Result<Verdict, Failed>;

/// One transform with the question that decides whether it is applied.
#[derive(Debug)]
struct Stage {
    class: &'static str,
    transformation: Box<dyn Transformation>,
    condition: Option<Condition>,
}

#[derive(Debug)]
struct Condition {
    class: &'static str,
    predicate: Box<dyn Predicate>,
    negate: bool,
}

/// Transforms in the order in which `transforms` names them.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Stage>,
}

impl Chain {
    /// The chain of a connector's configuration.
    ///
    /// # Errors
    /// The first wrong key, class or alias.
    pub fn from_config(config: &Properties, plugins: &Plugins) -> Result<Chain> {
        let stage = |alias: &String| Stage::from_config(alias, config, plugins);
        Ok(Chain { stages: aliases(config, "transforms").iter().map(stage).collect::<Result<_>>()? })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Which parts of records it reads or changes: these must be converted before.
    pub fn parts(&self) -> Parts {
        self.stages.iter().fold(Parts::NONE, |parts, stage| {
            let condition = stage.condition.as_ref().map_or(Parts::NONE, |condition| condition.predicate.parts());
            parts.or(condition).or(stage.transformation.parts())
        })
    }

    /// Applies the transforms in place, up to the one that drops the record.
    ///
    /// # Errors
    /// The record may then be half changed and must not be used.
    pub fn apply(&mut self, record: &mut Record) -> Applied {
        for stage in &mut self.stages {
            if let Some(condition) = &mut stage.condition {
                let holds = condition.predicate.test(record);
                let holds = holds.map_err(|error| Failed { class: condition.class, error })?;
                if holds == condition.negate {
                    continue;
                }
            }
            let verdict = stage.transformation.apply(record);
            if verdict.map_err(|error| Failed { class: stage.class, error })? == Verdict::Drop {
                return Ok(Verdict::Drop);
            }
        }
        Ok(Verdict::Keep)
    }
}

impl Stage {
    fn from_config(alias: &str, config: &Properties, plugins: &Plugins) -> Result<Stage> {
        let prefix = format!("transforms.{alias}.");
        let name = required(config, &format!("{prefix}type"))?;
        let plugin = plugins.transformation(name).ok_or_else(|| no_class(&format!("{prefix}type"), name))?;
        let transformation = (plugin.build)(&under(config, &prefix))?;
        let condition = match text(config, &format!("{prefix}predicate")) {
            Some(predicate) => {
                let negate = text(config, &format!("{prefix}negate"));
                let negate = negate.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
                Some(Condition::from_config(predicate.trim(), negate, config, plugins)?)
            }
            None => None,
        };
        Ok(Stage { class: plugin.class, transformation, condition })
    }
}

impl Condition {
    fn from_config(alias: &str, negate: bool, config: &Properties, plugins: &Plugins) -> Result<Condition> {
        let prefix = format!("predicates.{alias}.");
        let name = required(config, &format!("{prefix}type"))?;
        let plugin = plugins.predicate(name).ok_or_else(|| no_class(&format!("{prefix}type"), name))?;
        let predicate = (plugin.build)(&under(config, &prefix))?;
        Ok(Condition { class: plugin.class, predicate, negate })
    }
}

fn text<'a>(config: &'a Properties, key: &str) -> Option<&'a str> {
    config.get(key)?.as_deref()
}

fn required<'a>(config: &'a Properties, key: &str) -> Result<&'a str> {
    let missing = || Error::Config(format!("Missing required configuration \"{key}\" which has no default value."));
    text(config, key).map(str::trim).ok_or_else(missing)
}

fn no_class(key: &str, name: &str) -> Error {
    Error::config_value(key, name, &format!("Class {name} could not be found."))
}

/// Keys behind a prefix, without it.
fn under(config: &Properties, prefix: &str) -> Properties {
    let keys = config.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
    keys.map(|(key, value)| (key[prefix.len()..].to_owned(), value.clone())).collect()
}

/// Names in a list, each once, in the order of their first place.
fn aliases(config: &Properties, key: &str) -> Vec<String> {
    let mut aliases: Vec<String> = Vec::new();
    for alias in text(config, key).unwrap_or_default().split(',').map(str::trim) {
        if !alias.is_empty() && !aliases.iter().any(|known| known == alias) {
            aliases.push(alias.to_owned());
        }
    }
    aliases
}

/// Adds the keys of the transforms and predicates that a configuration names to the definition of its connector:
/// `transforms.<alias>.type` and so on. A class that is not known adds its `type` alone, whose check then says so.
pub fn define_chain(definition: &mut ConfigDef, config: &Properties, plugins: &Plugins) {
    for alias in aliases(config, "transforms") {
        let prefix = format!("transforms.{alias}.");
        let plugin = text(config, &format!("{prefix}type")).and_then(|name| plugins.transformation(name.trim()));
        let keys = plugin.map(|plugin| {
            let negate = ConfigKey::optional(
                "negate",
                ConfigType::Boolean,
                ConfigValue::Boolean(false),
                Importance::Medium,
                "Apply the transform to records for which the predicate does not hold.",
            );
            let predicate = ConfigKey::optional(
                "predicate",
                ConfigType::String,
                ConfigValue::Null,
                Importance::Medium,
                "Alias of the predicate that decides whether the transform is applied.",
            );
            let keys = (plugin.config_def)().keys().cloned().chain([negate, predicate]).collect::<Vec<_>>();
            (plugin.version, keys)
        });
        let known = plugins.of_kind(PluginKind::Transformation);
        define_alias(definition, "Transformation", &format!("Transforms: {alias}"), &prefix, &alias, known, keys);
    }
    for alias in aliases(config, "predicates") {
        let prefix = format!("predicates.{alias}.");
        let plugin = text(config, &format!("{prefix}type")).and_then(|name| plugins.predicate(name.trim()));
        let keys = plugin.map(|plugin| (plugin.version, (plugin.config_def)().keys().cloned().collect()));
        let known = plugins.of_kind(PluginKind::Predicate);
        define_alias(definition, "Predicate", &format!("Predicates: {alias}"), &prefix, &alias, known, keys);
    }
}

fn define_alias(
    definition: &mut ConfigDef,
    what: &str,
    group: &str,
    prefix: &str,
    alias: &str,
    known: Vec<PluginInfo>,
    plugin: Option<(&'static str, Vec<ConfigKey>)>,
) {
    let documentation = format!("Class of the {} {alias}.", what.to_lowercase());
    let ty = ConfigKey::required("type", ConfigType::Class, Importance::High, &documentation)
        .recommended(Arc::new(Choice(known.into_iter().map(|plugin| ConfigValue::Class(plugin.class)).collect())));
    let version = plugin.as_ref().map(|(version, _)| ConfigValue::String((*version).to_owned()));
    let documentation = format!("Version of the {} {alias}.", what.to_lowercase());
    let default = version.clone().unwrap_or_default();
    let version_key =
        ConfigKey::optional("plugin.version", ConfigType::String, default, Importance::High, &documentation)
            .recommended(Arc::new(Choice(version.into_iter().collect())));
    let mut keys = plugin.map_or_else(Vec::new, |(_, keys)| keys);
    // Required keys first, then by importance and name, as Connect lists them.
    keys.sort_by(|left, right| {
        let rank = |key: &ConfigKey| (key.default.is_some(), key.importance);
        rank(left).cmp(&rank(right)).then_with(|| left.name.cmp(&right.name))
    });
    let heads = ConfigDef::new()
        .define(ty.in_group(group, 0, Width::Long, &format!("{what} type for {alias}")))
        .define(version_key.in_group(group, 1, Width::Long, &format!("{what} version for {alias}")));
    let all = keys.into_iter().fold(heads, ConfigDef::define);
    definition.embed(prefix, Some(group), 0, &all);
}

/// Values to choose from, whatever the other keys are.
#[derive(Debug)]
struct Choice(Vec<ConfigValue>);

impl Recommender for Choice {
    fn valid_values(&self, _name: &str, _parsed: &Parsed) -> Vec<ConfigValue> {
        self.0.clone()
    }

    fn visible(&self, _name: &str, _parsed: &Parsed) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigReport;
    use crate::converter::SchemaAndValue;

    fn config(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
    }

    fn chain(pairs: &[(&str, &str)]) -> Result<Chain> {
        Chain::from_config(&config(pairs), &Plugins::builtin())
    }

    fn record(topic: &str) -> Record {
        Record { topic: topic.into(), value: SchemaAndValue::schemaless("v"), ..Record::default() }
    }

    const ROUTE: [(&str, &str); 3] =
        [("transforms.r.type", "RegexRouter"), ("transforms.r.regex", "(.*)"), ("transforms.r.replacement", "$1-r")];

    const MATCH: [(&str, &str); 2] = [("predicates.p.type", "TopicNameMatches"), ("predicates.p.pattern", "a.*")];

    #[test]
    fn transforms_follow_each_other() {
        let hoist = [
            ("transforms.h.type", "org.apache.kafka.connect.transforms.HoistField$Value"),
            ("transforms.h.field", "f"),
        ];
        let pairs = [&[("transforms", "r, h")][..], &ROUTE, &hoist].concat();
        let mut chain = chain(&pairs).unwrap();
        assert_eq!(chain.parts(), Parts { value: true, ..Parts::NONE });
        let mut record = record("t");
        assert_eq!(chain.apply(&mut record), Ok(Verdict::Keep));
        assert_eq!((record.topic.as_str(), record.value.value.to_string().as_str()), ("t-r", "{f=v}"));
    }

    #[test]
    fn predicates_decide() {
        for (negate, topics) in [("false", ["a-r", "b"]), ("true", ["a", "b-r"])] {
            let condition = [("transforms", "r"), ("transforms.r.predicate", "p"), ("transforms.r.negate", negate)];
            let mut chain = chain(&[&condition[..], &ROUTE, &MATCH].concat()).unwrap();
            for (from, to) in ["a", "b"].into_iter().zip(topics) {
                let mut record = record(from);
                assert_eq!(chain.apply(&mut record), Ok(Verdict::Keep));
                assert_eq!(record.topic, to);
            }
        }
        let drop = [("transforms", "f,r"), ("transforms.f.type", "Filter"), ("transforms.f.predicate", "p")];
        let mut chain = chain(&[&drop[..], &ROUTE, &MATCH].concat()).unwrap();
        assert_eq!(chain.apply(&mut record("a")), Ok(Verdict::Drop));
        assert_eq!(chain.parts(), Parts::NONE);
    }

    #[test]
    fn failures_name_the_class() {
        let cast = [
            ("transforms", "c"),
            ("transforms.c.type", "org.apache.kafka.connect.transforms.Cast$Value"),
            ("transforms.c.spec", "int8"),
        ];
        let failed = chain(&cast).unwrap().apply(&mut record("t")).unwrap_err();
        assert_eq!(failed.class, "org.apache.kafka.connect.transforms.Cast$Value");
        assert_eq!(failed.error.to_string(), "Value (v) was out of range for requested data type");
    }

    #[test]
    fn mistakes_are_errors() {
        let message = |pairs: &[(&str, &str)]| chain(pairs).unwrap_err().to_string();
        let missing = |key: &str| format!("Missing required configuration \"{key}\" which has no default value.");
        assert_eq!(message(&[("transforms", "x")]), missing("transforms.x.type"));
        assert_eq!(
            message(&[("transforms", "x"), ("transforms.x.type", "Nope")]),
            "Invalid value Nope for configuration transforms.x.type: Class Nope could not be found."
        );
        let condition = [("transforms", "r"), ("transforms.r.predicate", "q")];
        assert_eq!(message(&[&condition[..], &ROUTE].concat()), missing("predicates.q.type"));
    }

    fn report(pairs: &[(&str, &str)]) -> (ConfigDef, ConfigReport) {
        let (config, plugins) = (config(pairs), Plugins::builtin());
        let mut definition = ConfigDef::new();
        define_chain(&mut definition, &config, &plugins);
        let report = definition.validate(&config, &plugins);
        (definition, report)
    }

    #[test]
    fn reports_list_keys_as_connect_does() {
        let (definition, report) = report(&[
            ("transforms", "a,b"),
            ("transforms.a.type", "org.apache.kafka.connect.transforms.RegexRouter"),
            ("transforms.b.type", "x"),
            ("predicates", "p"),
            ("predicates.p.type", "HasHeaderKey"),
        ]);
        let keys: Vec<_> = definition.keys().map(|key| (key.name.as_str(), key.order)).collect();
        let expected = [
            ("transforms.a.type", 0),
            ("transforms.a.plugin.version", 1),
            ("transforms.a.regex", 2),
            ("transforms.a.replacement", 3),
            ("transforms.a.negate", 4),
            ("transforms.a.predicate", 5),
            ("transforms.b.type", 0),
            ("transforms.b.plugin.version", 1),
            ("predicates.p.type", 0),
            ("predicates.p.plugin.version", 1),
            ("predicates.p.name", 2),
        ];
        assert_eq!(keys, expected);
        assert_eq!(definition.groups(), ["Transforms: a", "Transforms: b", "Predicates: p"]);
        assert_eq!(definition.key("transforms.a.type").unwrap().display_name, "Transformation type for a");
        assert_eq!(
            report.errors().collect::<Vec<_>>(),
            [
                "Missing required configuration \"transforms.a.regex\" which has no default value.",
                "Invalid value null for configuration regex: Invalid regex: Cannot invoke \"String.isEmpty()\" because \
             \"this.pattern\" is null",
                "Missing required configuration \"transforms.a.replacement\" which has no default value.",
                "Invalid value x for configuration transforms.b.type: Class x could not be found.",
                "Missing required configuration \"predicates.p.name\" which has no default value.",
            ]
        );
        let versions = &report.values["transforms.a.plugin.version"];
        assert_eq!(versions.recommended_values, [ConfigValue::String(crate::VERSION.to_owned())]);
        assert!(report.values["transforms.b.type"].recommended_values.len() > 25);
    }
}
