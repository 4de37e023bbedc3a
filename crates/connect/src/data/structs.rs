//! Values of structs.

use super::{Schema, Type, Value, validate};
use crate::error::{Error, Result};

/// Named values of a struct schema, in the order of its fields. A field never set is null.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    schema: Schema,
    values: Vec<Value>,
}

impl Struct {
    /// A struct with every field null.
    ///
    /// # Errors
    /// [`Error::Data`] when the schema is not a struct.
    pub fn new(schema: Schema) -> Result<Struct> {
        if schema.ty() != Type::Struct {
            return Err(Error::data(format!("Not a struct schema: {schema}")));
        }
        let values = vec![Value::Null; schema.fields().len()];
        Ok(Struct { schema, values })
    }

    /// A struct of these values, in the order of the fields. They are not checked: see [`validate`](Self::validate).
    ///
    /// # Errors
    /// [`Error::Data`] when the schema is not a struct of as many fields.
    pub fn from_values(schema: Schema, values: Vec<Value>) -> Result<Struct> {
        if schema.ty() != Type::Struct || schema.fields().len() != values.len() {
            let fields = schema.fields().len();
            return Err(Error::data(format!("{} values for {fields} fields of {schema}", values.len())));
        }
        Ok(Struct { schema, values })
    }

    /// Its schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Values in the order of the fields; null where nothing was set.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Its schema and values, taken apart.
    pub fn into_parts(self) -> (Schema, Vec<Value>) {
        (self.schema, self.values)
    }

    /// The value of a field, its default where nothing was set.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such field.
    pub fn get(&self, name: &str) -> Result<&Value> {
        let index = self.index(name)?;
        let value = &self.values[index];
        if value.is_null() {
            return Ok(self.schema.fields()[index].schema.default_value().unwrap_or(value));
        }
        Ok(value)
    }

    /// The value of a field without its default.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such field.
    pub fn get_without_default(&self, name: &str) -> Result<&Value> {
        Ok(&self.values[self.index(name)?])
    }

    /// Sets a field.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such field or the value does not fit it.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Struct> {
        let index = self.index(name)?;
        let value = value.into();
        validate(Some(name), &self.schema.fields()[index].schema, &value)?;
        self.values[index] = value;
        Ok(self)
    }

    /// Checks that every field that may not be null has a value and every value fits.
    ///
    /// # Errors
    /// [`Error::Data`] names the field.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in self.schema.fields().iter().zip(&self.values) {
            if value.is_null() && (field.schema.is_optional() || field.schema.default_value().is_some()) {
                continue;
            }
            validate(Some(&field.name), &field.schema, value)?;
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<usize> {
        let field = self.schema.field(name);
        field.map(|field| field.index).ok_or_else(|| Error::data(format!("{name} is not a valid field name")))
    }
}
