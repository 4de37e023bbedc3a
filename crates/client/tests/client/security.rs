//! TLS and SASL against the embedded broker: every mechanism, every refusal, sessions renewed under load.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::common::{options, record, within};
use kanat_broker::{Broker, BrokerHandle, BrokerOptions, FaultAction, FaultRule, ListenerSecurity};
use kanat_client::{
    Acl, AclOperation, AclPatternType, AclPermission, AclResource, AclResourceType, AwsCredentials, AwsMskIam,
    BoxFuture, BoxedTransport, Client, Compression, Connector, Credentials, Error, OAuthBearer, OffsetSpec,
    OidcClientCredentials, Pem, Sasl, Security, SecurityProtocol, Socks5, TlsOptions, Token, UnknownTopic,
    UnsecuredJwt,
};
use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "alice-s3cr3t";

/// An authority made for one test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "kanat test authority");
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key for these names, in PEM.
    fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| {})
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn trusted(&self) -> TlsOptions {
        TlsOptions::default().with_roots(Pem::text(self.pem()))
    }
}

async fn start(security: ListenerSecurity) -> BrokerHandle {
    let broker = Broker::start(BrokerOptions::default().with_security(security)).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    broker
}

async fn connect(broker: &BrokerHandle, security: Security) -> kanat_client::Result<Client> {
    within("connect", Client::connect(options(&broker.bootstrap()).with_security(security))).await
}

/// Writes one record and reads the end offset, over the connections of both classes.
async fn use_it(client: &Client) {
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let before = partition.get_offset(OffsetSpec::Latest).await.unwrap();
    within("produce", partition.produce(vec![record("v")], Compression::NONE)).await.unwrap();
    assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), before + 1);
}

fn every_mechanism(security: ListenerSecurity) -> ListenerSecurity {
    security.with_plain_user("alice", PASSWORD).with_scram_user("alice", PASSWORD).with_unsecured_oauth()
}

