//! What comes before a saga: keys, first moves, definitions, hints; asked of the store itself.

use super::bench::{Bench, LEASE_SECS, moves, noted, passes, soon, started, succeeded, then};
use crate::{
    ground::{Ground, PATIENCE},
    world::{World, waiter},
};
use chrono::TimeDelta;
use orchestrator::{
    SagaId, Store,
    saga::State,
    store::{KeyHolder, Schedule, StartKey, Tx},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// A key with the saga that is to have it, whose own digest goes with it.
fn key(owner: &str, key: &str, saga_id: SagaId) -> StartKey {
    StartKey { owner: owner.to_owned(), key: key.to_owned(), saga_id, digest: saga_id.to_string() }
}

async fn holders<T: Tx + ?Sized>(tx: &mut T, keys: &[StartKey]) -> Vec<SagaId> {
    let (holders, _) = tx.take_keys(keys).await.unwrap();
    let saga = |holder: Option<KeyHolder>| {
        let KeyHolder { saga_id, digest, .. } = holder.unwrap();
        assert_eq!(digest, saga_id.to_string(), "the digest is the holder's");
        saga_id
    };
    holders.into_iter().map(saga).collect()
}

pub(crate) async fn a_key_is_the_first_one_s_that_takes_it<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let [a, b, c, d, e] = [(); 5].map(|()| SagaId::fresh());
    let mut tx = bench.begin().await;
    // not in order, and one of them twice
    let first = [key("z", "k", a), key("a", "k", b), key("z", "k", c), key("a", "j", d)];
    assert_eq!(holders(&mut *tx, &first).await, [a, b, a, d]);
    bench.commit(tx).await;
    // again, with others beside them
    let mut tx = bench.begin().await;
    let second = [key("a", "k", e), key("m", "k", e), key("z", "k", a), key("a", "j", c)];
    assert_eq!(holders(&mut *tx, &second).await, [b, e, a, d]);
    bench.commit(tx).await;
    let mut tx = bench.begin().await;
    assert_eq!(holders(&mut *tx, &[key("m", "k", c)]).await, [e]);
    assert_eq!(holders(&mut *tx, &[]).await, []);
    // whoever takes it again is told that it has had it
    let (taken, _) = tx.take_keys(&[key("z", "k", a), key("q", "k", a), key("q", "k", a)]).await.unwrap();
    assert_eq!(taken.into_iter().map(|holder| holder.unwrap().is_new).collect::<Vec<_>>(), [false, true, false]);
}

/// One takes a key while another has it in an open transaction, which then ends as it is told.
async fn holder_at_once<G: Ground>(commits: bool) -> (SagaId, [SagaId; 2]) {
    let bench = Bench::<G>::new().await;
    let [first, second] = [(); 2].map(|()| SagaId::fresh());
    let mut tx = bench.begin().await;
    holders(&mut *tx, &[key("o", "k", first)]).await;
    let other = bench.store();
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        holders(&mut *tx, &[key("o", "k", second)]).await[0]
    });
    bench.somebody_waits().await;
    if commits {
        bench.commit(tx).await;
    } else {
        drop(tx);
    }
    (soon(waiting).await.unwrap(), [first, second])
}

pub(crate) async fn who_takes_a_key_at_once_waits_for_the_other<G: Ground>() {
    let (holder, [first, _]) = holder_at_once::<G>(true).await;
    assert_eq!(holder, first);
}

pub(crate) async fn a_key_whose_taker_gave_up_is_free<G: Ground>() {
    let (holder, [_, second]) = holder_at_once::<G>(false).await;
    assert_eq!(holder, second);
}

pub(crate) async fn a_saga_begins_once<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let now = bench.now().await;
    let (first, second) = (started(now + TimeDelta::hours(1)), started(now));
    bench.create(&[(first.clone(), 3), (second.clone(), -3)]).await;
    let [one, other] = [&first, &second].map(|start| start.run.saga_id);
    let row = bench.wake_up(one).await.unwrap();
    assert_eq!((row.priority, row.wake_at, row.token, row.claims), (3, Some(now + TimeDelta::hours(1)), None, 0));
    assert_eq!((row.lease_until, bench.wake_up(other).await.unwrap().priority), (None, -3));

    // one is claimed and goes on, the other ends; to create them again is refused whole
    let token = bench.claim().await.unwrap().token;
    let on = then(&second, State::Running, vec![noted(json!(1))], Schedule::Keep);
    bench.write(&on).await.unwrap();
    bench.write(&then(&first, State::Completed, vec![succeeded()], Schedule::Rest)).await.unwrap();
    let (row, third) = (bench.wake_up(other).await, started(now));
    let mut tx = bench.begin().await;
    let again = tx.create(&[third.clone(), second.clone()], &[1, 1]).await;
    assert!(passes(&again), "whoever looks again finds it there: {again:?}");
    drop(tx);
    assert_eq!((bench.wake_up(one).await, bench.wake_up(other).await), (None, row));
    assert_eq!(bench.wake_up(third.run.saga_id).await, None);
    assert_eq!(bench.wake_up(other).await.unwrap().token, Some(token));
    bench.create(&[(third.clone(), 1)]).await;
    let journal = bench.journal(other).await;
    assert_eq!((moves(&journal), journal[0].0.at), (vec![second.move_id, on.move_id], now));
    assert_eq!(bench.claim().await.unwrap().saga_id, third.run.saga_id);
    assert_eq!(bench.violations().await, [""; 0]);
    assert_eq!(bench.store.sweep().await.unwrap(), 0);
    assert_eq!(bench.store.renew(&[(other, token)], LEASE_SECS).await.unwrap(), [other]);
}

pub(crate) async fn definitions_are_found_by_name_and_version<G: Ground>() {
    let world = World::<G>::on_new_ground().await;
    let store = world.store();
    assert_eq!(store.active_version("waiter").await.unwrap(), Some(1));
    assert_eq!(store.active_version("nothing").await.unwrap(), None);
    world.bring(&[waiter("other"), waiter("other")]).await;
    assert_eq!(store.active_version("waiter").await.unwrap(), Some(2));
    let [first, second] = [1, 2].map(|version| store.definition("waiter", version));
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!((first.source, second.source), (waiter("end"), waiter("other")));
    assert_ne!(first.digest, second.digest);
    assert_eq!(first.document["saga"], "waiter");
    assert!(store.definition("waiter", 3).await.unwrap().is_none());
    assert!(store.definition("nothing", 1).await.unwrap().is_none());
}

pub(crate) async fn an_announcement_is_heard_by_other_processes<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let heard = Arc::new(Notify::new());
    let listening = tokio::spawn({
        let (there, heard) = (bench.store(), Arc::clone(&heard));
        async move { there.listen(&move || heard.notify_one()).await }
    });
    let announcing = async {
        // one that comes before anybody listens is lost
        loop {
            bench.store.announce().await.unwrap();
            if tokio::time::timeout(Duration::from_millis(20), heard.notified()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, announcing).await.unwrap();
    listening.abort();
}
