//! A connection to one broker: pipelined requests over one socket.
//!
//! A request takes a place in the in-flight window, is encoded, registered under its correlation id and sent as one
//! frame, directly or by the writer task (`outgoing`). The reader task cuts the stream into frames and hands each to its waiter, which decodes it
//! on its own task. Dropping a request's future at any point leaves the stream intact: a frame is sent whole or not
//! at all, and an answer nobody waits for is recognised by its id and thrown away.
//!
//! Before the first request the stream is dialled, encrypted, asked for its versions and authenticated, as the options
//! say; `authenticate` also renews the SASL session before it ends.
//!
//! A connection ends for good when the stream is out of step (unknown id, impossible length), when a request misses its
//! deadline, when the socket fails, or when the last handle is dropped. Everybody waiting then learns the reason.

mod authenticate;
#[cfg(test)]
mod hostile;
mod in_flight;
mod io;
mod outgoing;
mod throttle;

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use kanat_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, Body, Request, StrBytes};
use kanat_protocol::version::{ApiVersions, VersionRange};
use kanat_protocol::{ErrorCode, frame};
use kanat_telemetry::ConnectionMetrics;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::Instrument;

pub(crate) use self::in_flight::{Answer, Answered};
use self::in_flight::{InFlight, Waiter};
use self::outgoing::{Outgoing, SharedSocket};
use self::throttle::Throttle;
use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::options::ClientOptions;
use crate::transport::{Established, establish, late_alert};
use crate::versions;

/// Parts shared by the handle and the two tasks.
#[derive(Debug)]
struct Shared {
    in_flight: Mutex<InFlight>,
    closed: Changes,
    frame_bytes_max: usize,
}

impl Shared {
    fn close(&self, reason: &str) {
        self.in_flight.lock().close(reason);
        self.closed.add();
    }

    async fn until_closed(&self) {
        // Closing is the only change, and there is none before it.
        self.closed.since(0).await;
    }
}

/// One connection. Closed when dropped; shared as `Arc<Connection>`.
pub(crate) struct Connection {
    link: Arc<Link>,
}

/// What requests need of a connection. The task that renews the SASL session holds it too, so it does not close the
/// connection when dropped.
pub(crate) struct Link {
    address: Arc<str>,
    client_id: String,
    shared: Arc<Shared>,
    outgoing: Outgoing,
    window: Arc<Semaphore>,
    window_size: usize,
    /// Set before the connection is handed out.
    versions: OnceLock<ApiVersions>,
    throttle: Throttle,
    /// When the last request was sent.
    used: Mutex<Instant>,
    metrics: Option<ConnectionMetrics>,
}

/// Which requests may be sent while an authentication runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    /// A request of the application: takes a place in the window and waits for the end of an authentication.
    Ordinary,
    /// A part of the authentication itself.
    Authentication,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).field("open", &self.is_open()).finish()
    }
}

impl Deref for Connection {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.close("closed by this client");
    }
}

