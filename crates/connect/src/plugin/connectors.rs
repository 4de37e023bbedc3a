//! Connectors without their types, so that a worker can hold many kinds of them.

use std::collections::BTreeMap;

use crate::config::{ClassNames, ConfigDef, ConfigReport, Properties};
use crate::connector::{
    AnySinkConnector, AnySinkTask, AnySourceConnector, AnySourceTask, BoxFuture, ExactlyOnceSupport, SinkConnector,
    SourceConnector, SourceOffsets,
};
use crate::error::Result;
use crate::record::TopicPartition;

type Validate = for<'a> fn(&'a Properties, &'a dyn ClassNames) -> BoxFuture<'a, ConfigReport>;
type AlterSourceOffsets = for<'a> fn(&'a Properties, &'a SourceOffsets) -> BoxFuture<'a, Result<bool>>;
type AlterSinkOffsets =
    for<'a> fn(&'a Properties, &'a BTreeMap<TopicPartition, Option<i64>>) -> BoxFuture<'a, Result<bool>>;

/// A source connector; see [`SourceConnector`] for what its functions do.
#[derive(Debug, Clone)]
pub struct SourcePlugin {
    /// Full class name.
    pub class: &'static str,
    /// Class name of its tasks.
    pub task_class: &'static str,
    /// Version.
    pub version: &'static str,
    /// Its keys.
    pub config_def: fn() -> ConfigDef,
    /// Checks a configuration.
    pub validate: Validate,
    /// Whether it delivers exactly once.
    pub exactly_once_support: fn(&Properties) -> ExactlyOnceSupport,
    /// Whether its tasks can say where transactions end.
    pub can_define_transaction_boundaries: fn(&Properties) -> bool,
    /// Hears of offsets that a user changes.
    pub alter_offsets: AlterSourceOffsets,
    /// A connector that is not started.
    pub connector: fn() -> Box<dyn AnySourceConnector>,
    /// A task that is not started.
    pub task: fn() -> Box<dyn AnySourceTask>,
}

impl SourcePlugin {
    /// The plugin of a connector.
    pub fn of<C: SourceConnector>() -> SourcePlugin {
        SourcePlugin {
            class: C::CLASS,
            task_class: C::TASK_CLASS,
            version: C::VERSION,
            config_def: C::config_def,
            validate: |config, classes| Box::pin(C::validate(config, classes)),
            exactly_once_support: C::exactly_once_support,
            can_define_transaction_boundaries: C::can_define_transaction_boundaries,
            alter_offsets: |config, offsets| Box::pin(C::alter_offsets(config, offsets)),
            connector: || Box::new(C::default()),
            task: || Box::new(C::Task::default()),
        }
    }
}

/// A sink connector; see [`SinkConnector`] for what its functions do.
#[derive(Debug, Clone)]
pub struct SinkPlugin {
    /// Full class name.
    pub class: &'static str,
    /// Class name of its tasks.
    pub task_class: &'static str,
    /// Version.
    pub version: &'static str,
    /// Its keys.
    pub config_def: fn() -> ConfigDef,
    /// Checks a configuration.
    pub validate: Validate,
    /// Hears of offsets that a user changes.
    pub alter_offsets: AlterSinkOffsets,
    /// A connector that is not started.
    pub connector: fn() -> Box<dyn AnySinkConnector>,
    /// A task that is not started.
    pub task: fn() -> Box<dyn AnySinkTask>,
}

impl SinkPlugin {
    /// The plugin of a connector.
    pub fn of<C: SinkConnector>() -> SinkPlugin {
        SinkPlugin {
            class: C::CLASS,
            task_class: C::TASK_CLASS,
            version: C::VERSION,
            config_def: C::config_def,
            validate: |config, classes| Box::pin(C::validate(config, classes)),
            alter_offsets: |config, offsets| Box::pin(C::alter_offsets(config, offsets)),
            connector: || Box::new(C::default()),
            task: || Box::new(C::Task::default()),
        }
    }
}
