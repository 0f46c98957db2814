//! Sagas that wait for other ones' ends, asked of the store itself.

use super::bench::{Bench, LEASE_SECS, soon, succeeded, then};
use crate::ground::Ground;
use orchestrator::{
    SagaId, Store,
    saga::State,
    store::{Schedule, Tx, Waiter},
};

fn waiter(child: SagaId, parent: SagaId, key: &str) -> Waiter {
    Waiter { child, parent, key: key.to_owned() }
}

fn sorted(mut waiters: Vec<Waiter>) -> Vec<Waiter> {
    waiters.sort_by_key(|waiter| (waiter.child, waiter.parent));
    waiters
}

pub(crate) async fn an_end_is_told_once_to_each_that_waits<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let (child, second) = (bench.begun().await.run.saga_id, bench.begun().await.run.saga_id);
    let [one, other, unknown] = [(); 3].map(|()| SagaId::fresh());
    let mut tx = bench.begin().await;
    // it has ended so long ago that nothing is left of it
    assert!(tx.wait_for_end(unknown, one, "k").await.unwrap());
    for (child, parent, key) in [(child, one, "k"), (child, other, "k"), (second, one, "l"), (child, one, "again")] {
        assert!(!tx.wait_for_end(child, parent, key).await.unwrap());
    }
    bench.commit(tx).await;

    let mut tx = bench.begin().await;
    let told = sorted(tx.take_waiters(&[child, SagaId::fresh()]).await.unwrap());
    assert_eq!(told, [waiter(child, one, "k"), waiter(child, other, "k")]);
    assert_eq!(tx.take_waiters(&[child]).await.unwrap(), []);
    drop(tx);
    let mut tx = bench.begin().await;
    let told = tx.take_waiters(&[child, second]).await.unwrap();
    assert_eq!(told.len(), 3, "nobody was told by what was dropped: {told:?}");
    bench.commit(tx).await;
    assert_eq!(bench.begin().await.take_waiters(&[child, second]).await.unwrap(), []);
}

pub(crate) async fn an_end_that_has_come_is_not_waited_for<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let parent = SagaId::fresh();
    for state in State::ALL {
        let start = bench.begun().await;
        let child = start.run.saga_id;
        bench.write(&then(&start, state, vec![succeeded()], Schedule::Rest)).await.unwrap();
        let mut tx = bench.begin().await;
        assert_eq!(tx.wait_for_end(child, parent, "k").await.unwrap(), state.is_finished(), "{state}");
        let waits = tx.take_waiters(&[child]).await.unwrap();
        assert_eq!(waits.len(), usize::from(!state.is_finished()), "{state}");
    }
}

pub(crate) async fn an_end_that_comes_meanwhile_is_told<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let start = bench.begun().await;
    let (child, parent) = (start.run.saga_id, SagaId::fresh());
    let mut tx = bench.begin().await;
    assert!(!tx.wait_for_end(child, parent, "k").await.unwrap());
    let other = bench.store();
    let ending = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        tx.lock_claims(&[child]).await.unwrap();
        let ends = then(&start, State::Completed, vec![succeeded()], Schedule::Rest);
        tx.append(&[ends], LEASE_SECS).await.unwrap();
        let told = tx.take_waiters(&[child]).await.unwrap();
        other.commit(tx).await.unwrap();
        told
    });
    bench.somebody_waits().await;
    bench.commit(tx).await;
    assert_eq!(soon(ending).await.unwrap(), [waiter(child, parent, "k")]);

    // and the other way round: who comes to wait while the end is being written
    let start = bench.begun().await;
    let child = start.run.saga_id;
    let mut tx = bench.begin().await;
    tx.lock_claims(&[child]).await.unwrap();
    tx.append(&[then(&start, State::Compensated, vec![succeeded()], Schedule::Rest)], LEASE_SECS).await.unwrap();
    let other = bench.store();
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        tx.wait_for_end(child, parent, "k").await.unwrap()
    });
    bench.somebody_waits().await;
    assert_eq!(tx.take_waiters(&[child]).await.unwrap(), []);
    bench.commit(tx).await;
    assert!(soon(waiting).await.unwrap());
}
