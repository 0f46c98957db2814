use super::*;
use crate::{demo, run::Phase, store::Postgres};
use chrono::DateTime;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

const BOOKING: &str = "
saga: booking
input: { type: object, properties: { seat: { type: string } }, required: [seat] }
deadline: 15m
steps:
  - { step: hold, action: demo.echo, compensation: demo.undo, retry: { attempts: 3, backoff: 1s..1m } }
  - step: pay
    action: demo.fail
    input: { code: $.steps.hold.echo.seat }
    compensation: demo.undo
    probe: demo.probe
    timeout: 10s
    retry: { attempts: 3, backoff: 1s..1m }
  - { step: commit, action: demo.echo, pivot: true }
  - { step: issue, action: demo.echo, retry: { attempts: forever, backoff: 1s..5m } }
";

fn registry() -> Registry<Postgres> {
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    registry
}

fn script(answers: Value) -> Script {
    Script { input: json!({ "seat": "A-1" }), answers: serde_json::from_value(answers).unwrap(), signals: Vec::new() }
}

fn run_with(script: &Script) -> MockRun {
    let registry = registry();
    let definition = Definition::read(BOOKING, &registry).unwrap();
    assert_eq!(script.mistakes(&definition), []);
    let run = play((&definition, 7), &registry, script, DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(Run::replay(SagaId(Uuid::nil()), &run.journal).unwrap().state, run.state, "its journal is one");
    run
}

/// With something that `pay` can take.
fn run_of(mut answers: Value) -> MockRun {
    if answers.get("hold").is_none() {
        answers["hold"] = json!({ "action": [{ "answer": "done", "output": { "echo": { "seat": "A-1" } } }] });
    }
    run_with(&script(answers))
}

fn path(run: &MockRun) -> Vec<String> {
    let told = |call: &MockCall| {
        let at = (call.at - DateTime::UNIX_EPOCH).num_milliseconds();
        format!("{at} {} {} {} {}", call.step, call.half.as_str(), call.attempt, call.answer)
    };
    run.path.iter().map(told).collect()
}

#[test]
fn what_nobody_has_given_is_done() {
    let run = run_of(json!({}));
    assert_eq!(
        path(&run),
        ["0 hold action 1 done", "0 pay action 1 done", "0 commit action 1 done", "0 issue action 1 done"]
    );
    assert_eq!((run.state, run.took, &run.cause, &run.truncated), (State::Completed, TimeDelta::zero(), &None, &None));
    assert_eq!(run.path[1].input, Some(json!({ "code": "A-1" })), "paths lead into what was given");
    assert_eq!(run.path[1].calls, "demo.fail");
}

#[test]
fn what_is_refused_is_taken_back_in_reverse() {
    let run = run_of(json!({
        "pay": { "action": [{ "answer": "permanent", "code": "card-declined", "takesMs": 800 }] },
        "hold": {
            "action": [{ "answer": "done", "output": { "echo": { "seat": "A-1" } } }],
            "compensation": [{ "answer": "transient" }, { "answer": "done" }]
        }
    }));
    let wanted = [
        "0 hold action 1 done",
        "0 pay action 1 permanent",
        "800 pay compensation 1 done",
        "800 hold compensation 1 transient",
        "1300 hold compensation 2 done",
    ];
    assert_eq!(path(&run), wanted);
    assert_eq!((run.state, run.compensated), (State::Compensated, vec!["pay".to_owned(), "hold".to_owned()]));
    assert_eq!(run.cause.unwrap().code, "card-declined");
}

#[test]
fn attempts_are_as_far_apart_as_they_may_be_and_end() {
    let run = run_of(json!({ "pay": { "action": [{ "answer": "transient", "code": "busy" }] } }));
    let attempts = [
        "0 hold action 1 done",
        "0 pay action 1 transient",
        "1000 pay action 2 transient",
        "3000 pay action 3 transient",
    ];
    assert_eq!(path(&run)[..4], attempts);
    assert_eq!((run.state, run.cause.unwrap().code.as_str()), (State::Compensated, "busy"));
}

#[test]
fn what_takes_too_long_is_in_doubt_and_asked_about() {
    let run = run_of(
        json!({ "pay": { "action": [{ "answer": "done", "takesMs": 11_000 }], "probe": [{ "answer": "notExecuted" }, { "answer": "done" }] } }),
    );
    let wanted = [
        "0 hold action 1 done",
        "0 pay action 1 inDoubt",
        "11000 pay probe 1 notExecuted",
        "12000 pay action 2 inDoubt",
        "24000 pay probe 2 done",
        "24000 commit action 1 done",
        "24000 issue action 1 done",
    ];
    assert_eq!(path(&run), wanted);
    assert_eq!(run.path[1].failure.as_ref().unwrap().code, "timeout");
    assert_eq!((run.state, run.took), (State::Completed, TimeDelta::seconds(24)));
}

#[test]
fn a_deadline_ends_it() {
    let run = run_of(json!({ "pay": { "action": [{ "answer": "parked", "afterMs": 300_000 }] } }));
    assert_eq!((run.state, run.cause.unwrap().code.as_str()), (State::Compensated, "deadline"));
    assert_eq!(run.took, TimeDelta::minutes(15));
}

#[test]
fn behind_the_pivot_it_goes_on_for_as_long_as_is_looked() {
    let run = run_of(json!({ "issue": { "action": [{ "answer": "transient" }] } }));
    assert_eq!((run.state, run.truncated), (State::Waiting, Some(Truncated::Entries)));
    assert_eq!(run.journal.len(), ENTRIES_MAX);
    assert_eq!(run.compensated, Vec::<String>::new());
}

#[test]
fn a_wait_ends_with_its_signal_its_time_or_not_at_all() {
    let waits = json!({
        "hold": { "action": [
            { "answer": "wait", "signal": "go", "afterMs": 60_000 },
            { "answer": "done", "output": { "echo": { "seat": "A-1" } } }
        ] }
    });
    let by_time = run_of(waits.clone());
    assert_eq!(path(&by_time)[1], "60000 hold action 1 done");
    let signalled = Script {
        signals: vec![MockSignal { name: "go".to_owned(), payload: json!(1), after_ms: 5_000 }],
        ..script(waits)
    };
    assert_eq!(path(&run_with(&signalled))[1], "5000 hold action 1 done");
    let run = run_of(json!({ "issue": { "action": [{ "answer": "wait", "signal": "never" }] } }));
    assert_eq!((run.state, run.waits_for.as_deref()), (State::Waiting, Some("the signal `never`")));
}

#[test]
fn what_a_step_does_not_get_is_told() {
    let run = run_of(json!({ "hold": { "action": [{ "answer": "done", "output": { "echo": {} } }] } }));
    assert_eq!(path(&run)[1], "0 pay action 1 permanent");
    assert_eq!(
        (run.path[1].input.as_ref(), run.path[1].failure.as_ref().unwrap().code.as_str()),
        (None, "invalid-input")
    );
    // its compensation takes the same, and cannot have it either
    assert_eq!((run.state, run.path[2].half, run.path.len()), (State::Stuck, Half::Compensation, 3));
}

#[test]
fn a_script_that_cannot_be_is_refused_with_every_mistake() {
    let definition = Definition::read(BOOKING, &registry()).unwrap();
    let wrong = script(json!({
        "hold": { "action": [{ "answer": "notExecuted" }, { "answer": "wait" }], "probe": [{ "answer": "done" }] },
        "commit": { "compensation": [{ "answer": "done" }] },
        "pay": { "action": [{ "answer": "done", "code": "x", "takesMs": 99_999_999_999_u64 }] },
        "pa/y": {}
    }));
    let found: Vec<_> = wrong.mistakes(&definition).into_iter().map(|mistake| mistake.pointer).collect();
    let wanted = [
        "/answers/commit/compensation",
        "/answers/hold/probe",
        "/answers/hold/action/0/answer",
        "/answers/hold/action/1/answer",
        "/answers/pa~1y",
        "/answers/pay/action/0/code",
        "/answers/pay/action/0/takesMs",
    ];
    assert_eq!(found, wanted);
}

fn kind(half: Half) -> impl Strategy<Value = MockAnswer> {
    let kinds = prop_oneof![
        4 => Just(json!({ "answer": "done" })),
        1 => Just(json!({ "answer": "transient", "afterMs": 500 })),
        1 => Just(json!({ "answer": "permanent" })),
        2 => Just(json!({ "answer": "inDoubt" })),
        1 => Just(json!({ "answer": "wait", "signal": "go", "afterMs": 1_000 })),
        1 => Just(json!({ "answer": "wait", "signal": "go" })),
        1 => Just(json!({ "answer": "parked", "afterMs": 2_000 })),
        1 => Just(json!({ "answer": if half == Half::Probe { "notExecuted" } else { "done" } })),
    ];
    (kinds, 0..20_000_u64).prop_map(|(answer, takes_ms)| {
        let answer: MockAnswer = serde_json::from_value(answer).unwrap();
        MockAnswer { takes_ms, ..answer }
    })
}

proptest! {
    /// Whatever is answered, it ends, or says why it is not looked at any longer; what was taken back is done, and never
    /// behind the pivot.
    #[test]
    fn it_ends_and_its_journal_is_one(
        [hold, pay, issue] in [vec(kind(Half::Action), 0..4), vec(kind(Half::Action), 0..4), vec(kind(Half::Action), 0..4)],
        [undo, refund] in [vec(kind(Half::Compensation), 0..4), vec(kind(Half::Compensation), 0..4)],
        probe in vec(kind(Half::Probe), 0..4),
        go in proptest::option::of(0..100_000_u64),
    ) {
        let step = |action, compensation, probe| MockStep { action, compensation, probe };
        let answers = [
            ("hold", step(hold, undo, Vec::new())),
            ("pay", step(pay, refund, probe)),
            ("issue", step(issue, Vec::new(), Vec::new())),
        ];
        let answers = answers.into_iter().map(|(name, step)| (name.to_owned(), step)).collect();
        let signal = |after_ms| MockSignal { name: "go".to_owned(), payload: Value::Null, after_ms };
        let script = Script { answers, signals: go.map(signal).into_iter().collect(), ..script(json!({})) };
        let run = run_with(&script);
        let rests = run.state.is_finished() || run.state == State::Stuck || run.waits_for.is_some();
        prop_assert!(rests || run.truncated.is_some(), "{:?}", run);
        let replayed = Run::replay(SagaId(Uuid::nil()), &run.journal).unwrap();
        for step in &run.compensated {
            prop_assert!(replayed.step(step).compensation.phase == Phase::Done);
        }
        prop_assert!(run.state != State::Compensated || !replayed.step("commit").forward.may_be_done);
    }
}
