//! Records that own their bytes, for those who keep them or pass them on. Reading and writing in bulk borrows instead.

use bytes::Bytes;
use kanat_protocol::batch::Record as RecordView;

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Key.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in order; keys may repeat and values may be null.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

impl Record {
    /// Bytes of key, value and headers: roughly what the record takes in a batch that is not compressed.
    pub fn approximate_bytes(&self) -> usize {
        let header = |(key, value): &(Bytes, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(header).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }
}

/// A record with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordAndOffset {
    /// The record.
    pub record: Record,
    /// Its offset.
    pub offset: i64,
}

impl RecordAndOffset {
    /// The record behind a view into `body`, whose memory it shares.
    pub(crate) fn sharing(body: &Bytes, view: &RecordView<'_>) -> kanat_protocol::Result<RecordAndOffset> {
        let shared = |bytes: &[u8]| body.slice_ref(bytes);
        let mut headers = Vec::new();
        for header in view.headers() {
            let (key, value) = header?;
            headers.push((shared(key), value.map(shared)));
        }
        let (key, value) = (view.key.map(shared), view.value.map(shared));
        let record = Record { key, value, headers, timestamp: view.timestamp };
        Ok(RecordAndOffset { record, offset: view.offset })
    }
}
