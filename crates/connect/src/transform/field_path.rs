//! Where a field is: its name, or with the syntax `V2` a path into nested structs and maps.

use super::part::{no_map, no_struct};
use crate::data::{Field, Map, Schema, Struct, Type, Value};
use crate::error::{Error, Result};

/// A path to one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPath {
    steps: Vec<String>,
}

impl FieldPath {
    /// A path of one step.
    pub(super) fn v1(name: &str) -> FieldPath {
        FieldPath { steps: vec![name.to_owned()] }
    }

    /// Steps apart by dots. A step in backticks may have dots, and backticks behind a backslash.
    pub(super) fn v2(path: &str) -> Result<FieldPath> {
        let (mut steps, mut rest) = (Vec::new(), path);
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('`') {
                Some(quoted) => quoted_step(path, quoted)?,
                None => match rest.split_once('.') {
                    Some((step, after)) => (step.to_owned(), after),
                    None => (rest.to_owned(), ""),
                },
            };
            steps.push(step);
            rest = after;
        }
        if path.is_empty() || path.ends_with('.') {
            steps.push(String::new());
        }
        Ok(FieldPath { steps })
    }

    fn last(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }

    fn parents(&self) -> &[String] {
        &self.steps[..self.steps.len().saturating_sub(1)]
    }

    /// The field in a schema.
    pub(super) fn field<'a>(&self, schema: &'a Schema) -> Result<Option<&'a Field>> {
        let mut schema = schema;
        let mut found = None;
        for step in &self.steps {
            if schema.ty() != Type::Struct {
                return Err(Error::data("Cannot look up fields on non-struct type"));
            }
            let Some(field) = schema.field(step) else { return Ok(None) };
            schema = &field.schema;
            found = Some(field);
        }
        Ok(found)
    }

    /// The value in a map; null when there is nothing on the way.
    pub(super) fn in_map(&self, map: &Map) -> Result<Value> {
        let mut map = map;
        for step in self.parents() {
            match map.get_str(step) {
                None | Some(Value::Null) => return Ok(Value::Null),
                Some(Value::Map(inner)) => map = inner,
                Some(other) => return Err(no_map(other, "nested field access")),
            }
        }
        Ok(map.get_str(self.last()).cloned().unwrap_or_default())
    }

    /// The value in a struct, which must have the field; null when something on the way is null.
    pub(super) fn in_struct(&self, fields: &Struct, replace_null: bool) -> Result<Value> {
        let mut fields = fields;
        for step in self.parents() {
            match fields.get(step)? {
                Value::Null => return Ok(Value::Null),
                Value::Struct(inner) => fields = inner,
                other => return Err(no_struct(other, "nested field access")),
            }
        }
        let value = if replace_null { fields.get(self.last()) } else { fields.get_without_default(self.last()) };
        value.cloned()
    }
}

/// Behind the first backtick: the step, and what follows its dot.
fn quoted_step<'a>(path: &str, quoted: &'a str) -> Result<(String, &'a str)> {
    let mut step = String::new();
    let mut rest = quoted;
    while let Some((before, after)) = rest.split_once('`') {
        match before.strip_suffix('\\') {
            Some(before) => {
                step.push_str(before);
                step.push('`');
            }
            None => {
                step.push_str(before);
                if after.is_empty() {
                    return Ok((step, ""));
                }
                if let Some(after) = after.strip_prefix('.') {
                    return Ok((step, after));
                }
                step.push('`');
            }
        }
        rest = after;
    }
    let position = path.len() - quoted.len() - 1;
    Err(Error::Config(format!(
        "Incomplete backtick pair in path: [{path}], consider adding a backslash before backtick at position \
         {position} to escape it"
    )))
}
