use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::*;

/// 2024-12-30T05:06:07.5Z, in ISO week 1 of 2025.
const NOW_US: i64 = 1_735_535_167_500_000;

fn regex(text: &str) -> PartitionRegex {
    PartitionRegex::parse(text).unwrap()
}

fn folder(text: &str, values: &[PartitionValue<'_>]) -> String {
    regex(text).folder(values, NOW_US)
}

#[test]
fn placeholders_take_values_defaults_and_parts_of_instants() {
    use PartitionValue::{Boolean, Integer, Null, Number, Text, Timestamp};
    let table = [
        (
            "/dt={now(),2025,YYYY}-{now(),06,MM}-{now(),13,DD}/country={country,unknown,}",
            Text("pt"),
            "dt=2024-12-30/country=pt",
        ),
        ("/dt={now(),2025,YYYY}/country={country,unknown,}", Null, "dt=2024/country=unknown"),
        ("{now(),,HH}/{now(),,WW}", Null, "05/01"),
        ("{now(),,}", Null, "2024-12-30 05:06:07.5 +0000 UTC"),
        ("{ 'country' , 'unknown' , '' }", Null, "unknown"),
        ("{country,,}", Null, "default_country"),
        ("{ts,,YYYY}/{ts,,MM}/{ts,,DD}/{ts,,HH}/{ts,,WW}", Timestamp(1_700_000_000_000_000), "2023/11/14/22/46"),
        ("{ts,,YYYY}", Text("2021-02-03 04:05:06"), "2021"),
        ("{ts,,MM}", Text("2021-02-03T04:05:06+00:00"), "02"),
        ("{ts,,YYYY}", Text("soon"), "soon"),
        ("{ts,,YYYY}", Integer(86_400 * 366), "1971"),
        ("{n,,}", Integer(-5), "-5"),
        ("{n,,}", Number(1.0), "1"),
        ("{n,,}", Number(0.25), "0.25"),
        ("{n,,}", Number(1.5e21), "1.5e+21"),
        ("{n,,}", Number(1e-7), "1e-07"),
        ("{n,,}", Boolean(true), "true"),
        ("{ts,,}", Timestamp(1_700_000_000_000_000), "2023-11-14 22:13:20 +0000 UTC"),
        ("{path,,}/x", Text("a/b"), "a/b/x"),
        ("a/{b,c}/d", Null, "a/d"),
        ("literal", Null, "literal"),
        ("", Null, ""),
        ("a{b", Null, "a{b"),
    ];
    for (text, value, expected) in table {
        assert_eq!(folder(text, &[value]), expected, "{text} {value:?}");
    }
}

#[test]
fn columns_are_asked_for_once() {
    let regex = regex("{a,,YYYY}-{a,,MM}/{b,,}/{now(),,DD}");
    assert_eq!(regex.columns(), ["a", "b"]);
    assert!(regex.warnings().is_empty() && !regex.is_empty());
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    for text in ["{a,b}", "{a,,yyyy}", "x{a"] {
        assert_eq!(regex(text).warnings().len(), 1, "{text}");
    }
}

#[test]
fn values_cannot_leave_the_table() {
    let table = [
        ("../../etc", "%2E%2E/%2E%2E/etc"),
        ("/etc/passwd", "etc/passwd"),
        ("..", "%2E%2E"),
        (".", ""),
        ("a//b/./c/", "a/b/c"),
        ("_kanat/x", "%5Fkanat/x"),
        ("x/_kanat", "x/_kanat"),
        ("a\0b", "a%00b"),
        ("...", "..."),
    ];
    for (value, expected) in table {
        assert_eq!(folder("{v,,}", &[PartitionValue::Text(value)]), expected, "{value:?}");
    }
    assert_eq!(folder(".{v,,}", &[PartitionValue::Text(".")]), "%2E%2E");
    assert!(matches!(PartitionRegex::parse("a/../b"), Err(Error::PartitionRegex { .. })));
}

#[test]
fn long_values_are_cut_and_kept_apart() {
    let long = "é".repeat(150);
    let (one, two) = (folder("{v,,}", &[PartitionValue::Text(&long)]), {
        let other = format!("{long}x");
        folder("{v,,}", &[PartitionValue::Text(&other)])
    });
    assert!(one.len() <= SEGMENT_BYTES_MAX && two.len() <= SEGMENT_BYTES_MAX && one != two, "{one} {two}");
    let deep = "a/".repeat(2000);
    assert!(folder("{v,,}", &[PartitionValue::Text(&deep)]).len() <= SEGMENT_BYTES_MAX);
}

#[test]
fn columns_of_the_wrong_length_are_refused() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let error = regex("{a,,}").folders(&[Some(column)], 3, NOW_US).unwrap_err();
    assert!(matches!(error, Error::RowFolders { folders: 2, rows: 3 }));
}

