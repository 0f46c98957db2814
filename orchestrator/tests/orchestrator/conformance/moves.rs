//! Moves, asked of the store itself.

use super::bench::{
    Bench, LEASE_SECS, is_between, lasts, moves, noted, passes, started, started_as, stuck, succeeded, then,
};
use crate::ground::{Ground, WakeUp};
use chrono::TimeDelta;
use orchestrator::{
    SagaId, Store,
    journal::{Entry, StuckCause},
    saga::State,
    store::{Append, Schedule, Tx},
};
use serde_json::json;

pub(crate) async fn a_move_says_what_becomes_of_the_claim<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let at = bench.now().await + TimeDelta::hours(1);
    let free = |claims, wake_at| (None, claims, wake_at);
    // (schedule, progress) → (token and whether the lease is extended, claims, when it is due)
    for (schedule, progress, expected) in [
        (Schedule::Keep, true, Some((Some(true), 0, None))),
        (Schedule::Keep, false, Some((Some(true), 2, None))),
        (Schedule::InCall, true, Some((Some(false), 2, None))),
        (Schedule::InCall, false, Some((Some(false), 2, None))),
        (Schedule::Wake(Some(at)), true, Some(free(0, Some(Some(at))))),
        (Schedule::Wake(Some(at)), false, Some(free(1, Some(Some(at))))),
        (Schedule::Wake(None), true, Some(free(0, Some(None)))),
        (Schedule::Wake(None), false, Some(free(1, Some(None)))),
        (Schedule::Rest, true, None),
    ] {
        let (start, row) = claimed_twice(&bench).await;
        let saga = start.run.saga_id;
        let append = Append { progress, ..then(&start, State::Running, vec![succeeded()], schedule) };
        let before = bench.now().await;
        let mut tx = bench.begin().await;
        tx.append(&[append], 2 * LEASE_SECS).await.unwrap();
        bench.commit(tx).await;
        let found = bench.wake_up(saga).await;
        let Some((kept, claims, wake_at)) = expected else {
            assert_eq!(found, None, "{schedule:?}");
            continue;
        };
        let found = found.unwrap();
        let wake_at = wake_at.unwrap_or(row.wake_at);
        assert_eq!((found.claims, found.wake_at), (claims, wake_at), "{schedule:?} {progress}");
        assert_eq!(found.token, kept.and(row.token), "{schedule:?} {progress}");
        match kept {
            Some(true) => assert!(is_between(found.lease_until, before, bench.now().await, 2 * LEASE_SECS)),
            Some(false) => assert_eq!(found.lease_until, row.lease_until),
            None => assert_eq!(found.lease_until, None),
        }
    }

    // what others write leaves the claim where it is, and has the saga looked at; also where nobody owed it anything
    let (start, row) = claimed_twice(&bench).await;
    let saga = start.run.saga_id;
    let mut before = bench.now().await;
    let nudge = then(&start, State::Running, vec![noted(json!(1))], Schedule::Nudge);
    bench.write(&nudge).await.unwrap();
    let found = bench.wake_up(saga).await.unwrap();
    assert!(is_between(found.wake_at, before, bench.now().await, 0), "{found:?}");
    assert_eq!(found, WakeUp { wake_at: found.wake_at, claims: 0, ..row });
    bench.lose_wake_ups().await;
    before = bench.now().await;
    bench.write(&then(&nudge, State::Running, vec![noted(json!(2))], Schedule::Nudge)).await.unwrap();
    let found = bench.wake_up(saga).await.unwrap();
    assert!(is_between(found.wake_at, before, bench.now().await, 0), "{found:?}");
    let fresh = WakeUp { priority: 7, wake_at: found.wake_at, lease_until: None, token: None, claims: 0 };
    assert_eq!(found, fresh);
}

/// A saga whose first worker has died.
async fn claimed_twice<G: Ground>(bench: &Bench<G>) -> (Append, WakeUp) {
    let start = started(bench.now().await);
    bench.create(&[(start.clone(), 7)]).await;
    let first = bench.claim().await.unwrap();
    bench.store.renew(&[(first.saga_id, first.token)], 0).await.unwrap();
    let second = bench.claim().await.unwrap();
    assert_eq!((second.saga_id, second.claims), (start.run.saga_id, 2));
    let row = bench.wake_up(start.run.saga_id).await.unwrap();
    (start, row)
}