impl Connection {
    /// Makes a connection that is ready for requests within `connect_timeout_ms`: dialled (TCP or the connector of the
    /// options), encrypted, versions negotiated, authenticated.
    pub(crate) async fn open(address: &Arc<str>, options: &ClientOptions) -> Result<Connection> {
        let opening = async {
            let connection = match establish(address, options).await? {
                Established::Tcp(socket) => {
                    let (reading, writing) = socket.into_split();
                    let socket = Arc::new(writing);
                    let direct = Arc::downgrade(&socket);
                    Connection::start(address, reading, SharedSocket(socket), direct, options)
                }
                Established::Boxed(stream) => {
                    let (reading, writing) = tokio::io::split(stream);
                    Connection::start(address, reading, writing, Weak::new(), options)
                }
            };
            connection.make_ready(options).await.map_err(late_alert)?;
            Ok(connection)
        };
        match tokio::time::timeout(options.connect_timeout(), opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let reason = format!("no connection within {} ms (connect_timeout_ms)", options.connect_timeout_ms);
                Err(Error::Connect { address: Arc::clone(address), reason })
            }
        }
    }

    /// Starts the tasks over an established byte stream. Small frames go to `direct` if it is there.
    fn start<R, W>(
        address: &Arc<str>,
        reading: R,
        writing: W,
        direct: Weak<OwnedWriteHalf>,
        options: &ClientOptions,
    ) -> Connection
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::new(Shared {
            in_flight: Mutex::new(InFlight::new()),
            closed: Changes::default(),
            frame_bytes_max: options.frame_bytes_max,
        });
        let (outgoing, queued, unwritten) = Outgoing::new(direct);
        tokio::spawn(io::write_frames(writing, queued, unwritten, Arc::clone(&shared)));
        tokio::spawn(io::read_frames(reading, Arc::clone(&shared)));
        let link = Link {
            address: Arc::clone(address),
            client_id: options.client_id.clone(),
            shared,
            outgoing,
            window: Arc::new(Semaphore::new(options.in_flight_requests_max)),
            window_size: options.in_flight_requests_max,
            versions: OnceLock::new(),
            throttle: Throttle::new(options.throttle_ms_max),
            used: Mutex::new(Instant::now()),
            metrics: options.metrics().map(|metrics| metrics.connected(address)),
        };
        Connection { link: Arc::new(link) }
    }

    /// Asks the broker for its versions and authenticates.
    async fn make_ready(&self, options: &ClientOptions) -> Result<()> {
        let versions = self.ask_versions(options.connect_timeout()).await?;
        let _ = self.versions.set(versions);
        let Some(sasl) = options.security.active_sasl() else { return Ok(()) };
        if let Some(lifetime) = self.authenticate(sasl, options.connect_timeout()).await? {
            let renewing = Arc::clone(&self.link).keep_authenticated(sasl.clone(), lifetime, options.request_timeout());
            tokio::spawn(renewing);
        }
        Ok(())
    }
}

