//! Refund and its probe.

use super::bench::{Bench, eur, key, refund_of};
use workflows::gateways::{
    ChargeOutcome, ChargeRequest, Reference, RefundOutcome, RefundProbeOutcome, RefundRequest, Refunded,
};

/// A charge that was captured.
async fn paid(bench: &Bench) -> (ChargeRequest, Reference) {
    let (key, charge) = (key("pay"), bench.charge());
    let reference = bench.prepared(&key, &charge).await;
    match bench.gateway.charge(&key, &charge, reference.as_ref()).await {
        ChargeOutcome::Captured(captured) => (charge, captured.reference),
        other => panic!("{other:?}"),
    }
}

/// Accepted, whether the gateway says at once that it is done or not.
fn accepted(outcome: RefundOutcome) -> Refunded {
    match outcome {
        RefundOutcome::Succeeded(refunded) | RefundOutcome::Pending(refunded) => refunded,
        other => panic!("{other:?}"),
    }
}

fn found(outcome: RefundProbeOutcome) -> Refunded {
    match outcome {
        RefundProbeOutcome::Succeeded(refunded) | RefundProbeOutcome::Pending(refunded) => refunded,
        other => panic!("{other:?}"),
    }
}

async fn probed(bench: &Bench, refund: &RefundRequest, reference: Option<&Reference>) -> Option<RefundProbeOutcome> {
    let outcome = bench.gateway.probe_refund(refund, reference).await;
    if bench.gateway.capabilities().probes_refunds {
        return Some(outcome);
    }
    assert_eq!(outcome, RefundProbeOutcome::CannotAsk);
    None
}

pub(super) async fn parts_are_refunded_once_each(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    for (name, amount) in [("one", 1500), ("two", 1500), ("three", 1500)] {
        let refund = refund_of(&charge, &payment, amount);
        let first = accepted(bench.gateway.refund(&key(name), &refund).await);
        assert_eq!(first.amount, eur(amount));
        assert_eq!(accepted(bench.gateway.refund(&key(name), &refund).await), first);
        for reference in [None, Some(&first.reference)] {
            if let Some(outcome) = probed(&bench, &refund, reference).await {
                assert_eq!(found(outcome), first);
            }
        }
    }
    assert_eq!(bench.refunds().await, [1500, 1500, 1500]);
}

pub(super) async fn more_than_was_taken_is_not_given_back(bench: Bench) {
    let answers = bench.gateway.capabilities().answers_refunds;
    let (charge, payment) = paid(&bench).await;
    accepted(bench.gateway.refund(&key("part"), &refund_of(&charge, &payment, 4000)).await);
    assert_eq!(bench.refunded().await, 4000);
    for (name, amount) in [("more", 501), ("rest", 500), ("nothing", 1)] {
        let outcome = bench.gateway.refund(&key(name), &refund_of(&charge, &payment, amount)).await;
        let is_accepted = matches!(outcome, RefundOutcome::Succeeded(_) | RefundOutcome::Pending(_));
        assert_eq!(is_accepted, name == "rest" || !answers, "{outcome:?}");
        assert!(is_accepted || outcome == RefundOutcome::NothingLeft, "{outcome:?}");
    }
    assert_eq!(bench.refunded().await, 4500);
}

pub(super) async fn a_refund_whose_answer_is_lost_is_found(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    for fault in ["timeout_after", "malformed"] {
        let refund = refund_of(&charge, &payment, 1000);
        bench.fault(fault, "refund").await;
        let outcome = bench.gateway.refund(&key(fault), &refund).await;
        assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{outcome:?}");
        bench.heal().await;
        let probed = probed(&bench, &refund, None).await.map(found);
        let again = accepted(bench.gateway.refund(&key(fault), &refund).await);
        assert!(probed.is_none_or(|probed| probed == again));
    }
    assert_eq!(bench.refunds().await, [1000, 1000]);
}

pub(super) async fn a_refund_that_never_arrived_may_be_sent_again(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    for fault in ["timeout_before", "reset", "rate_limited"] {
        let refund = refund_of(&charge, &payment, 1000);
        bench.fault(fault, "refund").await;
        let outcome = bench.gateway.refund(&key(fault), &refund).await;
        let is_certain = matches!(outcome, RefundOutcome::NotExecuted(_));
        assert_eq!(is_certain, fault == "rate_limited", "{outcome:?}");
        assert!(is_certain || matches!(outcome, RefundOutcome::Unknown(_)), "{outcome:?}");
        bench.heal().await;
        if let Some(outcome) = probed(&bench, &refund, None).await {
            assert_eq!(outcome, RefundProbeOutcome::NotFound);
        }
        accepted(bench.gateway.refund(&key(fault), &refund).await);
    }
    assert_eq!(bench.refunds().await, [1000, 1000, 1000]);
}

pub(super) async fn a_refund_after_a_server_error_is_unknown(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    let refund = refund_of(&charge, &payment, 1000);
    bench.fault("error_500", "refund").await;
    let outcome = bench.gateway.refund(&key("refund"), &refund).await;
    assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{outcome:?}");
    bench.heal().await;
    if let Some(outcome) = probed(&bench, &refund, None).await {
        assert_eq!(outcome, RefundProbeOutcome::NotFound);
    }
    assert_eq!(bench.refunds().await, [0_i64; 0]);
}

pub(super) async fn a_refund_that_is_declined_has_failed(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    bench.fault("decline", "refund").await;
    let outcome = bench.gateway.refund(&key("refund"), &refund_of(&charge, &payment, 1000)).await;
    let is_told_later = matches!(outcome, RefundOutcome::Pending(_)) && !bench.gateway.capabilities().answers_refunds;
    assert!(is_told_later || matches!(outcome, RefundOutcome::Failed(_)), "{outcome:?}");
}

pub(super) async fn each_generation_is_a_refund_of_its_own(bench: Bench) {
    let (charge, payment) = paid(&bench).await;
    let first = refund_of(&charge, &payment, 1000);
    let second = RefundRequest { generation: 2, ..first.clone() };
    let one = accepted(bench.gateway.refund(&key("refund:1"), &first).await);
    if let Some(outcome) = probed(&bench, &second, None).await {
        assert_eq!(outcome, RefundProbeOutcome::NotFound);
    }
    let two = accepted(bench.gateway.refund(&key("refund:2"), &second).await);
    assert_ne!(one.reference, two.reference);
    for (refund, refunded) in [(&first, one), (&second, two)] {
        if let Some(outcome) = probed(&bench, refund, None).await {
            assert_eq!(found(outcome), refunded);
        }
    }
}
