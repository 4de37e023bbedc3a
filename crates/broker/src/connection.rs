//! One client connection: frames in, answers out, in the order of the requests.
//!
//! A reader splits the socket's bytes into frames and queues a bounded number of them; the answerer takes one request
//! at a time, as Kafka does. When the client closes its side, requests that were read are still answered, but nothing
//! waits any longer.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kanat_protocol::frame::{LENGTH_BYTES, decode_request_header};
use kanat_protocol::messages::{ApiKey, StrBytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::cluster::Cluster;
use crate::handlers::{Context, Outcome, dispatch, is_supported, unsupported_version};
use crate::security::{ANONYMOUS, Session};

/// Memory a frame gets before its bytes have come.
const TRUSTED_BYTES: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] kanat_protocol::Error),
    #[error("a frame of {length} bytes is outside 0 to {frame_bytes_max}")]
    FrameLength { length: i32, frame_bytes_max: usize },
    #[error("{api:?} version {version} is not supported")]
    UnsupportedVersion { api: ApiKey, version: i16 },
    #[error("nothing was sent or read for too long")]
    Idle,
    #[error("{api:?} needs authentication first, or anew")]
    Unauthenticated { api: ApiKey },
    #[error("the fault plan closed it")]
    Fault,
}

/// Serves a connection, given as its two directions, until it ends.
pub(crate) async fn serve<R, W>(
    read: R,
    write: W,
    peer: SocketAddr,
    node_id: i32,
    cluster: Arc<Cluster>,
    session: Session,
) -> Result<(), ConnectionError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let limits = &cluster.options.limits;
    let idle = Duration::from_millis(limits.connection_idle_ms_max);
    let reader = Reader { socket: read, buffer: BytesMut::new(), frame_bytes_max: limits.frame_bytes_max, idle };
    let (frames, queue) = mpsc::channel(limits.in_flight_max);
    let (gone, gone_receiver) = watch::channel(false);
    let answerer = Answerer {
        socket: write,
        idle,
        held: None,
        context: Context {
            cluster: Arc::clone(&cluster),
            node_id,
            peer,
            principal: Arc::from(ANONYMOUS),
            client_id: StrBytes::default(),
            api: ApiKey::ApiVersions,
            version: 0,
            throttle: Arc::default(),
            forced: None,
            gone: gone_receiver,
            close: Arc::new(AtomicBool::new(false)),
            session: Arc::new(Mutex::new(session)),
        },
    };
    tokio::select! {
        biased;
        result = answerer.run(queue) => result,
        // The answerer ends when the queue does; until then the reader has nothing more to say.
        () = async { reader.run(frames).await; gone.send_replace(true); pending().await } => Ok(()),
    }
}

struct Reader<R> {
    socket: R,
    buffer: BytesMut,
    frame_bytes_max: usize,
    idle: Duration,
}

impl<R: AsyncRead + Unpin + Send> Reader<R> {
    async fn run(mut self, frames: mpsc::Sender<Bytes>) {
        loop {
            match self.next_frame().await {
                Ok(Some(frame)) => {
                    if frames.send(frame).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "reading from a client ended");
                    return;
                }
            }
        }
    }

    /// The next frame without its length, or `None` at the end of the stream.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        let deadline = Instant::now() + self.idle;
        let Some(prefix) = self.take(LENGTH_BYTES, deadline).await? else { return Ok(None) };
        let length = i32::from_be_bytes(prefix[..].try_into().expect("took four bytes"));
        let checked = usize::try_from(length).ok().filter(|length| *length <= self.frame_bytes_max);
        let Some(length) = checked else {
            return Err(ConnectionError::FrameLength { length, frame_bytes_max: self.frame_bytes_max });
        };
        Ok(self.take(length, deadline).await?.map(BytesMut::freeze))
    }

    /// Takes `count` bytes off the stream. Memory for all of them is only set aside once a good part has come.
    async fn take(&mut self, count: usize, deadline: Instant) -> Result<Option<BytesMut>, ConnectionError> {
        while self.buffer.len() < count {
            let missing = count - self.buffer.len();
            let trusted = if self.buffer.len() < TRUSTED_BYTES { TRUSTED_BYTES } else { missing };
            self.buffer.reserve(missing.min(trusted));
            let read = timeout_at(deadline, self.socket.read_buf(&mut self.buffer));
            if read.await.map_err(|_| ConnectionError::Idle)?? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.split_to(count)))
    }
}

struct Answerer<W> {
    socket: W,
    idle: Duration,
    /// An answer the fault plan wants behind the next one.
    held: Option<(Instant, Bytes)>,
    context: Context,
}

impl<W: AsyncWrite + Unpin + Send> Answerer<W> {
    async fn run(mut self, mut queue: mpsc::Receiver<Bytes>) -> Result<(), ConnectionError> {
        loop {
            let next = match &self.held {
                None => queue.recv().await,
                Some((until, _)) => match timeout_at(*until, queue.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.release().await?;
                        continue;
                    }
                },
            };
            let Some(frame) = next else {
                self.release().await?;
                return Ok(());
            };
            let answered = self.answer(frame).await;
            if let Err(error) = &answered {
                tracing::debug!(%error, peer = %self.context.peer, "closing a connection");
            }
            answered?;
        }
    }

    async fn answer(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        let frame = decode_request_header(frame)?;
        let (api, version) = (frame.api_key, frame.api_version);
        if !is_supported(api, version) {
            if api == ApiKey::ApiVersions {
                let answer = unsupported_version(frame.correlation_id)?;
                return self.send(&answer).await;
            }
            return Err(ConnectionError::UnsupportedVersion { api, version });
        }
        if !self.context.session.lock().admits(api) {
            return Err(ConnectionError::Unauthenticated { api });
        }
        let mut context = self.context.clone();
        context.client_id = frame.client_id.clone().unwrap_or_default();
        context.version = version;
        context.principal = context.session.lock().principal();
        let outcome = dispatch(context, frame).await?;
        self.finish(outcome).await
    }

    /// Sends an answer the way the fault plan wants it.
    async fn finish(&mut self, outcome: Outcome) -> Result<(), ConnectionError> {
        let Outcome { answer, throttle, verdict } = outcome;
        if let Some(delay) = verdict.delay_after {
            tokio::time::sleep(delay).await;
        }
        if verdict.drop_before || verdict.drop_after || self.context.close.load(Ordering::Acquire) {
            return Err(ConnectionError::Fault);
        }
        let Some(answer) = answer else { return Ok(()) };
        if let Some(bytes) = verdict.truncate {
            let cut = bytes.min(answer.len().saturating_sub(1));
            self.send(&answer.slice(..cut)).await?;
            return Err(ConnectionError::Fault);
        }
        if let (Some(hold), None) = (verdict.reorder, &self.held) {
            self.held = Some((Instant::now() + hold, answer));
            return Ok(());
        }
        self.send(&answer).await?;
        self.release().await?;
        if !throttle.is_zero() {
            tokio::time::sleep(throttle).await;
        }
        Ok(())
    }

    async fn release(&mut self) -> Result<(), ConnectionError> {
        match self.held.take() {
            Some((_, answer)) => self.send(&answer).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let sending = async {
            self.socket.write_all(bytes).await?;
            // Encrypted streams keep bytes until they are told.
            self.socket.flush().await
        };
        timeout(self.idle, sending).await.map_err(|_| ConnectionError::Idle)?.map_err(Into::into)
    }
}
