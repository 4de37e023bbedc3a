//! Properties as people have them, every row with every kind of value, and the table of the documentation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::group::{GroupProtocol, GroupStart, RebalanceMode};
use crate::security::{Sasl, SecurityProtocol};
use crate::{Acks, Codec, Isolation, OutOfRangePolicy, Partitioning};

fn parse(text: &str) -> JavaProperties {
    JavaProperties::parse(text).unwrap()
}

fn client(text: &str) -> ClientOptions {
    ClientOptions::from_properties(&parse(text)).unwrap()
}

fn client_error(text: &str) -> String {
    ClientOptions::from_properties(&parse(text)).unwrap_err().to_string()
}

const CONFLUENT_CLOUD: &str = r#"
# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-4r087.us-west2.gcp.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='ABCDEFGHIJKLMNOP' password='k+y/secret=';
sasl.mechanism=PLAIN
# Required for correctness in Apache Kafka clients prior to 2.6
client.dns.lookup=use_all_dns_ips

# Best practice for higher availability in Apache Kafka clients prior to 3.0
session.timeout.ms=45000

# Best practice for Kafka producer to prevent data loss
acks=all
client.id=ccloud-java-client-1

# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc-1.us-west2.gcp.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=key:hunter2
group.id=orders
"#;

#[test]
fn confluent_cloud() {
    let properties = parse(CONFLUENT_CLOUD);
    let options = ClientOptions::from_properties(&properties).unwrap();
    assert_eq!(options.bootstrap, ["pkc-4r087.us-west2.gcp.confluent.cloud:9092"]);
    assert_eq!(
        (options.client_id.as_str(), options.security.protocol),
        ("ccloud-java-client-1", SecurityProtocol::SaslSsl)
    );
    let Some(Sasl::Plain(credentials)) = &options.security.sasl else { panic!("{options:?}") };
    assert_eq!((credentials.username.as_str(), credentials.password.reveal()), ("ABCDEFGHIJKLMNOP", "k+y/secret="));
    let unknown = ["basic.auth.credentials.source", "basic.auth.user.info", "schema.registry.url"];
    assert_eq!(properties.unknown_keys(), unknown);
    let group = GroupOptions::from_properties(&properties, ["orders"]).unwrap();
    assert_eq!((group.group_id.as_str(), group.session_timeout_ms), ("orders", 45_000));
    let shown = format!("{properties:?} {options:?}");
    assert!(!shown.contains("k+y") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn confluent_cloud_with_oauth() {
    let options = client(
        "bootstrap.servers=pkc-1.eu-central-1.aws.confluent.cloud:9092
         security.protocol=SASL_SSL
         sasl.mechanism=OAUTHBEARER
         sasl.oauthbearer.token.endpoint.url=https://login.example.com/oauth2/token
         sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.secured.\\
             OAuthBearerLoginCallbackHandler
         sasl.login.connect.timeout.ms=15000
         sasl.login.read.timeout.ms=15000
         sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \\
             clientId='app' clientSecret='hunter2' scope='kafka' \\
             extension_logicalCluster='lkc-1' extension_identityPoolId='pool-1';",
    );
    let Some(sasl) = &options.security.sasl else { panic!("no mechanism") };
    assert_eq!(sasl.mechanism(), "OAUTHBEARER");
    let shown = format!("{sasl:?}");
    for part in ["https://login.example.com/oauth2/token", "app", "kafka", "15000", "logicalCluster", "identityPoolId"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(options.security.validate().is_ok());
}

#[test]
fn azure_event_hubs() {
    let options = client(
        "bootstrap.servers=mynamespace.servicebus.windows.net:9093\n\
         security.protocol=SASL_SSL\n\
         sasl.mechanism=PLAIN\n\
         sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
         username=\"$ConnectionString\" password=\"Endpoint=sb://mynamespace.servicebus.windows.net/;\
         SharedAccessKeyName=Root;SharedAccessKey=abc/def+g=\";\n\
         request.timeout.ms=60000\nmetadata.max.age.ms=180000\nconnections.max.idle.ms=180000\n",
    );
    let Some(Sasl::Plain(credentials)) = &options.security.sasl else { panic!("{options:?}") };
    assert_eq!(credentials.username, "$ConnectionString");
    let expected =
        "Endpoint=sb://mynamespace.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=abc/def+g=";
    assert_eq!(credentials.password.reveal(), expected);
    let times = (options.request_timeout_ms, options.metadata_max_age_ms, options.connections_max_idle_ms);
    assert_eq!(times, (60_000, 180_000, 180_000));
}

#[test]
fn msk_iam() {
    let msk = "security.protocol=SASL_SSL
               sasl.mechanism=AWS_MSK_IAM
               sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler
               sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required";
    let options = client(&format!("{msk};"));
    assert!(matches!(options.security.sasl, Some(Sasl::AwsMskIam(_))), "{options:?}");
    let error = client_error(&format!("{msk} awsProfileName=\"prod\";"));
    assert!(error.contains("awsProfileName") && error.contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[tokio::test]
async fn mutual_tls_by_text_and_by_file() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, private) = (key.cert.pem(), key.signing_key.serialize_pem());
    // As they are written into a properties file: on one line, with blanks for line ends.
    let one_line = |pem: &str| pem.trim().replace('\n', " ");
    let text = client(&format!(
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates={}\nssl.keystore.type=PEM\n\
         ssl.keystore.certificate.chain={}\nssl.keystore.key={}\n",
        one_line(&certificate),
        one_line(&certificate),
        one_line(&private),
    ));
    text.security.prepare().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.pem");
    std::fs::write(&path, format!("{private}{certificate}")).unwrap();
    let pairs = [
        ("security.protocol", "ssl"),
        ("ssl.truststore.location", path.to_str().unwrap()),
        ("ssl.truststore.password", ""),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", path.to_str().unwrap()),
        ("ssl.enabled.protocols", "TLSv1.2,TLSv1.3"),
        ("ssl.endpoint.identification.algorithm", ""),
    ];
    let file = ClientOptions::from_properties(&pairs.into_iter().collect()).unwrap();
    file.security.prepare().await.unwrap();
    assert!(format!("{:?}", file.security.tls).contains("check: AllButTheName"));
}

#[test]
fn scram_and_unsecured_tokens() {
    let scram = |mechanism: &str| {
        client(&format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common\
             .security.scram.ScramLoginModule required username=\"u\" password=\"p\" tokenauth=\"true\";"
        ))
    };
    assert!(matches!(scram("SCRAM-SHA-256").security.sasl, Some(Sasl::ScramSha256(c)) if c.delegation_token));
    assert!(matches!(scram("SCRAM-SHA-512").security.sasl, Some(Sasl::ScramSha512(c)) if c.username == "u"));
    let options = client(
        "security.protocol=SASL_PLAINTEXT
         sasl.mechanism=OAUTHBEARER
         sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \\
             unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginNumberClaim_level=\"3\" \\
             unsecuredLoginListClaim_scope=\"|a|b\" unsecuredLoginLifetimeSeconds=\"60\";",
    );
    let shown = format!("{:?}", options.security.sasl);
    for part in ["alice", "level", "Number(3)", "String(\"a\"), String(\"b\")", "lifetime_seconds: 60"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

const SASL: &str =
    "security.protocol=SASL_SSL\nsasl.jaas.config=x.PlainLoginModule required username=u password=hunter2";

#[test]
fn what_cannot_work_names_key_and_value() {
    for (text, words) in [
        ("bootstrap.servers=,", ["bootstrap.servers", "host:port"]),
        ("request.timeout.ms=soon", ["request.timeout.ms", "\"soon\""]),
        ("request.timeout.ms=0", ["request.timeout.ms", "from 1 to 2147483647"]),
        ("security.protocol=TLS", ["security.protocol", "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"]),
        ("client.dns.lookup=resolve_canonical_bootstrap_servers_only", ["client.dns.lookup", "use_all_dns_ips"]),
        ("security.protocol=SSL\nssl.truststore.location=/a/trust.jks", ["ssl.truststore.location", "/a/trust.jks"]),
        ("security.protocol=SSL\nssl.keystore.location=/a\nssl.keystore.type=PKCS12", ["ssl.keystore.type", "PKCS12"]),
        ("security.protocol=SSL\nssl.keystore.key=hunter2", ["ssl.keystore.certificate.chain", "missing"]),
        (
            "security.protocol=SSL\nssl.keystore.location=/a.pem\nssl.key.password=hunter2",
            ["ssl.key.password", "decrypt"],
        ),
        ("ssl.cipher.suites=TLS_AES_128_GCM_SHA256", ["ssl.cipher.suites", "TLS_AES_128_GCM_SHA256"]),
        ("ssl.enabled.protocols=TLSv1.3", ["ssl.enabled.protocols", "TLSv1.3"]),
        ("security.protocol=SASL_SSL", ["sasl.mechanism", "GSSAPI"]),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", ["sasl.mechanism", "\"GSSAPI\""]),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", ["sasl.jaas.config", "missing"]),
        (&format!("{SASL};\nsasl.mechanism=SCRAM-SHA-512"), ["sasl.jaas.config", "needs ScramLoginModule"]),
        (&format!("{SASL} other=hunter2;\nsasl.mechanism=PLAIN"), ["sasl.jaas.config", "\"other\""]),
        (&format!("{SASL} 'hunter2';\nsasl.mechanism=PLAIN"), ["sasl.jaas.config", "without =value"]),
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config=OAuthBearerLoginModule required;",
            ["sasl.oauthbearer.token.endpoint.url", "unsecuredLoginStringClaim_sub"],
        ),
        ("sasl.login.callback.handler.class=io.strimzi.Jaas", ["sasl.login.callback.handler.class", "io.strimzi.Jaas"]),
    ] {
        let error = client_error(text);
        assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn keys_of_what_is_not_used_are_not_looked_at() {
    let options =
        client("ssl.truststore.location=/a/trust.jks\nsasl.mechanism=GSSAPI\nsasl.kerberos.service.name=kafka");
    assert_eq!(options.security.protocol, SecurityProtocol::Plaintext);
    assert!(options.security.sasl.is_none());
}

#[test]
fn producers() {
    let producer = |text: &str| ProducerOptions::from_properties(&parse(text));
    let options = producer(
        "acks=1\nlinger.ms=20\nbatch.size=0\nmax.request.size=52428800\ncompression.type=zstd\ncompression.zstd.level=-3\n\
         compression.gzip.level=9\npartitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner\n\
         delivery.timeout.ms=30000\nmax.in.flight.requests.per.connection=1",
    )
    .unwrap();
    assert_eq!((options.acks, options.idempotent), (Acks::Leader, false));
    assert_eq!((options.linger_ms, options.batch_bytes_max, options.record_bytes_max), (20, 1_024, 52_428_800));
    assert_eq!((options.compression.codec(), options.compression.level()), (Codec::Zstd, Some(-3)));
    assert_eq!((options.partitioning.clone(), options.in_flight_requests_max), (Partitioning::RoundRobin, 1));
    assert!(options.buffer_bytes_max >= options.record_bytes_max);
    let small = producer("buffer.memory=65536").unwrap();
    assert_eq!((small.buffer_bytes_max, small.batch_bytes_max, small.record_bytes_max), (65_536, 65_536, 65_536));
    assert_eq!(producer("").unwrap(), ProducerOptions::default());
    for (text, word) in [
        ("acks=1\nenable.idempotence=true", "acks"),
        ("acks=2", "\"2\" must be one of: all"),
        ("compression.type=brotli", "brotli"),
        ("compression.gzip.level=10", "compression.gzip.level"),
        ("partitioner.class=com.example.Mine", "com.example.Mine"),
        ("partitioner.ignore.keys=true", "partitioner.ignore.keys"),
    ] {
        let error = producer(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn transactional_producers() {
    let properties = parse("transactional.id=t-1\ntransaction.timeout.ms=15000\nlinger.ms=1");
    let options = TransactionalOptions::from_properties(&properties).unwrap();
    assert_eq!((options.transactional_id.as_str(), options.transaction_timeout_ms), ("t-1", 15_000));
    assert_eq!(options.producer.linger_ms, 1);
    let error = TransactionalOptions::from_properties(&parse("linger.ms=1")).unwrap_err().to_string();
    assert!(error.contains("transactional.id"), "{error}");
}

#[test]
fn consumers_and_groups() {
    let properties = parse(
        "group.id=g\ngroup.instance.id=one\nclient.rack=a\nauto.offset.reset=latest\nenable.auto.commit=true\n\
         isolation.level=read_uncommitted\nfetch.max.wait.ms=100\nfetch.min.bytes=1000\nmax.partition.fetch.bytes=2048\n\
         check.crcs=false\nheartbeat.interval.ms=1000\nmax.poll.records=10\ngroup.protocol=consumer\n\
         group.remote.assignor=range\npartition.assignment.strategy=\
         org.apache.kafka.clients.consumer.RangeAssignor, org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
    );
    let options = GroupOptions::from_properties(&properties, ["t"]).unwrap();
    assert_eq!((options.instance_id.as_deref(), options.rack.as_deref()), (Some("one"), Some("a")));
    assert_eq!((options.start, options.auto_commit_interval_ms), (GroupStart::Latest, Some(5_000)));
    assert_eq!((options.protocol, options.server_assignor.as_deref()), (GroupProtocol::Consumer, Some("range")));
    assert_eq!((options.heartbeat_interval_ms, options.mode()), (1_000, RebalanceMode::Eager));
    let consumer = ConsumerOptions::from_properties(&properties).unwrap();
    assert_eq!(options.consumer, consumer);
    assert_eq!((consumer.isolation, consumer.out_of_range), (Isolation::ReadUncommitted, OutOfRangePolicy::Latest));
    assert_eq!((consumer.fetch_wait_ms_max, consumer.fetch_bytes_min, consumer.check_crc), (100, 1_000, false));
    let keys: Vec<_> = properties.keys_without_effect().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["max.poll.records"]);
    assert_eq!(properties.unknown_keys(), [""; 0]);
    let error = |text: &str| GroupOptions::from_properties(&parse(text), ["t"]).unwrap_err().to_string();
    assert!(error("a=b").contains("group.id"));
    assert!(error("group.id=g\nauto.offset.reset=by_duration:PT1H").contains("GroupStart::Timestamp"));
    assert!(error("group.id=g\npartition.assignment.strategy=com.example.Mine").contains("com.example.Mine"));
}

/// A table in Markdown of all rows.
fn table() -> String {
    let mut table = "| key | effect |\n|---|---|\n".to_owned();
    for row in described() {
        let effect = match (row.sets, row.refused) {
            (true, _) => row.note.to_owned(),
            (_, true) => format!("refused: {}", row.note),
            _ => format!("none: {}", row.note),
        };
        table.push_str(&format!("| `{}` | {effect} |\n", row.key));
    }
    table
}

#[test]
fn the_documentation_has_every_row_and_no_key_has_two() {
    let documentation = include_str!("../../../../docs/client/security.md");
    assert!(documentation.contains(&table()), "put this table into docs/client/security.md:\n{}", table());
    let keys: BTreeSet<&str> = described().map(|row| row.key).collect();
    assert_eq!(keys.len(), described().count());
}

proptest! {
    #[test]
    fn no_value_of_any_key_panics(picks in prop::collection::vec((any::<prop::sample::Index>(), "[-a-zA-Z0-9:,./ =;\"]{0,12}"), 0..8)) {
        let keys: Vec<&str> = described().map(|row| row.key).collect();
        let mut properties: JavaProperties = picks.iter().map(|(key, value)| (*key.get(&keys), value.as_str())).collect();
        properties.entries.entry("security.protocol".to_owned()).or_insert_with(|| "SASL_SSL".into());
        let _ = ClientOptions::from_properties(&properties);
        let _ = TransactionalOptions::from_properties(&properties);
        let _ = ProducerOptions::from_properties(&properties);
        let _ = GroupOptions::from_properties(&properties, ["t"]);
        prop_assert_eq!(properties.unknown_keys(), [""; 0]);
    }
}
