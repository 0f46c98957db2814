//! Claims and leases, asked of the store itself.

use super::bench::{Bench, LEASE_SECS, is_between, started, succeeded, then};
use crate::ground::Ground;
use chrono::TimeDelta;
use orchestrator::{
    Store,
    saga::State,
    store::{Claim, Schedule, Tx},
};
use std::{collections::HashSet, time::Duration};

pub(crate) async fn a_claim_is_one_worker_s_until_its_lease_ends<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga = bench.begun().await.run.saga_id;
    let before = bench.now().await;
    let first = bench.claim().await.unwrap();
    let after = bench.now().await;
    assert_eq!((first.saga_id, first.claims), (saga, 1));
    let row = bench.wake_up(saga).await.unwrap();
    assert_eq!((row.token, row.claims), (Some(first.token), 1));
    assert!(is_between(row.lease_until, before, after, LEASE_SECS), "{row:?}");
    assert_eq!(bench.claim().await, None);
    assert_eq!(bench.wake_up(saga).await.unwrap(), row);

    bench.let_pass(LEASE_SECS + 1).await;
    let second = bench.claim().await.unwrap();
    assert_eq!((second.saga_id, second.claims), (saga, 2), "a claim that ends by itself counts");
    assert_ne!(second.token, first.token);
    assert_eq!(bench.wake_up(saga).await.unwrap().token, Some(second.token));
}

pub(crate) async fn claims_go_by_priority_and_then_by_time<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let now = bench.now().await;
    let ago = |secs| started(now - TimeDelta::seconds(secs));
    let starts = [(ago(1), 0), (ago(9), 0), (ago(2), 5), (ago(3), -1), (ago(4), 5)];
    bench.create(&starts).await;
    let mut order = Vec::new();
    while let Some(claim) = bench.claim().await {
        order.push(starts.iter().position(|(start, _)| start.run.saga_id == claim.saga_id).unwrap());
    }
    assert_eq!(order, [4, 2, 1, 0, 3]);
    // the first of many are the same
    bench.end_leases().await;
    let first: HashSet<_> =
        bench.store.claim("test", 3, LEASE_SECS).await.unwrap().claims.iter().map(|c| c.saga_id).collect();
    assert_eq!(first, [4, 2, 1].map(|index: usize| starts[index].0.run.saga_id).into());
}

pub(crate) async fn what_is_not_due_is_nobody_s<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let start = started(bench.now().await + TimeDelta::hours(1));
    let saga = start.run.saga_id;
    bench.create(&[(start.clone(), 9)]).await;
    assert_eq!(bench.claim().await, None);
    bench.let_pass(3_601).await;
    assert_eq!(bench.claim().await.unwrap().saga_id, saga);

    // it waits for something that has no time
    bench.write(&then(&start, State::Waiting, vec![], Schedule::Wake(None))).await.unwrap();
    bench.let_pass(50_000_000).await;
    assert_eq!(bench.claim().await, None);
    bench.write(&then(&start, State::Waiting, vec![], Schedule::Nudge)).await.unwrap();
    assert_eq!(bench.claim().await.unwrap().saga_id, saga);
}

pub(crate) async fn workers_that_claim_at_once_share<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let now = bench.now().await;
    let starts: Vec<_> = (0..40).map(|_| (started(now), 0)).collect();
    bench.create(&starts).await;
    let workers: Vec<_> = (0..4).map(|_| bench.store()).collect();
    let claiming = workers.iter().map(|worker| worker.claim("test", 10, LEASE_SECS));
    let claims: Vec<Claim> =
        futures::future::join_all(claiming).await.into_iter().flat_map(|taken| taken.unwrap().claims).collect();
    let sagas: HashSet<_> = claims.iter().map(|claim| claim.saga_id).collect();
    let tokens: HashSet<_> = claims.iter().map(|claim| claim.token).collect();
    assert_eq!((claims.len(), sagas.len(), tokens.len()), (40, 40, 40));
    assert_eq!(bench.claim().await, None);
}

pub(crate) async fn a_lease_is_renewed_while_nobody_has_taken_it<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga = bench.begun().await.run.saga_id;
    let claim = bench.claim().await.unwrap();
    // before its end, and after it
    for secs in [LEASE_SECS / 2, LEASE_SECS * 2] {
        bench.let_pass(secs).await;
        let before = bench.now().await;
        assert_eq!(bench.store.renew(&[(saga, claim.token)], LEASE_SECS).await.unwrap(), [saga]);
        let row = bench.wake_up(saga).await.unwrap();
        assert!(is_between(row.lease_until, before, bench.now().await, LEASE_SECS), "{row:?}");
        assert_eq!((row.token, row.claims), (Some(claim.token), 1), "a renewal is no claim");
        bench.let_pass(LEASE_SECS / 2).await;
        assert_eq!(bench.claim().await, None);
    }
    bench.let_pass(LEASE_SECS).await;
    assert_eq!(bench.claim().await.unwrap().claims, 2);
}

