//! Plugins by name: what a worker can run, under the names that configurations use.
//!
//! Every plugin has the full name of the Java class it replaces. As in Connect it is also found by its simple name
//! (`RegexRouter`) and by the simple name without what it ends in (`Json` for `JsonConverter`), unless two plugins would
//! have the same. Nested classes (`Cast$Value`) have no short name.

mod builtin;
mod connectors;
mod registry;

use crate::config::{ConfigDef, Properties};
use crate::converter::{Converter, HeaderConverter};
use crate::error::Result;
use crate::transform::{Predicate, Transformation};

pub use self::connectors::{SinkPlugin, SourcePlugin};
pub use self::registry::Plugins;
use std::sync::Arc;

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// A sink connector.
    Sink,
    /// A source connector.
    Source,
    /// A transform.
    Transformation,
    /// A predicate.
    Predicate,
    /// A converter of keys and values.
    Converter,
    /// A converter of headers.
    HeaderConverter,
}

impl PluginKind {
    /// Every kind, in the order of `GET /connector-plugins`.
    pub const ALL: [PluginKind; 6] = [
        PluginKind::Sink,
        PluginKind::Source,
        PluginKind::Transformation,
        PluginKind::Predicate,
        PluginKind::Converter,
        PluginKind::HeaderConverter,
    ];

    /// Name in `GET /connector-plugins`.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Sink => "sink",
            PluginKind::Source => "source",
            PluginKind::Transformation => "transformation",
            PluginKind::Predicate => "predicate",
            PluginKind::Converter => "converter",
            PluginKind::HeaderConverter => "header_converter",
        }
    }

    /// What is left out at the end of a simple name to make a shorter one.
    fn suffix(self) -> &'static str {
        match self {
            PluginKind::Sink | PluginKind::Source => "Connector",
            PluginKind::Transformation => "Transformation",
            PluginKind::Predicate => "Predicate",
            PluginKind::Converter => "Converter",
            PluginKind::HeaderConverter => "HeaderConverter",
        }
    }
}

/// A line of `GET /connector-plugins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Full class name.
    pub class: String,
    /// What it is.
    pub kind: PluginKind,
    /// Version.
    pub version: String,
}

/// A kind of plugin that is made from its configuration and nothing else.
#[derive(Debug)]
pub struct Component<T: ?Sized> {
    /// Full class name.
    pub class: &'static str,
    /// Version.
    pub version: &'static str,
    /// Its keys.
    pub config_def: fn() -> ConfigDef,
    /// Makes one from a configuration without prefix.
    pub build: fn(&Properties) -> Result<Box<T>>,
}

impl<T: ?Sized> Clone for Component<T> {
    fn clone(&self) -> Self {
        Component { ..*self }
    }
}

/// A transform.
pub type TransformationPlugin = Component<dyn Transformation>;

/// A predicate.
pub type PredicatePlugin = Component<dyn Predicate>;

/// What a converter is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConverterUse {
    /// Keys.
    Key,
    /// Values.
    Value,
}

/// A converter of keys and values, and perhaps of headers.
#[derive(Debug, Clone)]
pub struct ConverterPlugin {
    /// Full class name.
    pub class: &'static str,
    /// Version.
    pub version: &'static str,
    /// Its keys.
    pub config_def: fn() -> ConfigDef,
    /// Makes one from a configuration without prefix.
    pub build: fn(&Properties, ConverterUse) -> Result<Arc<dyn Converter>>,
}

/// A converter of headers.
#[derive(Debug, Clone)]
pub struct HeaderConverterPlugin {
    /// Full class name.
    pub class: &'static str,
    /// Version.
    pub version: &'static str,
    /// Its keys.
    pub config_def: fn() -> ConfigDef,
    /// Makes one from a configuration without prefix.
    pub build: fn(&Properties) -> Result<Arc<dyn HeaderConverter>>,
}
