//! Evaluates a stream's `filter_config` over a batch of finished columns.
//!
//! A null equals null and nothing else; it is neither less nor greater than any value. Numbers compare
//! as numbers, timestamps with the instant the filter's text names, everything else as text.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use kanat_lake::timestamp;
use serde_json::Value;

use crate::catalog::{Comparison, Condition, Filter, LogicalOperator};

/// Which rows of `batch` the filter keeps. `column_of` finds the index of a condition's column.
pub(crate) fn keep(filter: &Filter, batch: &RecordBatch, column_of: impl Fn(&str) -> Option<usize>) -> BooleanArray {
    let matches: Vec<Vec<bool>> = filter
        .conditions
        .iter()
        .map(|condition| match column_of(&condition.column) {
            Some(index) => evaluate(condition, batch.column(index).as_ref()),
            None => vec![null_matches(condition); batch.num_rows()],
        })
        .collect();
    let row_matches = |row: usize| match filter.logical_operator {
        LogicalOperator::And => matches.iter().all(|condition| condition[row]),
        LogicalOperator::Or => matches.iter().any(|condition| condition[row]),
    };
    (0..batch.num_rows()).map(|row| Some(row_matches(row))).collect()
}

fn null_matches(condition: &Condition) -> bool {
    match condition.comparison {
        Comparison::Equal => condition.value.is_null(),
        Comparison::NotEqual => !condition.value.is_null(),
        _ => false,
    }
}

fn evaluate(condition: &Condition, column: &dyn Array) -> Vec<bool> {
    let compare = comparator(column, &condition.value);
    let on_null = null_matches(condition);
    (0..column.len())
        .map(|row| match column.is_null(row) {
            true => on_null,
            // Values of different kinds have no order; they are only unequal.
            false => compare(row)
                .map_or(condition.comparison == Comparison::NotEqual, |order| condition.comparison.holds(order)),
        })
        .collect()
}

/// Compares a row of `column`, which is not null there, with the filter's value.
fn comparator<'a>(column: &'a dyn Array, value: &'a Value) -> Box<dyn Fn(usize) -> Option<Ordering> + 'a> {
    let number = as_number(value);
    match column.data_type() {
        DataType::Int32 => {
            let array = column.as_primitive::<Int32Type>();
            Box::new(move |row| compare_integer(i64::from(array.value(row)), value))
        }
        DataType::Int64 => {
            let array = column.as_primitive::<Int64Type>();
            Box::new(move |row| compare_integer(array.value(row), value))
        }
        DataType::Float32 => {
            let array = column.as_primitive::<Float32Type>();
            Box::new(move |row| f64::from(array.value(row)).partial_cmp(&number?))
        }
        DataType::Float64 => {
            let array = column.as_primitive::<Float64Type>();
            Box::new(move |row| array.value(row).partial_cmp(&number?))
        }
        DataType::Boolean => {
            let array = column.as_boolean();
            let wanted = as_boolean(value);
            Box::new(move |row| Some(array.value(row).cmp(&wanted?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let array = column.as_primitive::<TimestampMicrosecondType>();
            let wanted = value.as_str().and_then(|text| timestamp::parse(text.as_bytes())).map(|parsed| parsed.micros);
            Box::new(move |row| Some(array.value(row).cmp(&wanted?)))
        }
        DataType::Utf8 => {
            let array = column.as_string::<i32>();
            let wanted = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Box::new(move |row| Some(array.value(row).cmp(wanted.as_str())))
        }
        _ => Box::new(|_| None),
    }
}

/// Integers compare exactly when both sides are, else as doubles.
fn compare_integer(left: i64, value: &Value) -> Option<Ordering> {
    let exact = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match exact {
        Some(right) => Some(left.cmp(&right)),
        None => (left as f64).partial_cmp(&as_number(value)?),
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn as_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::{Field, Schema};
    use serde_json::json;

    use super::*;

    fn batch() -> RecordBatch {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("price", DataType::Float64, true),
            Field::new("city", DataType::Utf8, true),
            Field::new("at", timestamp, true),
        ]);
        let at = TimestampMicrosecondArray::from(vec![Some(0), Some(1_000_000), None]).with_timezone("UTC");
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![Some(1), Some(9_007_199_254_740_993), None])),
                Arc::new(Float64Array::from(vec![Some(1.5), Some(2.0), None])),
                Arc::new(StringArray::from(vec![Some("Oslo"), Some("Cork"), None])),
                Arc::new(at),
            ],
        )
        .unwrap()
    }

    fn kept(operator: LogicalOperator, conditions: &[(&str, Comparison, Value)]) -> Vec<bool> {
        let condition = |(column, comparison, value): &(&str, Comparison, Value)| Condition {
            column: (*column).to_owned(),
            comparison: *comparison,
            value: value.clone(),
        };
        let filter = Filter { logical_operator: operator, conditions: conditions.iter().map(condition).collect() };
        let batch = batch();
        let keep = keep(&filter, &batch, |name| batch.schema().index_of(name).ok());
        keep.iter().map(|row| row.unwrap()).collect()
    }

    #[test]
    fn compares_each_type_with_what_a_person_would_write() {
        use Comparison::*;
        let one = |column, comparison, value| kept(LogicalOperator::And, &[(column, comparison, value)]);
        assert_eq!(one("id", Greater, json!(9_007_199_254_740_992_i64)), [false, true, false]);
        assert_eq!(one("id", LessOrEqual, json!("1")), [true, false, false]);
        assert_eq!(one("id", Less, json!(1.5)), [true, false, false]);
        assert_eq!(one("price", GreaterOrEqual, json!(2)), [false, true, false]);
        assert_eq!(one("city", Equal, json!("Oslo")), [true, false, false]);
        assert_eq!(one("at", Greater, json!("1970-01-01T00:00:00Z")), [false, true, false]);
        assert_eq!(one("city", NotEqual, json!("Oslo")), [false, true, true]);
        assert_eq!(one("city", Equal, Value::Null), [false, false, true]);
        assert_eq!(one("city", NotEqual, Value::Null), [true, true, false]);
        assert_eq!(one("absent", Equal, Value::Null), [true, true, true]);
        assert_eq!(one("id", Equal, json!("not a number")), [false, false, false]);
    }

    #[test]
    fn combines_conditions() {
        let conditions = [("id", Comparison::Equal, json!(1)), ("city", Comparison::Equal, json!("Cork"))];
        assert_eq!(kept(LogicalOperator::Or, &conditions), [true, true, false]);
        assert_eq!(kept(LogicalOperator::And, &conditions), [false, false, false]);
    }
}
