//! What people do beside retrying, cancelling and killing.

use super::*;

#[test]
fn a_pause_begins_nothing_and_lets_what_is_on_its_way_come_to_its_end() {
    for answer in [done(), later(), never(), doubt(), parked(9), waits(Some("go"), None)] {
        let mut stage = booking();
        let due = stage.due("hold", Lane::Forward);
        stage.intends(due);
        stage.acts(ActKind::Pause);
        assert_eq!(stage.answers(due, &answer), Next::Rest);
        assert!(stage.is(State::Paused), "{answer:?}");
        assert!(!stage.allows("retry") && !stage.allows("skip") && !stage.allows("pause"));
        stage.acts(ActKind::Resume);
        assert!(!stage.is(State::Paused) && !stage.allows("resume"));
    }
}

#[test]
fn doubt_that_is_used_up_during_a_pause_is_decided_after_it() {
    let mut stage = booking();
    stage.calls("hold", &done());
    while stage.calls("pay", &doubt()) != Next::Rest && stage.run.step("pay").forward.failures < 2 {
        stage.pass(1);
        stage.asks("pay", &Ok(Probed::NotExecuted));
        stage.pass(1);
    }
    let mut paused = stage;
    paused.acts(ActKind::Pause);
    assert!(paused.is(State::Paused));
    paused.acts(ActKind::Resume);
    assert!(!paused.is(State::Paused));
}

#[test]
fn a_pause_with_an_end_ends_by_itself() {
    let mut stage = booking();
    let until = stage.now + TimeDelta::seconds(5);
    stage.others(vec![Entry::Paused { until: Some(until) }]);
    sleeps(&stage.next(), Turn::Timer, Some(5), &stage);
    stage.pass(5);
    assert_eq!(stage.next(), Next::Decide(Entry::Resumed));
    stage.moves(Vec::new());
    stage.due("hold", Lane::Forward);
}

#[test]
fn what_is_paused_while_it_is_taken_back_goes_on_being_taken_back() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.calls("pay", &never());
    assert!(stage.is(State::Compensating));
    stage.acts(ActKind::Pause);
    assert_eq!(stage.next(), Next::Rest);
    stage.acts(ActKind::Resume);
    assert!(stage.is(State::Compensating));
    stage.calls("pay", &done());
    stage.calls("hold", &done());
    assert!(stage.is(State::Compensated));
}

#[test]
fn what_is_paused_can_be_cancelled() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.acts(ActKind::Pause);
    assert!(stage.allows("cancel"));
    stage.acts(ActKind::Cancel);
    stage.moves(Vec::new());
    stage.calls("hold", &done());
    assert!(stage.is(State::Compensated));
}

#[test]
fn a_step_that_a_person_has_done_is_not_tried_again() {
    for act in [ActKind::Skip, ActKind::Complete] {
        let mut stage = booking();
        stage.calls("hold", &done());
        stage.calls("pay", &later());
        stage.acts(act);
        assert_eq!(stage.run.outputs()["pay"], &json!({ "given": true }));
        stage.due("commit", Lane::Forward);
    }
}

#[test]
fn a_cancellation_that_was_accepted_is_not_lost_to_a_step_that_is_given() {
    let mut stage = booking();
    stage.calls("hold", &done());
    stage.acts(ActKind::Cancel);
    for act in ["skip", "complete", "edit-input"] {
        assert!(!stage.allows(act), "{act} behind a cancellation");
    }
    stage.moves(Vec::new());
    stage.due("hold", Lane::Compensation);
    assert!(stage.allows("skip") && stage.allows("complete"));
}

#[test]
fn what_may_have_been_done_is_not_skipped_and_not_done_with_other_input() {
    let mut stage = booking();
    stage.calls("hold", &done());
    let due = stage.due("pay", Lane::Forward);
    stage.intends(due);
    for act in ["skip", "complete", "edit-input"] {
        assert!(!stage.allows(act), "{act} in the middle of a call");
    }
    stage.answers(due, &doubt());
    assert!(stage.allows("probe") && stage.allows("complete"));
    assert!(!stage.allows("skip") && !stage.allows("edit-input"));
    stage.acts(ActKind::Probe);
    assert!(matches!(stage.next(), Next::Probe(_)), "at once");
}
