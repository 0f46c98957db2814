//! What follows from what gateways answer, attempt by attempt.

use crate::{
    breakers::{Operation, parked_reason},
    gateways::{
        Captured, ChargeOutcome, Decline, DeclineCategory, PrepareOutcome, ProbeOutcome, VoidOutcome,
        fake::{PREPARES, TELLS},
    },
    payments::{
        AMOUNT_MISMATCH, HOLD_EXPIRED,
        bench::{Bench, no_answer, no_connection},
        notes::tests::{eur, reference},
    },
};
use chrono::TimeDelta;
use orchestrator::action::{Halt, Probed};
use std::{sync::Arc, time::Duration};

const AT_ONCE: Duration = Duration::ZERO;

/// Another gateway could do better.
fn decline() -> Decline {
    let (code, message) = ("processing_error".to_owned(), "No.".to_owned());
    Decline { reference: None, code, category: DeclineCategory::RetryElsewhere, message }
}

/// The primary was asked once and has not answered; the journal says no more.
async fn in_doubt_at_adyen() -> Bench {
    let bench = Bench::with(&[("primary", TELLS), ("backup", PREPARES)]);
    bench.fakes[0].charges.answers(ChargeOutcome::Unknown(no_answer()));
    assert!(matches!(bench.runs().await, Err(Halt::InDoubt(_))));
    assert_eq!(bench.probes().await, Ok(Probed::NotExecuted), "the same call again");
    assert_eq!(bench.notes(), ["primary intended", "primary doubted"]);
    bench
}

/// The worker that had the primary's charge prepared died before anybody knows what it did then.
async fn left_open_at_stripe() -> Bench {
    let bench = Bench::with(&[("primary", PREPARES), ("backup", PREPARES)]);
    bench.fakes[0].prepares.answers(PrepareOutcome::Prepared(reference("pi_1")));
    bench.fakes[0].charges.answers(ChargeOutcome::NotExecuted(no_connection()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.fakes[1].prepares.answers(PrepareOutcome::NotExecuted(no_connection()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.intends().await.unwrap();
    assert_eq!(bench.notes().last().unwrap(), "primary intended", "by the same key");
    bench.fakes.iter().for_each(|fake| drop(fake.asked()));
    bench
}

#[tokio::test]
async fn a_charge_in_doubt_is_left_behind_when_its_gateway_refuses_to_be_asked_again() {
    let mut bench = in_doubt_at_adyen().await;
    for left in [9, 8] {
        bench.attempts_left = left;
        bench.fakes[0].charges.answers(ChargeOutcome::NotExecuted(no_connection()));
        assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })), "{left}");
    }
    assert_eq!(bench.notes().last().unwrap(), "primary leftBehind", "seven attempts are left for the backup");
    assert_eq!(bench.started(), ["settle-doubt"]);
}

#[tokio::test]
async fn a_charge_in_doubt_is_left_behind_when_its_gateway_s_breaker_opens() {
    let bench = in_doubt_at_adyen().await;
    bench.trip(0, Operation::Charge).await;
    assert!(matches!(bench.runs().await, Err(Halt::Parked { after: AT_ONCE, .. })), "no attempt is used up");
    assert_eq!(bench.notes().last().unwrap(), "primary leftBehind");

    let bench = in_doubt_at_adyen().await;
    bench.trip(0, Operation::Charge).await;
    assert_eq!(bench.probes().await, Ok(Probed::NotExecuted));
    assert_eq!(bench.notes().last().unwrap(), "primary leftBehind");
    assert_eq!(bench.started(), ["settle-doubt"]);
}

#[tokio::test]
async fn a_charge_in_doubt_waits_for_its_gateway_when_there_is_no_other() {
    let bench = in_doubt_at_adyen().await;
    bench.trip(0, Operation::Charge).await;
    bench.trip(1, Operation::Charge).await;
    assert!(matches!(bench.runs().await, Err(Halt::Parked { after, .. }) if !after.is_zero()));
    assert_eq!(bench.started(), Vec::<String>::new());
}

