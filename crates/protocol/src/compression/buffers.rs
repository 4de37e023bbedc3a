//! Output buffers that come back by themselves.
//!
//! The pool keeps one handle on every buffer it has lent. A buffer whose other handles are all gone is unique again,
//! and its allocation serves the next batch. Nothing has to be returned by the reader.

use bytes::Bytes;

/// Lent buffers remembered at most; further ones are simply freed by their last reader.
const LENT_MAX: usize = 4;

/// Buffers above this capacity are not kept, so that one huge batch does not pin its memory for good.
const KEPT_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
pub(super) struct BufferPool {
    lent: Vec<Bytes>,
    idle: Option<Vec<u8>>,
}

impl BufferPool {
    /// An empty buffer, with the capacity of an earlier one if possible.
    pub(super) fn take(&mut self) -> Vec<u8> {
        if let Some(buffer) = self.idle.take() {
            return buffer;
        }
        let Some(position) = self.lent.iter().position(Bytes::is_unique) else { return Vec::new() };
        match self.lent.swap_remove(position).try_into_mut() {
            Ok(mut buffer) => {
                // Converting an empty buffer keeps its allocation and moves nothing.
                buffer.clear();
                Vec::from(buffer)
            }
            Err(_) => Vec::new(),
        }
    }

    /// Takes back a buffer that was not lent after all.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            self.idle = Some(buffer);
        }
    }

    /// Freezes a filled buffer and remembers it.
    pub(super) fn lend(&mut self, buffer: Vec<u8>) -> Bytes {
        if buffer.is_empty() {
            self.give_back(buffer);
            return Bytes::new();
        }
        let keep = buffer.capacity() <= KEPT_BYTES_MAX;
        let bytes = Bytes::from(buffer);
        if keep {
            if self.lent.len() == LENT_MAX {
                self.lent.swap_remove(0);
            }
            self.lent.push(bytes.clone());
        }
        bytes
    }
}
