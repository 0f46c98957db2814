//! Whatever can happen to a saga is read as it was written.

use super::bench::{Bench, started_as, stuck, then};
use crate::ground::Ground;
use chrono::TimeDelta;
use orchestrator::{
    SagaId,
    action::{Child, Failure, Lane, Wait},
    journal::{ActKind, Entry, Moment, Recorded, StuckCause, TakenOver},
    saga::State,
    store::{Append, Schedule, Written},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) async fn every_entry_is_read_as_it_was_written<G: Ground>() {
    let bench = Bench::<G>::new().await;
    let at = bench.now().await;
    let start = started_as(SagaId::fresh(), at, odd());
    bench.create(&[(start.clone(), 0)]).await;
    let entries = entries(at);
    let (first, second) = entries.split_at(4);
    let first = then(&start, State::Running, first.to_vec(), Schedule::Nudge);
    let later = Append { at: at + TimeDelta::microseconds(1), ..first.clone() };
    let second = then(&later, State::Running, second.to_vec(), Schedule::Nudge);
    bench.write(&first).await.unwrap();
    bench.write(&second).await.unwrap();

    let mut expected: Vec<Written> = Vec::new();
    for append in [&start, &first, &second] {
        for entry in append.entries.iter() {
            let seq = i64::try_from(expected.len()).unwrap() + 1;
            expected.push((Recorded { seq, at: append.at, entry: entry.clone() }, append.move_id));
        }
    }
    let found = bench.journal(start.run.saga_id).await;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// What a store might not give back as it was.
fn odd() -> Value {
    json!({
        "text": "ä 🎫 \" \\ \u{1} \u{fffd}", "": null, "numbers": [0, -1, 1.5, u64::MAX, i64::MIN, 0.1],
        "deep": [[[{ "z": true, "a": [] }]], {}],
    })
}

fn entries(at: Moment) -> Vec<Entry> {
    let (lane, attempt) = (Lane::Compensation, 7);
    let step = || "one".to_owned();
    let failure = || Failure::new("no", "it \"cannot\" be");
    let later = at + TimeDelta::microseconds(1_234_567);
    let child = Child { definition: "d".to_owned(), key: "k".to_owned(), input: odd(), tags: BTreeMap::new() };
    let wait = Wait { signal: Some("go".to_owned()), until: Some(later), child: Some(child), reason: "r".to_owned() };
    let taken = TakenOver { attempt, notes: vec![odd()], output: odd(), input: Some(odd()) };
    let acted = |act, evidence: Option<&str>| Entry::Acted {
        act,
        reason: "because".to_owned(),
        by: "olga".to_owned(),
        evidence: evidence.map(str::to_owned),
    };
    vec![
        Entry::Intended { step: step(), lane, attempt, intent: Value::Null },
        Entry::Noted { step: step(), lane, attempt, note: odd() },
        Entry::Succeeded { step: step(), lane, attempt, output: odd(), probed: true },
        Entry::Failed { step: step(), lane, attempt, failure: failure(), permanent: true, retry_at: None },
        Entry::Failed { step: step(), lane, attempt, failure: failure(), permanent: false, retry_at: Some(later) },
        Entry::InDoubt { step: step(), lane, attempt, failure: failure(), probe_at: later, parked: false },
        Entry::InDoubt { step: step(), lane, attempt, failure: failure(), probe_at: later, parked: true },
        Entry::Waits { step: step(), lane, wait },
        Entry::Waits { step: step(), lane, wait: Wait::default() },
        Entry::Parked { step: step(), lane, until: later, reason: String::new() },
        Entry::Signalled { name: "go".to_owned(), payload: odd(), by: "o".to_owned() },
        acted(ActKind::Retry, None),
        acted(ActKind::Cancel, None),
        acted(ActKind::Probe, None),
        acted(ActKind::Pause, None),
        acted(ActKind::Resume, None),
        acted(ActKind::Skip, None),
        acted(ActKind::Complete, Some("a letter")),
        acted(ActKind::EditInput, None),
        acted(ActKind::Fork, None),
        Entry::Paused { until: None },
        Entry::Paused { until: Some(later) },
        Entry::Resumed,
        Entry::InputGiven { step: step(), input: odd() },
        Entry::ForkedInto { saga: SagaId::fresh(), step: step() },
        Entry::ForkedFrom { saga: SagaId::fresh(), keys_of: SagaId::fresh(), steps: [(step(), taken)].into() },
        Entry::Compensating { cause: failure() },
        stuck(StuckCause::DefinitionUnknown),
        Entry::Stuck { step: None, lane, cause: StuckCause::WorkerLost, failure: failure() },
        Entry::Completed,
        Entry::Compensated,
        Entry::Killed,
    ]
}
