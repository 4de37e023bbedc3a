//! TLS and SASL of a real Kafka, with options as people have them: a Java client's properties.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kanat_client::{
    Client, ClientOptions, Compression, Error, JavaProperties, NewTopic, OffsetSpec, Record, ScramMechanism,
    ScramUpsertion, UnknownTopic,
};
use kanat_tests::Kafka;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a session lasts on the broker, in milliseconds.
const SESSION_MS: u32 = 2_000;
const SASL: &str = "org.apache.kafka.common.security";

/// PEM files of an authority, of a broker and of a client.
struct Certificates {
    dir: TempDir,
}

impl Certificates {
    fn new() -> Certificates {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("authority.pem"), authority.pem()).unwrap();
        for name in ["broker", "client"] {
            let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
            let both = format!("{}{}", key.serialize_pem(), certificate.pem());
            std::fs::write(dir.path().join(format!("{name}.pem")), both).unwrap();
        }
        Certificates { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }
}

fn start(certificates: &Certificates) -> Kafka {
    let listener = "listener.name.sasl_ssl";
    let settings = [
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        format!(
            "{listener}.plain.sasl.jaas.config={SASL}.plain.PlainLoginModule required user_alice=\"alice-secret\";"
        ),
        format!("{listener}.scram-sha-256.sasl.jaas.config={SASL}.scram.ScramLoginModule required;"),
        format!("{listener}.scram-sha-512.sasl.jaas.config={SASL}.scram.ScramLoginModule required;"),
        format!(
            "{listener}.oauthbearer.sasl.jaas.config={SASL}.oauthbearer.OAuthBearerLoginModule required \
             unsecuredLoginStringClaim_sub=\"broker\";"
        ),
        format!("connections.max.reauth.ms={SESSION_MS}"),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", certificates.path("broker").display()),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", certificates.path("authority").display()),
        "listener.name.ssl.ssl.client.auth=required".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Kafka::start_listening(1, &["SSL", "SASL_SSL"], &settings)
}

/// The properties of a client that trusts the authority.
fn properties(address: &str, protocol: &str, authority: &Path, more: &str) -> ClientOptions {
    let text = format!(
        "bootstrap.servers={address}\nsecurity.protocol={protocol}\nssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n{more}",
        authority.display()
    );
    let properties = JavaProperties::parse(&text).unwrap();
    assert_eq!(properties.unknown_keys(), [""; 0]);
    ClientOptions::from_properties(&properties).unwrap()
}

async fn connect(options: ClientOptions) -> kanat_client::Result<Client> {
    tokio::time::timeout(PATIENCE, Client::connect(options)).await.expect("an answer in time")
}

/// Writes and looks for so long. No retries: a request that meets an ended session fails the test.
async fn use_it(options: ClientOptions, lasting: Duration) {
    let client = connect(options.with_retry_timeout_ms(0)).await.unwrap();
    let partition = client.partition_client("secure", 0, UnknownTopic::Error).await.unwrap();
    let before = partition.get_offset(OffsetSpec::Latest).await.unwrap();
    let (started, mut written) = (Instant::now(), 0);
    while written == 0 || started.elapsed() < lasting {
        partition.produce(vec![record()], Compression::NONE).await.unwrap();
        written += 1;
        assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), before + written);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Mechanism, login module and options of alice.
fn logins(password: &str) -> [String; 3] {
    let line = |mechanism: &str, module: &str| {
        format!(
            "sasl.mechanism={mechanism}\nsasl.jaas.config={SASL}.{module} required username=\"alice\" \
             password=\"{password}\";"
        )
    };
    [
        line("PLAIN", "plain.PlainLoginModule"),
        line("SCRAM-SHA-256", "scram.ScramLoginModule"),
        line("SCRAM-SHA-512", "scram.ScramLoginModule"),
    ]
}

fn unsecured_token() -> String {
    format!(
        "sasl.mechanism=OAUTHBEARER\nsasl.jaas.config={SASL}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"alice\";"
    )
}

fn record() -> Record {
    Record { value: Some("v".into()), ..Record::default() }
}

async fn prepare(kafka: &Kafka) {
    let client = connect(ClientOptions::new([kafka.bootstrap()])).await.unwrap();
    client.admin().create_topic(&NewTopic::new("secure", 1)).await.unwrap();
    // The first write waits for the broker to hand out producer ids; those of the test do not.
    let partition = client.partition_client("secure", 0, UnknownTopic::Retry).await.unwrap();
    partition.produce(vec![record()], Compression::NONE).await.unwrap();
    // Kafka takes a user once per request.
    for mechanism in [ScramMechanism::Sha256, ScramMechanism::Sha512] {
        let user = ScramUpsertion::new("alice", mechanism, "alice-secret");
        let outcomes = client.admin().upsert_scram_users(&[user]).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    }
}

/// One Kafka for all of it, as starting one takes longer than the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_sessions_that_end_and_mutual_tls() {
    let certificates = Certificates::new();
    let kafka = start(&certificates);
    prepare(&kafka).await;
    let authority = certificates.path("authority");
    let address = kafka.listener("SASL_SSL");
    let sasl = |login: &str| properties(&address, "SASL_SSL", &authority, login);

    // Longer than a session, several times over. The broker ends a connection whose session was not renewed.
    let lasting = Duration::from_millis(2 * u64::from(SESSION_MS));
    for login in logins("alice-secret").into_iter().chain([unsecured_token()]) {
        use_it(sasl(&login), lasting).await;
    }

    for login in logins("hunter2") {
        let error = connect(sasl(&login)).await.unwrap_err();
        assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    let address = kafka.listener("SSL");
    let identity = format!("ssl.keystore.type=PEM\nssl.keystore.location={}", certificates.path("client").display());
    use_it(properties(&address, "SSL", &authority, &identity), Duration::ZERO).await;
    let error = connect(properties(&address, "SSL", &authority, "")).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }) && error.to_string().contains("ssl.keystore"), "{error:?}");
}
