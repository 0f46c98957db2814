//! What holds for every saga, whatever happens to it.

use super::{
    Next, past_pivot,
    stage::{Stage, after, done, doubt, later, never, parked, pivot, probed, step, waits},
};
use crate::{
    action::{Failure, Halt, Lane, Probed},
    definition::Step,
    journal::{ActKind, Entry},
    run::Phase,
    saga::State,
};
use chrono::TimeDelta;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

/// Something that happens to a saga.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// What is due is called, or asked about, and answers in one of the ways there are.
    Answer(u8),
    /// The worker dies in the middle of the call.
    Crash,
    /// Somebody acts in the middle of the call.
    ActInCall(u8, u8),
    /// Somebody acts.
    Act(u8),
    /// Time passes, in seconds.
    Time(u8),
    /// No worker survives it.
    WorkersLost,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => any::<u8>().prop_map(Happening::Answer),
        1 => Just(Happening::Crash),
        1 => any::<(u8, u8)>().prop_map(|(act, answer)| Happening::ActInCall(act, answer)),
        1 => any::<u8>().prop_map(Happening::Act),
        2 => (0..90_u8).prop_map(Happening::Time),
        1 => Just(Happening::WorkersLost),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let named = |(n, step): (usize, Step)| Step { step: format!("{}-{n}", step.step), ..step };
    (vec(any::<bool>(), 0..4), any::<Option<bool>>(), 0..3_usize).prop_map(move |(before, pivoted, behind)| {
        let before = before.into_iter().map(|asked| if asked { probed("before") } else { step("before") });
        let pivoted = pivoted.map(|asked| Step { probe: asked.then(|| "ask".to_owned()), ..pivot("pivot") });
        let behind = std::iter::repeat_n(after("behind"), if pivoted.is_some() { behind } else { 0 });
        let steps: Vec<_> = before.chain(pivoted).chain(behind).enumerate().map(named).collect();
        if steps.is_empty() { vec![step("only")] } else { steps }
    })
}

fn act(stage: &mut Stage, which: u8) {
    match which % 8 {
        0 if stage.allows("resume") => stage.acts(ActKind::Resume),
        1 if which > 100 && stage.allows("pause") => stage.acts(ActKind::Pause),
        2 if which > 150 && stage.allows("skip") => stage.acts(ActKind::Skip),
        3 if which > 150 && stage.allows("complete") => stage.acts(ActKind::Complete),
        0 | 1 if stage.allows("retry") => stage.acts(ActKind::Retry),
        2 | 3 if stage.allows("cancel") => stage.acts(ActKind::Cancel),
        4 if which > 200 && stage.allows("kill") => stage.acts(ActKind::Kill),
        5..=7 if stage.allows("signal") => stage.signal("go"),
        _ => {}
    }
}

/// What is due answers; `in_call` happens while it is called. A saga that was killed then has no claim any more.
fn answer(stage: &mut Stage, which: u8, in_call: impl FnOnce(&mut Stage)) {
    match stage.next() {
        Next::Run(due) => {
            // a local action has no intent, and what is written meanwhile has it planned again
            if which >= 200 {
                let seq = stage.run.seq;
                in_call(stage);
                if stage.run.seq != seq {
                    return;
                }
            } else {
                stage.intends(due);
                in_call(stage);
            }
            if !stage.run.state.is_finished() {
                let given = given(which, stage);
                stage.answers(due, &given);
            }
        }
        Next::Probe(due) => {
            in_call(stage);
            if !stage.run.state.is_finished() {
                stage.finds(due, &found(which));
            }
        }
        Next::Decide(_) => drop(stage.moves(Vec::new())),
        Next::Sleep(_) | Next::Rest => in_call(stage),
    }
}

fn given(which: u8, stage: &Stage) -> crate::action::Answer<serde_json::Value> {
    let until = stage.now + TimeDelta::seconds(i64::from(which));
    match which % 8 {
        0..=2 => done(),
        3 => later(),
        4 => never(),
        5 => doubt(),
        6 => parked(u64::from(which)),
        _ if which > 128 => waits(Some("go"), Some(until)),
        _ => waits(Some("go"), None),
    }
}

