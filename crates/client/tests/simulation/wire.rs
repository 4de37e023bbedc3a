//! The way from clients to the broker: in memory, with every frame in the trace, and with cables that can be frozen and
//! cut.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use kanat_broker::Dialer;
use kanat_client::{BoxFuture, BoxedTransport, Connector};
use kanat_protocol::frame::{LENGTH_BYTES, RequestFrame, decode_request_header};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::trace;

/// Sees the frames of a client.
pub(crate) trait Tap: std::fmt::Debug + Send + Sync {
    fn requested(&self, request: &RequestFrame);
    /// `answer` is the whole frame without its length.
    fn answered(&self, request: &RequestFrame, answer: &Bytes);
}

/// One client's way into the network, all its connections together.
#[derive(Debug)]
pub(crate) struct Cable {
    dialer: Dialer,
    tap: Option<Arc<dyn Tap>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frozen_until: Option<Instant>,
    is_cut: bool,
    /// Who waits for bytes, by connection.
    readers: BTreeMap<usize, Waker>,
    /// Connections dropped while nothing gets through: the broker hears of no end.
    silent: Vec<DuplexStream>,
}

impl Cable {
    pub(crate) fn new(dialer: Dialer, tap: Option<Arc<dyn Tap>>) -> Cable {
        Cable { dialer, tap, state: Mutex::default() }
    }

    /// Lets nothing through until then, in either direction; nothing is lost and nobody is told.
    pub(crate) fn freeze(&self, until: Instant) {
        self.state.lock().unwrap().frozen_until = Some(until);
    }

    /// Breaks every connection, and every one to come.
    pub(crate) fn cut(&self) {
        let readers = {
            let mut state = self.state.lock().unwrap();
            state.is_cut = true;
            std::mem::take(&mut state.readers)
        };
        readers.into_values().for_each(Waker::wake);
    }

    fn check(&self) -> io::Result<Option<Instant>> {
        let state = self.state.lock().unwrap();
        if state.is_cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(state.frozen_until.filter(|until| *until > Instant::now()))
    }
}

/// What a client dials with.
#[derive(Debug)]
pub(crate) struct Plug(pub(crate) Arc<Cable>);

impl Connector for Plug {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        Box::pin(async move {
            while let Some(until) = self.0.check()? {
                sleep_until(until).await;
            }
            let stream = self.0.dialer.dial(&address);
            let number = trace::next_connection();
            trace::note(|| format!("#{number} to {address}: {}", stream.as_ref().map_or("refused", |_| "open")));
            Ok(Box::new(Tapped::new(Arc::clone(&self.0), number, stream?)) as BoxedTransport)
        })
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
struct Frames(BytesMut);

impl Frames {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Bytes> {
        let prefix: [u8; LENGTH_BYTES] = self.0.get(..LENGTH_BYTES)?.try_into().unwrap();
        let end = LENGTH_BYTES + usize::try_from(i32::from_be_bytes(prefix)).unwrap();
        if self.0.len() < end {
            return None;
        }
        Some(self.0.split_to(end).freeze().slice(LENGTH_BYTES..))
    }
}

/// A connection.
#[derive(Debug)]
struct Tapped {
    cable: Arc<Cable>,
    number: usize,
    /// `None` once it was dropped.
    stream: Option<DuplexStream>,
    thaw: Option<Pin<Box<Sleep>>>,
    sent: Frames,
    received: Frames,
    /// Requests by correlation id.
    waiting: BTreeMap<i32, RequestFrame>,
}

impl Tapped {
    fn new(cable: Arc<Cable>, number: usize, stream: DuplexStream) -> Tapped {
        let (sent, received) = (Frames::default(), Frames::default());
        Tapped { cable, number, stream: Some(stream), thaw: None, sent, received, waiting: BTreeMap::new() }
    }

    fn is_watched(&self) -> bool {
        self.cable.tap.is_some() || trace::is_on()
    }

    /// Waits while the cable is frozen.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut DuplexStream>>> {
        while let Some(until) = self.cable.check()? {
            let thaw = self.thaw.insert(Box::pin(sleep_until(until)));
            ready!(thaw.as_mut().poll(context));
        }
        self.thaw = None;
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Poll::Ready(Ok(Pin::new(stream)))
    }

    fn on_sent(&mut self, bytes: &[u8]) {
        self.sent.add(bytes);
        while let Some(frame) = self.sent.next() {
            let len = frame.len();
            let digest = digest(&frame);
            let request = decode_request_header(frame).unwrap();
            trace::note(|| {
                let (api, version, id) = (request.api_key, request.api_version, request.correlation_id);
                format!("#{} > {api:?} v{version}, id {id}, {len} bytes, {digest:016x}", self.number)
            });
            if let Some(tap) = &self.cable.tap {
                tap.requested(&request);
            }
            self.waiting.insert(request.correlation_id, request);
        }
    }

    fn on_received(&mut self, bytes: &[u8]) {
        self.received.add(bytes);
        while let Some(frame) = self.received.next() {
            let id = i32::from_be_bytes(frame[..4].try_into().unwrap());
            let Some(request) = self.waiting.remove(&id) else { continue };
            trace::note(|| {
                let (api, digest) = (request.api_key, digest(&frame));
                format!("#{} < {api:?}, id {id}, {} bytes, {digest:016x}", self.number, frame.len())
            });
            if let Some(tap) = &self.cable.tap {
                tap.answered(&request, &frame);
            }
        }
    }
}

fn digest(frame: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}

impl Drop for Tapped {
    fn drop(&mut self) {
        let mut state = self.cable.state.lock().unwrap();
        state.readers.remove(&self.number);
        if !state.is_cut && state.frozen_until.is_some_and(|until| until > Instant::now()) {
            state.silent.extend(self.stream.take());
        }
        trace::note(|| format!("#{} closed", self.number));
    }
}

impl AsyncRead for Tapped {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = match this.poll_open(context) {
            Poll::Ready(Ok(stream)) => stream.poll_read(context, buffer),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if polled.is_pending() {
            this.cable.state.lock().unwrap().readers.insert(this.number, context.waker().clone());
        }
        if this.is_watched() {
            this.on_received(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(ready!(this.poll_open(context))?.poll_write(context, bytes))?;
        if this.is_watched() {
            this.on_sent(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_open(context))?.poll_shutdown(context)
    }
}
