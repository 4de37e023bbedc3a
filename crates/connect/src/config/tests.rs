//! Messages as a Connect worker shows them.

use super::*;

#[derive(Debug)]
struct OneClass;

impl ClassNames for OneClass {
    fn resolve(&self, name: &str) -> Option<String> {
        matches!(name, "JsonConverter" | "org.apache.kafka.connect.json.JsonConverter")
            .then(|| "org.apache.kafka.connect.json.JsonConverter".to_owned())
    }
}

fn definition() -> ConfigDef {
    ConfigDef::new()
        .define(
            ConfigKey::optional("tasks.max", ConfigType::Int, ConfigValue::Int(1), Importance::High, "how many")
                .validated(at_least(1))
                .in_group("Common", 1, Width::Short, "Tasks max"),
        )
        .define(
            ConfigKey::required("topic", ConfigType::String, Importance::High, "where").validated(non_empty_string()),
        )
        .define(ConfigKey::optional(
            "topics",
            ConfigType::List,
            ConfigValue::List(Vec::new()),
            Importance::High,
            "which",
        ))
        .define(ConfigKey::optional("converter", ConfigType::Class, ConfigValue::Null, Importance::Low, "how"))
        .define(
            ConfigKey::optional(
                "tolerance",
                ConfigType::String,
                ConfigValue::String("none".to_owned()),
                Importance::Low,
                "errors",
            )
            .validated(one_of(&["none", "all"])),
        )
        .define(ConfigKey::optional("log", ConfigType::Boolean, ConfigValue::Boolean(false), Importance::Low, "log"))
        .define(ConfigKey::optional("password", ConfigType::Password, ConfigValue::Null, Importance::Low, "secret"))
}

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
}

fn errors(pairs: &[(&str, &str)]) -> Vec<String> {
    definition().validate(&properties(pairs), &OneClass).errors().map(str::to_owned).collect()
}

#[test]
fn every_problem_is_reported_in_kafkas_words() {
    assert_eq!(errors(&[]), ["Missing required configuration \"topic\" which has no default value."]);
    assert_eq!(errors(&[("topic", " ")]), ["Invalid value  for configuration topic: String must be non-empty"]);
    assert_eq!(
        errors(&[("topic", "t"), ("tasks.max", "x"), ("tolerance", "some"), ("log", "maybe"), ("converter", "Nope")]),
        [
            "Invalid value x for configuration tasks.max: Not a number of type INT",
            "Invalid value null for configuration tasks.max: Value must be non-null",
            "Invalid value Nope for configuration converter: Class Nope could not be found.",
            "Invalid value some for configuration tolerance: String must be one of: none, all",
            "Invalid value maybe for configuration log: Expected value to be either true or false",
        ]
    );
    assert_eq!(
        errors(&[("topic", "t"), ("tasks.max", "0")]),
        ["Invalid value 0 for configuration tasks.max: Value must be at least 1"]
    );
}

#[test]
fn values_are_typed() {
    let given = [
        ("topic", " t "),
        ("topics", " a, b ,c"),
        ("log", "TRUE"),
        ("converter", "JsonConverter"),
        ("password", " s "),
    ];
    let parsed = definition().parse(&properties(&given), &OneClass).unwrap();
    assert_eq!(parsed["topic"].as_str(), Some("t"));
    assert_eq!(parsed["topics"].as_list().unwrap(), ["a", "b", "c"]);
    assert_eq!(parsed["log"].as_bool(), Some(true));
    assert_eq!(parsed["tasks.max"].as_i64(), Some(1));
    assert_eq!(parsed["converter"].to_text().unwrap(), "org.apache.kafka.connect.json.JsonConverter");
    assert_eq!(parsed["password"].as_password().unwrap().expose(), " s ");
    assert!(!format!("{parsed:?}").contains(" s "));
    assert_eq!(parsed["password"].to_text().unwrap(), "[hidden]");
}

#[test]
fn definitions_embed_under_a_prefix() {
    let mut outer = ConfigDef::new();
    outer.embed("transforms.a.", Some("Transforms: a"), 2, &definition());
    let key = outer.key("transforms.a.topic").unwrap();
    assert_eq!((key.order, key.group.as_deref(), &*key.display_name), (3, Some("Transforms: a"), "topic"));
    let report = outer.validate(&Properties::new(), &OneClass);
    let expected = "Missing required configuration \"transforms.a.topic\" which has no default value.";
    assert_eq!(report.errors().collect::<Vec<_>>(), [expected]);
    assert_eq!(outer.groups(), ["Transforms: a"]);
}