fn found(which: u8) -> crate::action::Answer<Probed<serde_json::Value>> {
    match which % 6 {
        0 => Ok(Probed::Executed(json!({}))),
        1 => Ok(Probed::NotExecuted),
        2 => Ok(Probed::Refused(Failure::new("no", "no"))),
        3 => Err(Halt::in_doubt("still", "still")),
        4 => Err(Halt::transient("away", "away")),
        _ => waits(Some("go"), None).map(|_| Probed::NotExecuted),
    }
}

fn happens(stage: &mut Stage, happening: Happening) {
    match happening {
        Happening::Answer(which) => answer(stage, which, |_| {}),
        Happening::ActInCall(whose, which) => answer(stage, which, |stage| act(stage, whose)),
        Happening::Crash => {
            if let Next::Run(due) = stage.next() {
                stage.intends(due);
            }
        }
        Happening::Act(which) => act(stage, which),
        Happening::Time(secs) => stage.pass(i64::from(secs)),
        Happening::WorkersLost => {
            if matches!(stage.next(), Next::Run(_) | Next::Probe(_)) {
                stage.loses_workers();
            }
        }
    }
}

/// From now on everything goes well, and persons do what is theirs to do.
fn heals(stage: &mut Stage) {
    for _ in 0..200 {
        if stage.run.state.is_finished() {
            return;
        }
        match stage.next() {
            Next::Run(due) => drop(stage.answers(due, &done())),
            Next::Probe(due) => drop(stage.finds(due, &Ok(Probed::Executed(json!({}))))),
            Next::Decide(_) => drop(stage.moves(Vec::new())),
            Next::Sleep(sleep) => match sleep.until {
                Some(until) => stage.now = until,
                None => stage.signal("go"),
            },
            Next::Rest if stage.run.state == State::Paused => stage.acts(ActKind::Resume),
            Next::Rest => stage.acts(ActKind::Retry),
        }
    }
    panic!("it never ends: {:#?}", stage.journal);
}

fn check(stage: &Stage) {
    let stuck = stage.run.state == State::Stuck;
    assert_eq!(stuck, stage.run.stuck.is_some(), "{:?}", stage.run.state);
    assert!(!stuck || stage.allows("retry"), "a person can always have it tried again");
    if stage.run.state == State::Compensated {
        for step in &stage.definition.steps {
            let touched = stage.run.step(&step.step);
            let owed = step.compensation.is_some() && touched.forward.phase != Phase::Untouched;
            assert_eq!(owed, touched.compensation.phase == Phase::Done, "{}", step.step);
        }
        let done = stage.taken_back();
        let mut in_reverse: Vec<_> = stage.definition.steps.iter().map(|step| step.step.as_str()).collect();
        in_reverse.reverse();
        in_reverse.retain(|step| done.contains(step));
        assert_eq!(done, in_reverse, "each once");
    }
    if stage.run.state == State::Completed {
        assert!(stage.definition.steps.iter().all(|step| stage.run.step(&step.step).forward.phase == Phase::Done));
    }
    if stage.run.compensating {
        assert!(!past_pivot(&stage.definition, &stage.run), "nothing is taken back behind the pivot");
        let turned = stage.journal.iter().position(|one| matches!(one.entry, Entry::Compensating { .. })).unwrap();
        let forward = |entry: &Entry| matches!(entry, Entry::Intended { lane: Lane::Forward, .. });
        assert!(!stage.journal[turned..].iter().any(|one| forward(&one.entry)), "nothing forward after the turn");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_ends_well_whatever_happened_to_it(
        steps in steps(),
        delay in 0..20_i64,
        deadline in any::<Option<u8>>(),
        happenings in vec(happening(), 0..60),
    ) {
        let mut stage = Stage::starting(steps, delay, deadline.map(i64::from));
        for happening in happenings {
            happens(&mut stage, happening);
            check(&stage);
        }
        heals(&mut stage);
        check(&stage);
    }
}
