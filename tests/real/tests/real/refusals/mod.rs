//! Wrong requests, asked of Kafka and of the embedded broker alike: both refuse them with the same error codes.
//!
//! What is tested against the embedded broker is tested against Kafka's behaviour only as far as this table goes. Each module
//! adds the rows of one part of the protocol.

mod administration;
mod groups;
mod logs;
mod peer;
mod topics;
mod transactions;

use kanat_broker::{Broker, BrokerOptions};
use kanat_tests::Kafka;

use self::peer::{Peer, Row};

/// A row that the embedded broker answers differently for a reason.
struct Difference {
    what: &'static str,
    kafka: &'static str,
    ours: &'static str,
    reason: &'static str,
}

const DIFFERENCES: [Difference; 8] = [
    failure("alter config: unknown operation"),
    failure("entry: any resource"),
    failure("entry: a pattern of searches"),
    failure("entry: any operation"),
    failure("entry: any permission"),
    Difference {
        what: "quota: type twice",
        kafka: "NONE",
        ours: "INVALID_REQUEST",
        reason: "Kafka takes the last one without a word",
    },
    Difference {
        what: "join: a group of the other protocol",
        kafka: "NONE",
        ours: "INCONSISTENT_GROUP_PROTOCOL",
        reason: "groups move between the protocols only while they are empty",
    },
    Difference {
        what: "enlist a group: no group",
        kafka: "NONE",
        ours: "INVALID_GROUP_ID",
        reason: "Kafka enlists the group, and refuses all its offsets later",
    },
];

const fn failure(what: &'static str) -> Difference {
    let reason = "Kafka fails without a code for the reason";
    Difference { what, kafka: "UNKNOWN_SERVER_ERROR", ours: "INVALID_REQUEST", reason }
}

async fn ask_everything(address: &str) -> Vec<Row> {
    let mut peer = Peer::connect(address).await;
    topics::ask(&mut peer).await;
    logs::ask(&mut peer).await;
    groups::ask(&mut peer).await;
    transactions::ask(&mut peer).await;
    administration::ask(&mut peer).await;
    peer.rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_and_the_embedded_broker_refuse_alike() {
    let options = BrokerOptions::default().with_authorizer(&["User:ANONYMOUS".to_owned()]);
    let broker = Broker::start(options).await.unwrap();
    let (kafka, ours) = (Kafka::shared().bootstrap(), broker.bootstrap());
    let (kafka, ours) = tokio::join!(ask_everything(kafka), ask_everything(&ours));
    let mut wrong = Vec::new();
    for (kafka, ours) in kafka.iter().zip(&ours) {
        assert_eq!(kafka.what, ours.what);
        let known = DIFFERENCES.iter().find(|known| known.what == kafka.what);
        let expected = known.map_or((kafka.codes.as_str(), kafka.codes.as_str()), |known| (known.kafka, known.ours));
        if (kafka.codes.as_str(), ours.codes.as_str()) != expected {
            let known = known.map_or("", |known| known.reason);
            wrong.push(format!("{}: Kafka {}, ours {} {known}", kafka.what, kafka.codes, ours.codes));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), kafka.len(), wrong.join("\n"));
    // A few are no refusals on purpose: what looks wrong is allowed.
    let allowed = kafka.iter().filter(|row| row.codes == "NONE").count();
    assert!(allowed * 10 < kafka.len(), "{allowed} of {} were no wrong requests", kafka.len());
    let unasked = DIFFERENCES.iter().find(|known| kafka.iter().all(|row| row.what != known.what));
    assert!(unasked.is_none(), "nobody asks {:?}", unasked.map(|known| known.what));
}
