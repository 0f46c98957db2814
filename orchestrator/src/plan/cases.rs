//! The hard cases, one by one.

mod people;

use super::{
    Next, Turn, past_pivot,
    stage::{Stage, after, done, doubt, later, never, parked, pivot, probed, step, waits},
};
use crate::{
    action::{Failure, Halt, Lane, Probed},
    journal::{ActKind, Entry, Recorded, StuckCause},
    run::{Corrupt, Phase, Resumed, Run},
    saga::State,
};
use chrono::TimeDelta;
use serde_json::json;
use std::time::Duration;

fn booking() -> Stage {
    Stage::new(vec![step("hold"), probed("pay"), pivot("commit"), after("issue")])
}

fn sleeps(next: &Next, turn: Turn, secs: Option<i64>, stage: &Stage) {
    match next {
        Next::Sleep(sleep) => {
            let slept = sleep.until.map(|until| (until - stage.now).num_seconds());
            assert_eq!((sleep.turn, slept), (turn, secs));
        }
        next => panic!("it does not sleep: {next:?}"),
    }
}

#[test]
fn all_steps_in_order_and_then_it_is_completed() {
    let mut stage = booking();
    for name in ["hold", "pay", "commit"] {
        stage.calls(name, &done());
    }
    assert_eq!(stage.calls("issue", &done()), Next::Rest);
    assert!(stage.is(State::Completed));
    assert_eq!(stage.run.outputs().len(), 4);
}

#[test]
fn a_failure_for_now_waits_twice_as_long_each_time_and_then_the_saga_is_taken_back() {
    let mut stage = booking();
    let next = stage.calls("hold", &later());
    sleeps(&next, Turn::Timer, Some(1), &stage);
    stage.pass(1);
    let next = stage.calls("hold", &later());
    sleeps(&next, Turn::Timer, Some(2), &stage);
    stage.pass(2);
    stage.calls("hold", &later());
    assert!(stage.is(State::Compensating));
    assert_eq!(stage.run.cause.as_ref().unwrap().code, "later");
    assert_eq!(stage.calls("hold", &done()), Next::Rest);
    assert!(stage.is(State::Compensated));
}

#[test]
fn the_other_side_s_wish_for_patience_is_kept_within_bounds() {
    let mut stage = booking();
    let asked =
        |secs| Err(Halt::Transient { failure: Failure::new("busy", "busy"), after: Some(Duration::from_secs(secs)) });
    let next = stage.calls("hold", &asked(30));
    sleeps(&next, Turn::Timer, Some(30), &stage);
    stage.pass(30);
    let next = stage.calls("hold", &asked(86_400));
    sleeps(&next, Turn::Timer, Some(300), &stage);
}

#[test]
fn behind_the_pivot_a_refusal_is_for_a_person_and_a_retry_goes_on() {
    let mut stage = booking();
    for name in ["hold", "pay", "commit"] {
        stage.calls(name, &done());
    }
    assert_eq!(stage.calls("issue", &never()), Next::Rest);
    let stuck = stage.run.stuck.clone().unwrap();
    assert_eq!((stuck.step.as_deref(), stuck.cause), (Some("issue"), StuckCause::Refused));
    assert!(!stage.allows("cancel"));
    stage.acts(ActKind::Retry);
    assert_eq!(stage.run.stuck, None);
    stage.calls("issue", &done());
    assert!(stage.is(State::Completed));
}

#[test]
fn a_pivot_that_is_certainly_not_done_can_still_be_taken_back() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &done());
    stage.calls("commit", &never());
    assert!(stage.is(State::Compensating));
    stage.calls("pay", &done());
    stage.calls("hold", &done());
    assert_eq!(stage.taken_back(), ["pay", "hold"]);
    assert!(stage.is(State::Compensated));
}

#[test]
fn a_pivot_in_doubt_is_never_taken_back() {
    let mut stage = Stage::starting(vec![step("hold"), pivot("commit")], 0, Some(60));
    stage.calls("hold", &done());
    for pause in [1, 2, 0] {
        stage.calls("commit", &doubt());
        assert!(past_pivot(&stage.definition, &stage.run) && !stage.allows("cancel"));
        stage.pass(pause);
    }
    let stuck = stage.run.stuck.clone().unwrap();
    assert_eq!((stuck.step.as_deref(), stuck.cause), (Some("commit"), StuckCause::Exhausted));
    // the deadline has no say any more
    stage.pass(3600);
    stage.acts(ActKind::Retry);
    stage.calls("commit", &done());
    assert!(stage.is(State::Completed));
}

