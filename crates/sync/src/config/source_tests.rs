//! What `source.json` may say, and what is answered when it says something else.

use super::*;

const SEED: &str = r#"{
    "bootstrap_servers": "localhost:9092, localhost:9093",
    "protocol": {"security_protocol": "PLAINTEXT"},
    "consumer_group": "test-consumer",
    "max_threads": 3
}"#;

fn parse(text: &str) -> Result<(SourceConfig, Vec<Warning>)> {
    SourceConfig::parse(text, "source.json")
}

/// A plaintext file with `keys` added at the top level.
fn plain(keys: &str) -> Result<(SourceConfig, Vec<Warning>)> {
    parse(&format!(r#"{{"bootstrap_servers":"a:1","protocol":{{"security_protocol":"PLAINTEXT"}}{keys}}}"#))
}

/// A file whose `protocol` holds `keys`.
fn protocol_of(keys: &str) -> Result<(SourceConfig, Vec<Warning>)> {
    parse(&format!(r#"{{"bootstrap_servers":"a:1","protocol":{{{keys}}}}}"#))
}

#[test]
fn the_seed_example_reads_without_a_warning() {
    let (config, warnings) = parse(SEED).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.bootstrap_servers, ["localhost:9092", "localhost:9093"]);
    assert_eq!(config.consumer_group_id.as_deref(), Some("test-consumer"));
    assert_eq!((config.max_threads, config.backoff_retry_count), (3, 3));
    assert!(!config.threads_equal_total_partitions && config.topic_pattern.is_none());
    assert!(config.ensure_supported().is_ok());
}

#[test]
fn both_spellings_of_the_group_are_one_setting() {
    for (keys, expected) in [
        (r#","consumer_group_id":"g""#, Some("g")),
        (r#","consumer_group":"g""#, Some("g")),
        (r#","consumer_group":"g","consumer_group_id":"g""#, Some("g")),
        (r#","consumer_group":"","consumer_group_id":"g""#, Some("g")),
        (r#","consumer_group":"""#, None),
        ("", None),
    ] {
        assert_eq!(plain(keys).unwrap().0.consumer_group_id.as_deref(), expected, "{keys}");
    }
    let error = plain(r#","consumer_group":"a","consumer_group_id":"b""#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "source.json: consumer_group_id and consumer_group are two spellings of one setting and disagree; keep one of them"
    );
}

#[test]
fn addresses_get_a_port_and_empty_ones_are_dropped() {
    for (text, expected) in [
        ("a:1", vec!["a:1"]),
        (" a:1 ,, b ,", vec!["a:1", "b:9092"]),
        ("[::1]:9093,[::1]", vec!["[::1]:9093", "[::1]:9092"]),
    ] {
        let text = format!(r#"{{"bootstrap_servers":"{text}","protocol":{{"security_protocol":"PLAINTEXT"}}}}"#);
        assert_eq!(parse(&text).unwrap().0.bootstrap_servers, expected, "{text}");
    }
}

#[test]
fn counts_that_are_not_positive_fall_back() {
    for (keys, threads, retries) in [
        ("", 3, 3),
        (r#","max_threads":0,"backoff_retry_count":-1"#, 3, 3),
        (r#","max_threads":64,"backoff_retry_count":7"#, 64, 7),
        (r#","max_threads":null"#, 3, 3),
    ] {
        let (config, _) = plain(keys).unwrap();
        assert_eq!((config.max_threads, config.backoff_retry_count), (threads, retries), "{keys}");
    }
}

#[test]
fn topic_patterns_search_inside_the_name_and_may_look_ahead() {
    for (pattern, topic, expected) in [
        ("orders", "eu.orders.v1", true),
        ("^orders", "eu.orders", false),
        ("^(?!test-).*", "orders", true),
        ("^(?!test-).*", "test-orders", false),
        (r"(?<=eu\\.)orders", "eu.orders", true),
    ] {
        let (config, _) = plain(&format!(r#","topic_pattern":"{pattern}""#)).unwrap();
        assert_eq!(config.topic_pattern.unwrap().matches(topic).unwrap(), expected, "{pattern} {topic}");
    }
}

#[test]
fn sasl_and_tls_are_read_in_full() {
    let jaas = r#""sasl_jaas_config":"m required username=\"u\" password=\"hunter2\";""#;
    let tls = r#""ssl":{"mode":"require","server_ca":"-----BEGIN CERTIFICATE-----","client_cert":"-----BEGIN CERTIFICATE-----","client_key":"-----BEGIN PRIVATE KEY-----hunter2"}"#;
    let text = format!(r#""security_protocol":"SASL_SSL","sasl_mechanism":"SCRAM-SHA-512",{jaas},{tls}"#);
    let (config, warnings) = protocol_of(&text).unwrap();
    assert_eq!(warnings, []);
    let sasl = config.protocol.sasl.as_ref().unwrap();
    assert_eq!((sasl.mechanism, sasl.username.as_str()), (SaslMechanism::ScramSha512, "u"));
    assert_eq!(sasl.password.reveal(), "hunter2");
    assert!(config.protocol.tls.as_ref().unwrap().client.is_some());
    assert!(!format!("{config:?}").contains("hunter2"), "no secret in Debug");
    assert!(config.ensure_supported().is_ok());
}

#[test]
fn a_schema_registry_is_read_and_then_refused() {
    let keys = r#","use_schema_registry":true,"schema_registry":{"endpoint":"http://r:8081","auth_type":"basic","username":"u","password":"hunter2"}"#;
    let (config, warnings) = plain(keys).unwrap();
    assert_eq!(warnings, []);
    assert!(!format!("{config:?}").contains("hunter2"));
    let error = config.ensure_supported().unwrap_err().to_string();
    assert_eq!(error, "source.json: schema_registry.endpoint: a schema registry is not supported in this version");
    let (config, _) = plain(r#","use_schema_registry":false,"schema_registry":{"endpoint":"","username":""}"#).unwrap();
    assert!(config.ensure_supported().is_ok(), "a form left blank asks for no registry");
}

#[test]
fn wrong_values_are_one_sentence_with_the_key() {
    let plain_protocol = r#""protocol":{"security_protocol":"PLAINTEXT"}"#;
    for (text, sentence) in [
        ("nonsense".to_owned(), "source.json is not valid JSON: "),
        ("{}".to_owned(), "source.json: bootstrap_servers is required"),
        (r#"{"bootstrap_servers":" , "}"#.to_owned(), "source.json: bootstrap_servers is required"),
        (r#"{"bootstrap_servers":["a:1"]}"#.to_owned(), "source.json: bootstrap_servers must be a string, not a list"),
        (
            format!(r#"{{"bootstrap_servers":"a:port",{plain_protocol}}}"#),
            "source.json: bootstrap_servers must be a list of host:port, which a:port is not",
        ),
        (
            format!(r#"{{"bootstrap_servers":"http://a:1",{plain_protocol}}}"#),
            "source.json: bootstrap_servers must be a list of host:port, which http://a:1 is not",
        ),
        (r#"{"bootstrap_servers":"a:1"}"#.to_owned(), "source.json: protocol is required"),
        (
            r#"{"bootstrap_servers":"a:1","protocol":"PLAINTEXT"}"#.to_owned(),
            "source.json: protocol must be an object, not a string",
        ),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(sentence), "{text}\n  {error}\n  {sentence}");
    }
}

#[test]
fn wrong_optional_keys_are_one_sentence_with_the_key() {
    for (keys, sentence) in [
        (r#","max_threads":"3""#, "source.json: max_threads must be a whole number, not a string"),
        (r#","max_threads":3.5"#, "source.json: max_threads must be a whole number, not 3.5"),
        (r#","max_threads":99999999999"#, "source.json: max_threads must be at most 4294967295, it is 99999999999"),
        (
            r#","threads_equal_total_partitions":"true""#,
            "source.json: threads_equal_total_partitions must be true or false, not a string",
        ),
        (r#","topic_pattern":"(""#, "source.json: topic_pattern is not a regular expression: "),
        (r#","schema_registry":{"username":"u"}"#, "source.json: schema_registry.endpoint is required"),
        (
            r#","schema_registry":{"endpoint":"r:8081"}"#,
            "source.json: schema_registry.endpoint must be a URL that begins with http:// or https://",
        ),
    ] {
        let error = plain(keys).unwrap_err().to_string();
        assert!(error.starts_with(sentence), "{keys}\n  {error}\n  {sentence}");
    }
}

#[test]
fn wrong_protocols_are_one_sentence_with_the_key() {
    for (keys, sentence) in [
        ("", "source.json: protocol.security_protocol is required"),
        (
            r#""security_protocol":"SASL""#,
            "source.json: protocol.security_protocol must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, not SASL",
        ),
        (r#""security_protocol":"SASL_SSL""#, "source.json: protocol.sasl_mechanism is required"),
        (
            r#""security_protocol":"SASL_SSL","sasl_mechanism":"GSSAPI""#,
            "source.json: protocol.sasl_mechanism must be PLAIN or SCRAM-SHA-512, not GSSAPI",
        ),
        (
            r#""security_protocol":"SASL_SSL","sasl_mechanism":"PLAIN""#,
            "source.json: protocol.sasl_jaas_config is required",
        ),
        (
            r#""security_protocol":"PLAINTEXT","sasl_jaas_config":"nonsense""#,
            "source.json: protocol.sasl_jaas_config holds no username=\"...\"",
        ),
        (
            r#""security_protocol":"SSL","ssl":{"client_cert":"-----BEGIN C"}"#,
            "source.json: protocol.ssl.server_ca is required",
        ),
        (
            r#""security_protocol":"SSL","ssl":{"server_ca":"-----BEGIN C","client_cert":"-----BEGIN C"}"#,
            "source.json: protocol.ssl.client_key is required",
        ),
        (
            r#""security_protocol":"SSL","ssl":{"server_ca":"/etc/ca.pem"}"#,
            "source.json: protocol.ssl.server_ca must be PEM text (-----BEGIN ...), not a path or other text",
        ),
    ] {
        let error = protocol_of(keys).unwrap_err().to_string();
        assert!(error.starts_with(sentence), "{keys}\n  {error}\n  {sentence}");
    }
}

#[test]
fn login_lines_of_java_clients_and_olake_users_are_understood() {
    for (line, username, password) in [
        (r#"m required username="TEST-USER" password="TEST-PASS";"#, "TEST-USER", "TEST-PASS"),
        (r#"username="a"    password="b""#, "a", "b"),
        (r#"m required password="b" username="a";"#, "a", "b"),
        (r#"m required serviceName="x" username="a" debug=true password="b" ;"#, "a", "b"),
        (r"m required username='a' password='b c';", "a", "b c"),
        (r#"m required username = "a" password = "b";"#, "a", "b"),
        (r#"m required username="a\"b" password="c\\d;e=f";"#, "a\"b", "c\\d;e=f"),
    ] {
        let (read, secret) = login(line).unwrap();
        assert_eq!((read.as_str(), secret.reveal()), (username, password), "{line}");
    }
    for (line, reason) in [
        ("", "holds no username=\"...\""),
        ("m required password=\"hunter2\";", "holds no username=\"...\""),
        ("m required username=\"a\";", "holds no password=\"...\""),
        ("m required username=\"\" password=\"hunter2\";", "holds no username=\"...\""),
        ("m required username=\"a\" password=\"hunter2", "ends inside quotes"),
    ] {
        assert_eq!(login(line).unwrap_err(), reason, "{line}");
    }
}

#[test]
fn unknown_keys_are_reported_and_keys_of_forms_are_not() {
    let (_, warnings) = plain(r#","auto_offset_reset":"latest","max-threads":4,"use_schema_registry":false"#).unwrap();
    let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        [
            "source.json: auto_offset_reset is not a known key and has no effect",
            "source.json: max-threads is not a known key and has no effect; did you mean max_threads?",
        ]
    );
    let (_, warnings) = protocol_of(r#""security_protocol":"PLAINTEXT","ssl":{"server_ca":"-----BEGIN C"}"#).unwrap();
    assert_eq!(warnings[0].to_string(), "source.json: protocol.ssl has no effect with PLAINTEXT");
}
