//! Cutting the end off a log, as a replica does that followed a leader whose records were lost.

use std::io;

use kanat_protocol::batch::RecordBatch;

use super::partition::PartitionLog;
use super::producers::Producers;
use super::transactions::Transactions;

impl PartitionLog {
    /// Drops every batch that holds `offset` or a later one, and what was learnt from them.
    pub(crate) fn truncate(&mut self, offset: i64, producers_max: usize) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments.back().is_some_and(|last| last.base_offset() >= offset) {
            if let Some(segment) = self.segments.pop_back() {
                segment.delete()?;
            }
        }
        if let Some(last) = self.segments.back_mut() {
            last.truncate(offset)?;
        }
        self.forget_learnt();
        self.producers = Producers::default();
        self.transactions = Transactions::default();
        let stored: Vec<_> = self
            .segments
            .iter()
            .flat_map(|segment| (0..segment.entries().len()).map(move |index| segment.read(index..index + 1)))
            .collect();
        for slices in stored {
            let mut bytes = Vec::new();
            for slice in slices {
                bytes.extend_from_slice(&slice.load()?);
            }
            let invalid = |error: kanat_protocol::Error| io::Error::new(io::ErrorKind::InvalidData, error);
            let batch = RecordBatch::parse(bytes.into()).map_err(invalid)?;
            let control = batch.control().map_err(invalid)?;
            self.replay(batch.header(), control.as_ref(), producers_max);
        }
        Ok(())
    }
}
