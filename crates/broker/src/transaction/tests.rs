//! The state machine of a transactional id, driven without logs and clocks.

use kanat_protocol::ErrorCode;

use super::state::{End, Identity, Init, InitRequest, State, Transaction};

fn init(transaction: &mut Transaction, expected: Option<Identity>) -> Result<Init, ErrorCode> {
    transaction.init(InitRequest { timeout_ms: 100, expected, fresh_id: 7 }, true)
}

fn identity(epoch: i16) -> Identity {
    Identity { producer_id: 7, epoch }
}

fn partition(index: i32) -> [(String, i32); 1] {
    [("t".to_owned(), index)]
}

/// Initialised, with one partition, at time 0.
fn ongoing() -> Transaction {
    let mut transaction = Transaction::new();
    assert_eq!(init(&mut transaction, None), Ok(Init::Ready(identity(0))));
    assert_eq!(transaction.add(0, identity(0), partition(0), None), Ok(true));
    transaction
}

#[test]
fn an_end_bumps_the_epoch_and_its_repetition_does_not() {
    let mut transaction = ongoing();
    assert_eq!(transaction.end(identity(0), true, true, 8), Ok(End::Prepared(identity(1))));
    assert_eq!(transaction.end(identity(0), true, true, 8), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(transaction.add(0, identity(1), partition(0), None), Err(ErrorCode::ConcurrentTransactions));
    transaction.complete();
    assert_eq!(transaction.end(identity(0), true, true, 8), Ok(End::Done(identity(1))));
    assert_eq!(transaction.end(identity(0), false, true, 8), Err(ErrorCode::InvalidTxnState));
    assert_eq!(transaction.end(identity(1), true, true, 8), Err(ErrorCode::InvalidTxnState), "nothing was added");
    assert_eq!(transaction.end(identity(1), false, true, 8), Ok(End::Prepared(identity(2))));
}

#[test]
fn without_bumps_the_epoch_stays() {
    let mut transaction = ongoing();
    assert_eq!(transaction.end(identity(0), false, false, 8), Ok(End::Prepared(identity(0))));
    transaction.complete();
    assert_eq!(transaction.end(identity(0), false, false, 8), Ok(End::Done(identity(0))));
    assert_eq!(transaction.end(identity(0), true, false, 8), Err(ErrorCode::InvalidTxnState));
    assert_eq!(transaction.add(5, identity(0), partition(1), Some("g")), Ok(true));
    assert_eq!(transaction.add(6, identity(0), partition(1), Some("g")), Ok(false));
    assert_eq!((transaction.partitions.len(), transaction.deadline_ms()), (1, Some(105)));
}

#[test]
fn a_newer_producer_fences_the_open_transaction() {
    let mut transaction = ongoing();
    assert_eq!(init(&mut transaction, None), Ok(Init::Aborting));
    assert_eq!(init(&mut transaction, None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(transaction.markers(), Some(false));
    transaction.complete();
    assert_eq!(transaction.end(identity(0), true, true, 8), Err(ErrorCode::ProducerFenced));
    let Ok(Init::Ready(newer)) = init(&mut transaction, None) else { panic!("not ready") };
    assert!(newer.epoch > 1);
    assert_eq!(transaction.add(0, identity(0), partition(0), None), Err(ErrorCode::ProducerFenced));
    let stranger = Identity { producer_id: 9, epoch: newer.epoch };
    assert_eq!(transaction.add(0, stranger, partition(0), None), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(transaction.add(0, newer, partition(0), None), Ok(true));
}

#[test]
fn a_producer_bumps_its_own_epoch_once() {
    let mut transaction = Transaction::new();
    init(&mut transaction, None).unwrap();
    assert_eq!(init(&mut transaction, Some(identity(0))), Ok(Init::Ready(identity(1))));
    assert_eq!(init(&mut transaction, Some(identity(0))), Ok(Init::Ready(identity(1))), "the answer was lost");
    assert_eq!(init(&mut transaction, None), Ok(Init::Ready(identity(2))));
    assert_eq!(init(&mut transaction, Some(identity(1))), Err(ErrorCode::ProducerFenced));
    let stranger = Identity { producer_id: 9, epoch: 2 };
    assert_eq!(init(&mut transaction, Some(stranger)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn epochs_that_are_used_up_give_way_to_a_new_id() {
    let mut transaction = ongoing();
    transaction.identity.epoch = i16::MAX - 1;
    let last = identity(i16::MAX - 1);
    let fresh = Identity { producer_id: 8, epoch: 0 };
    assert_eq!(transaction.end(last, true, true, 8), Ok(End::Prepared(fresh)));
    assert_eq!(transaction.identity, identity(i16::MAX), "the markers still carry the old id");
    transaction.complete();
    assert_eq!((transaction.identity, transaction.state), (fresh, State::CompleteCommit));
    assert_eq!(transaction.end(last, true, true, 9), Ok(End::Done(fresh)));
}

#[test]
fn only_parts_of_the_transaction_are_verified() {
    let mut transaction = ongoing();
    assert_eq!(transaction.verify(identity(0), "t", 0), Ok(()));
    assert_eq!(transaction.verify(identity(0), "t", 1), Err(ErrorCode::InvalidTxnState));
    assert_eq!(transaction.verify_group(identity(0), "g"), Err(ErrorCode::InvalidTxnState));
    transaction.add(0, identity(0), [], Some("g")).unwrap();
    assert_eq!(transaction.verify_group(identity(0), "g"), Ok(()));
    assert_eq!(transaction.verify(identity(1), "t", 0), Err(ErrorCode::ProducerFenced));
}
