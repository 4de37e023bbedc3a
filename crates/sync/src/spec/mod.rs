//! What a configuration file may hold, for programs that show a form: JSON schema and form layout.

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Which file is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecKind {
    /// `source.json`.
    Source,
    /// `destination.json` of type PARQUET.
    Parquet,
}

impl SpecKind {
    /// From the value of `--destination-type`; without one the source is meant.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for Iceberg, [`Error::WrongValue`] for anything unknown.
    pub fn from_destination_type(name: Option<&str>) -> Result<Self> {
        match name.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(Self::Source),
            Some("parquet") => Ok(Self::Parquet),
            Some("iceberg") => Err(Error::not_supported("command line", "--destination-type", "iceberg")),
            Some(other) => {
                Err(Error::wrong_value("command line", "--destination-type", format!("must be parquet, not {other}")))
            }
        }
    }
}

/// `{"jsonschema":{...},"uischema":"<JSON text>"}`, the layout being text as OLake prints it.
///
/// # Errors
/// [`Error::Internal`] when a description that is part of the program is not JSON.
pub fn spec(kind: SpecKind) -> Result<Value> {
    let (schema, layout) = match kind {
        SpecKind::Source => (include_str!("source.json"), include_str!("source_ui.json")),
        SpecKind::Parquet => (include_str!("parquet.json"), include_str!("parquet_ui.json")),
    };
    let parse = |text: &str| -> Result<Value> {
        serde_json::from_str(text)
            .map_err(|error| Error::Internal { reason: format!("a built-in spec is broken: {error}") })
    };
    let (schema, layout) = (parse(schema)?, parse(layout)?);
    Ok(json!({"jsonschema": schema, "uischema": layout.to_string()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DestinationConfig, SourceConfig};

    /// Every property name below `schema`, with its path.
    fn properties(schema: &Value, path: &str, out: &mut Vec<(String, Value)>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            properties(property, &path, out);
            out.push((path, property.clone()));
        }
    }

    #[test]
    fn every_described_property_has_a_title_a_description_and_is_known_to_the_reader() {
        for (kind, base) in [
            (SpecKind::Source, json!({"bootstrap_servers": "a:1", "protocol": {"security_protocol": "PLAINTEXT"}})),
            (SpecKind::Parquet, json!({"type": "PARQUET", "writer": {"local_path": "/x"}})),
        ] {
            let spec = spec(kind).unwrap();
            let mut described = Vec::new();
            properties(&spec["jsonschema"], "", &mut described);
            assert!(described.len() >= 4);
            for (path, property) in described {
                assert!(property["title"].is_string() && property["description"].is_string(), "{path}");
                let mut file = base.clone();
                let mut place = &mut file;
                for name in path.split('.') {
                    place = &mut place[name];
                }
                if place.is_null() {
                    *place = property["default"].clone();
                }
                let text = file.to_string();
                let warnings = match kind {
                    SpecKind::Source => SourceConfig::parse(&text, "f").map(|(_, warnings)| warnings),
                    SpecKind::Parquet => DestinationConfig::parse(&text, "f").map(|(_, warnings)| warnings),
                };
                assert_eq!(warnings.unwrap(), [], "{path} as described is accepted");
            }
        }
    }

    #[test]
    fn layouts_name_only_described_properties() {
        for kind in [SpecKind::Source, SpecKind::Parquet] {
            let spec = spec(kind).unwrap();
            let layout: Value = serde_json::from_str(spec["uischema"].as_str().unwrap()).unwrap();
            let properties = spec["jsonschema"]["properties"].as_object().unwrap();
            for name in layout["ui:order"].as_array().unwrap() {
                assert!(properties.contains_key(name.as_str().unwrap()), "{name}");
            }
            assert_eq!(layout["ui:order"].as_array().unwrap().len(), properties.len());
        }
    }

    #[test]
    fn destination_types_are_named_in_either_case() {
        assert_eq!(SpecKind::from_destination_type(None).unwrap(), SpecKind::Source);
        assert_eq!(SpecKind::from_destination_type(Some("PARQUET")).unwrap(), SpecKind::Parquet);
        let error = SpecKind::from_destination_type(Some("iceberg")).unwrap_err();
        assert_eq!(error.to_string(), "command line: --destination-type: iceberg is not supported in this version");
        assert!(SpecKind::from_destination_type(Some("csv")).is_err());
    }
}
