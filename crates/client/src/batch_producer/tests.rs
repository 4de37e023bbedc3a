//! The batch producer against a client that is a list, under a paused clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::ApiKey;
use tokio::sync::Semaphore;

use super::*;
use crate::partition::Produced;
use crate::transport::BoxFuture;

/// Keeps what is written. Every request needs a permit; more than `records_max` records are too large.
#[derive(Debug)]
struct List {
    batches: Mutex<Vec<Vec<Record>>>,
    permits: Semaphore,
    records_max: usize,
    lose_next: AtomicBool,
}

fn list(permits: usize) -> Arc<List> {
    let permits = Semaphore::new(permits);
    Arc::new(List { batches: Mutex::default(), permits, records_max: usize::MAX, lose_next: AtomicBool::new(false) })
}

fn refused(code: ErrorCode) -> Error {
    Error::Server { address: "b:1".into(), api: ApiKey::Produce, subject: "t-0".to_owned(), code, message: None }
}

impl ProducerClient for List {
    fn produce(&self, records: Vec<Record>, _: Compression) -> BoxFuture<'_, Result<Produced>> {
        Box::pin(async move {
            self.permits.acquire().await.unwrap().forget();
            if records.len() > self.records_max || records.iter().any(|record| record.approximate_bytes() > 50) {
                return Err(refused(ErrorCode::MessageTooLarge));
            }
            if self.lose_next.swap(false, Ordering::Relaxed) {
                return Err(refused(ErrorCode::NotEnoughReplicas));
            }
            let mut batches = self.batches.lock();
            let begin = i64::try_from(batches.iter().map(Vec::len).sum::<usize>()).unwrap();
            let end = begin + i64::try_from(records.len()).unwrap();
            batches.push(records);
            Ok(Produced { offsets: (begin..end).collect(), request_bytes: 1 })
        })
    }
}

impl List {
    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().iter().map(Vec::len).collect()
    }

    fn values(&self) -> Vec<u8> {
        self.batches.lock().iter().flatten().map(|record| record.value.as_ref().unwrap()[0]).collect()
    }
}

/// Ten bytes that begin with `number`.
fn record(number: u8) -> Record {
    let mut value = vec![0; 10];
    value[0] = number;
    Record { value: Some(value.into()), ..Record::default() }
}

const LINGER: Duration = Duration::from_millis(100);

fn options() -> BatchProducerOptions {
    BatchProducerOptions { linger_ms: 100, ..BatchProducerOptions::default() }
}

fn producer(client: &Arc<List>, batch_bytes_max: usize) -> Arc<BatchProducer<RecordAggregator>> {
    let client: Arc<dyn ProducerClient> = Arc::<List>::clone(client);
    Arc::new(BatchProducer::new(client, RecordAggregator::new(batch_bytes_max), options()).unwrap())
}

