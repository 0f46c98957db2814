//! Transactions, asked of the store itself: all or nothing, one after another where they touch the same.

use super::bench::{Bench, LEASE_SECS, Open, lasts, message, moves, noted, soon, started, then};
use crate::ground::{Ground, TxOf};
use async_trait::async_trait;
use orchestrator::{
    SagaId, Store,
    saga::State,
    store::{Append, Schedule, StartKey, Stored, Tx},
};
use serde_json::json;

pub(crate) async fn what_is_dropped_has_never_been<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let start = bench.begun().await;
    let claim = bench.claim().await.unwrap();
    let row = bench.wake_up(start.run.saga_id).await;
    let (born, ends) = (started(start.at), then(&start, State::Waiting, vec![noted(json!(1))], Schedule::Wake(None)));
    let key = |saga_id| StartKey { owner: "o".to_owned(), key: "k".to_owned(), saga_id, digest: "d".to_owned() };

    let mut tx = bench.begin().await;
    tx.take_keys(&[key(born.run.saga_id)]).await.unwrap();
    tx.create(std::slice::from_ref(&born), &[0]).await.unwrap();
    tx.lock_claims(&[claim.saga_id]).await.unwrap();
    tx.append(&[ends], LEASE_SECS).await.unwrap();
    tx.wait_for_end(born.run.saga_id, claim.saga_id, "k").await.unwrap();
    tx.enqueue(&[message(json!(1))]).await.unwrap();
    drop(tx);

    assert_eq!(bench.claim().await, None);
    assert_eq!(bench.wake_up(start.run.saga_id).await, row);
    assert_eq!(bench.journal(born.run.saga_id).await, []);
    assert_eq!(moves(&bench.journal(claim.saga_id).await), [start.move_id]);
    assert_eq!(bench.messages().await, []);
    // and keeps nobody waiting
    let mut tx = bench.begin().await;
    let other = SagaId::fresh();
    assert_eq!(soon(tx.take_keys(&[key(other)])).await.unwrap().0[0].as_ref().unwrap().saga_id, other);
    soon(tx.lock_saga(claim.saga_id)).await.unwrap();
    assert_eq!(tx.take_waiters(&[born.run.saga_id]).await.unwrap(), []);
}

/// One message for each note, in one savepoint each.
async fn note<T: Tx + ?Sized>(tx: &mut T, note: u32) -> Stored<()> {
    tx.save().await?;
    tx.enqueue(&[message(json!(note))]).await
}

pub(crate) async fn what_is_undone_goes_back_to_its_savepoint<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut tx = bench.begin().await;
    note(&mut *tx, 1).await.unwrap();
    tx.keep().await.unwrap();
    note(&mut *tx, 2).await.unwrap();
    tx.undo().await.unwrap();
    // one inside another
    note(&mut *tx, 3).await.unwrap();
    note(&mut *tx, 4).await.unwrap();
    tx.undo().await.unwrap();
    note(&mut *tx, 5).await.unwrap();
    tx.keep().await.unwrap();
    tx.keep().await.unwrap();
    note(&mut *tx, 6).await.unwrap();
    note(&mut *tx, 7).await.unwrap();
    tx.keep().await.unwrap();
    tx.undo().await.unwrap();
    bench.commit(tx).await;
    let kept: Vec<_> = bench.messages().await.into_iter().map(|kept| kept.message.payload).collect();
    assert_eq!(kept, [json!(1), json!(3), json!(5)]);

    // an undo ends its savepoint, so that there is none to go back to a second time
    let mut tx = bench.begin().await;
    note(&mut *tx, 8).await.unwrap();
    tx.undo().await.unwrap();
    let undone = tx.undo().await;
    assert!(lasts(&undone), "{undone:?}");
}

pub(crate) async fn a_transaction_that_has_failed_takes_nothing_until_it_is_undone<G: Ground>() {
    let bench = Bench::<G>::new().await;
    bench.refuse("poison").await;
    let start = bench.begun().await;
    let bad = [then(&start, State::Running, vec![noted(json!("poison"))], Schedule::Nudge)];

    let mut tx = bench.begin().await;
    note(&mut *tx, 1).await.unwrap();
    assert!(lasts(&tx.append(&bad, LEASE_SECS).await));
    assert!(lasts(&tx.now().await));
    assert!(lasts(&tx.save().await));
    tx.undo().await.unwrap();
    note(&mut *tx, 2).await.unwrap();
    bench.commit(tx).await;
    let kept: Vec<_> = bench.messages().await.into_iter().map(|kept| kept.message.payload).collect();
    assert_eq!(kept, [json!(2)]);

    // its COMMIT writes nothing, whatever it answers
    let mut tx = bench.begin().await;
    tx.enqueue(&[message(json!(3))]).await.unwrap();
    assert!(lasts(&tx.append(&bad, LEASE_SECS).await));
    assert!(lasts(&tx.lock_claims(&[start.run.saga_id]).await));
    drop(bench.store.commit(tx).await);
    assert_eq!(bench.messages().await.len(), 1);
}

/// How a saga is locked.
#[async_trait]
trait Lock<G: Ground> {
    async fn lock(tx: &mut TxOf<G>, saga: SagaId);
}

/// As the committer does.
struct ByClaim;
#[async_trait]
impl<G: Ground> Lock<G> for ByClaim {
    async fn lock(tx: &mut TxOf<G>, saga: SagaId) {
        tx.lock_claims(&[saga]).await.unwrap();
    }
}

/// As those who are not its worker do.
struct Whole;
#[async_trait]
impl<G: Ground> Lock<G> for Whole {
    async fn lock(tx: &mut TxOf<G>, saga: SagaId) {
        tx.lock_saga(saga).await.unwrap();
    }
}

pub(crate) async fn who_locks_a_claim_sees_what_was_written_before<G: Ground>() {
    second_sees_first::<G, ByClaim, ByClaim>().await;
    second_sees_first::<G, Whole, ByClaim>().await;
}

pub(crate) async fn who_locks_a_saga_sees_what_was_written_before<G: Ground>() {
    second_sees_first::<G, ByClaim, Whole>().await;
    second_sees_first::<G, Whole, Whole>().await;
}

async fn second_sees_first<G: Ground, First: Lock<G>, Second: Lock<G>>() {
    let bench = Bench::<G>::new().await;
    let start = bench.begun().await;
    let saga = start.run.saga_id;
    let mut tx = bench.begin().await;
    First::lock(&mut tx, saga).await;
    let other = bench.store();
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        Second::lock(&mut tx, saga).await;
        let news = tx.news(&[(saga, 1)]).await.unwrap().0.remove(&saga);
        moves(&news.unwrap().unwrap())
    });
    bench.somebody_waits().await;
    let append = then(&start, State::Running, vec![noted(json!(1))], Schedule::Nudge);
    write_and_commit(&bench, tx, &append).await;
    assert_eq!(soon(waiting).await.unwrap(), [append.move_id]);
}

async fn write_and_commit<G: Ground>(bench: &Bench<G>, mut tx: Open<G>, append: &Append) {
    tx.append(std::slice::from_ref(append), LEASE_SECS).await.unwrap();
    bench.commit(tx).await;
}
