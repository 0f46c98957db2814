//! What the knobs take and what they refuse.

use super::*;

fn pick(faults: &Faults, kind: Kind) -> Option<Hit> {
    [Stage::Connection, Stage::Outcome, Stage::Webhook].into_iter().find_map(|stage| faults.pick(stage, kind, |_| true))
}

fn rule(text: &str) -> Result<Rule, String> {
    Rule::parse(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    assert!(rule(r#"{"fault":"gremlin"}"#).unwrap_err().contains("gremlin"));
    assert!(rule(r#"{"fault":"slow","delay":1}"#).unwrap_err().contains("`delay`"));
    assert!(rule(r#"{"fault":"slow","operation":"settle"}"#).unwrap_err().contains("settle"));
    for bad in [
        r#"{"fault":"slow","rate":1.5}"#,
        r#"{"fault":"slow","rate":-1}"#,
        r#"{"fault":"slow","count":0}"#,
        r#"{"fault":"slow","delayMs":600001}"#,
        r#"{"fault":"decline","operation":"probe"}"#,
        r#"{"fault":"webhook_late","operation":"probe"}"#,
        r#"{"fault":"action_required","operation":"refund"}"#,
        r#"{"fault":"refund_fails_later","operation":"charge"}"#,
        "{}",
        "[]",
    ] {
        assert!(rule(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_count_runs_out_and_rate_zero_never_hits() {
    let faults = Faults::default();
    faults.set(rule(r#"{"fault":"reset","operation":"charge","count":2}"#).unwrap());
    faults.set(rule(r#"{"fault":"slow","rate":0}"#).unwrap());
    let hits = |kind| pick(&faults, kind).is_some();
    assert!(!hits(Kind::Refund));
    assert!(hits(Kind::Charge));
    assert!(hits(Kind::Charge));
    assert!(!hits(Kind::Charge));
    assert_eq!(faults.list().len(), 1);
}

#[test]
fn the_same_knob_is_turned_not_doubled() {
    let faults = Faults::default();
    faults.set(rule(r#"{"fault":"slow","delayMs":1}"#).unwrap());
    faults.set(rule(r#"{"fault":"slow","delayMs":2}"#).unwrap());
    assert_eq!(faults.list().len(), 1);
    assert_eq!(faults.list()[0].delay_ms, Some(2));
}

#[test]
fn all_declines_only_what_moves_money() {
    let faults = Faults::default();
    faults.set(rule(r#"{"fault":"decline"}"#).unwrap());
    for kind in [Kind::Create, Kind::Void, Kind::Refund, Kind::Probe] {
        assert!(pick(&faults, kind).is_none(), "{kind:?}");
    }
    assert!(pick(&faults, Kind::Charge).is_some());
}

#[test]
fn what_is_decided_later_and_what_is_cut_off_can_hit_the_same_call() {
    let faults = Faults::default();
    faults.set(rule(r#"{"fault":"async","operation":"charge","delayMs":30000}"#).unwrap());
    faults.set(rule(r#"{"fault":"timeout_after"}"#).unwrap());
    let hit = |stage| faults.pick(stage, Kind::Charge, |_| true).map(|hit| hit.fault);
    assert_eq!(hit(Stage::Connection), Some(Fault::TimeoutAfter));
    assert_eq!(hit(Stage::Outcome), Some(Fault::Async));
    assert_eq!(hit(Stage::Webhook), None);
}
