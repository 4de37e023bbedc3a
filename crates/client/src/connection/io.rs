//! The two tasks of a connection: one writes frames, one reads them.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kanat_protocol::frame::LENGTH_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Shared;
use super::outgoing::Unwritten;

/// Small frames are read many at a time into a buffer of this size; a larger frame gets memory of exactly its size.
const READ_CHUNK_BYTES: usize = 16 * 1024;
/// Frames, or pieces of them, the writer takes from its queue and hands to the socket at a time.
const WRITE_FRAMES_MAX: usize = 64;
/// How an alert of a TLS listener begins that got something else than TLS: type 21, version 3.x.
const TLS_ALERT: [u8; 2] = [21, 3];
/// Shortest frame: a correlation id.
const FRAME_BYTES_MIN: usize = 4;

/// Writes whole frames in the order they were queued until the connection closes.
pub(super) async fn write_frames<W: AsyncWrite + Unpin>(
    mut socket: W,
    mut frames: mpsc::UnboundedReceiver<Bytes>,
    unwritten: Arc<Unwritten>,
    shared: Arc<Shared>,
) {
    loop {
        let written = tokio::select! {
            biased;
            written = write_queued(&mut socket, &mut frames, &unwritten) => written,
            () = shared.until_closed() => break,
        };
        match written {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                shared.close(&format!("write failed: {error}"));
                break;
            }
        }
    }
    let _ = socket.shutdown().await;
}

/// Waits for queued pieces of frames and writes them. Returns how many; 0 when there will be no more.
pub(super) async fn write_queued<W: AsyncWrite + Unpin>(
    socket: &mut W,
    frames: &mut mpsc::UnboundedReceiver<Bytes>,
    unwritten: &Unwritten,
) -> std::io::Result<usize> {
    let mut pending = Vec::with_capacity(WRITE_FRAMES_MAX);
    let taken = frames.recv_many(&mut pending, WRITE_FRAMES_MAX).await;
    write_all(socket, &mut pending).await?;
    unwritten.written(taken);
    Ok(taken)
}

/// Writes everything with as few system calls as the socket allows, without copying it together.
async fn write_all<W: AsyncWrite + Unpin>(socket: &mut W, frames: &mut Vec<Bytes>) -> std::io::Result<()> {
    let mut first = 0;
    while first < frames.len() {
        let mut written = match &frames[first..] {
            [only] => socket.write(only).await?,
            several => {
                let slices: Vec<IoSlice<'_>> = several.iter().map(|frame| IoSlice::new(frame)).collect();
                socket.write_vectored(&slices).await?
            }
        };
        if written == 0 && !frames[first].is_empty() {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        while let Some(frame) = frames.get_mut(first) {
            if written < frame.len() {
                let _ = frame.split_to(written);
                break;
            }
            written -= frame.len();
            // Given back at once: its memory may serve the next batch.
            *frame = Bytes::new();
            first += 1;
        }
    }
    frames.clear();
    socket.flush().await
}

/// Reads frames and hands each to its waiter until the connection closes.
pub(super) async fn read_frames<R: AsyncRead + Unpin>(socket: R, shared: Arc<Shared>) {
    let mut reader = FrameReader { socket, buffer: BytesMut::new(), frame_bytes_max: shared.frame_bytes_max };
    loop {
        let frame = tokio::select! {
            biased;
            frame = reader.next_frame() => frame,
            () = shared.until_closed() => break,
        };
        let delivered = frame.and_then(|frame| {
            let Some(id) = frame.first_chunk::<4>().copied() else {
                return Err("response without a correlation id".to_owned());
            };
            shared.in_flight.lock().answer(i32::from_be_bytes(id), frame)
        });
        if let Err(reason) = delivered {
            shared.close(&reason);
            break;
        }
    }
}

/// Cuts the byte stream into frames without length prefix.
struct FrameReader<R> {
    socket: R,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    async fn next_frame(&mut self) -> Result<Bytes, String> {
        while self.buffer.len() < LENGTH_BYTES {
            self.fill().await?;
        }
        let length = self.frame_length()?;
        let _ = self.buffer.split_to(LENGTH_BYTES);
        if length > READ_CHUNK_BYTES {
            return self.large_frame(length).await;
        }
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// The checked length of the frame that begins the buffer.
    fn frame_length(&self) -> Result<usize, String> {
        let prefix = self.buffer.first_chunk::<LENGTH_BYTES>().copied().unwrap_or_default();
        let length = i32::from_be_bytes(prefix);
        if prefix.starts_with(&TLS_ALERT) {
            return Err("the listener at this port speaks TLS: set the protocol to SSL or SASL_SSL".to_owned());
        }
        match usize::try_from(length) {
            Ok(bytes) if bytes > self.frame_bytes_max => {
                Err(format!("response of {bytes} bytes is larger than frame_bytes_max {}", self.frame_bytes_max))
            }
            Ok(bytes) if bytes >= FRAME_BYTES_MIN => Ok(bytes),
            _ => Err(format!("response with impossible length {length}")),
        }
    }

    /// Reads one frame into memory of its own, straight from the socket into uninitialised space.
    async fn large_frame(&mut self, length: usize) -> Result<Bytes, String> {
        let mut frame = BytesMut::with_capacity(length);
        let buffered = self.buffer.len().min(length);
        frame.extend_from_slice(&self.buffer.split_to(buffered));
        while frame.len() < length {
            let missing = length - frame.len();
            let read = self.socket.read_buf(&mut (&mut frame).limit(missing)).await;
            ended(read)?;
        }
        Ok(frame.freeze())
    }

    async fn fill(&mut self) -> Result<(), String> {
        self.buffer.reserve(READ_CHUNK_BYTES);
        ended(self.socket.read_buf(&mut self.buffer).await)
    }
}

fn ended(read: std::io::Result<usize>) -> Result<(), String> {
    match read {
        Ok(0) => Err("closed by the broker".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("read failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(bytes: &[u8], frame_bytes_max: usize) -> FrameReader<&[u8]> {
        FrameReader { socket: bytes, buffer: BytesMut::new(), frame_bytes_max }
    }

    fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for payload in payloads {
            stream.extend_from_slice(&i32::try_from(payload.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(payload);
        }
        stream
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_of_any_size_come_out_whole(sizes in proptest::collection::vec(4usize..60_000, 1..6)) {
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(index, size)| vec![u8::try_from(index).unwrap(); *size]).collect();
            let stream = framed(&payloads);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut reader = reader(&stream, 1 << 20);
                for payload in &payloads {
                    let frame = reader.next_frame().await.unwrap();
                    assert_eq!(frame, payload[..]);
                }
                assert_eq!(reader.next_frame().await.unwrap_err(), "closed by the broker");
            });
        }
    }

    #[tokio::test]
    async fn impossible_lengths_are_refused_before_memory_is_taken() {
        for (length, word) in
            [(-1i32, "impossible"), (3, "impossible"), (i32::MAX, "frame_bytes_max"), (0x1503_0300, "TLS")]
        {
            let error = reader(&length.to_be_bytes(), 1 << 20).next_frame().await.unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
