//! Clusters that want encryption and a password.

use kanat_broker::{Broker, BrokerHandle, BrokerOptions, ListenerSecurity};
use kanat_client::{Client, ClientOptions, Pem, ProduceRecord, ProducerOptions, Sasl, Security, TlsOptions};
use kanat_sync::config::SourceConfig;
use kanat_sync::discover::{DiscoverOptions, discover};
use serde_json::json;

use crate::job::within;

const PASSWORD: &str = "s3cr3t";

/// A broker with one JSON record, behind a certificate that signed itself, and that certificate.
async fn secured() -> (BrokerHandle, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.pem();
    let security = ListenerSecurity::default()
        .with_tls(certificate.clone(), made.signing_key.serialize_pem())
        .with_plain_user("lake", PASSWORD)
        .with_scram_user("lake", PASSWORD);
    let broker = Broker::start(BrokerOptions::default().with_security(security)).await.unwrap();
    broker.create_topic("orders", 1, &[]).await.unwrap();
    let tls = TlsOptions::default().with_roots(Pem::text(certificate.as_str()));
    let options = ClientOptions::new([broker.bootstrap()])
        .with_security(Security::sasl_ssl(tls, Sasl::scram_sha_512("lake", PASSWORD)));
    let producer = Client::connect(options).await.unwrap().producer(ProducerOptions::default()).unwrap();
    let record = ProduceRecord { topic: "orders", value: Some(br#"{"id":1}"#), ..ProduceRecord::default() };
    producer.send(record).await.unwrap().await.unwrap();
    (broker, certificate)
}

/// The topics that a source with these settings sees.
async fn topics(broker: &BrokerHandle, protocol: serde_json::Value) -> Result<Vec<String>, String> {
    let text = json!({"bootstrap_servers": broker.bootstrap(), "backoff_retry_count": 1, "protocol": protocol});
    let (source, warnings) = SourceConfig::parse(&text.to_string(), "source.json").unwrap();
    assert_eq!(warnings, []);
    let found = within("discover", discover(&source, &DiscoverOptions::default())).await;
    found
        .map(|found| found.streams.iter().map(|stream| stream.topic.clone()).collect())
        .map_err(|error| error.to_string())
}

fn jaas(user: &str, password: &str) -> String {
    format!("org.apache.kafka.common.security.Module required username=\"{user}\" password=\"{password}\";")
}

#[tokio::test]
async fn both_mechanisms_and_a_private_authority_are_enough_to_discover() {
    let (broker, certificate) = secured().await;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let protocol = json!({"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism,
            "sasl_jaas_config": jaas("lake", PASSWORD), "ssl": {"server_ca": certificate}});
        assert_eq!(topics(&broker, protocol).await.unwrap(), ["orders"]);
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_passes_only_unchecked() {
    let (broker, _) = secured().await;
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem();
    let protocol = |skip: bool| {
        json!({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "tls_skip_verify": skip,
            "sasl_jaas_config": jaas("lake", PASSWORD), "ssl": {"server_ca": other}})
    };
    let refused = topics(&broker, protocol(false)).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(topics(&broker, protocol(true)).await.unwrap(), ["orders"]);
}

#[tokio::test]
async fn a_wrong_password_is_named_and_never_shown() {
    let (broker, certificate) = secured().await;
    let protocol = json!({"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_jaas_config": jaas("lake", "hunter2"), "ssl": {"server_ca": certificate}});
    let refused = topics(&broker, protocol).await.unwrap_err();
    assert!(refused.to_lowercase().contains("authentication") && !refused.contains("hunter2"), "{refused}");
}
