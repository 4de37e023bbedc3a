//! Schemas and values.
//!
//! A [`Value`] is one of Connect's runtime types; a [`Schema`] says which one is meant, whether it may be null and what
//! it is called. Values without a schema are legal everywhere ("schemaless" data): maps, lists and scalars.
//!
//! Schemas are shared (`Clone` is a reference count) and compared by structure. Values own their bytes as shared
//! slices, so a string taken from a record keeps the record's bytes alive instead of copying them.

mod decimal;
mod logical;
mod map;
mod schema;
mod structs;
mod text;
mod to_string;
mod validate;
mod value;

pub use self::decimal::Decimal;
pub use self::logical::{Logical, date_schema, decimal_schema, time_schema, timestamp_schema};
pub use self::map::Map;
pub use self::schema::{Field, Schema, SchemaBuilder, Type};
pub use self::structs::Struct;
pub use self::text::Text;
pub use self::to_string::{double_to_string, float_to_string};
pub use self::validate::validate;
pub use self::value::Value;
