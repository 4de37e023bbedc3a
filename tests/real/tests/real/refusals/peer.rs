//! One connection to a broker, and the codes it answered with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kanat_protocol::messages::*;
use kanat_protocol::{ErrorCode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

/// Codes of a broker that is not ready yet: coordinators load, a partition has no leader yet.
const PASSING: [ErrorCode; 4] = [
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::NotCoordinator,
    ErrorCode::NotLeaderOrFollower,
];

/// Whether a broker answers so only for a while.
pub(super) fn is_passing(code: i16) -> bool {
    ErrorCode::from_code(code).is_some_and(|code| PASSING.contains(&code))
}

/// What was asked and what was answered.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    /// Names of the codes, or `closed`.
    pub(super) codes: String,
}

pub(super) struct Peer {
    address: String,
    socket: TcpStream,
    /// Id of the only broker.
    pub(super) node: i32,
    pub(super) rows: Vec<Row>,
}

impl Peer {
    pub(super) async fn connect(address: &str) -> Peer {
        let socket = TcpStream::connect(address).await.unwrap();
        Peer { address: address.to_owned(), socket, node: -1, rows: Vec::new() }
    }

    /// Asks and adds a row of the codes that `codes` finds in the answer.
    pub(super) async fn row<R: Request + Send + Sync>(
        &mut self,
        what: &str,
        version: i16,
        request: R,
        codes: impl Fn(&R::Response) -> Vec<i16> + Send,
    ) where
        R::Response: Send,
    {
        let codes = match self.try_ask(version, &request).await {
            Ok(answer) => {
                let name = |code| ErrorCode::from_code(code).map_or("NONE", ErrorCode::name);
                codes(&answer).into_iter().map(name).collect::<Vec<_>>().join(" ")
            }
            Err(instead) => instead.to_owned(),
        };
        self.rows.push(Row { what: what.to_owned(), codes });
    }

    /// Asks for something the rows need; repeated until `is_done`.
    pub(super) async fn prepare<R: Request + Send + Sync>(
        &mut self,
        version: i16,
        request: R,
        is_done: impl Fn(&R::Response) -> bool + Send,
    ) -> R::Response
    where
        R::Response: Send,
    {
        let started = Instant::now();
        loop {
            let answer = self.try_ask(version, &request).await.expect("an answer");
            if is_done(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "not prepared by {:?}", ApiKey::try_from(R::KEY));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What happened instead when there is no answer; then there is a new connection.
    async fn try_ask<R: Request + Sync>(&mut self, version: i16, request: &R) -> Result<R::Response, &'static str> {
        let frame = frame::encode_request(version, 1, "refused", request).unwrap();
        self.socket.write_all(&frame).await.unwrap();
        let Some(body) = tokio::time::timeout(PATIENCE, self.receive()).await.expect("an answer in time") else {
            self.socket = TcpStream::connect(&self.address).await.unwrap();
            return Err("closed");
        };
        let key = ApiKey::try_from(R::KEY).unwrap();
        let (_, body) = frame::decode_response_header(body, key, version).unwrap();
        Ok(frame::decode_body(key, version, body).unwrap())
    }

    async fn receive(&mut self) -> Option<Bytes> {
        let length = self.socket.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.socket.read_exact(&mut frame).await.ok()?;
        Some(Bytes::from(frame))
    }
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(super) fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

pub(super) fn group(id: &str) -> GroupId {
    GroupId(text(id))
}