#[test]
fn a_pivot_that_waits_for_the_end_of_its_own_call_is_never_taken_back() {
    let mut stage = Stage::starting(vec![step("hold"), pivot("commit")], 0, Some(60));
    stage.calls("hold", &done());
    let next = stage.calls("commit", &waits(Some("settled"), None));
    sleeps(&next, Turn::Signal, None, &stage);
    assert!(!stage.allows("cancel"));
    stage.signal("settled");
    stage.calls("commit", &never());
    assert!(stage.is(State::Compensating), "now it is certain");
}

#[test]
fn doubt_asks_first_and_only_then_tries_again_or_goes_on() {
    let mut stage = booking();
    stage.calls("hold", &done());
    let next = stage.calls("pay", &doubt());
    sleeps(&next, Turn::Gateway, Some(1), &stage);
    stage.pass(1);
    stage.asks("pay", &Ok(Probed::NotExecuted));
    assert_eq!(stage.run.step("pay").forward.failures, 1, "the doubt and its end are one failure");
    stage.pass(1);
    assert_eq!(stage.due("pay", Lane::Forward).attempt, 2);
    stage.calls("pay", &doubt());
    stage.pass(2);
    stage.asks("pay", &Ok(Probed::Executed(json!({ "charge": 1 }))));
    assert_eq!(stage.run.outputs()["pay"], &json!({ "charge": 1 }));
    stage.due("commit", Lane::Forward);
}

#[test]
fn the_last_attempt_s_doubt_is_asked_about_too() {
    for executed in [true, false] {
        let mut stage = booking();
        stage.calls("hold", &done());
        for seconds in [1, 2] {
            stage.calls("pay", &later());
            stage.pass(seconds);
        }
        stage.calls("pay", &doubt());
        assert!(!stage.is(State::Compensating), "it may have been paid");
        stage.pass(4);
        if executed {
            stage.asks("pay", &Ok(Probed::Executed(json!({ "charge": 1 }))));
            stage.due("commit", Lane::Forward);
        } else {
            stage.asks("pay", &Ok(Probed::NotExecuted));
            assert!(stage.is(State::Compensating));
        }
    }
}

#[test]
fn a_probe_that_cannot_tell_keeps_the_doubt_until_the_compensation_settles_it() {
    for unclear in [Halt::in_doubt("x", "x"), Halt::transient("x", "x"), Halt::permanent("x", "x")] {
        let mut stage = booking();
        stage.calls("hold", &done());
        stage.calls("pay", &doubt());
        stage.pass(1);
        stage.asks("pay", &Err(unclear.clone()));
        assert!(matches!(stage.run.step("pay").forward.phase, Phase::Doubt(_)), "{unclear:?}");
        stage.pass(2);
        stage.asks("pay", &Err(unclear));
        assert!(stage.is(State::Compensating));
        stage.calls("pay", &done());
        stage.calls("hold", &done());
        assert!(stage.is(State::Compensated));
    }
}

#[test]
fn a_probe_that_is_parked_keeps_the_doubt_and_uses_up_nothing() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &doubt());
    for _ in 0..10 {
        stage.pass(5);
        let parked = Halt::Parked { after: Duration::from_secs(5), reason: "a breaker".to_owned() };
        let next = stage.asks("pay", &Err(parked));
        sleeps(&next, Turn::Gateway, Some(5), &stage);
    }
    assert_eq!(stage.run.step("pay").forward.failures, 1);
    assert_eq!(stage.run.step("pay").forward.failure.as_ref().unwrap().code, "lost");
    stage.pass(5);
    stage.asks("pay", &Ok(Probed::Executed(json!({ "charge": 1 }))));
    stage.due("commit", Lane::Forward);
}

#[test]
fn what_is_in_doubt_is_asked_about_when_somebody_tells_something() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &doubt());
    assert!(matches!(stage.next(), Next::Sleep(_)));
    stage.signal("anything");
    assert!(matches!(stage.next(), Next::Probe(_)));
    let next = stage.asks("pay", &Err(Halt::in_doubt("still", "still")));
    assert!(matches!(next, Next::Sleep(_)), "once for each signal");
}

