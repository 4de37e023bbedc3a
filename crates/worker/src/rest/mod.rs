//! The REST API of Kafka Connect.
//!
//! ```text
//! connection ──> path, method, headers checked ──> body read ──> herder, at most 90 s ──> JSON
//! ```
//!
//! Reads are answered from memory; what waits for a connector waits in its own request only.

mod answer;
mod body;
mod handlers;
mod headers;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::answer::Answer;
pub(crate) use self::body::{GivenOffset, connector_of_json};
use self::headers::ExtraHeaders;
use self::route::{NoRoute, Query, Route};
use crate::config::{Listener, WorkerConfig};
use crate::error::{Error, Result};
use crate::herder::Herder;

/// Longest a request is worked on, as in Connect.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest wait for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body of a request.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest path and query, as in Jetty.
const URI_BYTES_MAX: usize = 8 * 1024;
/// Connections open at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// Which part of the API a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    WithoutAdmin,
    AdminOnly,
}

/// Sockets that listen already, so that the worker knows its own address before anything else starts.
#[derive(Debug)]
pub(crate) struct RestServer {
    sockets: Vec<(TcpListener, Part)>,
    address: SocketAddr,
}

impl RestServer {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// [`Error::Listen`] for an address that cannot be had.
    pub(crate) async fn bind(config: &WorkerConfig) -> Result<RestServer> {
        let listeners = config.listeners();
        let public = if listeners.admin.is_some() { Part::WithoutAdmin } else { Part::All };
        let admin = listeners.admin.iter().flatten().map(|listener| (listener, Part::AdminOnly));
        let mut sockets = Vec::new();
        for (listener, part) in listeners.public.iter().map(|listener| (listener, public)).chain(admin) {
            sockets.push((listen(listener).await?, part));
        }
        let address = sockets.first().and_then(|(socket, _)| socket.local_addr().ok());
        let address = address.ok_or_else(|| Error::Config("listeners is empty".to_owned()))?;
        Ok(RestServer { sockets, address })
    }

    /// Address of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until the result is dropped.
    ///
    /// # Errors
    /// [`Error::Config`] when `response.http.headers.config` cannot be read.
    pub(crate) fn serve(self, herder: &Arc<Herder>) -> Result<RunningServer> {
        let extra = Arc::new(ExtraHeaders::new(herder.config())?);
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let address = self.address;
        let accepting = self.sockets.into_iter().map(|(socket, part)| {
            let api = Api { herder: Arc::clone(herder), extra: Arc::clone(&extra), part };
            tokio::spawn(accept(socket, api, Arc::clone(&connections)))
        });
        Ok(RunningServer { accepting: accepting.collect(), address })
    }
}

/// A server that answers; dropping it stops it.
#[derive(Debug)]
pub(crate) struct RunningServer {
    accepting: Vec<JoinHandle<()>>,
    address: SocketAddr,
}

impl RunningServer {
    /// Address of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        for task in &self.accepting {
            task.abort();
        }
    }
}

async fn listen(listener: &Listener) -> Result<TcpListener> {
    let address = listener.to_string();
    TcpListener::bind(&address).await.map_err(|error| Error::Listen { address, reason: error.to_string() })
}

/// What a connection needs.
#[derive(Debug, Clone)]
struct Api {
    herder: Arc<Herder>,
    extra: Arc<ExtraHeaders>,
    part: Part,
}

async fn accept(socket: TcpListener, api: Api, connections: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let api = api.clone();
                tokio::spawn(async move {
                    serve_connection(stream, api).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most often: it passes.
                tracing::warn!(%error, "a REST connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, api: Api) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, std::convert::Infallible>(respond(&api, request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a REST connection ended");
    }
}

async fn respond(api: &Api, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_head = request.method() == Method::HEAD;
    let origin = request.headers().get(hyper::header::ORIGIN).cloned();
    let answer = answer(api, request).await;
    let mut response = answer.into_response(is_head);
    api.extra.apply(response.headers_mut(), origin.as_ref());
    response
}

async fn answer(api: &Api, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > URI_BYTES_MAX) {
        return Answer::framework(StatusCode::URI_TOO_LONG);
    }
    let route = match Route::find(parts.uri.path()) {
        Ok(route) => route,
        Err(NoRoute::Unknown) => return Answer::framework(StatusCode::NOT_FOUND),
        Err(NoRoute::Ambiguous(reason)) => return Answer::bad_uri(&parts.method, reason),
    };
    let served = match api.part {
        Part::All => true,
        Part::WithoutAdmin => !route.is_admin(),
        Part::AdminOnly => route.is_admin(),
    };
    if !served {
        return Answer::framework(StatusCode::NOT_FOUND);
    }
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    if method == Method::OPTIONS {
        return Answer::options(route.methods());
    }
    if !route.methods().contains(&method) {
        return Answer::framework(StatusCode::METHOD_NOT_ALLOWED);
    }
    let is_json = |header| parts.headers.get(header).is_none_or(headers::is_json);
    if !is_json(ACCEPT) {
        return Answer::framework(StatusCode::NOT_ACCEPTABLE);
    }
    let takes_body = !matches!(method, Method::GET | Method::DELETE);
    if takes_body && !is_json(CONTENT_TYPE) {
        return Answer::framework(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Answer::framework(StatusCode::PAYLOAD_TOO_LARGE),
    };
    let call = handlers::Call {
        herder: &api.herder,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        host: parts.headers.get(hyper::header::HOST).and_then(|host| host.to_str().ok()),
        headers: &parts.headers,
        method,
        body,
    };
    let began = jiff::Timestamp::now();
    match tokio::time::timeout(REQUEST_TIMEOUT, call.handle(&route)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::error(&error),
        Err(_) => {
            let stage = api.herder.stage();
            Answer::internal(&format!(
                "Request timed out. The worker is currently {stage}. The request began at {began}"
            ))
        }
    }
}
