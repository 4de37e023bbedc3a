//! The way from clients to the broker: in memory, with every frame in the trace.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use kanat_broker::Dialer;
use kanat_client::{BoxFuture, BoxedTransport, Connector};
use kanat_protocol::frame::{LENGTH_BYTES, RequestFrame, decode_request_header};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::trace;

/// What a client dials with.
#[derive(Debug)]
pub(crate) struct Plug(pub(crate) Dialer);

impl Connector for Plug {
    fn connect(&self, address: String) -> BoxFuture<'_, io::Result<BoxedTransport>> {
        Box::pin(async move {
            let stream = self.0.dial(&address);
            let number = trace::next_connection();
            trace::note(|| format!("#{number} to {address}: {}", stream.as_ref().map_or("refused", |_| "open")));
            Ok(Box::new(Tapped::new(number, stream?)) as BoxedTransport)
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
    number: usize,
    stream: DuplexStream,
    sent: Frames,
    received: Frames,
    /// Requests by correlation id.
    waiting: BTreeMap<i32, RequestFrame>,
}

impl Tapped {
    fn new(number: usize, stream: DuplexStream) -> Tapped {
        let (sent, received) = (Frames::default(), Frames::default());
        Tapped { number, stream, sent, received, waiting: BTreeMap::new() }
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
        trace::note(|| format!("#{} closed", self.number));
    }
}

impl AsyncRead for Tapped {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if trace::is_on() {
            this.on_received(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        if trace::is_on() {
            this.on_sent(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