#[test]
fn what_is_parked_runs_when_somebody_tells_something() {
    let mut stage = booking();
    stage.calls("hold", &done());
    let next = stage.calls("pay", &parked(300));
    sleeps(&next, Turn::Gateway, Some(300), &stage);
    stage.pass(5);
    stage.signal("anything");
    assert_eq!(stage.due("pay", Lane::Forward).attempt, 1, "no attempt was used up");
    let next = stage.calls("pay", &parked(295));
    sleeps(&next, Turn::Gateway, Some(295), &stage);

    stage.pass(295);
    stage.calls("pay", &later());
    stage.signal("anything");
    assert!(matches!(stage.next(), Next::Sleep(_)), "what has failed is not tried more often for it");
}

#[test]
fn a_probe_s_refusal_ends_the_doubt_for_good() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &doubt());
    stage.pass(1);
    stage.asks("pay", &Ok(Probed::Refused(Failure::new("declined", "declined"))));
    assert!(stage.is(State::Compensating));
    assert_eq!(stage.run.cause.as_ref().unwrap().code, "declined");
}

#[test]
fn an_attempt_that_a_crash_left_open_is_asked_about_or_made_again() {
    let mut stage = booking();
    let due = stage.due("hold", Lane::Forward);
    stage.intends(due);
    assert_eq!(stage.due("hold", Lane::Forward).attempt, 2);
    stage.calls("hold", &done());
    let due = stage.due("pay", Lane::Forward);
    stage.intends(due);
    assert_eq!(stage.next(), Next::Probe(due));
    stage.asks("pay", &Ok(Probed::NotExecuted));
    stage.pass(1);
    assert_eq!(stage.due("pay", Lane::Forward).attempt, 2);
}

#[test]
fn a_signal_counts_whether_it_comes_before_it_is_waited_for_or_after() {
    let mut stage = booking();
    stage.signal("go");
    stage.calls("hold", &waits(Some("go"), None));
    assert_eq!(stage.due("hold", Lane::Forward).attempt, 1);
    stage.calls("hold", &done());
    assert!(stage.run.signals.is_empty(), "it is taken");

    let mut stage = booking();
    let next = stage.calls("hold", &waits(Some("go"), None));
    sleeps(&next, Turn::Signal, None, &stage);
    stage.signal("other");
    sleeps(&stage.next(), Turn::Signal, None, &stage);
    assert!(stage.run.lacks_signal("go") && !stage.run.lacks_signal("other"));
    stage.signal("go");
    assert!(!stage.run.lacks_signal("go"));
    let due = stage.due("hold", Lane::Forward);
    stage.intends(due);
    assert!(matches!(&stage.run.step("hold").forward.resumed, Some(Resumed::BySignal(signal)) if signal.name == "go"));
}

#[test]
fn a_signal_that_comes_in_the_middle_of_a_call_is_there_for_the_next_wait() {
    let mut stage = booking();
    let until = stage.now + TimeDelta::seconds(5);
    let next = stage.calls("hold", &waits(Some("go"), Some(until)));
    sleeps(&next, Turn::Signal, Some(5), &stage);
    stage.pass(5);
    let due = stage.due("hold", Lane::Forward);
    stage.intends(due);
    assert_eq!(stage.run.step("hold").forward.resumed, Some(Resumed::ByTime));
    stage.signal("go");
    stage.answers(due, &waits(Some("go"), None));
    stage.due("hold", Lane::Forward);
}

#[test]
fn a_wait_for_nothing_is_a_refusal() {
    let mut stage = booking();
    stage.calls("hold", &waits(None, None));
    assert_eq!(stage.run.cause.as_ref().unwrap().code, "endless-wait");
}

#[test]
fn what_is_parked_comes_back_and_no_attempt_is_used_up() {
    let mut stage = booking();
    for _ in 0..10 {
        let next = stage.calls("hold", &parked(7));
        sleeps(&next, Turn::Gateway, Some(7), &stage);
        stage.pass(7);
    }
    assert_eq!((stage.due("hold", Lane::Forward).attempt, stage.run.step("hold").forward.failures), (1, 0));
}

#[test]
fn a_deadline_takes_back_what_has_not_passed_its_pivot() {
    let steps = || vec![step("hold"), pivot("commit"), after("issue")];
    let mut stage = Stage::starting(steps(), 0, Some(60));
    let next = stage.calls("hold", &waits(Some("go"), None));
    sleeps(&next, Turn::Signal, Some(60), &stage);
    stage.pass(60);
    stage.moves(Vec::new());
    assert_eq!(stage.run.cause.as_ref().unwrap().code, "deadline");

    let mut stage = Stage::starting(steps(), 0, Some(60));
    stage.calls("hold", &done());
    let due = stage.due("commit", Lane::Forward);
    stage.intends(due);
    stage.pass(60);
    stage.answers(due, &done());
    stage.calls("issue", &done());
    assert!(stage.is(State::Completed));
}

