//! What is lost is found: the sweeper and the invariants, asked of the store itself.

use super::bench::{Bench, LEASE_SECS, is_between, noted, started, stuck, succeeded, then};
use crate::ground::{Ground, WakeUp};
use orchestrator::{Store, journal::StuckCause, saga::State, store::Schedule};
use serde_json::json;

pub(crate) async fn a_lost_wake_up_is_given_back_where_a_worker_owes_one<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut owed = Vec::new();
    for state in State::ALL {
        let start = started(bench.now().await);
        bench.create(&[(start.clone(), 4)]).await;
        let entry = if state == State::Stuck { stuck(StuckCause::Refused) } else { noted(json!(1)) };
        bench.write(&then(&start, state, vec![entry], Schedule::Rest)).await.unwrap();
        if matches!(state, State::Running | State::Waiting | State::Compensating) {
            owed.push(start.run.saga_id);
        }
    }
    // one that has its wake-up, whenever it is due
    let asleep = then(&bench.begun().await, State::Waiting, vec![noted(json!(1))], Schedule::Wake(None));
    bench.write(&asleep).await.unwrap();
    let rests = bench.wake_up(asleep.run.saga_id).await;
    assert_eq!(bench.violations().await.len(), owed.len(), "{:?}", bench.violations().await);

    let before = bench.now().await;
    assert_eq!(bench.store.sweep().await.unwrap(), 3);
    for saga in owed {
        let row = bench.wake_up(saga).await.unwrap();
        assert!(is_between(row.wake_at, before, bench.now().await, 0), "{row:?}");
        assert_eq!(row, WakeUp { priority: 4, wake_at: row.wake_at, lease_until: None, token: None, claims: 0 });
    }
    assert_eq!(bench.wake_up(asleep.run.saga_id).await, rests);
    assert_eq!(bench.store.sweep().await.unwrap(), 0);
    assert_eq!(bench.store.claim("test", 10, LEASE_SECS).await.unwrap().claims.len(), 3);
}

pub(crate) async fn one_sweep_mends_a_thousand<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let now = bench.now().await;
    bench.create(&(0..1_001).map(|_| (started(now), 0)).collect::<Vec<_>>()).await;
    bench.lose_wake_ups().await;
    for mended in [1_000, 1, 0] {
        assert_eq!(bench.store.sweep().await.unwrap(), mended);
    }
    assert_eq!(bench.violations().await, [""; 0]);
}

pub(crate) async fn every_invariant_is_seen_to_break<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut broken = Vec::new();
    // moves that the engine never makes
    for (state, entries, schedule) in [
        (State::Completed, vec![succeeded()], Schedule::Nudge),
        (State::Running, vec![succeeded()], Schedule::Rest),
        (State::Stuck, vec![succeeded()], Schedule::Nudge),
    ] {
        let start = bench.begun().await;
        bench.write(&then(&start, state, entries, schedule)).await.unwrap();
        broken.push(bench.violations().await.len());
    }
    let start = bench.begun().await;
    let mut wrong = then(&start, State::Running, vec![], Schedule::Nudge);
    std::sync::Arc::make_mut(&mut wrong.run).seq = 2;
    bench.write(&wrong).await.unwrap();
    broken.push(bench.violations().await.len());
    assert_eq!(broken, [1, 2, 3, 4]);
    let mut names: Vec<_> =
        bench.violations().await.iter().map(|violation| violation.split(' ').next().unwrap().to_owned()).collect();
    names.sort();
    let expected = ["finished-saga-rests", "projection-is-current", "saga-is-looked-after", "stuck-saga-has-case"];
    assert_eq!(names, expected);
}
