//! Schemas: what a value is.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use super::{Value, validate};
use crate::error::{Error, Result};

/// The types of Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Bytes,
    /// A list of values of one schema.
    Array,
    /// Values by key, each of one schema.
    Map,
    /// Named fields, each with a schema of its own.
    Struct,
}

impl Type {
    /// Name in lower case, as in the JSON form of schemas.
    pub fn name(self) -> &'static str {
        match self {
            Type::Int8 => "int8",
            Type::Int16 => "int16",
            Type::Int32 => "int32",
            Type::Int64 => "int64",
            Type::Float32 => "float32",
            Type::Float64 => "float64",
            Type::Boolean => "boolean",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Array => "array",
            Type::Map => "map",
            Type::Struct => "struct",
        }
    }

    /// Name in upper case, as in Java's messages.
    pub fn java_name(self) -> &'static str {
        match self {
            Type::Int8 => "INT8",
            Type::Int16 => "INT16",
            Type::Int32 => "INT32",
            Type::Int64 => "INT64",
            Type::Float32 => "FLOAT32",
            Type::Float64 => "FLOAT64",
            Type::Boolean => "BOOLEAN",
            Type::String => "STRING",
            Type::Bytes => "BYTES",
            Type::Array => "ARRAY",
            Type::Map => "MAP",
            Type::Struct => "STRUCT",
        }
    }

    /// Whether it is neither array, map nor struct.
    pub fn is_primitive(self) -> bool {
        !matches!(self, Type::Array | Type::Map | Type::Struct)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.java_name())
    }
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name, unique within its struct.
    pub name: Arc<str>,
    /// Place among the fields, from 0.
    pub index: usize,
    /// Schema of its value.
    pub schema: Schema,
}

/// Structs from this many fields on find them by hash.
const HASHED_FIELDS_MIN: usize = 9;

#[derive(Debug, Clone, Default)]
struct Fields {
    list: Vec<Field>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Fields {
    fn find(&self, name: &str) -> Option<&Field> {
        if self.by_name.is_empty() {
            return self.list.iter().find(|field| *field.name == *name);
        }
        self.by_name.get(name).map(|index| &self.list[*index])
    }
}

/// What belongs to one type only.
#[derive(Debug, Clone)]
enum Inside {
    Primitive,
    Array(Schema),
    Map(Schema, Schema),
    Struct(Fields),
}

impl PartialEq for Inside {
    fn eq(&self, other: &Inside) -> bool {
        match (self, other) {
            (Inside::Primitive, Inside::Primitive) => true,
            (Inside::Array(left), Inside::Array(right)) => left == right,
            (Inside::Map(left_key, left), Inside::Map(right_key, right)) => left_key == right_key && left == right,
            (Inside::Struct(left), Inside::Struct(right)) => left.list == right.list,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Definition {
    ty: Type,
    inside: Inside,
    optional: bool,
    default: Option<Value>,
    name: Option<Arc<str>>,
    version: Option<i32>,
    doc: Option<Arc<str>>,
    parameters: Vec<(String, String)>,
}

/// What a value is: its type, whether it may be null, its default, and the name and version by which others know it.
///
/// Cloning counts a reference. Equality is structural, documentation included, as in Java.
#[derive(Clone)]
pub struct Schema(Arc<Definition>);

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Schema {
    /// As Java: `Schema{STRING}`, or with its name `Schema{io.kanat.Order:STRUCT}`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(formatter, "Schema{{{name}:{}}}", self.ty()),
            None => write!(formatter, "Schema{{{}}}", self.ty()),
        }
    }
}

/// The schemas of primitive types that carry nothing else, shared by all: required ones, then optional ones.
static PLAIN: LazyLock<[Vec<Schema>; 2]> = LazyLock::new(|| {
    let types = [
        Type::Int8,
        Type::Int16,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Boolean,
        Type::String,
        Type::Bytes,
    ];
    [false, true].map(|optional| {
        let definition = |ty| Definition { optional, ..Definition::new(ty, Inside::Primitive) };
        types.into_iter().map(|ty| Schema(Arc::new(definition(ty)))).collect()
    })
});

impl Definition {
    fn new(ty: Type, inside: Inside) -> Definition {
        Definition {
            ty,
            inside,
            optional: false,
            default: None,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
        }
    }
}

impl Schema {
    /// A primitive type, required. For arrays, maps and structs see [`build`](Self::build).
    ///
    /// # Panics
    /// When the type is not primitive, which is a mistake of the caller.
    pub fn of(ty: Type) -> Schema {
        assert!(ty.is_primitive(), "{ty} needs to know what is inside it");
        PLAIN[0][ty as usize].clone()
    }

    /// A primitive type that may be null.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    pub fn optional_of(ty: Type) -> Schema {
        assert!(ty.is_primitive(), "{ty} needs to know what is inside it");
        PLAIN[1][ty as usize].clone()
    }

    /// Starts a schema of a primitive type, or of a struct without fields yet.
    ///
    /// # Panics
    /// For arrays and maps: see [`array`](Self::array) and [`map`](Self::map).
    pub fn build(ty: Type) -> SchemaBuilder {
        let inside = if ty == Type::Struct { Inside::Struct(Fields::default()) } else { Inside::Primitive };
        assert!(ty.is_primitive() || ty == Type::Struct, "{ty} needs to know what is inside it");
        SchemaBuilder { definition: Definition::new(ty, inside), duplicate: None }
    }