#[test]
fn nothing_runs_before_its_time_and_the_deadline_counts_from_then() {
    let mut stage = Stage::starting(vec![step("hold")], 100, Some(60));
    sleeps(&stage.next(), Turn::Timer, Some(100), &stage);
    stage.pass(100);
    stage.due("hold", Lane::Forward);

    let mut stage = Stage::starting(vec![step("hold")], 100, None);
    stage.acts(ActKind::Cancel);
    assert_eq!(stage.moves(Vec::new()), Next::Rest);
    assert!(stage.is(State::Compensated));
}

#[test]
fn a_cancel_is_carried_out_in_every_phase_before_the_pivot() {
    for answer in [later(), doubt(), parked(9), waits(Some("go"), None), done()] {
        let mut stage = booking();
        stage.calls("hold", &done());
        stage.calls("pay", &answer);
        stage.acts(ActKind::Cancel);
        assert!(!stage.allows("cancel"), "once is enough");
        stage.moves(Vec::new());
        stage.calls("pay", &done());
        stage.calls("hold", &done());
        assert!(stage.is(State::Compensated), "{answer:?}");
        assert_eq!(stage.run.cause.as_ref().unwrap().code, "cancelled");
    }
}

#[test]
fn a_cancel_in_the_middle_of_a_call_waits_for_its_answer() {
    let mut stage = booking();
    let due = stage.due("hold", Lane::Forward);
    stage.intends(due);
    stage.acts(ActKind::Cancel);
    stage.answers(due, &done());
    assert!(stage.is(State::Compensating));
    assert_eq!(stage.run.outputs().len(), 1, "what was done is known to its compensation");
}

#[test]
fn a_cancel_of_what_is_stuck_is_decided_at_once() {
    let mut stage = booking();
    stage.calls("hold", &done());
    assert_eq!(stage.loses_workers(), Next::Rest);
    stage.acts(ActKind::Cancel);
    assert!(stage.is(State::Compensating));
    stage.calls("hold", &done());
    assert!(stage.is(State::Compensated));
}

#[test]
fn a_compensation_that_cannot_be_done_is_stuck_and_a_retry_tries_it_again() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &never());
    stage.calls("pay", &later());
    stage.pass(1);
    assert_eq!(stage.calls("pay", &later()), Next::Rest);
    let stuck = stage.run.stuck.clone().unwrap();
    assert_eq!((stuck.lane, stuck.cause), (Lane::Compensation, StuckCause::Exhausted));
    assert!(!stage.allows("cancel"));
    stage.acts(ActKind::Retry);
    assert!(stage.is(State::Compensating));
    stage.calls("pay", &done());
    stage.calls("hold", &done());
    assert_eq!(stage.taken_back(), ["pay", "hold"]);
}

#[test]
fn a_kill_stops_it_wherever_it_is() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.acts(ActKind::Kill);
    assert!(stage.is(State::Killed));
    assert_eq!(stage.next(), Next::Rest);
    for act in ["retry", "cancel", "kill", "signal"] {
        assert!(!stage.allows(act));
    }
}

#[test]
fn what_an_outside_answer_brings_can_always_be_stored() {
    let mut stage = booking();
    stage.calls("hold", &Ok(json!({ "a\0": ["\0"] })));
    stage.calls("pay", &Err(Halt::permanent("a\0b", "a\0b")));
    for recorded in &stage.journal {
        assert!(!serde_json::to_string(recorded).unwrap().contains("\\u0000"), "{recorded:?}");
    }
}

#[test]
fn a_journal_that_cannot_be_ours_is_refused() {
    let stage = booking();
    let recorded = |seq, entry| Recorded { seq, at: stage.now, entry };
    let with = |extra: Recorded| {
        let journal: Vec<_> = stage.journal.iter().cloned().chain([extra]).collect();
        Run::replay(stage.run.saga_id, &journal).unwrap_err()
    };
    assert!(matches!(with(recorded(3, Entry::Completed)), Corrupt::Gap { after: 1, found: 3, .. }));
    assert!(matches!(with(recorded(2, Entry::Compensated)), Corrupt::Transition { seq: 2, .. }));
    assert!(matches!(with(recorded(2, stage.journal[0].entry.clone())), Corrupt::Start { seq: 2, .. }));
    assert!(matches!(Run::replay(stage.run.saga_id, &[]), Err(Corrupt::Start { seq: 0, .. })));
}
