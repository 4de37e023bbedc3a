//! Headers of a record.

use crate::converter::SchemaAndValue;
use crate::data::Text;

/// A named value beside key and value.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Name; several headers may share it.
    pub key: Text,
    /// Value and what it is.
    pub value: SchemaAndValue,
}

/// Headers in the order in which they were added. Without any, no memory is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers {
    list: Vec<Header>,
}

impl Headers {
    /// No headers.
    pub const fn new() -> Headers {
        Headers { list: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a header behind the others, also when there are some of that name.
    pub fn add(&mut self, key: impl Into<Text>, value: SchemaAndValue) {
        self.list.push(Header { key: key.into(), value });
    }

    /// Removes every header of a name.
    pub fn remove(&mut self, key: &str) {
        self.list.retain(|header| header.key != *key);
    }

    /// The last header of a name: the one that counts where only one can.
    pub fn last(&self, key: &str) -> Option<&Header> {
        self.list.iter().rev().find(|header| header.key == *key)
    }

    /// Whether there is a header of a name.
    pub fn contains(&self, key: &str) -> bool {
        self.list.iter().any(|header| header.key == *key)
    }

    /// Headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Headers {
        Headers { list: headers.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_repeat() {
        let mut headers = Headers::new();
        headers.add("a", SchemaAndValue::schemaless(1));
        headers.add("b", SchemaAndValue::schemaless(2));
        headers.add("a", SchemaAndValue::schemaless(3));
        assert_eq!(headers.last("a").unwrap().value.value, 3.into());
        headers.remove("a");
        assert_eq!((headers.len(), headers.contains("a"), headers.contains("b")), (1, false, true));
    }
}