pub(crate) async fn a_claim_that_is_lost_is_not_renewed<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut starts = Vec::new();
    for _ in 0..4 {
        starts.push(bench.begun().await);
    }
    let lost = bench.store.claim("test", 10, LEASE_SECS).await.unwrap().claims;
    bench.end_leases().await;
    let held = bench.store.claim("other", 10, LEASE_SECS).await.unwrap().claims;
    let by = |claims: &[Claim], saga| (saga, claims.iter().find(|claim| claim.saga_id == saga).unwrap().token);
    let [ours, taken, ended, finished] = [0, 1, 2, 3].map(|index: usize| starts[index].run.saga_id);
    // one has given its claim up in order, and one is over
    bench.write(&then(&starts[2], State::Waiting, vec![succeeded()], Schedule::Wake(None))).await.unwrap();
    bench.write(&then(&starts[3], State::Completed, vec![succeeded()], Schedule::Rest)).await.unwrap();

    let rows = [bench.wake_up(taken).await, bench.wake_up(ended).await, bench.wake_up(finished).await];
    let asked = [by(&lost, taken), by(&held, ended), by(&held, finished), by(&held, ours)];
    assert_eq!(bench.store.renew(&asked, 2 * LEASE_SECS).await.unwrap(), [ours]);
    assert_eq!([bench.wake_up(taken).await, bench.wake_up(ended).await, bench.wake_up(finished).await], rows);
    assert_eq!(bench.store.renew(&[by(&held, taken)], LEASE_SECS).await.unwrap(), [taken]);
}

pub(crate) async fn what_is_handed_back_is_there_at_once_and_does_not_count<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga = bench.begun().await.run.saga_id;
    let claim = bench.claim().await.unwrap();
    let row = bench.wake_up(saga).await.unwrap();
    bench.store.hand_back(&[(saga, claim.token + 1)]).await.unwrap();
    assert_eq!(bench.wake_up(saga).await.unwrap(), row, "it is somebody else's");

    bench.store.hand_back(&[(saga, claim.token)]).await.unwrap();
    let free = bench.wake_up(saga).await.unwrap();
    assert_eq!((free.wake_at, free.lease_until, free.token, free.claims), (row.wake_at, None, None, 0));
    bench.store.hand_back(&[(saga, claim.token)]).await.unwrap();
    assert_eq!(bench.wake_up(saga).await.unwrap(), free, "twice is once");
    assert_eq!(bench.claim().await.unwrap().claims, 1);
}

pub(crate) async fn what_is_put_off_comes_later_and_does_not_count<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let saga = bench.begun().await.run.saga_id;
    let claim = bench.claim().await.unwrap();
    let row = bench.wake_up(saga).await.unwrap();
    bench.store.put_off(&[Claim { token: claim.token + 1, ..claim }], Duration::from_secs(30)).await.unwrap();
    assert_eq!(bench.wake_up(saga).await.unwrap(), row, "it is somebody else's");

    let before = bench.now().await;
    bench.store.put_off(&[claim], Duration::from_secs(30)).await.unwrap();
    let later = bench.wake_up(saga).await.unwrap();
    assert!(is_between(later.wake_at, before, bench.now().await, 30), "{later:?}");
    assert_eq!((later.lease_until, later.token, later.claims), (None, None, 0));
    bench.let_pass(31).await;
    assert_eq!(bench.claim().await.unwrap().claims, 1);
}

pub(crate) async fn locks_tell_whose_claims_they_are<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let (held, over) = (bench.begun().await, bench.begun().await);
    let token = bench.claim().await.unwrap().token;
    bench.write(&then(&over, State::Completed, vec![succeeded()], Schedule::Rest)).await.unwrap();
    let free = bench.begun().await;
    let (held, free, over) = (held.run.saga_id, free.run.saga_id, over.run.saga_id);
    // in any order
    for sagas in [[held, free, over], [over, free, held]] {
        let mut tx = bench.begin().await;
        let claims = tx.lock_claims(&sagas).await.unwrap();
        assert_eq!(claims, [(held, Some(token)), (free, None)].into());
    }
}
