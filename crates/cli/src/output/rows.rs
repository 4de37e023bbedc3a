//! What the tools print: a table for a person, or one JSON object a row for a program.

use serde_json::{Map, Value};

use super::{line, table};

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Rows {
    heading: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet. The heading holds the names of the JSON members.
    pub(crate) fn new(heading: &'static [&'static str]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row, a value per column.
    pub(crate) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints them. An empty table says so to a person, on standard error.
    pub(crate) fn show(&self, json: bool, none: &str) {
        if json {
            self.objects().iter().for_each(|row| line(&row.to_string()));
        } else if self.rows.is_empty() {
            super::complain(none);
        } else {
            line(&self.to_table());
        }
    }

    /// One object a row.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let members = self.heading.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(members.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    /// Columns of numbers to the right, the rest to the left; `-` for what is not there.
    pub(crate) fn to_table(&self) -> String {
        let numeric = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_null());
            cells.clone().next().is_some() && cells.all(Value::is_number)
        };
        let right: Vec<bool> = (0..self.heading.len()).map(numeric).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        table(self.heading, &rows, &right)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        // Digits only: offsets and ids go into the next command line.
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_a_table_and_a_program_objects() {
        let mut rows = Rows::new(&["topic", "records", "in_sync", "owner"]);
        rows.push(vec![json!("orders"), json!(1_234_567), json!([1, 2000]), json!(null)]);
        rows.push(vec![json!("x"), json!(null), json!([]), json!(true)]);
        assert_eq!(
            rows.to_table(),
            "topic   records  in_sync  owner\norders  1234567  1,2000   -\nx             -           yes"
        );
        assert_eq!(
            rows.objects()[0].to_string(),
            r#"{"topic":"orders","records":1234567,"in_sync":[1,2000],"owner":null}"#
        );
    }
}
