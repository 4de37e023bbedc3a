//! The way of frames out of a connection: through the writer task's queue, or, when nothing waits there, straight into
//! the socket from the thread that made them. Waking a task costs more than a small write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

/// Larger frames take long enough to write that the writer does it.
const DIRECT_BYTES_MAX: usize = 16 * 1024;
/// Pieces of a frame that is written directly.
const DIRECT_PIECES_MAX: usize = 8;

/// Where frames go.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::UnboundedSender<Bytes>,
    unwritten: Arc<Unwritten>,
    /// The socket, if it is a plain one. The writer owns it, so that it closes when the writer ends.
    socket: Weak<OwnedWriteHalf>,
}

/// How many pieces the writer has not written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten(AtomicUsize);

impl Unwritten {
    fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// The writer wrote so many.
    pub(super) fn written(&self, pieces: usize) {
        self.0.fetch_sub(pieces, Ordering::Release);
    }
}

impl Outgoing {
    /// The way out and the writer's end of it. `socket` is written to directly.
    pub(super) fn new(socket: Weak<OwnedWriteHalf>) -> (Outgoing, mpsc::UnboundedReceiver<Bytes>, Arc<Unwritten>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let unwritten = Arc::new(Unwritten::default());
        (Outgoing { queue, unwritten: Arc::clone(&unwritten), socket }, queued, unwritten)
    }

    /// Sends whole frames, in pieces. One caller at a time: the in-flight table is locked meanwhile.
    ///
    /// A writer that is gone has closed or is about to close the connection, which answers the waiters.
    pub(super) fn send(&self, pieces: &mut [Bytes]) {
        if self.unwritten.is_none() {
            self.write_now(pieces);
        }
        for piece in pieces.iter_mut().filter(|piece| !piece.is_empty()) {
            self.unwritten.0.fetch_add(1, Ordering::Relaxed);
            let _ = self.queue.send(std::mem::take(piece));
        }
    }

    /// Writes what the socket takes at once, and takes it off the pieces. An error is left for the writer to meet.
    fn write_now(&self, pieces: &mut [Bytes]) {
        if pieces.len() > DIRECT_PIECES_MAX || pieces.iter().map(Bytes::len).sum::<usize>() > DIRECT_BYTES_MAX {
            return;
        }
        let Some(socket) = self.socket.upgrade() else { return };
        let mut slices = [IoSlice::new(&[]); DIRECT_PIECES_MAX];
        for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
            *slice = IoSlice::new(piece);
        }
        let Ok(mut written) = socket.try_write_vectored(&slices) else { return };
        for piece in pieces {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
        }
    }
}

/// The writer's end of a socket that is also written to directly.
#[derive(Debug)]
pub(super) struct SharedSocket(pub(super) Arc<OwnedWriteHalf>);

impl SharedSocket {
    fn poll_writing(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.as_ref().as_ref().poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_writing(context, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(context, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket shuts down when it is dropped, right after this.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::io::write_queued;
    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    fn stream_of(frames: &[Vec<Bytes>]) -> Vec<u8> {
        frames.iter().flatten().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[tokio::test]
    async fn frames_written_directly_and_queued_keep_their_order() {
        let (ours, mut theirs) = pair().await;
        let (_reading, writing) = ours.into_split();
        let socket = Arc::new(writing);
        let (outgoing, mut queued, unwritten) = Outgoing::new(Arc::downgrade(&socket));
        let mut writer = SharedSocket(socket);
        // Small and large frames in turns: far more than the socket's buffers hold, so that direct writes end in the
        // middle of a frame too.
        let frames: Vec<Vec<Bytes>> = (0..4000u32)
            .map(|index| {
                let large = if index % 7 == 3 { 40_000 } else { 700 };
                vec![Bytes::from(index.to_be_bytes().to_vec()), Bytes::from(vec![index.to_le_bytes()[0]; large])]
            })
            .collect();
        let expected = stream_of(&frames);
        let mut bytes = vec![0; expected.len()];
        let reading = tokio::spawn(async move {
            theirs.read_exact(&mut bytes).await.unwrap();
            bytes
        });
        for mut frame in frames {
            outgoing.send(&mut frame);
            if queued.len() > 64 {
                write_queued(&mut writer, &mut queued, &unwritten).await.unwrap();
            }
        }
        while !queued.is_empty() {
            write_queued(&mut writer, &mut queued, &unwritten).await.unwrap();
        }
        assert!(unwritten.is_none());
        drop(writer);
        assert!(reading.await.unwrap() == expected, "bytes were lost, doubled or out of order");
    }

    #[tokio::test]
    async fn a_small_frame_needs_no_writer() {
        let (ours, mut theirs) = pair().await;
        let (_reading, writing) = ours.into_split();
        writing.writable().await.unwrap();
        let socket = Arc::new(writing);
        let (outgoing, queued, _) = Outgoing::new(Arc::downgrade(&socket));
        outgoing.send(&mut [Bytes::from_static(b"head "), Bytes::from_static(b"and body")]);
        let mut bytes = [0; 13];
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!((&bytes[..], queued.len()), (&b"head and body"[..], 0));
    }
}