#[test]
fn missing_columns_are_null() {
    let folders = regex("{a,x,}/{b,,}").folders(&[None], 2, NOW_US).unwrap();
    assert_eq!((folders.rows(), folders.folders()), (2, &[Arc::from("x/default_b")][..]));
    assert_eq!(regex("{a,x,}").folders(&[None], 0, NOW_US).unwrap().rows(), 0);
}

fn texts() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        "[a-c/.]{0,3}".prop_map(Some),
        (0..3u32, 1..3u32).prop_map(|(day, hour)| Some(format!("2024-02-{:02}T{hour:02}:00:00Z", day + 1))),
    ]
}

proptest! {
    /// Whole columns give what row by row gives.
    #[test]
    fn columns_and_rows_agree(
        rows in prop::collection::vec(
            (texts(), prop::option::of(0..5_000_000_000_000_000i64), prop::option::of(0..4i64), prop::option::of(0..3u8)),
            0..60,
        ),
        text in prop::sample::select(vec![
            "{t,,}", "{t,,DD}/{t,,HH}", "{t,,YYYY}/{i,none,}", "{at,,YYYY}-{at,,WW}/{t,,}", "{at,,}/{d,,}", "{i,,HH}", "x", "{now(),,HH}/{d,,}",
        ]),
    ) {
        let regex = regex(text);
        let column = |name: &str| -> ArrayRef {
            match name {
                "t" => Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0.as_deref()))),
                "at" => Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1))),
                "i" => Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
                _ => Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.3.map(|it| f64::from(it) / 2.0)))),
            }
        };
        let columns: Vec<_> = regex.columns().iter().map(|name| Some(column(name))).collect();
        let folders = regex.folders(&columns, rows.len(), NOW_US).unwrap();
        prop_assert_eq!(folders.rows(), rows.len());
        for (index, row) in rows.iter().enumerate() {
            let value = |name: &String| match name.as_str() {
                "t" => row.0.as_deref().map_or(PartitionValue::Null, PartitionValue::Text),
                "at" => row.1.map_or(PartitionValue::Null, PartitionValue::Timestamp),
                "i" => row.2.map_or(PartitionValue::Null, PartitionValue::Integer),
                _ => row.3.map_or(PartitionValue::Null, |it| PartitionValue::Number(f64::from(it) / 2.0)),
            };
            let values: Vec<_> = regex.columns().iter().map(value).collect();
            let expected = regex.folder(&values, NOW_US);
            prop_assert_eq!(&**folders.folder(index).unwrap(), expected.as_str());
        }
    }

    /// Whatever the value, the folder is plain and inside.
    #[test]
    fn any_value_stays_inside(value in "(\\.|/|_kanat|\\PC|\0){0,40}") {
        let folder = folder("{v,,}", &[PartitionValue::Text(&value)]);
        prop_assert!(!folder.contains('\0') && !folder.starts_with("_kanat/") && folder != "_kanat");
        for segment in folder.split('/').filter(|_| !folder.is_empty()) {
            prop_assert!(!segment.is_empty() && segment != "." && segment != ".." && segment.len() <= SEGMENT_BYTES_MAX);
        }
    }
}
