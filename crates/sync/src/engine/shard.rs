//! A compute thread: everything that happens to its partitions between the fetch and the commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kanat_client::Fetched;
use kanat_protocol::compression::Decompressor;
use tokio::sync::mpsc;

use super::committer::Sealed;
use super::limits::BATCH_BYTES_MAX;
use super::reader::ToShard;
use super::table_sink::TableSink;
use crate::error::{Error, Result};

/// One compute thread of a sync.
#[derive(Debug)]
pub(crate) struct Shard {
    sinks: HashMap<Arc<str>, TableSink>,
    decompressor: Decompressor,
    /// Bytes all sinks may hold together before the largest writes out.
    memory_bytes_max: usize,
    sealed: mpsc::Sender<Sealed>,
    /// Set when the sync has failed elsewhere: nothing more may become visible.
    aborted: Arc<AtomicBool>,
}

impl Shard {
    pub(crate) fn new(
        sinks: HashMap<Arc<str>, TableSink>,
        memory_bytes_max: usize,
        sealed: mpsc::Sender<Sealed>,
        aborted: Arc<AtomicBool>,
    ) -> Self {
        Self { sinks, decompressor: Decompressor::new(BATCH_BYTES_MAX), memory_bytes_max, sealed, aborted }
    }

    /// Works until the reader is gone, then seals what is left.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<ToShard>) -> Result<()> {
        while let Some(message) = inbox.blocking_recv() {
            if self.aborted.load(Ordering::Acquire) {
                return Ok(());
            }
            match message {
                ToShard::Fetched(fetched) => self.take(&fetched)?,
                ToShard::Seal => self.seal_all()?,
            }
        }
        if self.aborted.load(Ordering::Acquire) {
            return Ok(());
        }
        self.seal_all()
    }

    fn take(&mut self, fetched: &Fetched) -> Result<()> {
        let Some(sink) = self.sinks.get_mut(&fetched.tp.topic) else {
            return Err(Error::Internal { reason: format!("no table for {}", fetched.tp) });
        };
        sink.push(fetched, &mut self.decompressor)?;
        if sink.wants_seal() {
            seal(sink, &self.sealed)?;
        }
        self.keep_within_memory()
    }

    /// Lets the largest sinks write out until all together fit (rule 10).
    fn keep_within_memory(&mut self) -> Result<()> {
        let mut held: usize = self.sinks.values().map(TableSink::memory_bytes).sum();
        while held > self.memory_bytes_max {
            let Some(largest) = self.sinks.values_mut().max_by_key(|sink| sink.memory_bytes()) else { return Ok(()) };
            let before = largest.memory_bytes();
            largest.release_memory()?;
            let released = before.saturating_sub(largest.memory_bytes());
            if released == 0 {
                return Ok(());
            }
            held -= released;
        }
        Ok(())
    }

    fn seal_all(&mut self) -> Result<()> {
        self.sinks.values_mut().try_for_each(|sink| seal(sink, &self.sealed))
    }
}

fn seal(sink: &mut TableSink, sealed: &mpsc::Sender<Sealed>) -> Result<()> {
    let Some(seal) = sink.seal()? else { return Ok(()) };
    // A committer that is gone has failed and says why itself; this only ends the shard.
    sealed.blocking_send(seal).map_err(|_| Error::Internal { reason: "the committer ended early".to_owned() })
}