#[tokio::test]
async fn a_charge_that_a_crash_left_open_is_ended_when_its_gateway_takes_no_more_calls() {
    let bench = left_open_at_stripe().await;
    bench.trip(0, Operation::Charge).await;
    bench.fakes[0].probes.answers(ProbeOutcome::NotCaptured { reference: reference("pi_1") });
    bench.fakes[0].voids.answers(VoidOutcome::Voided { reference: reference("pi_1") });
    assert!(matches!(bench.runs().await, Err(Halt::Parked { after: AT_ONCE, .. })));
    assert_eq!(bench.fakes[0].asked(), ["probe", "void"]);
    assert_eq!(bench.notes().last().unwrap(), "primary voided");
    assert_eq!(bench.started(), Vec::<String>::new());
}

#[tokio::test]
async fn a_charge_that_can_neither_be_made_nor_ended_is_left_behind() {
    let bench = left_open_at_stripe().await;
    bench.trip(0, Operation::Charge).await;
    bench.trip(0, Operation::Void).await;
    bench.fakes[0].probes.answers(ProbeOutcome::NotCaptured { reference: reference("pi_1") });
    assert!(matches!(bench.runs().await, Err(Halt::Parked { after: AT_ONCE, .. })));
    assert_eq!(bench.fakes[0].asked(), ["probe"]);
    assert_eq!(bench.notes().last().unwrap(), "primary leftBehind");
    assert_eq!(bench.started(), ["settle-doubt"]);
}

