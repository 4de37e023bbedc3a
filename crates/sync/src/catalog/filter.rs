//! `filter_config`: which rows of a normalized stream are written.

use serde_json::Value;

use crate::config::Warning;
use crate::config::section::Section;
use crate::error::Result;

/// Conditions one filter may have.
const CONDITIONS_MAX: usize = 2;

/// Which rows are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// How the conditions combine.
    pub logical_operator: LogicalOperator,
    /// One or two conditions.
    pub conditions: Vec<Condition>,
}

/// How conditions combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicalOperator {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

/// A comparison of one column with one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Name of the column, in the table or in the record.
    pub column: String,
    /// The comparison.
    pub comparison: Comparison,
    /// What the column is compared with: text, number, truth value or null.
    pub value: Value,
}

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "=" => Some(Self::Equal),
            "!=" => Some(Self::NotEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            _ => None,
        }
    }

    /// Whether the comparison holds for a column value that stands in `ordering` to the filter's value.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

impl Filter {
    /// Reads a `filter_config` that stands under `path` of `file`; `None` when it has no condition.
    pub(super) fn parse(file: &str, path: String, value: &Value, warnings: &mut Vec<Warning>) -> Result<Option<Self>> {
        let mut section = Section::at(file, path, value)?;
        let logical_operator = match section.string("logical_operator")? {
            None => LogicalOperator::And,
            Some(text) if text.eq_ignore_ascii_case("and") => LogicalOperator::And,
            Some(text) if text.eq_ignore_ascii_case("or") => LogicalOperator::Or,
            Some(text) => return Err(section.wrong("logical_operator", format!("must be And or Or, not {text}"))),
        };
        let items = section.list("conditions")?.unwrap_or_default();
        if items.len() > CONDITIONS_MAX {
            let reason = format!("must hold at most {CONDITIONS_MAX} conditions, it holds {}", items.len());
            return Err(section.wrong("conditions", reason));
        }
        let mut conditions = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = section.full_key(&format!("conditions[{index}]"));
            conditions.push(condition(Section::at(file, path, item)?, warnings)?);
        }
        section.finish(warnings);
        Ok((!conditions.is_empty()).then_some(Self { logical_operator, conditions }))
    }
}

fn condition(mut section: Section<'_>, warnings: &mut Vec<Warning>) -> Result<Condition> {
    let column = section.string("column")?.ok_or_else(|| section.missing("column"))?.to_owned();
    let operator = section.string("operator")?.ok_or_else(|| section.missing("operator"))?;
    let Some(comparison) = Comparison::parse(operator) else {
        return Err(section.wrong("operator", format!("must be =, !=, >, >=, < or <=, not {operator}")));
    };
    let value = match section.value("value") {
        None => Value::Null,
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err(section.wrong("value", "must be text, a number, a truth value or null"));
        }
        Some(scalar) => scalar.clone(),
    };
    section.finish(warnings);
    Ok(Condition { column, comparison, value })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    fn parse(text: &str) -> Result<Option<Filter>> {
        let value: Value = serde_json::from_str(text).unwrap();
        Filter::parse("streams.json", "filter_config".to_owned(), &value, &mut Vec::new())
    }

    #[test]
    fn reads_both_operators_and_every_comparison() {
        let filter = parse(
            r#"{"logical_operator":"OR","conditions":[
                {"column":"a","operator":">=","value":5},{"column":"b","operator":"!=","value":"x"}]}"#,
        );
        let filter = filter.unwrap().unwrap();
        assert_eq!(filter.logical_operator, LogicalOperator::Or);
        assert_eq!(filter.conditions[0].comparison, Comparison::GreaterOrEqual);
        assert_eq!(filter.conditions[1].value, "x");
        assert_eq!(parse(r#"{"logical_operator":"And","conditions":[]}"#).unwrap(), None);
        for (text, less, equal, greater) in [
            ("=", false, true, false),
            ("!=", true, false, true),
            (">", false, false, true),
            (">=", false, true, true),
            ("<", true, false, false),
            ("<=", true, true, false),
        ] {
            let comparison = Comparison::parse(text).unwrap();
            let holds = [Ordering::Less, Ordering::Equal, Ordering::Greater].map(|it| comparison.holds(it));
            assert_eq!(holds, [less, equal, greater], "{text}");
        }
    }

    #[test]
    fn wrong_filters_are_one_sentence_with_the_key() {
        let condition = r#"{"column":"a","operator":"=","value":1}"#;
        for (text, sentence) in [
            ("[]".to_owned(), "streams.json: filter_config must be an object, not a list"),
            (
                format!(r#"{{"conditions":[{condition},{condition},{condition}]}}"#),
                "streams.json: filter_config.conditions must hold at most 2 conditions, it holds 3",
            ),
            (
                r#"{"logical_operator":"Xor"}"#.to_owned(),
                "streams.json: filter_config.logical_operator must be And or Or, not Xor",
            ),
            (
                r#"{"conditions":[{"column":"a","operator":"=="}]}"#.to_owned(),
                "streams.json: filter_config.conditions[0].operator must be =, !=, >, >=, < or <=, not ==",
            ),
            (
                r#"{"conditions":[{"operator":"="}]}"#.to_owned(),
                "streams.json: filter_config.conditions[0].column is required",
            ),
            (
                r#"{"conditions":[{"column":"a","operator":"=","value":[1]}]}"#.to_owned(),
                "streams.json: filter_config.conditions[0].value must be text, a number, a truth value or null",
            ),
        ] {
            assert_eq!(parse(&text).unwrap_err().to_string(), sentence);
        }
    }
}