impl Link {
    /// ApiVersions, newest first; a broker that does not know that version answers in version 0 with code 35.
    async fn ask_versions(&self, timeout: Duration) -> Result<ApiVersions> {
        let ours = versions::spoken(ApiKey::ApiVersions).unwrap_or(VersionRange { min: 0, max: 0 });
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("kanat"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let body = self.exchange(ApiKey::ApiVersions, ours.max, &request, timeout, Passage::Ordinary).await?;
        let refused = body.first_chunk::<2>() == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
        let response: ApiVersionsResponse = if refused {
            let oldest = ApiVersionsRequest::default();
            let body = self.exchange(ApiKey::ApiVersions, 0, &oldest, timeout, Passage::Ordinary).await?;
            self.decode(ApiKey::ApiVersions, 0, body)?
        } else {
            self.decode(ApiKey::ApiVersions, ours.max, body)?
        };
        match ErrorCode::from_code(response.error_code) {
            None => Ok(ApiVersions::from_response(&response)),
            Some(code) => Err(self.server_error(ApiKey::ApiVersions, "version negotiation".to_owned(), code, None)),
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.in_flight.lock().closed().is_none()
    }

    /// Whether nothing was sent for so long that the broker may have closed its side already.
    pub(crate) fn is_stale(&self, idle_max: Duration) -> bool {
        self.used.lock().elapsed() >= idle_max && self.window.available_permits() == self.window_size
    }

    /// Waits until nothing is under way, at most until `deadline`, and closes.
    pub(crate) async fn drain(&self, deadline: Instant) {
        let every = u32::try_from(self.window_size).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout_at(deadline, self.window.acquire_many(every)).await;
        self.close();
    }

    /// Closes now; whoever waits for an answer learns that this client closed.
    pub(crate) fn close(&self) {
        self.shared.close("closed by this client");
    }

    /// The highest version of `api` both sides speak.
    pub(crate) fn version(&self, api: ApiKey) -> Result<i16> {
        let unsupported = |reason: String| Error::UnsupportedApi { address: Arc::clone(&self.address), api, reason };
        let ours = versions::spoken(api).ok_or_else(|| unsupported("not spoken by this client".to_owned()))?;
        let versions = self.versions.get().ok_or_else(|| unsupported("versions are not known yet".to_owned()))?;
        versions.negotiate(api, ours).map_err(|error| unsupported(error.to_string()))
    }

    /// The level at which the cluster has finalised a feature; `None` if it does not have it.
    pub(crate) fn feature(&self, name: &str) -> Option<i16> {
        self.versions.get()?.feature(name)
    }

    /// Sends a request in the negotiated version and waits for its answer at most `timeout`.
    pub(crate) async fn request<Q: Request + Sync>(
        &self,
        api: ApiKey,
        request: &Q,
        timeout: Duration,
    ) -> Result<Q::Response> {
        let version = self.version(api)?;
        self.request_version(api, version, request, timeout).await
    }

    /// As [`request`](Self::request) in a version the caller chose, for requests whose fields depend on it.
    pub(crate) async fn request_version<Q: Request + Sync>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
        timeout: Duration,
    ) -> Result<Q::Response> {
        let body = self.exchange(api, version, request, timeout, Passage::Ordinary).await?;
        let response: Q::Response = self.decode(api, version, body)?;
        self.note_throttle(api, version, &response);
        Ok(response)
    }

    /// Keeps silent as long as the answer asks for.
    fn note_throttle<M: Body>(&self, api: ApiKey, version: i16, response: &M) {
        if let Some(silence) = self.throttle.on_answer(api, version, response) {
            tracing::debug!(broker = %self.address, ?api, silence_ms = silence.as_millis(), "throttled");
            self.metrics.iter().for_each(|metrics| metrics.throttled(silence));
        }
    }

    /// As [`request`](Self::request), in the way `passage` says.
    async fn request_through<Q: Request + Sync>(
        &self,
        api: ApiKey,
        request: &Q,
        timeout: Duration,
        passage: Passage,
    ) -> Result<Q::Response> {
        let version = self.version(api)?;
        let body = self.exchange(api, version, request, timeout, passage).await?;
        self.decode(api, version, body)
    }

    fn decode<M: Body>(&self, api: ApiKey, version: i16, body: Bytes) -> Result<M> {
        frame::decode_body::<M>(api, version, body).map_err(|error| self.malformed(api, error.to_string()))
    }

    /// Queues a request whose answer comes out of `answers` under `token`, also when the connection ends first. Requests
    /// are written in the order of these calls. `encode` makes the frame, in pieces, from the correlation id and the
    /// client id; without `answers` none is expected.
    ///
    /// The caller watches its deadlines and closes the connection when one is missed.
    pub(crate) fn submit(
        &self,
        api: ApiKey,
        answers: Option<(u64, &mpsc::UnboundedSender<Answered>)>,
        encode: impl FnOnce(i32, &str) -> kanat_protocol::Result<Vec<Bytes>>,
    ) -> Result<()> {
        let id = self.shared.in_flight.lock().take_id();
        let pieces = encode(id, &self.client_id).map_err(|error| Error::Encode {
            address: Arc::clone(&self.address),
            api,
            reason: error.to_string(),
        })?;
        let mut in_flight = self.shared.in_flight.lock();
        let counted = self.metrics.as_ref().map(|metrics| metrics.request(api as i16, &api));
        if let Some((token, answers)) = answers {
            let waiter = Waiter::Shared { token, answers: answers.clone(), counted };
            in_flight.register_waiter(id, api, waiter, None).map_err(|reason| self.not_sent(&reason))?;
        } else if let Some(reason) = in_flight.closed() {
            return Err(self.not_sent(reason));
        }
        *self.used.lock() = Instant::now();
        if let Some(metrics) = &self.metrics {
            metrics.sent(pieces.iter().map(Bytes::len).sum());
        }
        // Sent under the lock, so that no other frame gets between the pieces.
        let mut pieces: Vec<Bytes> = pieces.into_iter().filter_map(|piece| in_flight.send_or_hold(piece)).collect();
        self.outgoing.send(&mut pieces);
        Ok(())
    }

    /// Decodes the answer of a submitted request.
    pub(crate) fn decode_answer<M: Body>(&self, api: ApiKey, version: i16, answer: Answer) -> Result<M> {
        let frame = answer.map_err(|reason| {
            let error = self.lost(api, reason);
            self.count_error(api, error.kind());
            error
        })?;
        let (_, body) = frame::decode_response_header(frame, api, version)
            .map_err(|error| self.malformed(api, error.to_string()))?;
        let response = self.decode(api, version, body)?;
        self.note_throttle(api, version, &response);
        Ok(response)
    }

    /// Ends the connection for a reason of the caller; everybody waiting learns the reason.
    pub(crate) fn close_for(&self, reason: &str) {
        self.shared.close(reason);
    }

    fn not_sent(&self, reason: &str) -> Error {
        let reason = format!("connection closed before the request was sent: {reason}");
        Error::Connect { address: Arc::clone(&self.address), reason }
    }

    /// Sends one request and returns the body of its answer. Waits first while the broker wants silence, which the
    /// timeout does not count.
    async fn exchange<Q: Request + Sync>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
        timeout: Duration,
        passage: Passage,
    ) -> Result<Bytes> {
        self.throttle.wait().await;
        *self.used.lock() = Instant::now();
        let pending = self.metrics.as_ref().map(|metrics| metrics.request(api as i16, &api));
        let span = tracing::trace_span!("request", broker = %self.address, ?api, version);
        let answer = self.send(api, version, request, timeout, passage).instrument(span).await;
        match (&answer, pending) {
            (Ok(body), Some(pending)) => pending.answered(body.len()),
            (Err(error), Some(_)) => self.count_error(api, error.kind()),
            (_, None) => {}
        }
        answer
    }

