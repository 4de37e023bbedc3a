//! Writes one batch through a client, in halves where the broker finds it too large.

use std::fmt;

use kanat_protocol::ErrorCode;
use kanat_protocol::compression::Compression;

use crate::error::{Error, Result};
use crate::partition::{PartitionClient, Produced};
use crate::record::Record;
use crate::transport::BoxFuture;

/// What a [`BatchProducer`](crate::BatchProducer) writes through. [`PartitionClient`] is one; another may count, log or
/// change what passes through it on the way to one.
pub trait ProducerClient: fmt::Debug + Send + Sync {
    /// Writes records as one batch; the answer has an offset for each.
    ///
    /// # Errors
    /// As [`PartitionClient::produce`]. On `MESSAGE_TOO_LARGE` the records come again in halves.
    fn produce(&self, records: Vec<Record>, compression: Compression) -> BoxFuture<'_, Result<Produced>>;
}

impl ProducerClient for PartitionClient {
    fn produce(&self, records: Vec<Record>, compression: Compression) -> BoxFuture<'_, Result<Produced>> {
        Box::pin(PartitionClient::produce(self, records, compression))
    }
}

/// Writes records in order and says of each where it is or why not. After a failure that is not about size nothing
/// further is sent: what follows in the partition must not overtake it.
pub(super) async fn write(
    client: &dyn ProducerClient,
    records: Vec<Record>,
    compression: Compression,
) -> Vec<Result<i64>> {
    let mut written = Vec::with_capacity(records.len());
    // The next part is the last.
    let mut parts = if records.is_empty() { Vec::new() } else { vec![records] };
    while let Some(part) = parts.pop() {
        let count = part.len();
        // Kept in case the broker wants it in smaller pieces; the bytes are shared.
        let kept = (count > 1).then(|| part.clone());
        match client.produce(part, compression).await {
            Ok(produced) if produced.offsets.len() == count => written.extend(produced.offsets.into_iter().map(Ok)),
            Ok(produced) => {
                let answer = format!("the client gave {} offsets for {count} records", produced.offsets.len());
                written.extend(std::iter::repeat_n(Err(Error::aggregator(answer)), count));
            }
            Err(error) if is_too_large(&error) => match kept {
                Some(mut first) => {
                    let second = first.split_off(count / 2);
                    tracing::debug!(records = count, "batch is too large for the broker: sending it in halves");
                    parts.push(second);
                    parts.push(first);
                }
                None => written.push(Err(error)),
            },
            Err(error) => {
                let left = count + parts.drain(..).map(|part| part.len()).sum::<usize>();
                written.extend(std::iter::repeat_n(Err(error), left));
            }
        }
    }
    written
}

fn is_too_large(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge))
}
