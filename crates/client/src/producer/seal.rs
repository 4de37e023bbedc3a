//! What lies between a batch that is taken and a request that leaves: sealing, compressing, finding the connection.

use std::sync::Arc;

use kanat_protocol::compression::{Codec, Compressor};

use super::Shared;
use super::queue::{Content, Draft};
use crate::broker::{Broker, ConnectionClass};
use crate::connection::Connection;
use crate::error::{Error, Result};

/// A request that is ready to leave, or not.
pub(super) struct Prepared {
    pub(super) connection: Result<Arc<Connection>>,
    pub(super) drafts: Vec<Draft>,
    pub(super) failed: Vec<(Draft, Error)>,
}

impl Prepared {
    /// Finds the connection to leave on, dialled if need be. Without a broker it stays the error it is.
    pub(super) async fn connect(&mut self, broker: Option<Arc<Broker>>) {
        if let Some(broker) = broker {
            self.connection = broker.connection(ConnectionClass::Produce).await;
        }
    }
}

/// Seals what is open. Batches that cannot be sealed come back with their error.
///
/// What is compressed goes into memory of an earlier batch, and leaves its own for a later one.
pub(super) fn seal_all(shared: &Shared, drafts: Vec<Draft>, compressor: &mut Compressor) -> Prepared {
    let gone = Error::Connect { address: "broker".into(), reason: "it left the cluster".to_owned() };
    let mut prepared = Prepared { connection: Err(gone), drafts: Vec::with_capacity(drafts.len()), failed: Vec::new() };
    let compression = shared.options.compression;
    for mut draft in drafts {
        if let Content::Open(builder) = &mut draft.content {
            let memory = match compression.codec() {
                Codec::None => Vec::new(),
                _ => shared.accumulator.lock().spare(builder.len_bytes()),
            };
            match builder.seal_into(memory, compression, compressor) {
                Ok(bytes) => {
                    let sealed = std::mem::replace(&mut draft.content, Content::Sealed(bytes));
                    if let Content::Open(builder) = sealed {
                        shared.accumulator.lock().recycle(builder.into_buffer());
                    }
                }
                Err(source) => {
                    let topic = Arc::clone(&draft.partition.topic);
                    let partition = draft.partition.partition;
                    prepared.failed.push((draft, Error::EncodeRecord { topic, partition, source: Arc::new(source) }));
                    continue;
                }
            }
        }
        prepared.drafts.push(draft);
    }
    prepared
}
