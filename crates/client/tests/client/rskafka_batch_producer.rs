//! What RSKafka's integration test asks of a batch producer, and the hook of its `ProducerClient`, against a broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{broker, client, record, within};
use kanat_client::{
    BatchProducer, BatchProducerOptions, BoxFuture, Compression, OffsetSpec, PartitionClient, Produced, ProducerClient,
    Record, RecordAggregator, Result, UnknownTopic,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_third_record_sends_the_first_two_and_lingers_itself() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[]).await.unwrap();
    let client = client(&broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let linger = Duration::from_millis(400);
    let options = BatchProducerOptions { linger_ms: 400, ..BatchProducerOptions::default() };
    let aggregator = RecordAggregator::new(record("value").approximate_bytes() * 2 + 1);
    let producer = BatchProducer::new(Arc::new(client), aggregator, options).unwrap();
    let produce = || producer.produce(record("value"));
    let started = Instant::now();
    let pair = async { tokio::join!(produce(), produce()) };
    tokio::pin!(pair);
    assert!(tokio::time::timeout(linger / 4, &mut pair).await.is_err(), "two records linger");
    let third = produce();
    tokio::pin!(third);
    let (first, second) = tokio::select! {
        both = &mut pair => both,
        early = &mut third => panic!("the third record did not linger: {early:?}"),
    };
    assert_eq!((first.unwrap(), second.unwrap()), (0, 1));
    assert!(started.elapsed() < linger, "a full batch does not linger");
    assert_eq!(within("third", third).await.unwrap(), 2);
    assert!(started.elapsed() >= linger);
}

/// Counts what passes through it.
#[derive(Debug)]
struct Counting {
    inner: PartitionClient,
    records: AtomicUsize,
    request_bytes: AtomicUsize,
}

impl ProducerClient for Counting {
    fn produce(&self, records: Vec<Record>, compression: Compression) -> BoxFuture<'_, Result<Produced>> {
        Box::pin(async move {
            self.records.fetch_add(records.len(), Ordering::Relaxed);
            let produced = self.inner.produce(records, compression).await?;
            self.request_bytes.fetch_add(produced.request_bytes, Ordering::Relaxed);
            Ok(produced)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_ones_own_sees_what_is_written_and_large_batches_are_split() {
    let broker = broker().await;
    broker.create_topic("t", 1, &[("max.message.bytes", "2000")]).await.unwrap();
    let inner = client(&broker).await.partition_client("t", 0, UnknownTopic::Error).await.unwrap();
    let counting = Arc::new(Counting { inner, records: AtomicUsize::new(0), request_bytes: AtomicUsize::new(0) });
    let shared: Arc<dyn ProducerClient> = Arc::<Counting>::clone(&counting);
    let producer = BatchProducer::new(shared, RecordAggregator::new(100_000), BatchProducerOptions::default()).unwrap();
    let calls = (0..20).map(|_| producer.produce(record(vec![b'x'; 300])));
    let mut offsets = Vec::new();
    for call in within("produce", join_all(calls)).await {
        offsets.push(call.unwrap());
    }
    assert_eq!(offsets, (0..20).collect::<Vec<i64>>());
    assert_eq!(counting.inner.get_offset(OffsetSpec::Latest).await.unwrap(), 20);
    assert!(counting.records.load(Ordering::Relaxed) > 20, "what was too large came again in halves");
    assert!(counting.request_bytes.load(Ordering::Relaxed) > 20 * 300);
}

/// Polls all futures at once, in order.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
            {
                *output = Some(done);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}