    /// Starts a struct.
    pub fn structure() -> SchemaBuilder {
        Schema::build(Type::Struct)
    }

    /// Starts an array.
    pub fn array(items: Schema) -> SchemaBuilder {
        SchemaBuilder { definition: Definition::new(Type::Array, Inside::Array(items)), duplicate: None }
    }

    /// Starts a map.
    pub fn map(keys: Schema, values: Schema) -> SchemaBuilder {
        SchemaBuilder { definition: Definition::new(Type::Map, Inside::Map(keys, values)), duplicate: None }
    }

    /// Starts a schema like this one.
    pub fn to_builder(&self) -> SchemaBuilder {
        SchemaBuilder { definition: Definition::clone(&self.0), duplicate: None }
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        self.0.ty
    }

    /// Whether values may be null.
    pub fn is_optional(&self) -> bool {
        self.0.optional
    }

    /// What takes the place of null where somebody wants a value.
    pub fn default_value(&self) -> Option<&Value> {
        self.0.default.as_ref()
    }

    /// Name by which programs know it; logical types are known by theirs.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Version among schemas of the same name.
    pub fn version(&self) -> Option<i32> {
        self.0.version
    }

    /// Documentation.
    pub fn doc(&self) -> Option<&str> {
        self.0.doc.as_deref()
    }

    /// Further parameters in the order in which they were set.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.0.parameters
    }

    /// One parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Fields of a struct in order; empty for other types.
    pub fn fields(&self) -> &[Field] {
        match &self.0.inside {
            Inside::Struct(fields) => &fields.list,
            _ => &[],
        }
    }

    /// A field of a struct.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match &self.0.inside {
            Inside::Struct(fields) => fields.find(name),
            _ => None,
        }
    }

    /// Schema of a map's keys.
    pub fn key_schema(&self) -> Option<&Schema> {
        match &self.0.inside {
            Inside::Map(keys, _) => Some(keys),
            _ => None,
        }
    }

    /// Schema of an array's items or a map's values.
    pub fn value_schema(&self) -> Option<&Schema> {
        match &self.0.inside {
            Inside::Array(values) | Inside::Map(_, values) => Some(values),
            _ => None,
        }
    }
}

/// Builds a [`Schema`].
#[derive(Debug, Clone)]
pub struct SchemaBuilder {
    definition: Definition,
    /// A field name given twice, told by [`build`](Self::build).
    duplicate: Option<String>,
}

impl SchemaBuilder {
    /// Values may be null.
    #[must_use]
    pub fn optional(self) -> SchemaBuilder {
        self.set_optional(true)
    }

    /// Whether values may be null.
    #[must_use]
    pub fn set_optional(mut self, optional: bool) -> SchemaBuilder {
        self.definition.optional = optional;
        self
    }

    /// What takes the place of null.
    #[must_use]
    pub fn default_value(mut self, value: impl Into<Value>) -> SchemaBuilder {
        self.definition.default = Some(value.into());
        self
    }

    /// Name.
    #[must_use]
    pub fn name(mut self, name: &str) -> SchemaBuilder {
        self.definition.name = Some(name.into());
        self
    }

    /// Version.
    #[must_use]
    pub fn version(mut self, version: i32) -> SchemaBuilder {
        self.definition.version = Some(version);
        self
    }

    /// Documentation.
    #[must_use]
    pub fn doc(mut self, doc: &str) -> SchemaBuilder {
        self.definition.doc = Some(doc.into());
        self
    }

    /// A further parameter; a known one is replaced.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> SchemaBuilder {
        let parameters = &mut self.definition.parameters;
        match parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => parameters.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// A field of a struct.
    ///
    /// # Panics
    /// When the schema is not a struct, which is a mistake of the caller.
    #[must_use]
    pub fn field(mut self, name: &str, schema: Schema) -> SchemaBuilder {
        let ty = self.definition.ty;
        let Inside::Struct(fields) = &mut self.definition.inside else { panic!("{ty} has no fields") };
        if fields.find(name).is_some() {
            self.duplicate = Some(name.to_owned());
            return self;
        }
        fields.list.push(Field { name: name.into(), index: fields.list.len(), schema });
        if fields.list.len() >= HASHED_FIELDS_MIN {
            let known = fields.by_name.len();
            let new = fields.list[known..].iter().map(|field| (Arc::clone(&field.name), field.index));
            fields.by_name.extend(new.collect::<Vec<_>>());
        }
        self
    }

    /// The schema.
    ///
    /// # Errors
    /// [`Error::Schema`] when a field was given twice or the default does not fit.
    pub fn build(self) -> Result<Schema> {
        if let Some(name) = self.duplicate {
            return Err(Error::Schema(format!("Cannot create field because of field name duplication {name}")));
        }
        let schema = Schema(Arc::new(self.definition));
        if let Some(default) = schema.default_value() {
            validate(None, &schema, default).map_err(|_| Error::Schema("Invalid default value".to_owned()))?;
        }
        Ok(schema)
    }
}