/// Produces in a task of its own, which is polled before the next one is made.
async fn spawn<A: Aggregator>(
    producer: &Arc<BatchProducer<A>>,
    input: A::Input,
) -> JoinHandle<Result<<A::Deaggregator as StatusDeaggregator>::Status>>
where
    A::Input: 'static,
    A::Tag: Sync,
    <A::Deaggregator as StatusDeaggregator>::Status: 'static,
{
    let producer = Arc::clone(producer);
    let task = tokio::spawn(async move { producer.produce(input).await });
    tokio::task::yield_now().await;
    task
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_and_the_rest_after_the_linger() {
    let client = list(100);
    let producer = producer(&client, 25);
    let started = Instant::now();
    let first = spawn(&producer, record(1)).await;
    let second = spawn(&producer, record(2)).await;
    let third = spawn(&producer, record(3)).await;
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (0, 1));
    assert!(started.elapsed() < LINGER && !third.is_finished());
    assert_eq!(third.await.unwrap().unwrap(), 2);
    assert!(started.elapsed() >= LINGER);
    assert_eq!(client.sizes(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_linger() {
    let client = list(100);
    let producer = producer(&client, 1_000);
    let started = Instant::now();
    let waiting = spawn(&producer, record(1)).await;
    producer.flush().await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
    producer.flush().await.unwrap();
    assert_eq!(client.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn batches_keep_their_order_and_wait_for_room() {
    // Nothing is written yet.
    let client = list(0);
    let producer = producer(&client, 20);
    let mut waiting = Vec::new();
    for number in 0..40 {
        waiting.push(spawn(&producer, record(number)).await);
    }
    tokio::time::sleep(LINGER * 2).await;
    let held = {
        let state = producer.shared.state.lock();
        state.sealed.iter().map(|batch| batch.records.len()).sum::<usize>()
    };
    assert_eq!(held, 4 * 2, "sealed_batches_max bounds what is held; the other callers wait");
    client.permits.add_permits(100);
    for (offset, task) in (0..).zip(waiting) {
        assert_eq!(task.await.unwrap().unwrap(), offset);
    }
    assert_eq!(client.values(), (0..40).collect::<Vec<u8>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_split_and_only_the_record_that_is_itself_too_large_fails() {
    let client = Arc::new(List { records_max: 3, ..Arc::into_inner(list(100)).unwrap() });
    let producer = producer(&client, 1_000);
    let mut waiting = Vec::new();
    for number in 0..8 {
        let large = Record { value: Some(vec![5; 60].into()), ..Record::default() };
        waiting.push(spawn(&producer, if number == 5 { large } else { record(number) }).await);
    }
    let failed = producer.flush().await.unwrap_err();
    assert_eq!(failed.code(), Some(ErrorCode::MessageTooLarge));
    let mut offsets = Vec::new();
    for (number, task) in waiting.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(offset) => offsets.push(offset),
            Err(error) => assert_eq!((number, error.code()), (5, Some(ErrorCode::MessageTooLarge))),
        }
    }
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(client.values(), [0, 1, 2, 3, 4, 6, 7], "in order");
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_fails_its_callers_and_the_next_one_goes() {
    let client = list(100);
    let producer = producer(&client, 1_000);
    client.lose_next.store(true, Ordering::Relaxed);
    let lost = [spawn(&producer, record(1)).await, spawn(&producer, record(2)).await];
    for task in lost {
        assert_eq!(task.await.unwrap().unwrap_err().code(), Some(ErrorCode::NotEnoughReplicas));
    }
    assert_eq!(producer.produce(record(3)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_never_fits_is_refused_and_the_batch_goes_on() {
    let client = list(100);
    let producer = producer(&client, 5);
    assert!(matches!(producer.produce(record(1)).await, Err(Error::InputTooLarge)));
    let small = Record { value: Some(vec![7].into()), ..Record::default() };
    let kept = spawn(&producer, small).await;
    assert!(matches!(producer.produce(record(1)).await, Err(Error::InputTooLarge)));
    assert_eq!(kept.await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_call_leaves_its_input_in_the_batch() {
    let client = list(100);
    let producer = producer(&client, 1_000);
    let abandoned = tokio::time::timeout(LINGER / 2, producer.produce(record(1)));
    assert!(abandoned.await.is_err());
    assert_eq!(producer.produce(record(2)).await.unwrap(), 1);
    assert_eq!(client.sizes(), [2], "the linger of the first input counts");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_gives_up_what_is_not_written() {
    let client = list(0);
    let producer = producer(&client, 1_000);
    let waiting = producer.push(record(1)).await.unwrap().1;
    drop(producer);
    assert!(matches!(decided(waiting).await, Err(Error::Closed { what: "batch producer" })));
}

/// Fails or panics where it is told to; makes no records.
#[derive(Debug, Default)]
struct Broken {
    fail_push: bool,
    fail_flush: bool,
    fail_status: bool,
    panic_flush: bool,
}

#[derive(Debug)]
struct BrokenStatus(bool);

impl Aggregator for Broken {
    type Input = ();
    type Tag = ();
    type Deaggregator = BrokenStatus;

    fn try_push(&mut self, (): ()) -> Result<TryPush<(), ()>> {
        if self.fail_push { Err(Error::aggregator("push")) } else { Ok(TryPush::Aggregated(())) }
    }

    fn flush(&mut self) -> Result<(Vec<Record>, BrokenStatus)> {
        assert!(!self.panic_flush, "the aggregator panics, as the test wants");
        if self.fail_flush { Err(Error::aggregator("flush")) } else { Ok((Vec::new(), BrokenStatus(self.fail_status))) }
    }
}

impl StatusDeaggregator for BrokenStatus {
    type Status = usize;
    type Tag = ();

    fn deaggregate(&self, written: &[Result<i64>], (): ()) -> Result<usize> {
        if self.0 { Err(Error::aggregator("status")) } else { Ok(written.len()) }
    }
}

async fn produce_with(aggregator: Broken) -> (Result<usize>, Vec<usize>, Result<()>) {
    let client = list(100);
    let shared: Arc<dyn ProducerClient> = Arc::<List>::clone(&client);
    let producer = BatchProducer::new(shared, aggregator, options()).unwrap();
    let produced = producer.produce(()).await;
    (produced, client.sizes(), producer.flush().await)
}

#[tokio::test(start_paused = true)]
async fn an_aggregator_may_make_no_records() {
    let (produced, sizes, flushed) = produce_with(Broken::default()).await;
    assert_eq!(produced.unwrap(), 0);
    assert!(sizes.is_empty(), "nothing to write is no request");
    flushed.unwrap();
}

#[tokio::test(start_paused = true)]
async fn errors_of_an_aggregator_reach_the_caller() {
    let broken = [
        ("push", Broken { fail_push: true, ..Broken::default() }),
        ("flush", Broken { fail_flush: true, ..Broken::default() }),
        ("status", Broken { fail_status: true, ..Broken::default() }),
    ];
    for (place, aggregator) in broken {
        let error = produce_with(aggregator).await.0.unwrap_err();
        assert_eq!(error.to_string(), format!("aggregator of the batch producer: {place}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_aggregator_closes_the_producer_and_nobody_hangs() {
    let (produced, _, flushed) = produce_with(Broken { panic_flush: true, ..Broken::default() }).await;
    assert!(matches!(produced, Err(Error::Closed { .. })));
    assert!(matches!(flushed, Err(Error::Closed { .. })));
}

#[tokio::test]
async fn no_place_for_batches_is_an_option_error() {
    let client: Arc<dyn ProducerClient> = list(0);
    let none = BatchProducerOptions { sealed_batches_max: 0, ..BatchProducerOptions::default() };
    let refused = BatchProducer::new(client, RecordAggregator::new(10), none).unwrap_err();
    assert!(matches!(&refused, Error::InvalidOption { option, .. } if option == "sealed_batches_max"), "{refused}");
}
