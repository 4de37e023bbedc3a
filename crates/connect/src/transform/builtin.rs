//! The transforms and predicates of Kafka Connect, under its names.

use super::cast::Cast;
use super::fields::{ExtractField, HeaderFrom, MaskField, ReplaceField};
use super::flatten::Flatten;
use super::insert_field::InsertField;
use super::part::Part;
use super::predicates::{HasHeaderKey, RecordIsTombstone, TopicNameMatches};
use super::routers::{RegexRouter, TimestampRouter};
use super::simple::{DropHeaders, Filter, HoistField, InsertHeader, SetSchemaMetadata, ValueToKey};
use super::timestamp_converter::TimestampConverter;
use crate::VERSION;
use crate::config::ConfigDef;
use crate::plugin::{Plugins, PredicatePlugin, TransformationPlugin};

macro_rules! transformation {
    ($plugins:ident, $class:expr, $config_def:expr, $build:expr) => {
        $plugins.add_transformation(TransformationPlugin {
            class: $class,
            version: VERSION,
            config_def: $config_def,
            build: |config| {
                let build = $build;
                Ok(Box::new(build(config)?))
            },
        });
    };
}

/// For keys and for values.
macro_rules! both {
    ($plugins:ident, $name:literal, $transform:ident) => {
        transformation!(
            $plugins,
            concat!("org.apache.kafka.connect.transforms.", $name, "$Key"),
            $transform::config_def,
            |config| $transform::build(config, Part::Key)
        );
        transformation!(
            $plugins,
            concat!("org.apache.kafka.connect.transforms.", $name, "$Value"),
            $transform::config_def,
            |config| $transform::build(config, Part::Value)
        );
    };
}

macro_rules! one {
    ($plugins:ident, $name:literal, $transform:ident) => {
        transformation!(
            $plugins,
            concat!("org.apache.kafka.connect.transforms.", $name),
            $transform::config_def,
            $transform::build
        );
    };
}

macro_rules! predicate {
    ($plugins:ident, $name:literal, $config_def:expr, $build:expr) => {
        $plugins.add_predicate(PredicatePlugin {
            class: concat!("org.apache.kafka.connect.transforms.predicates.", $name),
            version: VERSION,
            config_def: $config_def,
            build: |config| {
                let build = $build;
                Ok(Box::new(build(config)?))
            },
        });
    };
}

/// Adds everything.
pub(crate) fn register(plugins: &mut Plugins) {
    both!(plugins, "Cast", Cast);
    both!(plugins, "ExtractField", ExtractField);
    both!(plugins, "Flatten", Flatten);
    both!(plugins, "HeaderFrom", HeaderFrom);
    both!(plugins, "HoistField", HoistField);
    both!(plugins, "InsertField", InsertField);
    both!(plugins, "MaskField", MaskField);
    both!(plugins, "ReplaceField", ReplaceField);
    both!(plugins, "SetSchemaMetadata", SetSchemaMetadata);
    both!(plugins, "TimestampConverter", TimestampConverter);
    one!(plugins, "DropHeaders", DropHeaders);
    one!(plugins, "InsertHeader", InsertHeader);
    one!(plugins, "RegexRouter", RegexRouter);
    one!(plugins, "TimestampRouter", TimestampRouter);
    one!(plugins, "ValueToKey", ValueToKey);
    transformation!(plugins, "org.apache.kafka.connect.transforms.Filter", ConfigDef::new, |_| {
        crate::Result::Ok(Filter)
    });
    super::debezium::register(plugins);
    predicate!(plugins, "HasHeaderKey", HasHeaderKey::config_def, HasHeaderKey::build);
    predicate!(plugins, "TopicNameMatches", TopicNameMatches::config_def, TopicNameMatches::build);
    predicate!(plugins, "RecordIsTombstone", ConfigDef::new, |_| crate::Result::Ok(RecordIsTombstone));
}
