//! Reads a request off the socket piece by piece, so that record bytes never have to be kept.

use std::io::{self, Read};
use std::net::TcpStream;

use rustix::net::{RecvFlags, recv};

const BUFFER_BYTES: usize = 64 * 1024;
/// Most bytes the kernel is told to drop at once.
const DROP_BYTES: usize = 1 << 20;

/// The reading half of a connection.
#[derive(Debug)]
pub(crate) struct Input {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    scrap: Vec<u8>,
}

impl Input {
    pub(crate) fn new(socket: TcpStream) -> Input {
        Input { socket, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, scrap: vec![0; DROP_BYTES] }
    }

    /// Looks at the next bytes without taking them.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() < count {
                self.buffer.resize(count, 0);
            }
        }
        while self.end - self.start < count {
            let read = self.socket.read(&mut self.buffer[self.end..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.end += read;
        }
        Ok(&self.buffer[self.start..self.start + count])
    }

    pub(crate) fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        self.peek(count)?;
        self.start += count;
        Ok(&self.buffer[self.start - count..self.start])
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn i16(&mut self) -> io::Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> io::Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A length or count; a null is 0.
    pub(crate) fn count(&mut self) -> io::Result<usize> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// A string; null is empty.
    pub(crate) fn string(&mut self) -> io::Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over bytes. Those not read yet are dropped in the kernel.
    pub(crate) fn skip(&mut self, count: usize) -> io::Result<()> {
        let buffered = (self.end - self.start).min(count);
        self.start += buffered;
        let mut missing = count - buffered;
        while missing > 0 {
            let scrap = &mut self.scrap[..missing.min(DROP_BYTES)];
            let (_, dropped) = recv(&self.socket, scrap, RecvFlags::TRUNC)?;
            if dropped == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            missing -= dropped;
        }
        Ok(())
    }
}
