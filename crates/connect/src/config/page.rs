//! The keys of a definition as a page for people.

use std::fmt::Write;

use super::{ConfigDef, ConfigKey, ConfigValue};

impl ConfigDef {
    /// The keys as Markdown: by group in the order of the groups, and within it by importance. Internal keys are left
    /// out.
    pub fn to_markdown(&self) -> String {
        let mut page = String::new();
        let groups = self.groups().into_iter().map(Some).chain([None]);
        for group in groups {
            let mut keys: Vec<&ConfigKey> =
                self.keys().filter(|key| key.group.as_deref() == group && !key.internal).collect();
            if keys.is_empty() {
                continue;
            }
            keys.sort_by_key(|key| (key.order, key.importance));
            if let Some(group) = group {
                section(&mut page, 2, group);
            } else if !page.is_empty() {
                section(&mut page, 2, "Other");
            }
            keys.into_iter().for_each(|key| write_key(&mut page, key));
        }
        page
    }
}

fn section(page: &mut String, level: usize, title: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "{} {title}\n", "#".repeat(level));
}

fn write_key(page: &mut String, key: &ConfigKey) {
    section(page, 3, &format!("`{}`", key.name));
    let _ = writeln!(page, "{}\n", key.documentation);
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(page, "- {name}: {value}");
    };
    fact("Type", &key.ty.name().to_lowercase());
    match &key.default {
        None => fact("Default", "none, it must be given"),
        Some(ConfigValue::Null) => fact("Default", "null"),
        Some(value) => fact("Default", &format!("`{}`", value.to_text().unwrap_or_default())),
    }
    if let Some(valid) = key.validator.as_ref().and_then(|validator| validator.describe()) {
        fact("Valid values", &valid);
    }
    fact("Importance", &key.importance.name().to_lowercase());
    if !key.dependents.is_empty() {
        let names: Vec<String> = key.dependents.iter().map(|name| format!("`{name}`")).collect();
        fact("Decides about", &names.join(", "));
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigType, Importance, Width, at_least, one_of};
    use super::*;

    #[test]
    fn lists_keys_by_group() {
        let key =
            |name: &str, default| ConfigKey::optional(name, ConfigType::Int, default, Importance::Low, "What for.");
        let definition = ConfigDef::new()
            .define(key("plain", ConfigValue::Null))
            .define(key("size", ConfigValue::Int(3)).validated(at_least(1)).in_group("Main", 2, Width::None, "size"))
            .define(
                ConfigKey::required("mode", ConfigType::String, Importance::High, "How.")
                    .validated(one_of(&["a", "b"]))
                    .in_group("Main", 1, Width::None, "mode")
                    .with_dependents(&["size"]),
            );
        let page = "## Main\n\n### `mode`\n\nHow.\n\n- Type: string\n- Default: none, it must be given\n- Valid values: a, \
                    b\n- Importance: high\n- Decides about: `size`\n\n### `size`\n\nWhat for.\n\n- Type: int\n- Default: \
                    `3`\n- Valid values: at least 1\n- Importance: low\n\n## Other\n\n### `plain`\n\nWhat for.\n\n- Type: \
                    int\n- Default: null\n- Importance: low\n\n";
        assert_eq!(definition.to_markdown(), page);
    }
}