#[tokio::test]
async fn a_call_that_the_retry_budget_holds_back_waits_when_the_other_gateway_is_closed() {
    let bench = Bench::with(&[("primary", TELLS), ("backup", TELLS)]);
    bench.trip(1, Operation::Charge).await;
    bench.fakes[0].charges.answers(ChargeOutcome::NotExecuted(no_connection()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.use_up_retries(0).await;
    let halt = bench.runs().await.unwrap_err();
    assert!(matches!(halt, Halt::Parked { after, .. } if !after.is_zero()), "no turn follows at once: {halt:?}");
    assert_eq!(bench.fakes[0].asked().len(), 1);
}

#[tokio::test]
async fn a_charge_that_can_be_ended_is_not_left_behind() {
    let mut bench = left_open_at_stripe().await;
    for left in [8, 7] {
        bench.attempts_left = left;
        bench.fakes[0].probes.answers(ProbeOutcome::NotCaptured { reference: reference("pi_1") });
        bench.fakes[0].voids.answers(VoidOutcome::Voided { reference: reference("pi_1") });
        assert_eq!(bench.probes().await, Ok(Probed::NotExecuted));
    }
    assert_eq!(bench.fakes[0].asked(), ["probe", "probe", "void"], "not before it is time");
    assert_eq!(bench.notes().last().unwrap(), "primary voided");
    assert_eq!(bench.started(), Vec::<String>::new());
}

#[tokio::test]
async fn a_charge_that_was_never_sent_is_not_ended_anywhere() {
    let mut bench = Bench::with(&[("primary", TELLS), ("backup", TELLS)]);
    bench.fakes[0].charges.answers(ChargeOutcome::NotExecuted(no_connection()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.now = bench.input.expires_at - TimeDelta::seconds(5);
    let halt = bench.runs().await.unwrap_err();
    assert!(matches!(&halt, Halt::Permanent(failure) if failure.code == HOLD_EXPIRED), "{halt:?}");
    assert_eq!(bench.notes()[2..], ["backup intended", "backup voided"]);
    assert_eq!(bench.fakes[1].asked(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_worker_that_dies_after_its_note_leaves_no_doubt() {
    let mut bench = Bench::with(&[("primary", TELLS), ("backup", TELLS)]);
    bench.fakes[0].charges.answers(ChargeOutcome::Declined(decline()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.attempts_left = 1;
    assert_eq!(bench.probes().await, Ok(Probed::NotExecuted));
    assert_eq!(bench.started(), Vec::<String>::new(), "declined is declined");

    let mut bench = Bench::with(&[("primary", TELLS), ("backup", TELLS)]);
    let too_much = Captured { reference: reference("psp_1"), amount: eur(101) };
    bench.fakes[0].charges.answers(ChargeOutcome::Captured(too_much));
    assert!(matches!(bench.runs().await, Err(Halt::Permanent(_))));
    bench.attempts_left = 1;
    let found = bench.probes().await.unwrap();
    assert!(matches!(&found, Probed::Refused(failure) if failure.code == AMOUNT_MISMATCH), "{found:?}");
    assert_eq!(bench.started(), Vec::<String>::new(), "it is for a person");
}

#[tokio::test]
async fn a_void_that_the_retry_budget_holds_back_is_no_reason_to_leave_a_charge_behind() {
    let mut bench = Bench::with(&[("primary", PREPARES), ("backup", PREPARES)]);
    let primary = Arc::clone(&bench.fakes[0]);
    primary.prepares.answers(PrepareOutcome::Prepared(reference("pi_1")));
    primary.charges.answers(ChargeOutcome::Unknown(no_answer()));
    assert!(matches!(bench.runs().await, Err(Halt::InDoubt(_))));
    bench.attempts_left = 9;
    primary.probes.answers(ProbeOutcome::NotCaptured { reference: reference("pi_1") });
    primary.voids.answers(VoidOutcome::Unknown(no_answer()));
    assert!(matches!(bench.probes().await, Err(Halt::InDoubt(_))));
    bench.use_up_retries(0).await;
    primary.probes.answers(ProbeOutcome::NotCaptured { reference: reference("pi_1") });
    let halt = bench.probes().await.unwrap_err();
    assert!(matches!(&halt, Halt::Parked { reason, .. } if reason.contains("retry budget")), "{halt:?}");
    assert_eq!(bench.started(), Vec::<String>::new(), "it is well, and there is time");
}

#[tokio::test]
async fn nobody_waits_for_a_gateway_that_has_declined() {
    let bench = Bench::with(&[("primary", TELLS), ("backup", TELLS)]);
    bench.fakes[0].charges.answers(ChargeOutcome::Declined(decline()));
    assert!(matches!(bench.runs().await, Err(Halt::Transient { .. })));
    bench.trip(0, Operation::Charge).await;
    bench.asks_for_patience(1, Duration::from_secs(60)).await;
    let halt = bench.runs().await.unwrap_err();
    let Halt::Parked { after, reason } = &halt else { panic!("{halt:?}") };
    assert_eq!(*after, Duration::from_secs(60), "not until the primary's breaker lets calls through");
    assert_eq!(*reason, parked_reason("backup", Operation::Charge));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_parked_for_longer_than_the_seats_are_kept() {
    let mut bench = in_doubt_at_adyen().await;
    bench.trip(1, Operation::Charge).await;
    bench.asks_for_patience(0, Duration::from_secs(300)).await;
    let left = Duration::from_secs(20);
    bench.now = bench.input.expires_at - left;
    assert!(matches!(bench.runs().await, Err(Halt::Parked { after, .. }) if after == left));
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_not_confirmed_when_preparing_it_took_the_time_for_that() {
    for (takes, asked) in [(2, &["prepare", "charge"][..]), (3, &["prepare"])] {
        let mut bench = Bench::with(&[("primary", PREPARES)]);
        bench.now = bench.input.expires_at - TimeDelta::seconds(10);
        let prepared = PrepareOutcome::Prepared(reference("pi_1"));
        bench.fakes[0].prepares.takes(Duration::from_secs(takes), prepared);
        bench.fakes[0].charges.answers(ChargeOutcome::Voided { reference: reference("pi_1") });
        assert!(matches!(bench.runs().await, Err(Halt::Permanent(_))));
        assert_eq!(bench.fakes[0].asked(), asked, "{takes} seconds of the ten are over");
        assert_eq!(bench.notes().last().unwrap(), "primary voided");
    }
}
