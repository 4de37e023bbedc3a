//! The tools with the properties of a Java client.

use kanat_broker::{Broker, BrokerOptions, ListenerSecurity};

use crate::support::{kanat, kanat_with_input};

const PASSWORD: &str = "s3cr3t";

#[test]
fn properties_open_a_cluster_that_wants_tls_and_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
    let security = ListenerSecurity::default()
        .with_tls(made.cert.pem(), made.signing_key.serialize_pem())
        .with_scram_user("shop", PASSWORD);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = runtime.block_on(Broker::start(BrokerOptions::default().with_security(security))).unwrap();
    let login = |password: &str| {
        format!(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username='shop' password='{password}';"
        )
    };
    let properties = format!(
        "bootstrap.servers={}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={}\n\
         ssl.truststore.type=PEM\nssl.truststore.location={}\nlinger.ms=1\nauto.offset.reset=earliest\nmisspelt.key=1\n",
        broker.bootstrap(),
        login(PASSWORD),
        folder.path().join("ca.pem").display(),
    );
    std::fs::write(folder.path().join("client.properties"), properties).unwrap();
    let shop = ["--config", "client.properties"];
    let run = |args: &[&str]| kanat(folder.path(), &[args, &shop].concat());

    let created = run(&["topic", "create", "orders"]).ok();
    assert!(created.stderr.contains("misspelt.key is not a property of a Kafka client"), "{}", created.stderr);
    kanat_with_input(folder.path(), &[&["produce", "orders"][..], &shop].concat(), "one\ntwo\n").ok();
    assert_eq!(run(&["consume", "orders", "-e"]).ok().stdout, "one\ntwo\n");
    assert_eq!(run(&["consume", "orders", "-g", "readers", "-c", "2"]).ok().stdout, "one\ntwo\n");

    let jaas = format!("sasl.jaas.config={}", login("hunter2"));
    let refused = run(&["topic", "list", "-X", &jaas]).fails(1, "error[KN-1201]: ");
    assert!(refused.stderr.to_lowercase().contains("authentication"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    run(&["topic", "list", "-X", "linger.msec=5"])
        .fails(1, "error[KN-1207]: reading properties failed: -X linger.msec");
    runtime.block_on(broker.stop());
}
