//! Prepare, charge, probe, void. Where a protocol cannot do something, it must say so.

use super::bench::{Bench, eur, key};
use futures::future::join_all;
use std::time::Duration;
use workflows::gateways::{
    AmountError, Captured, ChargeOutcome, DeclineCategory, DoubtReason, NotExecutedReason, PrepareOutcome,
    ProbeOutcome, Reference, RefusalClass, VoidOutcome, build,
};

fn captured_amount(outcome: &ChargeOutcome) -> Option<&Captured> {
    match outcome {
        ChargeOutcome::Captured(captured) if captured.amount == eur(4500) => Some(captured),
        _ => None,
    }
}

fn doubt(outcome: &ChargeOutcome) -> DoubtReason {
    match outcome {
        ChargeOutcome::Unknown(doubt) => doubt.reason,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_charge_is_taken_once_however_often_it_is_sent(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    assert_eq!(bench.prepared(&key, &charge).await, reference);
    assert_eq!(bench.captured().await, 0);
    let mut references = Vec::new();
    for _ in 0..3 {
        let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        references.push(captured_amount(&outcome).unwrap_or_else(|| panic!("{outcome:?}")).reference.clone());
    }
    assert!(references.iter().all(|found| *found == references[0]));
    assert_eq!((bench.captured().await, bench.charge_count().await), (4500, 1));
    if bench.gateway.capabilities().probes_charges {
        let probed = bench.gateway.probe(&charge, Some(&references[0])).await;
        assert!(matches!(&probed, ProbeOutcome::Captured(it) if it.amount == eur(4500)), "{probed:?}");
    }
}

pub(super) async fn many_at_once_with_one_key_take_it_once(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    let calls = (0..20).map(|_| bench.gateway.charge(&key, &charge, reference.as_ref()));
    for outcome in join_all(calls).await {
        let is_known = captured_amount(&outcome).is_some();
        assert!(is_known || doubt(&outcome) == DoubtReason::InFlight, "{outcome:?}");
    }
    assert_eq!((bench.captured().await, bench.charge_count().await), (4500, 1));
}

pub(super) async fn a_decline_takes_nothing(bench: Bench) {
    for (fault, code) in [("decline", None), ("insufficient_funds", Some("insufficient_funds"))] {
        bench.fault(fault, "charge").await;
        let (key, charge) = (key(fault), bench.charge());
        let reference = bench.prepared(&key, &charge).await;
        let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        let ChargeOutcome::Declined(decline) = &outcome else { panic!("{outcome:?}") };
        assert_eq!(decline.category, DeclineCategory::Final);
        assert!(code.is_none_or(|code| decline.code == code), "{decline:?}");
        bench.heal().await;
        // The same key again: the same answer, though the issuer has changed its mind.
        let again = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        assert!(matches!(again, ChargeOutcome::Declined(_)), "{again:?}");
        if bench.gateway.capabilities().probes_charges {
            let probed = bench.gateway.probe(&charge, reference.as_ref()).await;
            assert!(matches!(&probed, ProbeOutcome::Declined(it) if it.code == decline.code), "{probed:?}");
        }
    }
    assert_eq!(bench.captured().await, 0);
}

pub(super) async fn a_challenge_is_passed_on(bench: Bench) {
    let key = key("pay");
    let mut charge = bench.charge();
    charge.payment_method = bench.challenged_method.into();
    let reference = bench.prepared(&key, &charge).await;
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    let ChargeOutcome::ActionRequired { next_action, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(next_action.is_object());
    assert_eq!(bench.captured().await, 0);
    if bench.gateway.capabilities().probes_charges {
        let probed = bench.gateway.probe(&charge, reference.as_ref()).await;
        assert!(matches!(probed, ProbeOutcome::ActionRequired { .. }), "{probed:?}");
    }
}

pub(super) async fn an_answer_that_is_lost_is_found_by_a_probe(bench: Bench) {
    for (fault, reason) in [("timeout_after", DoubtReason::Timeout), ("malformed", DoubtReason::Unreadable)] {
        bench.fault(fault, "charge").await;
        let (key, charge) = (key(fault), bench.charge());
        let reference = bench.prepared(&key, &charge).await;
        let before = bench.captured().await;
        let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        assert_eq!(doubt(&outcome), reason);
        bench.heal().await;
        if bench.gateway.capabilities().probes_charges {
            let probed = bench.gateway.probe(&charge, reference.as_ref()).await;
            assert!(matches!(&probed, ProbeOutcome::Captured(it) if it.amount == eur(4500)), "{probed:?}");
        }
        let again = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        assert!(captured_amount(&again).is_some(), "{again:?}");
        assert_eq!(bench.captured().await - before, 4500);
    }
}

pub(super) async fn a_charge_that_never_arrived_is_dead_after_its_void(bench: Bench) {
    for (fault, reason) in [("timeout_before", DoubtReason::Timeout), ("reset", DoubtReason::ConnectionLost)] {
        bench.fault(fault, "charge").await;
        let (key, charge) = (key(fault), bench.charge());
        let reference = bench.prepared(&key, &charge).await;
        let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
        assert_eq!(doubt(&outcome), reason);
        bench.heal().await;
        dead_after_void(&bench, &key, &charge, reference.as_ref()).await;
    }
}

pub(super) async fn a_server_error_is_not_a_decline(bench: Bench) {
    bench.fault("error_500", "charge").await;
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    assert_eq!(doubt(&outcome), DoubtReason::ServerError);
    bench.heal().await;
    dead_after_void(&bench, &key, &charge, reference.as_ref()).await;
}

/// Open when probed, voided, and refused when it arrives late.
async fn dead_after_void(
    bench: &Bench,
    key: &workflows::gateways::IdempotencyKey,
    charge: &workflows::gateways::ChargeRequest,
    reference: Option<&Reference>,
) {
    let capabilities = bench.gateway.capabilities();
    if capabilities.probes_charges {
        let probed = bench.gateway.probe(charge, reference).await;
        assert!(matches!(probed, ProbeOutcome::NotCaptured { .. }), "{probed:?}");
    }
    for _ in 0..2 {
        let voided = bench.gateway.void(key, charge, reference).await;
        // Without a tombstone it may be asked for, and is never said to be done.
        assert_eq!(matches!(voided, VoidOutcome::Voided { .. }), capabilities.voids, "{voided:?}");
    }
    if capabilities.voids {
        let late = bench.gateway.charge(key, charge, reference).await;
        assert!(captured_amount(&late).is_none(), "{late:?}");
        assert_eq!(bench.captured().await, 0);
        if capabilities.probes_charges {
            let probed = bench.gateway.probe(charge, reference).await;
            assert!(matches!(probed, ProbeOutcome::Voided { .. }), "{probed:?}");
        }
    }
}

pub(super) async fn a_slow_answer_is_an_answer(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    // A second, where the gateway is given two.
    bench.fault("slow", "charge").await;
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    assert!(captured_amount(&outcome).is_some(), "{outcome:?}");
}

pub(super) async fn a_call_turned_away_may_be_made_again(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    bench.fault("rate_limited", "charge").await;
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    let ChargeOutcome::NotExecuted(why) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(why.reason, NotExecutedReason::RateLimited);
    // where the gateway says when
    assert!(why.retry_after.is_none_or(|after| after == Duration::from_secs(1)), "{why:?}");
    assert_eq!(bench.captured().await, 0);
    bench.heal().await;
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    assert!(captured_amount(&outcome).is_some(), "{outcome:?}");
}

pub(super) async fn a_void_that_is_too_late_says_so(bench: Bench) {
    if !bench.gateway.capabilities().voids {
        return;
    }
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    let outcome = bench.gateway.void(&key, &charge, reference.as_ref()).await;
    assert!(matches!(&outcome, VoidOutcome::AlreadyCaptured(it) if it.amount == eur(4500)), "{outcome:?}");
    assert_eq!(bench.captured().await, 4500);
}

pub(super) async fn a_void_that_is_lost_may_be_sent_again(bench: Bench) {
    if !bench.gateway.capabilities().voids {
        return;
    }
    for fault in ["timeout_after", "reset", "malformed"] {
        let (key, charge) = (key(fault), bench.charge());
        let reference = bench.prepared(&key, &charge).await;
        bench.fault(fault, "void").await;
        let outcome = bench.gateway.void(&key, &charge, reference.as_ref()).await;
        assert!(matches!(outcome, VoidOutcome::Unknown(_)), "{outcome:?}");
        bench.heal().await;
        let outcome = bench.gateway.void(&key, &charge, reference.as_ref()).await;
        assert!(matches!(outcome, VoidOutcome::Voided { .. }), "{outcome:?}");
    }
}

pub(super) async fn a_probe_that_fails_says_nothing(bench: Bench) {
    if !bench.gateway.capabilities().probes_charges {
        return;
    }
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    for fault in ["error_500", "timeout_before", "reset", "malformed", "rate_limited"] {
        bench.fault(fault, "probe").await;
        let outcome = bench.gateway.probe(&charge, reference.as_ref()).await;
        assert!(matches!(outcome, ProbeOutcome::Unknown(_)), "{fault}: {outcome:?}");
        bench.heal().await;
    }
}

pub(super) async fn what_the_gateway_does_not_know_is_not_found(bench: Bench) {
    let stranger = Reference::new("pi_NobodyKnowsThis").unwrap();
    let capabilities = bench.gateway.capabilities();
    let probed = bench.gateway.probe(&bench.charge(), Some(&stranger)).await;
    let expected = if capabilities.probes_charges { ProbeOutcome::NotFound } else { ProbeOutcome::CannotAsk };
    assert_eq!(probed, expected);
    if capabilities.voids && capabilities.prepares {
        assert_eq!(bench.gateway.void(&key("pay"), &bench.charge(), Some(&stranger)).await, VoidOutcome::NotFound);
    }
}

pub(super) async fn a_key_stands_for_one_content(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    let mut other = charge.clone();
    other.amount = eur(9900);
    if bench.gateway.capabilities().prepares {
        let outcome = bench.gateway.prepare(&key, &other).await;
        assert!(matches!(&outcome, PrepareOutcome::Unknown(it) if it.reason == DoubtReason::KeyReused), "{outcome:?}");
    }
    let outcome = bench.gateway.charge(&key, &charge, reference.as_ref()).await;
    assert!(captured_amount(&outcome).is_some(), "{outcome:?}");
    assert_eq!((bench.captured().await, bench.charge_count().await), (4500, 1));
}

pub(super) async fn a_wrong_credential_is_for_a_person(bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    let mut settings = bench.settings.clone();
    settings.api_key = "sk_test_wrong".into();
    let outcome = build(&settings).unwrap().charge(&key, &charge, reference.as_ref()).await;
    let ChargeOutcome::Refused(refusal) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.class, RefusalClass::Credentials);
    assert!(!format!("{refusal:?}").contains("sk_test"));
    assert_eq!(bench.captured().await, 0);
}

pub(super) async fn a_gateway_that_is_away_has_done_nothing(mut bench: Bench) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    bench.sandbox.take().unwrap().stop().await.unwrap();
    let gateway = build(&bench.settings).unwrap();
    let outcome = gateway.charge(&key, &charge, reference.as_ref()).await;
    let ChargeOutcome::NotExecuted(why) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(why.reason, NotExecutedReason::NoConnection);
    if gateway.capabilities().probes_charges {
        let probed = gateway.probe(&charge, reference.as_ref()).await;
        assert!(matches!(&probed, ProbeOutcome::Unknown(it) if it.reason == DoubtReason::NoConnection), "{probed:?}");
    }
}

pub(super) async fn an_amount_below_the_minimum_is_not_sent(bench: Bench) {
    let mut small = bench.charge();
    small.amount = eur(0);
    assert_eq!(bench.gateway.check_amount(small.amount), Err(AmountError::NotPositive(eur(0))));
    let outcome = bench.gateway.prepare(&key("pay"), &small).await;
    let is_refused = matches!(&outcome, PrepareOutcome::Refused(it) if it.class == RefusalClass::Amount);
    assert!(is_refused || outcome == PrepareOutcome::NothingToPrepare, "{outcome:?}");
    let outcome = bench.gateway.charge(&key("pay"), &small, None).await;
    assert!(matches!(&outcome, ChargeOutcome::Refused(it) if it.class == RefusalClass::Amount), "{outcome:?}");
    assert_eq!(bench.charge_count().await, 0);
}

pub(super) async fn our_own_name_says_its_order_and_its_key(bench: Bench) {
    let order = bench.charge().order_id;
    let names = ["pay", "pay:2"].map(|text| bench.gateway.own_reference(order, &key(text)));
    let [Some(first), Some(second)] = names else {
        assert!(bench.gateway.capabilities().prepares, "no name is known before the call");
        return;
    };
    assert_ne!(first, second);
    assert_eq!(first.named(), Some(order));
}
