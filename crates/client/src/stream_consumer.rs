//! One partition as a stream of records: a consumer that fetches ahead, with its batches decoded one delivery at a time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::cluster::Cluster;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::error::{Error, Result};
use crate::list_offsets::list_offsets;
use crate::record::RecordAndOffset;
use crate::transport::BoxFuture;
use crate::types::{Isolation, OffsetSpec, TopicPartition};

/// Where a [`StreamConsumer`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// The first record still in the log.
    Earliest,
    /// Behind the last record there is when the stream is first polled.
    Latest,
    /// This offset: between the first of the log and the end of it, where the stream waits for the record to come.
    At(i64),
    /// The first record whose timestamp (milliseconds since the epoch) is at least this; without one as
    /// [`Latest`](Self::Latest).
    Timestamp(i64),
}

/// What the future behind the stream brings.
#[derive(Debug)]
struct Delivery {
    records: Vec<RecordAndOffset>,
    high_watermark: i64,
}

/// The consumer and what it needs to begin.
#[derive(Debug)]
struct Reader {
    cluster: Arc<Cluster>,
    consumer: Consumer,
    partition: TopicPartition,
    isolation: Isolation,
    /// `None` once the partition is assigned.
    start: Option<StartOffset>,
}

impl Reader {
    async fn next(&mut self) -> Result<Delivery> {
        if let Some(start) = self.start {
            let offset = self.start_offset(start).await?;
            self.consumer.assign([(self.partition.clone(), offset)]);
            self.start = None;
        }
        let fetched = self.consumer.next().await?;
        let high_watermark = fetched.high_watermark;
        let records = fetched.into_records(self.cluster.options().decompressed_bytes_max).await?;
        Ok(Delivery { records, high_watermark })
    }

    async fn start_offset(&self, start: StartOffset) -> Result<i64> {
        let asked = match start {
            StartOffset::At(offset) => return Ok(offset),
            StartOffset::Earliest => OffsetSpec::Earliest,
            StartOffset::Latest => OffsetSpec::Latest,
            StartOffset::Timestamp(timestamp) => OffsetSpec::Timestamp(timestamp),
        };
        match self.ask(asked).await? {
            -1 => self.ask(OffsetSpec::Latest).await,
            offset => Ok(offset),
        }
    }

    async fn ask(&self, spec: OffsetSpec) -> Result<i64> {
        let found = list_offsets(&self.cluster, &[(self.partition.clone(), spec)], self.isolation).await?;
        Ok(found.first().map_or(-1, |(_, listed)| listed.offset))
    }
}

async fn read(mut reader: Reader) -> (Reader, Result<Delivery>) {
    let delivery = reader.next().await;
    (reader, delivery)
}

/// The records of one partition in order, each with the high watermark of the answer it came in. Made by
/// [`PartitionClient::stream`](crate::PartitionClient::stream).
///
/// Batches are fetched ahead within `buffer_bytes_max` while the application works; those of one delivery (at most about
/// `partition_fetch_bytes_max` on the wire) are decoded at a time. The stream waits at the end of the partition for more.
/// It ends only after an error, which it yields first; leader moves and lost connections are none. An offset out of range
/// is one unless the options say otherwise.
///
/// Dropping it stops fetching.
pub struct StreamConsumer {
    partition: TopicPartition,
    records: std::vec::IntoIter<RecordAndOffset>,
    high_watermark: i64,
    /// `None` after an error.
    reading: Option<BoxFuture<'static, (Reader, Result<Delivery>)>>,
}

impl fmt::Debug for StreamConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamConsumer")
            .field("partition", &self.partition)
            .field("decoded", &self.records.len())
            .field("high_watermark", &self.high_watermark)
            .field("ended", &self.reading.is_none())
            .finish()
    }
}

impl StreamConsumer {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        partition: TopicPartition,
        start: StartOffset,
        options: ConsumerOptions,
    ) -> Result<StreamConsumer> {
        if let StartOffset::At(offset) = start
            && offset < 0
        {
            return Err(Error::InvalidOption { option: "start".to_owned(), reason: "offsets begin at 0".to_owned() });
        }
        let isolation = options.isolation;
        let consumer = Consumer::new(Arc::clone(&cluster), options)?;
        let reader = Reader { cluster, consumer, partition: partition.clone(), isolation, start: Some(start) };
        let reading: BoxFuture<'static, _> = Box::pin(read(reader));
        Ok(StreamConsumer { partition, records: Vec::new().into_iter(), high_watermark: -1, reading: Some(reading) })
    }

    /// The next record, as a method: for a loop that needs no stream combinators.
    pub async fn next(&mut self) -> Option<Result<(RecordAndOffset, i64)>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for StreamConsumer {
    type Item = Result<(RecordAndOffset, i64)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(record) = self.records.next() {
                return Poll::Ready(Some(Ok((record, self.high_watermark))));
            }
            let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
            let (reader, delivery) = ready!(reading.as_mut().poll(context));
            self.reading = None;
            match delivery {
                Ok(delivery) => {
                    self.records = delivery.records.into_iter();
                    self.high_watermark = delivery.high_watermark;
                    self.reading = Some(Box::pin(read(reader)));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ended = self.reading.is_none();
        (self.records.len(), ended.then_some(self.records.len()))
    }
}

impl FusedStream for StreamConsumer {
    fn is_terminated(&self) -> bool {
        self.reading.is_none() && self.records.len() == 0
    }
}
