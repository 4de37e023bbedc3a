//! The registry.

use std::collections::{BTreeMap, HashMap};

use super::builtin;
use super::{
    ConverterPlugin, HeaderConverterPlugin, PluginInfo, PluginKind, PredicatePlugin, SinkPlugin, SourcePlugin,
    TransformationPlugin,
};
use crate::config::ClassNames;
use crate::connector::{SinkConnector, SourceConnector};

/// Every plugin of a worker, by class name.
#[derive(Debug, Clone, Default)]
pub struct Plugins {
    sinks: BTreeMap<&'static str, SinkPlugin>,
    sources: BTreeMap<&'static str, SourcePlugin>,
    transformations: BTreeMap<&'static str, TransformationPlugin>,
    predicates: BTreeMap<&'static str, PredicatePlugin>,
    converters: BTreeMap<&'static str, ConverterPlugin>,
    header_converters: BTreeMap<&'static str, HeaderConverterPlugin>,
    /// Class by short name; `None` for a name that several classes would have.
    aliases: HashMap<String, Option<&'static str>>,
}

impl Plugins {
    /// No plugins.
    pub fn empty() -> Plugins {
        Plugins::default()
    }

    /// The converters, transforms and predicates of this crate; no connectors.
    pub fn builtin() -> Plugins {
        let mut plugins = Plugins::empty();
        builtin::register(&mut plugins);
        plugins
    }

    /// Adds a sink connector.
    #[must_use]
    pub fn with_sink<C: SinkConnector>(mut self) -> Plugins {
        let plugin = SinkPlugin::of::<C>();
        self.name(plugin.class, PluginKind::Sink);
        self.sinks.insert(plugin.class, plugin);
        self
    }

    /// Adds a source connector.
    #[must_use]
    pub fn with_source<C: SourceConnector>(mut self) -> Plugins {
        let plugin = SourcePlugin::of::<C>();
        self.name(plugin.class, PluginKind::Source);
        self.sources.insert(plugin.class, plugin);
        self
    }

    /// Adds a transform.
    pub fn add_transformation(&mut self, plugin: TransformationPlugin) {
        self.name(plugin.class, PluginKind::Transformation);
        self.transformations.insert(plugin.class, plugin);
    }

    /// Adds a predicate.
    pub fn add_predicate(&mut self, plugin: PredicatePlugin) {
        self.name(plugin.class, PluginKind::Predicate);
        self.predicates.insert(plugin.class, plugin);
    }

    /// Adds a converter of keys and values.
    pub fn add_converter(&mut self, plugin: ConverterPlugin) {
        self.name(plugin.class, PluginKind::Converter);
        self.converters.insert(plugin.class, plugin);
    }

    /// Adds a converter of headers.
    pub fn add_header_converter(&mut self, plugin: HeaderConverterPlugin) {
        self.name(plugin.class, PluginKind::HeaderConverter);
        self.header_converters.insert(plugin.class, plugin);
    }

    /// A sink connector by its class or a short name.
    pub fn sink(&self, name: &str) -> Option<&SinkPlugin> {
        self.sinks.get(self.class_of(name))
    }

    /// A source connector by its class or a short name.
    pub fn source(&self, name: &str) -> Option<&SourcePlugin> {
        self.sources.get(self.class_of(name))
    }

    /// A transform by its class or a short name.
    pub fn transformation(&self, name: &str) -> Option<&TransformationPlugin> {
        self.transformations.get(self.class_of(name))
    }

    /// A predicate by its class or a short name.
    pub fn predicate(&self, name: &str) -> Option<&PredicatePlugin> {
        self.predicates.get(self.class_of(name))
    }

    /// A converter of keys and values by its class or a short name.
    pub fn converter(&self, name: &str) -> Option<&ConverterPlugin> {
        self.converters.get(self.class_of(name))
    }

    /// A converter of headers by its class or a short name.
    pub fn header_converter(&self, name: &str) -> Option<&HeaderConverterPlugin> {
        self.header_converters.get(self.class_of(name))
    }