pub(crate) async fn news_come_from_behind_what_was_seen<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let (ahead, still, nobody) = (bench.begun().await, bench.begun().await, SagaId::fresh());
    let second = then(&ahead, State::Running, vec![noted(json!(2)), noted(json!(3))], Schedule::Nudge);
    bench.write(&second).await.unwrap();
    let (ahead, still) = (ahead.run.saga_id, still.run.saga_id);

    let mut tx = bench.begin().await;
    let (news, _) = tx.news(&[(ahead, 1), (still, 1), (nobody, 0)]).await.unwrap();
    assert_eq!(news.keys().collect::<Vec<_>>(), [&ahead]);
    let seqs: Vec<_> = news[&ahead].as_ref().unwrap().iter().map(|(recorded, _)| recorded.seq).collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!(moves(news[&ahead].as_ref().unwrap()), [second.move_id; 2]);
    assert!(tx.news(&[(ahead, 3), (still, 1)]).await.unwrap().0.is_empty());
    // what this very transaction writes is news as well
    tx.append(&[then(&second, State::Running, vec![noted(json!(4))], Schedule::Nudge)], LEASE_SECS).await.unwrap();
    assert_eq!(tx.news(&[(ahead, 3)]).await.unwrap().0[&ahead].as_ref().unwrap().len(), 1);

    let journals = tx.journals_after(&[(ahead, 2), (still, 1), (nobody, 0)]).await.unwrap();
    let mut lengths = [ahead, still, nobody].map(|saga| journals[&saga].as_ref().unwrap().len());
    assert_eq!(lengths, [2, 0, 0]);
    drop(tx);
    let (journals, _) = bench.store.journals(&[ahead, still, nobody]).await.unwrap();
    lengths = [ahead, still, nobody].map(|saga| journals[&saga].as_ref().unwrap().len());
    assert_eq!(lengths, [3, 1, 0]);
}

pub(crate) async fn a_seq_is_written_once<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let (start, other) = (bench.begun().await, bench.begun().await);
    let ours = then(&start, State::Running, vec![noted(json!("ours"))], Schedule::Nudge);
    bench.write(&ours).await.unwrap();
    let theirs = then(&start, State::Waiting, vec![noted(json!("theirs"))], Schedule::Wake(None));
    let beside = then(&other, State::Running, vec![noted(json!(1))], Schedule::Nudge);
    let row = bench.wake_up(start.run.saga_id).await;

    let mut tx = bench.begin().await;
    let taken = tx.append(&[beside, theirs], LEASE_SECS).await;
    assert!(passes(&taken), "the same move is planned again on the longer journal: {taken:?}");
    drop(tx);
    assert_eq!(moves(&bench.journal(start.run.saga_id).await), [start.move_id, ours.move_id]);
    assert_eq!(moves(&bench.journal(other.run.saga_id).await), [other.move_id]);
    assert_eq!(bench.wake_up(start.run.saga_id).await, row);
    assert_eq!(bench.violations().await, [""; 0]);
}

pub(crate) async fn a_bad_row_is_refused_for_good_and_alone<G: Ground>() {
    let bench = Bench::<G>::new().await;
    bench.refuse("poison").await;
    let start = bench.begun().await;
    for bad in [json!("poison"), json!({ "deep": ["a \0"] }), json!({ "a \0": 1 })] {
        for _ in 0..2 {
            let refused = bench.write(&then(&start, State::Running, vec![noted(bad.clone())], Schedule::Nudge)).await;
            assert!(lasts(&refused), "{bad}: {refused:?}");
        }
        let mut tx = bench.begin().await;
        let born = started_as(SagaId::fresh(), start.at, bad.clone());
        let refused = tx.create(&[started(start.at), born], &[0, 0]).await;
        assert!(lasts(&refused), "{bad}: {refused:?}");
    }
    bench.write(&then(&start, State::Running, vec![noted(json!("\\u0000"))], Schedule::Nudge)).await.unwrap();
    assert_eq!(bench.journal(start.run.saga_id).await.len(), 2);
    assert_eq!(bench.violations().await, [""; 0]);
}

pub(crate) async fn cases_open_and_close_with_moves<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let mut last = bench.begun().await;
    let saga = last.run.saga_id;
    for (state, entry, case) in [
        (State::Running, noted(json!(1)), None),
        (State::Stuck, stuck(StuckCause::Refused), Some("refused")),
        // still the same case, by another cause
        (State::Stuck, stuck(StuckCause::WorkerLost), Some("worker-lost")),
        // a person has it tried again, which alone is no progress
        (State::Running, noted(json!(2)), Some("worker-lost")),
        (State::Running, succeeded(), None),
        (State::Stuck, stuck(StuckCause::Exhausted), Some("exhausted")),
        (State::Compensated, Entry::Compensated, None),
        (State::Stuck, stuck(StuckCause::DefinitionUnknown), Some("definition-unknown")),
        (State::Killed, Entry::Killed, Some("killed")),
    ] {
        last = then(&last, state, vec![entry], Schedule::Nudge);
        bench.write(&last).await.unwrap();
        assert_eq!(bench.open_case(saga).await.as_deref(), case, "{:?}", last.entries);
    }
    // what is done and gets stuck in one move is in front of a person
    let start = bench.begun().await;
    let entries = vec![succeeded(), stuck(StuckCause::Refused)];
    bench.write(&then(&start, State::Stuck, entries, Schedule::Rest)).await.unwrap();
    assert_eq!(bench.open_case(start.run.saga_id).await.as_deref(), Some("refused"));
    assert_eq!(bench.claim().await.map(|claim| claim.saga_id), Some(saga), "nobody claims what rests");
}
