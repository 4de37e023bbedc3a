//! Requests about plugins.

use kanat_connect::config::{ConfigDef, Properties};
use kanat_connect::plugin::PluginKind;
use serde_json::{Value, json};

use super::connector_keys::{self, Context};
use super::report::key_json;
use super::{ConnectorPlugin, Herder, RequestError};

impl Herder {
    pub(crate) fn plugins_json(&self, connectors_only: bool) -> Value {
        let is_shown = |kind| !connectors_only || matches!(kind, PluginKind::Sink | PluginKind::Source);
        let plugins = self.plugins.list().into_iter().filter(|plugin| is_shown(plugin.kind));
        let json = plugins
            .map(|plugin| json!({ "class": plugin.class, "type": plugin.kind.name(), "version": plugin.version }));
        json.collect()
    }

    /// The keys of a plugin, those that every connector has included.
    pub(crate) fn plugin_config(&self, name: &str, version: Option<&str>) -> Result<Value, RequestError> {
        let unknown = || RequestError::not_found(format!("Unknown plugin {name}."));
        let (definition, class, own_version) = self.definition_of(name).ok_or_else(unknown)?;
        if let Some(version) = version.filter(|version| !version.is_empty() && *version != own_version) {
            return Err(RequestError::bad(format!(
                "Plugin {class} not found that matches the version range [{version},{version}], available versions: \
                 [{own_version}]"
            )));
        }
        Ok(definition.keys().filter(|key| !key.internal).map(key_json).collect())
    }

    fn definition_of(&self, name: &str) -> Option<(ConfigDef, &'static str, &'static str)> {
        let plugins = &*self.plugins;
        if let Some(connector) = self.find_connector(name) {
            let context =
                Context { plugins, version: connector.version(), converters: None, unknown_converters: [false; 3] };
            let (mut own, common) = match &connector {
                ConnectorPlugin::Source(plugin) => ((plugin.config_def)(), connector_keys::source(context)),
                ConnectorPlugin::Sink(plugin) => ((plugin.config_def)(), connector_keys::sink(context)),
            };
            for key in common.keys().filter(|key| own.key(&key.name).is_none()).cloned().collect::<Vec<_>>() {
                own = own.define(key);
            }
            return Some((own, connector.class(), connector.version()));
        }
        if let Some(plugin) = plugins.transformation(name) {
            return Some(((plugin.config_def)(), plugin.class, plugin.version));
        }
        if let Some(plugin) = plugins.predicate(name) {
            return Some(((plugin.config_def)(), plugin.class, plugin.version));
        }
        if let Some(plugin) = plugins.converter(name) {
            return Some(((plugin.config_def)(), plugin.class, plugin.version));
        }
        plugins.header_converter(name).map(|plugin| ((plugin.config_def)(), plugin.class, plugin.version))
    }

    fn find_connector(&self, name: &str) -> Option<ConnectorPlugin> {
        let source = self.plugins.source(name).cloned().map(ConnectorPlugin::Source);
        source.or_else(|| self.plugins.sink(name).cloned().map(ConnectorPlugin::Sink))
    }

    /// The plugin that a configuration names.
    pub(crate) fn plugin_of(&self, config: &Properties) -> Option<ConnectorPlugin> {
        self.find_connector(config.get("connector.class")?.as_deref()?)
    }

    /// `source`, `sink` or `unknown`.
    pub(super) fn type_name(&self, config: &Properties) -> &'static str {
        self.plugin_of(config).map_or("unknown", |plugin| plugin.type_name())
    }

    /// What is said about a class that no plugin has.
    pub(super) fn no_such_connector(&self, class: &str) -> String {
        let connectors =
            self.plugins.of_kind(PluginKind::Sink).into_iter().chain(self.plugins.of_kind(PluginKind::Source));
        let names: Vec<String> = connectors.map(|plugin| plugin.class).collect();
        format!(
            "Failed to find any class that implements Connector and which name matches {class}, available connectors \
             are: {}",
            names.join(", ")
        )
    }
}