    fn count_error(&self, api: ApiKey, error: &str) {
        if let Some(metrics) = &self.metrics {
            metrics.error(&api, error);
        }
    }

    /// Sends one request and waits for its answer at most `timeout`.
    async fn send<Q: Request + Sync>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
        timeout: Duration,
        passage: Passage,
    ) -> Result<Bytes> {
        let deadline = Instant::now() + timeout;
        let late = || Error::RequestTimeout {
            address: Arc::clone(&self.address),
            api,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let place = match passage {
            Passage::Ordinary => {
                let place = tokio::time::timeout_at(deadline, Arc::clone(&self.window).acquire_owned());
                place.await.map_err(|_| late())?.ok()
            }
            // Those held back may have every place and wait for this one.
            Passage::Authentication => None,
        };
        let answer = self.enqueue(api, version, request, place, passage)?;
        let frame = match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(Ok(frame))) => frame,
            Ok(Ok(Err(reason))) => return Err(self.lost(api, reason)),
            Ok(Err(_)) => return Err(self.lost(api, "closed by this client".into())),
            Err(_) => {
                // Answers behind the late one would be late too; the next request gets a fresh connection.
                self.shared.close(&format!("{api:?} unanswered for {} ms", timeout.as_millis()));
                return Err(late());
            }
        };
        let (_, body) = frame::decode_response_header(frame, api, version)
            .map_err(|error| self.malformed(api, error.to_string()))?;
        Ok(body)
    }

    /// Encodes, registers and queues a request in one step without waiting.
    fn enqueue<Q: Request + Sync>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
        place: Option<OwnedSemaphorePermit>,
        passage: Passage,
    ) -> Result<tokio::sync::oneshot::Receiver<Answer>> {
        let id = self.shared.in_flight.lock().take_id();
        let frame = frame::encode_request(version, id, &self.client_id, request).map_err(|error| Error::Encode {
            address: Arc::clone(&self.address),
            api,
            reason: error.to_string(),
        })?;
        let mut in_flight = self.shared.in_flight.lock();
        let answer = in_flight.register(id, api, place).map_err(|reason| self.not_sent(&reason))?;
        if let Some(metrics) = &self.metrics {
            metrics.sent(frame.len());
        }
        let frame = match passage {
            Passage::Ordinary => in_flight.send_or_hold(frame),
            Passage::Authentication => Some(frame),
        };
        if let Some(frame) = frame {
            self.outgoing.send(&mut [frame]);
        }
        Ok(answer)
    }

    fn lost(&self, api: ApiKey, reason: Arc<str>) -> Error {
        Error::ConnectionLost { address: Arc::clone(&self.address), api, reason }
    }

    /// An answer that is not what the protocol says.
    pub(crate) fn malformed(&self, api: ApiKey, reason: String) -> Error {
        Error::Malformed { address: Arc::clone(&self.address), api, reason }
    }

    /// An answer that carries an error code.
    pub(crate) fn server_error(&self, api: ApiKey, subject: String, code: ErrorCode, message: Option<String>) -> Error {
        self.count_error(api, code.name());
        Error::Server { address: Arc::clone(&self.address), api, subject, code, message }
    }
}
