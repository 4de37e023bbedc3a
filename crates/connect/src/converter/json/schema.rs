//! Schemas as JSON: `{"type":"struct","fields":[…],"optional":false,"name":…}`.

use kanat_json::write_plain_string;

use super::read::{self, Kind};
use super::{JsonConverterOptions, write};
use crate::data::{Schema, SchemaBuilder, Type};
use crate::error::{Error, Result};

/// Appends a schema, its members in Connect's order.
pub(super) fn write(schema: &Schema, options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    members(schema, options, out)?;
    out.push(b'}');
    Ok(())
}

fn members(schema: &Schema, options: &JsonConverterOptions, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(br#""type":"#);
    write_plain_string(type_name(schema.ty()).as_bytes(), out);
    if let Some(keys) = schema.key_schema() {
        out.extend_from_slice(br#","keys":"#);
        write(keys, options, out)?;
    }
    if let Some(values) = schema.value_schema() {
        out.extend_from_slice(if schema.ty() == Type::Array { br#","items":"# } else { br#","values":"# });
        write(values, options, out)?;
    }
    if schema.ty() == Type::Struct {
        out.extend_from_slice(br#","fields":["#);
        for field in schema.fields() {
            out.extend_from_slice(if field.index == 0 { b"{" } else { b",{" });
            members(&field.schema, options, out)?;
            text_member("field", Some(&field.name), out);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.extend_from_slice(if schema.is_optional() { br#","optional":true"# } else { br#","optional":false"# });
    text_member("name", schema.name(), out);
    if let Some(version) = schema.version() {
        out.extend_from_slice(format!(r#","version":{version}"#).as_bytes());
    }
    text_member("doc", schema.doc(), out);
    if !schema.parameters().is_empty() {
        out.extend_from_slice(br#","parameters":{"#);
        for (index, (name, value)) in schema.parameters().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_plain_string(name.as_bytes(), out);
            out.push(b':');
            write_plain_string(value.as_bytes(), out);
        }
        out.push(b'}');
    }
    if let Some(default) = schema.default_value() {
        out.extend_from_slice(br#","default":"#);
        write::value(Some(schema), default, options, out)?;
    }
    Ok(())
}

fn text_member(name: &str, text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        out.extend_from_slice(format!(r#","{name}":"#).as_bytes());
        write_plain_string(text.as_bytes(), out);
    }
}

/// Reads a schema; `None` for JSON null. Schemas are read once and remembered, so this need not be fast.
pub(super) fn parse(text: &[u8], options: &JsonConverterOptions) -> Result<Option<Schema>> {
    let kind = read::kind(text)?;
    if kind == Kind::Null {
        return Ok(None);
    }
    let members = if kind == Kind::Object { read::members(text)? } else { Vec::new() };
    let get = |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, text)| *text);
    let string = |name: &str| get(name).map(read::optional_string).transpose().map(Option::flatten);
    let ty = string("type")?.ok_or_else(|| Error::data("Schema must contain 'type' field"))?;
    let inner = |member: &str, what: &str| {
        let schema = get(member).map(|text| parse(text, options)).transpose()?.flatten();
        schema.ok_or_else(|| Error::data(what))
    };
    let mut builder = match &*ty {
        "array" => Schema::array(inner("items", "Array schema did not specify the element type")?),
        "map" => Schema::map(
            inner("keys", "Map schema did not specify the key type")?,
            inner("values", "Map schema did not specify the value type")?,
        ),
        "struct" => fields(get("fields"), options)?,
        name => Schema::build(primitive(name).ok_or_else(|| Error::data(format!("Unknown schema type: {name}")))?),
    };
    builder = builder.set_optional(get("optional") == Some(b"true"));
    if let Some(name) = string("name")? {
        builder = builder.name(&name);
    }
    if let Some(text) = get("version") {
        let version = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        builder = builder.version(version.ok_or_else(|| Error::data("Schema version must be an int32"))?);
    }
    if let Some(doc) = string("doc")? {
        builder = builder.doc(&doc);
    }
    for (name, text) in get("parameters").map(read::members).transpose()?.unwrap_or_default() {
        let value = read::optional_string(text)?;
        let value = value.ok_or_else(|| Error::data("Schema parameters must have string values."))?;
        builder = builder.parameter(&name, &value);
    }
    let Some(default) = get("default") else { return builder.build().map(Some) };
    let schema = builder.clone().build()?;
    if read::kind(default)? == Kind::Null {
        return Ok(Some(schema));
    }
    let default = read::document(Some(&schema), default, options)?;
    builder.default_value(default).build().map(Some)
}

fn fields(text: Option<&[u8]>, options: &JsonConverterOptions) -> Result<SchemaBuilder> {
    let no_array = || Error::data("Struct schema's \"fields\" argument is not an array.");
    let text = text.ok_or_else(no_array)?;
    if read::kind(text)? != Kind::Array {
        return Err(no_array());
    }
    let mut builder = Schema::structure();
    for field in read::elements(text)? {
        let no_name = || Error::data("Struct schema's field name not specified properly");
        let members = if read::kind(field)? == Kind::Object { read::members(field)? } else { return Err(no_name()) };
        let name = members.iter().find(|(name, _)| name == "field").map(|(_, text)| read::optional_string(text));
        let name = name.transpose()?.flatten().ok_or_else(no_name)?;
        let schema = parse(field, options)?.ok_or_else(|| Error::data("Schema must contain 'type' field"))?;
        builder = builder.field(&name, schema);
    }
    Ok(builder)
}

/// The name of a type: Java's names for the floating-point ones differ from those of [`Type::name`].
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Float32 => "float",
        Type::Float64 => "double",
        other => other.name(),
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "boolean" => Type::Boolean,
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float" => Type::Float32,
        "double" => Type::Float64,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        _ => return None,
    })
}
