//! Definitions and reports in the JSON of `/connector-plugins/{p}/config` and `/config/validate`.

use kanat_connect::config::{ConfigDef, ConfigKey, ConfigReport, ReportedValue};
use serde_json::{Value, json};

/// A key as both answers show it.
pub(super) fn key_json(key: &ConfigKey) -> Value {
    json!({
        "name": key.name,
        "type": key.ty.name(),
        "required": key.default.is_none(),
        "default_value": key.default.as_ref().and_then(kanat_connect::config::ConfigValue::to_text),
        "importance": key.importance.name(),
        "documentation": key.documentation,
        "group": key.group,
        "order_in_group": key.order,
        "width": key.width.name(),
        "display_name": key.display_name,
        "dependents": key.dependents,
    })
}

fn value_json(name: &str, reported: &ReportedValue) -> Value {
    let recommended: Vec<Option<String>> = reported.recommended_values.iter().map(|value| value.to_text()).collect();
    json!({
        "name": name,
        "value": reported.value.to_text(),
        "recommended_values": recommended,
        "errors": reported.errors,
        "visible": reported.visible,
    })
}

/// What several checks found about one configuration, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    groups: Vec<String>,
    keys: Vec<(Option<ConfigKey>, String, ReportedValue)>,
}

impl Findings {
    /// Adds a definition with what was found about its keys. Keys that are there already get the problems only.
    pub(super) fn add(&mut self, definition: &ConfigDef, report: ConfigReport) {
        for group in definition.groups() {
            if !self.groups.iter().any(|known| known == group) {
                self.groups.push(group.to_owned());
            }
        }
        for (name, reported) in report.values {
            match self.find(&name) {
                Some(known) => known.errors.extend(reported.errors),
                None => self.keys.push((definition.key(&name).cloned(), name, reported)),
            }
        }
    }

    /// Adds a problem to a key.
    pub(super) fn add_error(&mut self, name: &str, error: impl Into<String>) {
        match self.find(name) {
            Some(known) => known.errors.push(error.into()),
            None => {
                let reported = ReportedValue { errors: vec![error.into()], visible: true, ..ReportedValue::default() };
                self.keys.push((None, name.to_owned(), reported));
            }
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut ReportedValue> {
        self.keys.iter_mut().find(|(_, known, _)| known == name).map(|(_, _, reported)| reported)
    }

    /// Every problem, in the order of the keys.
    pub(super) fn errors(&self) -> Vec<&str> {
        self.keys.iter().flat_map(|(_, _, reported)| reported.errors.iter().map(String::as_str)).collect()
    }

    /// Whether a key has no problem so far.
    pub(super) fn is_clean(&self, name: &str) -> bool {
        self.keys.iter().all(|(_, known, reported)| known != name || reported.errors.is_empty())
    }

    pub(super) fn to_json(&self, class: &str) -> Value {
        let configs = self.keys.iter().filter(|(key, ..)| key.as_ref().is_none_or(|key| !key.internal));
        let configs = configs.map(|(key, name, reported)| {
            json!({ "definition": key.as_ref().map(key_json), "value": value_json(name, reported) })
        });
        json!({
            "name": class,
            "error_count": self.errors().len(),
            "groups": self.groups,
            "configs": configs.collect::<Vec<_>>(),
        })
    }
}