fn sasl_of_alice() -> [Sasl; 4] {
    [
        Sasl::plain("alice", PASSWORD),
        Sasl::scram_sha_256("alice", PASSWORD),
        Sasl::scram_sha_512("alice", PASSWORD),
        Sasl::OAuthBearer(OAuthBearer::unsecured(UnsecuredJwt::new("alice"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_with_and_without_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let open = start(every_mechanism(ListenerSecurity::default())).await;
    let encrypted = start(every_mechanism(ListenerSecurity::default().with_tls(certificate, key))).await;
    for sasl in sasl_of_alice() {
        use_it(&connect(&open, Security::sasl_plaintext(sasl.clone())).await.unwrap()).await;
        use_it(&connect(&encrypted, Security::sasl_ssl(authority.trusted(), sasl)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alone_with_a_large_record() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let broker = start(ListenerSecurity::default().with_tls(certificate, key)).await;
    let client = connect(&broker, Security::ssl(authority.trusted())).await.unwrap();
    use_it(&client).await;
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let large = record(vec![7; 900_000]);
    within("produce", partition.produce(vec![large], Compression::NONE)).await.unwrap();
    let (records, _) = within("fetch", partition.fetch_records(1, 1..2_000_000, 1_000)).await.unwrap();
    assert_eq!(records[0].record.value.as_ref().map(|value| value.len()), Some(900_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_told_at_once_and_never_shown() {
    let broker = start(every_mechanism(ListenerSecurity::default())).await;
    for sasl in [
        Sasl::plain("alice", "hunter2"),
        Sasl::plain("nobody", "hunter2"),
        Sasl::scram_sha_256("alice", "hunter2"),
        Sasl::scram_sha_512("nobody", "hunter2"),
        Sasl::OAuthBearer(OAuthBearer::unsecured(UnsecuredJwt::new("alice").with_lifetime_seconds(0))),
    ] {
        let mechanism = sasl.mechanism();
        let error = connect(&broker, Security::sasl_plaintext(sasl)).await.unwrap_err();
        assert!(matches!(&error, Error::Authentication { mechanism: told, .. } if *told == mechanism), "{error}");
        assert!(!error.is_retriable());
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mechanism_the_broker_lacks_names_those_it_has() {
    let broker = start(ListenerSecurity::default().with_plain_user("alice", PASSWORD)).await;
    let error = connect(&broker, Security::sasl_plaintext(Sasl::scram_sha_256("alice", PASSWORD))).await.unwrap_err();
    assert!(error.to_string().contains("offers PLAIN"), "{error}");
    let open = crate::common::broker().await;
    let error = connect(&open, Security::sasl_plaintext(Sasl::plain("alice", PASSWORD))).await.unwrap_err();
    assert!(error.to_string().contains("does not use SASL"), "{error}");
}

/// The error of a client that trusts `authority`, with a broker that shows this certificate.
async fn tls_error(authority: &Authority, shown: (String, String)) -> Error {
    let broker = start(ListenerSecurity::default().with_tls(shown.0, shown.1)).await;
    connect(&broker, Security::ssl(authority.trusted())).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_convince_say_what_to_change() {
    let (authority, other) = (Authority::new(), Authority::new());
    let expired = authority.issue_with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    for (shown, word) in [
        (authority.issue(&["elsewhere.example"]), "ssl.endpoint.identification.algorithm"),
        (other.issue(&["127.0.0.1"]), "ssl.truststore"),
        (expired, "has expired"),
    ] {
        let error = tls_error(&authority, shown).await;
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.is_retriable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_checked_unless_turned_off_or_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue(&["elsewhere.example"]);
    let broker = start(ListenerSecurity::default().with_tls(certificate, key)).await;
    let any_name = authority.trusted().with_hostname_check(false);
    use_it(&connect(&broker, Security::ssl(any_name)).await.unwrap()).await;
    let named = authority.trusted().with_server_name("elsewhere.example");
    use_it(&connect(&broker, Security::ssl(named)).await.unwrap()).await;
    let untrusted = other.trusted().with_hostname_check(false);
    assert!(matches!(connect(&broker, Security::ssl(untrusted)).await, Err(Error::Tls { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_wants_a_certificate_of_the_right_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let broker =
        start(ListenerSecurity::default().with_tls(certificate, key).with_client_authority(authority.pem())).await;
    let with = |identity: (String, String)| {
        Security::ssl(authority.trusted().with_identity(Pem::text(identity.0), Pem::text(identity.1)))
    };
    use_it(&connect(&broker, with(authority.issue(&["client"]))).await.unwrap()).await;
    let error = connect(&broker, Security::ssl(authority.trusted())).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("ssl.keystore"), "{error}");
    let error = connect(&broker, with(other.issue(&["client"]))).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_who_acls_name() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let security = ListenerSecurity::default().with_tls(certificate, key).with_client_authority(authority.pem());
    let options = BrokerOptions::default().with_security(security).with_authorizer(["User:CN=root,O=Example"]);
    let broker = Broker::start(options).await.unwrap();
    broker.create_topic("t", 1, &[]).await.unwrap();
    let with = |name: &str| {
        let identity = authority.issue_with(&[name], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, name);
        });
        Security::ssl(authority.trusted().with_identity(Pem::text(identity.0), Pem::text(identity.1)))
    };
    let root = connect(&broker, with("root")).await.unwrap();
    let billing = connect(&broker, with("billing")).await.unwrap();
    let error = billing.partition_client("t", 0, UnknownTopic::Error).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed), "{error}");
    let acl = |operation| Acl {
        resource: AclResource { kind: AclResourceType::Topic, name: "t".to_owned(), pattern: AclPatternType::Literal },
        principal: "User:CN=billing,O=Example".to_owned(),
        host: "*".to_owned(),
        operation,
        permission: AclPermission::Allow,
    };
    for (_, created) in root.admin().create_acls(&[acl(AclOperation::Read), acl(AclOperation::Write)]).await.unwrap() {
        created.unwrap();
    }
    use_it(&billing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_protocol_is_recognised() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let encrypted = start(ListenerSecurity::default().with_tls(certificate, key)).await;
    let error = connect(&encrypted, Security::default()).await.unwrap_err();
    assert!(error.to_string().contains("speaks TLS"), "{error}");
    let open = crate::common::broker().await;
    let error = connect(&open, Security::ssl(authority.trusted())).await.unwrap_err();
    assert!(error.to_string().contains("listener"), "{error}");
}

#[tokio::test]
async fn files_are_read_before_anything_is_dialled() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("ca.pem");
    let connect = |tls: TlsOptions| Client::connect(options("127.0.0.1:1").with_security(Security::ssl(tls)));
    let error = connect(TlsOptions::default().with_roots(Pem::file(&missing))).await.unwrap_err().to_string();
    assert!(error.contains("ca.pem") && error.contains("cannot be read"), "{error}");
    let store = dir.path().join("store.p12");
    std::fs::write(&store, [0x30, 0x82, 1, 2, 3]).unwrap();
    let error = connect(TlsOptions::default().with_roots(Pem::file(&store))).await.unwrap_err().to_string();
    assert!(error.contains("PKCS12") && error.contains("store.p12"), "{error}");
    let authority = Authority::new();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let tls = authority.trusted().with_identity(Pem::text(authority.pem()), Pem::text(encrypted));
    let error = connect(tls).await.unwrap_err().to_string();
    assert!(error.contains("encrypted key"), "{error}");
    let (certificate, _) = authority.issue(&["a"]);
    let (_, key) = authority.issue(&["b"]);
    let error = connect(authority.trusted().with_identity(Pem::text(certificate), Pem::text(key))).await.unwrap_err();
    assert!(error.to_string().contains("do not go together"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_renewed_under_load_and_nothing_is_lost() {
    for sasl in [Sasl::plain("alice", PASSWORD), Sasl::scram_sha_256("alice", PASSWORD)] {
        let security = every_mechanism(ListenerSecurity::default()).with_reauth_ms_max(300);
        let broker = start(security).await;
        let renewals = broker
            .faults()
            .add(FaultRule::new(FaultAction::DelayBefore(Duration::from_millis(5))).on(ApiKey::SaslHandshake));
        let opened =
            broker.faults().add(FaultRule::new(FaultAction::DelayBefore(Duration::ZERO)).on(ApiKey::ApiVersions));
        // No retries: a request that meets an expired or broken session fails the test.
        let options =
            options(&broker.bootstrap()).with_security(Security::sasl_plaintext(sasl)).with_retry_timeout_ms(0);
        let client = within("connect", Client::connect(options)).await.unwrap();
        let partition = Arc::new(client.partition_client("t", 0, UnknownTopic::Error).await.unwrap());
        let until = tokio::time::Instant::now() + Duration::from_millis(1_200);
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let partition = Arc::clone(&partition);
                tokio::spawn(async move {
                    let mut sent = 0;
                    while tokio::time::Instant::now() < until {
                        partition.produce(vec![record("v")], Compression::NONE).await.unwrap();
                        partition.get_offset(OffsetSpec::Latest).await.unwrap();
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        let mut sent = 0;
        for worker in workers {
            sent += within("worker", worker).await.unwrap();
        }
        assert_eq!(partition.get_offset(OffsetSpec::Latest).await.unwrap(), sent);
        let (handshakes, connections) = (broker.faults().hits(renewals), broker.faults().hits(opened));
        assert!(handshakes >= connections + 4, "{handshakes} handshakes on {connections} connections");
        assert!(connections <= 3, "connections were replaced: {connections}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_closes_the_connection_with_the_reason() {
    let broker = start(ListenerSecurity::default().with_unsecured_oauth().with_reauth_ms_max(200)).await;
    let given = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&given);
    let tokens = OAuthBearer::from_callback(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let subject = if number == 0 { "alice" } else { "mallory" };
            kanat_client::TokenProvider::token(&UnsecuredJwt::new(subject)).await
        }
    });
    let client = connect(&broker, Security::sasl_plaintext(Sasl::OAuthBearer(tokens))).await.unwrap();
    let partition = client.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    // The broker refuses the other user on the old connection; new connections speak for that user from the start.
    within("reconnect", async {
        while given.load(Ordering::SeqCst) < 3 {
            partition.get_offset(OffsetSpec::Latest).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_cannot_be_had_are_a_reason_to_try_again() {
    let broker = start(ListenerSecurity::default().with_unsecured_oauth()).await;
    let tokens = OAuthBearer::from_callback(|| async { Err::<Token, _>("the vault is sealed".into()) });
    let error = connect(&broker, Security::sasl_plaintext(Sasl::OAuthBearer(tokens))).await.unwrap_err();
    assert!(error.to_string().contains("the vault is sealed"), "{error}");
    assert!(error.is_retriable());
}

/// An HTTP server that answers every request with the same status and body, and counts them.
async fn token_endpoint(status: &'static str, body: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8_192];
            let read = socket.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).to_ascii_lowercase();
            assert!(request.starts_with("post /token"), "{request}");
            assert!(request.contains("authorization: basic"), "{request}");
            counter.fetch_add(1, Ordering::SeqCst);
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_endpoint_are_kept_and_its_refusals_told() {
    let broker = start(ListenerSecurity::default().with_unsecured_oauth()).await;
    let token = kanat_client::TokenProvider::token(&UnsecuredJwt::new("service")).await.unwrap();
    let body = format!(r#"{{"access_token":"{}","expires_in":3600,"token_type":"Bearer"}}"#, token.value.reveal());
    let (url, asked) = token_endpoint("200 OK", body).await;
    let sasl = |url: &str| {
        let options = OidcClientCredentials::new(url, "id", "hunter2").with_scope("kafka write");
        Sasl::OAuthBearer(OAuthBearer::client_credentials(options))
    };
    let security = Security::sasl_plaintext(sasl(&url));
    use_it(&connect(&broker, security.clone()).await.unwrap()).await;
    use_it(&connect(&broker, security).await.unwrap()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let refusal = r#"{"error":"invalid_client","error_description":"unknown id"}"#.to_owned();
    let (url, _) = token_endpoint("401 Unauthorized", refusal).await;
    let error = connect(&broker, Security::sasl_plaintext(sasl(&url))).await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("invalid_client unknown id"), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn secrets_are_in_no_debug_output() {
    let credentials = AwsCredentials {
        access_key_id: "AKIA".to_owned(),
        secret_access_key: "hunter2".into(),
        session_token: Some("hunter2".into()),
    };
    let oidc = OidcClientCredentials::new("https://login.example/token", "id", "hunter2");
    let all = [
        Sasl::plain("alice", "hunter2"),
        Sasl::ScramSha512(Credentials::new("alice", "hunter2")),
        Sasl::OAuthBearer(OAuthBearer::client_credentials(oidc).with_extension("key", "hunter2")),
        Sasl::AwsMskIam(AwsMskIam { credentials: Some(credentials), region: None }),
    ];
    for sasl in all {
        let tls = TlsOptions::default().with_identity(Pem::text("hunter2"), Pem::text("hunter2"));
        let options = options("h:1")
            .with_security(Security { protocol: SecurityProtocol::SaslSsl, tls, sasl: Some(sasl) })
            .with_socks5(Socks5::new("proxy:1080").with_credentials("user", "hunter2"));
        let text = format!("{options:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("****"), "{text}");
    }
    let broker = ListenerSecurity::default().with_plain_user("alice", "hunter2").with_scram_user("bob", "hunter2");
    assert!(!format!("{:?}", BrokerOptions::default().with_security(broker)).contains("hunter2"));
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let wrong = [
        Security { protocol: SecurityProtocol::SaslSsl, ..Security::default() },
        Security { sasl: Some(Sasl::plain("a", "b")), ..Security::default() },
        Security::sasl_plaintext(Sasl::plain("", "b")),
        Security::sasl_plaintext(Sasl::plain("a\0", "b")),
    ];
    for security in wrong {
        let error = Client::connect(options("127.0.0.1:1").with_security(security)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}

/// Hands out one byte per read.
#[derive(Debug)]
struct Drip;

struct Dripping(TcpStream);

impl AsyncRead for Dripping {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut one = [0];
        let mut single = ReadBuf::new(&mut one);
        let polled = Pin::new(&mut self.0).poll_read(cx, &mut single);
        buffer.put_slice(single.filled());
        polled
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connector for Drip {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        Box::pin(async move { Ok(Box::new(Dripping(TcpStream::connect(address).await?)) as BoxedTransport) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_at_a_time_is_enough() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    let broker = start(every_mechanism(ListenerSecurity::default().with_tls(certificate, key))).await;
    let security = Security::sasl_ssl(authority.trusted(), Sasl::scram_sha_512("alice", PASSWORD));
    let options = options(&broker.bootstrap()).with_security(security).with_connector(Arc::new(Drip));
    use_it(&within("connect", Client::connect(options)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_during_the_handshake_is_an_error_and_no_hang() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(7);
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let length = random.usize(1..200);
            let garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            let _ = socket.write_all(&garbage).await;
            let _ = socket.read(&mut [0; 1_024]).await;
        }
    });
    let secure = [
        Security::ssl(authority.trusted()),
        Security::sasl_ssl(authority.trusted(), Sasl::plain("a", "b")),
        Security::sasl_plaintext(Sasl::plain("a", "b")),
    ];
    for round in 0..30 {
        let options = options(&address).with_security(secure[round % 3].clone()).with_connect_timeout_ms(2_000);
        within("garbage", Client::connect(options)).await.unwrap_err();
    }
}