    /// Every plugin of a kind, by class name.
    pub fn of_kind(&self, kind: PluginKind) -> Vec<PluginInfo> {
        let info = |(class, version): (&&'static str, &'static str)| PluginInfo {
            class: (*class).to_owned(),
            kind,
            version: version.to_owned(),
        };
        match kind {
            PluginKind::Sink => self.sinks.iter().map(|(class, plugin)| info((class, plugin.version))).collect(),
            PluginKind::Source => self.sources.iter().map(|(class, plugin)| info((class, plugin.version))).collect(),
            PluginKind::Transformation => {
                self.transformations.iter().map(|(class, plugin)| info((class, plugin.version))).collect()
            }
            PluginKind::Predicate => {
                self.predicates.iter().map(|(class, plugin)| info((class, plugin.version))).collect()
            }
            PluginKind::Converter => {
                self.converters.iter().map(|(class, plugin)| info((class, plugin.version))).collect()
            }
            PluginKind::HeaderConverter => {
                self.header_converters.iter().map(|(class, plugin)| info((class, plugin.version))).collect()
            }
        }
    }

    /// Every plugin, in the order of `GET /connector-plugins`.
    pub fn list(&self) -> Vec<PluginInfo> {
        PluginKind::ALL.into_iter().flat_map(|kind| self.of_kind(kind)).collect()
    }

    fn class_of<'a>(&self, name: &'a str) -> &'a str
    where
        'static: 'a,
    {
        self.aliases.get(name).copied().flatten().unwrap_or(name)
    }

    /// Gives a class its short names.
    fn name(&mut self, class: &'static str, kind: PluginKind) {
        let simple = class.rsplit('.').next().unwrap_or(class);
        if simple.contains('$') || simple == class {
            return;
        }
        let mut short = simple.strip_suffix(kind.suffix()).unwrap_or(simple);
        if short.is_empty() {
            short = simple;
        }
        self.alias(simple, class);
        self.alias(short, class);
        let without_direction = |suffix| simple.strip_suffix(suffix).filter(|short: &&str| !short.is_empty());
        if let Some(short) = without_direction("SinkConnector").or_else(|| without_direction("SourceConnector")) {
            self.alias(short, class);
        }
    }

    fn alias(&mut self, alias: &str, class: &'static str) {
        let known = self.aliases.entry(alias.to_owned()).or_insert(Some(class));
        if *known != Some(class) {
            *known = None;
        }
    }
}

impl ClassNames for Plugins {
    fn resolve(&self, name: &str) -> Option<String> {
        let class = self.class_of(name);
        let known = self.sinks.contains_key(class)
            || self.sources.contains_key(class)
            || self.transformations.contains_key(class)
            || self.predicates.contains_key(class)
            || self.converters.contains_key(class)
            || self.header_converters.contains_key(class);
        known.then(|| class.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_connect_has_them() {
        let plugins = Plugins::builtin();
        for name in ["org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "Json"] {
            let converter = plugins.converter(name).map(|plugin| plugin.class);
            assert_eq!(converter, Some("org.apache.kafka.connect.json.JsonConverter"), "{name}");
        }
        assert!(plugins.header_converter("SimpleHeaderConverter").is_some());
        assert!(plugins.converter("SimpleHeaderConverter").is_none());
        assert_eq!(plugins.resolve("json"), None, "names have their case");
        assert_eq!(plugins.resolve("Nope"), None);
    }

    #[test]
    fn a_name_of_two_is_nobodys() {
        let mut plugins = Plugins::empty();
        plugins.name("a.FileStreamSinkConnector", PluginKind::Sink);
        plugins.name("a.FileStreamSourceConnector", PluginKind::Source);
        assert_eq!(plugins.class_of("FileStreamSink"), "a.FileStreamSinkConnector");
        assert_eq!(plugins.class_of("FileStreamSourceConnector"), "a.FileStreamSourceConnector");
        assert_eq!(plugins.class_of("FileStream"), "FileStream");
    }

    #[test]
    fn lists_kinds_in_order() {
        let list = Plugins::builtin().list();
        assert!(list.is_sorted_by_key(|plugin| (plugin.kind, plugin.class.clone())));
        let numbers = list.iter().filter(|plugin| plugin.class.ends_with(".LongConverter"));
        let kinds: Vec<&str> = numbers.map(|plugin| plugin.kind.name()).collect();
        assert_eq!(kinds, ["converter", "header_converter"]);
    }
}
