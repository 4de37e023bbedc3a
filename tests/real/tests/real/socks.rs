//! Kafka behind a SOCKS5 proxy that wants a password, under a name that only the proxy knows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kanat_client::{
    Client, ClientOptions, ConsumerOptions, Error, GroupEvent, GroupOptions, Isolation, NewTopic, OffsetSpec,
    ProduceRecord, ProducerOptions, Socks5, TopicPartition,
};
use kanat_tests::Kafka;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);
/// No name system knows it.
const HOST: &str = "kafka.invalid";
const USER: &str = "carrier";
const PASSWORD: &str = "p1geon";

/// Which hosts were asked for.
type Asked = Arc<Mutex<Vec<String>>>;

async fn proxy() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let shared = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tunnel(stream, Arc::clone(&shared)));
        }
    });
    (address, asked)
}

/// Text behind a length of one byte.
async fn short_text(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One connection, as RFC 1928 and RFC 1929 have it.
async fn tunnel(mut near: TcpStream, asked: Asked) -> std::io::Result<()> {
    assert_eq!(near.read_u8().await?, 5);
    let methods = short_text(&mut near).await?;
    let with_password = methods.contains('\u{2}');
    near.write_all(&[5, if with_password { 2 } else { 0xff }]).await?;
    if !with_password {
        return Ok(());
    }
    assert_eq!(near.read_u8().await?, 1);
    let known = (short_text(&mut near).await?, short_text(&mut near).await?) == (USER.to_owned(), PASSWORD.to_owned());
    near.write_all(&[1, u8::from(!known)]).await?;
    if !known {
        return Ok(());
    }
    let mut request = [0; 4];
    near.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(near.read_u32().await?).to_string(),
        3 => short_text(&mut near).await?,
        other => panic!("address type {other}"),
    };
    let port = near.read_u16().await?;
    let mut far = TcpStream::connect((if host == HOST { "127.0.0.1" } else { &host }, port)).await?;
    asked.lock().unwrap().push(host);
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not end within {PATIENCE:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_reached_through_a_proxy_with_a_password() {
    let port = Kafka::shared().bootstrap().rsplit_once(':').unwrap().1;
    let (proxy, asked) = proxy().await;
    let through = |socks: Socks5| ClientOptions::new([format!("{HOST}:{port}")]).with_socks5(socks);
    let known = Socks5::new(proxy.as_str()).with_credentials(USER, PASSWORD);
    let client = within("connect", Client::connect(through(known))).await.unwrap();
    client.admin().create_topic(&NewTopic::new("socks", 1)).await.unwrap();
    let producer = client.producer(ProducerOptions::default()).unwrap();
    for _ in 0..100 {
        let record = ProduceRecord { topic: "socks", value: Some(b"v"), ..ProduceRecord::default() };
        drop(within("send", producer.send(record)).await.unwrap());
    }
    within("flush", producer.flush()).await.unwrap();
    let partition = TopicPartition::new("socks", 0);
    let end = client.list_offsets(&[(partition.clone(), OffsetSpec::Latest)], Isolation::ReadCommitted).await.unwrap();
    assert_eq!(end[0].1.offset, 100);
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign([(partition.clone(), 0)]);
    while consumer.position(&partition) != Some(100) {
        within("next", consumer.next()).await.unwrap();
    }
    let mut member = client.group_consumer(GroupOptions::new("socks", ["socks"])).unwrap();
    while !matches!(within("next", member.next()).await.unwrap(), GroupEvent::Fetched(fetched) if fetched.next_offset == 100)
    {
    }
    within("commit", member.commit_delivered()).await.unwrap();
    within("close", member.close()).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0], HOST, "the proxy looks names up");
    // The broker names itself by another address, and that goes through the proxy too: metadata, produce, fetch, group.
    assert!(asked.iter().filter(|host| *host == "127.0.0.1").count() >= 3, "{asked:?}");

    for wrong in [Socks5::new(proxy.as_str()), Socks5::new(proxy.as_str()).with_credentials(USER, "hunter2")] {
        let error = within("connect", Client::connect(through(wrong))).await.unwrap_err();
        assert!(matches!(error, Error::Bootstrap { .. }) && error.to_string().contains("SOCKS5 proxy"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
