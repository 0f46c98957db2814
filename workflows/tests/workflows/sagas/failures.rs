//! Rows of FAILURES.md that are about orders and their money.

use super::{
    faults::{Fault, Place},
    front::Front,
    gateways::GATEWAY_TIMEOUT_MS,
    shop::{Death, PRICE, Shop, VISA, anybody},
};
use orchestrator::action::Lane;
use serde_json::json;
use std::time::Duration;
use workflows::{
    gateways::{Captured, IdempotencyKey},
    money::Money,
    orders::{CancelOrder, Cancelled, OrderStatus, Placed, cancel},
    payments::payment_signal,
    seats::SeatStatus,
    settings::BookingSettings,
};

fn at(step: &str, lane: Lane) -> Place {
    Place { definition: "book-tickets".to_owned(), step: step.to_owned(), lane }
}

fn pay() -> Place {
    at("pay", Lane::Forward)
}

/// Row 1: a crash between the call and its record.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_the_charge_charges_once() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let zombie = shop.run_and_die(placed.saga_id, &pay(), Death::BeforeRecord).await;
    assert_eq!(shop.kept(placed.order_id).await, PRICE, "the money was taken before the worker died");
    assert_eq!(shop.see(placed.order_id).await.payments[0].status, "pending");
    let view = shop.run_until(placed.saga_id, "completed").await;
    let found = |recorded: &orchestrator::journal::Recorded| matches!(&recorded.entry, orchestrator::journal::Entry::Succeeded { step, probed: true, .. } if step == "pay");
    assert!(view.journal.iter().any(found), "{:#?}", view.journal);
    shop.wake(zombie).await;
    assert_eq!(shop.charges(placed.order_id).await.len(), 1);
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

/// Row 2: a timeout after charging.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_charge_is_no_failure() {
    let shop = Shop::open().await;
    for fault in ["timeout_after", "malformed"] {
        shop.gateway_fault(json!({ "fault": fault, "operation": "charge", "count": 1 })).await;
        let placed = shop.order(VISA).await;
        let view = shop.run_until(placed.saga_id, "completed").await;
        let doubted = view.journal.iter().filter(|recorded| recorded.entry.kind() == "inDoubt").count();
        assert_eq!(doubted, 1, "{fault}");
        assert_eq!(shop.charges(placed.order_id).await.len(), 1);
        shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
        shop.heal_gateway().await;
    }
    shop.assert_well().await;
}

/// Row 3: a timeout before charging.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_never_arrives_is_made_again_or_ended() {
    let shop = Shop::open().await;
    for fault in ["timeout_before", "reset"] {
        shop.gateway_fault(json!({ "fault": fault, "operation": "charge", "count": 1 })).await;
        let placed = shop.order(VISA).await;
        shop.run_until(placed.saga_id, "completed").await;
        let charges = shop.charges(placed.order_id).await;
        assert_eq!(charges.iter().filter(|charge| charge["status"] == json!("voided")).count(), 1, "{fault}");
        assert_eq!(charges.len(), 2, "{fault}: the first is ended, so that a late arrival is refused");
        shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
        shop.heal_gateway().await;
    }
    shop.gateway_fault(json!({ "fault": "reset", "operation": "charge" })).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "compensated").await;
    let charges = shop.charges(placed.order_id).await;
    assert!(charges.iter().all(|charge| charge["status"] == json!("voided")), "a late arrival is refused");
    let seen = shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    assert!(seen.payments.iter().all(|payment| payment.status == "voided"), "{seen:#?}");
    shop.assert_well().await;
}

/// Row 4: a 5xx that sticks to its key.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_sticks_is_doubt_until_the_charge_is_ended() {
    let shop = Shop::open().await;
    shop.gateway_fault(json!({ "fault": "error_500", "operation": "charge" })).await;
    let placed = shop.order(VISA).await;
    let view = shop.run_until(placed.saga_id, "compensated").await;
    assert!(view.journal.iter().any(|recorded| recorded.entry.kind() == "inDoubt"));
    assert_eq!(shop.charges(placed.order_id).await[0]["status"], json!("voided"));
    shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    shop.heal_gateway().await;
    // one that does not reach the call that moves money does no harm
    shop.gateway_fault(json!({ "fault": "error_500", "operation": "probe", "count": 2 })).await;
    shop.gateway_fault(json!({ "fault": "timeout_after", "operation": "charge", "count": 1 })).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

/// Row 10: the hold ends between the gateway's answer and the commit, and a rival has the seat.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_lost_while_paying_is_paid_back() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &pay(), Death::BeforeRecord).await;
    shop.end_hold(placed.order_id).await;
    let seats = shop.see(placed.order_id).await.seat_ids;
    let rival = shop.hold_seats("bob", &seats).await;
    shop.run_until(placed.saga_id, "compensated").await;
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.reason.as_deref()), (OrderStatus::Rejected, Some("hold-lost")));
    assert_eq!((seen.payments[0].status.as_str(), seen.refunds[0].state.as_str()), ("refunded", "succeeded"));
    assert_eq!(shop.kept(placed.order_id).await, 0);
    let Ok(Placed::New(rivals)) = shop.place(&rival, VISA, "rival").await else { panic!("the seat is the rival's") };
    shop.run_until(rivals.saga_id, "completed").await;
    shop.assert_ended(rivals.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

/// Row 10: it may end before the gateway's answer, so the call is not made.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_charged_when_the_hold_may_end_before_the_answer() {
    let settings = BookingSettings { hold_ttl_secs: 1, order_hold_secs: 1, ..BookingSettings::default() };
    let shop = Shop::with(settings, |gateway| gateway).await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &pay(), Death::Before).await;
    let too_late = "select expires_at < now() + make_interval(secs => $2) from booking.holds where order_id = $1";
    let too_late = || {
        let call_takes = f64::from(GATEWAY_TIMEOUT_MS) / 1_000.0;
        sqlx::query_scalar::<_, bool>(too_late).bind(placed.order_id.0).bind(call_takes).fetch_one(&shop.pool)
    };
    while !too_late().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let view = shop.run_until(placed.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "hold-expired");
    assert_eq!(shop.charges(placed.order_id).await, Vec::<serde_json::Value>::new());
    shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    shop.assert_well().await;
}

/// Row 32: the buyer cancels while the outcome of the charge is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_during_the_payment_gives_the_money_back() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let zombie = shop.run_and_die(placed.saga_id, &pay(), Death::BeforeRecord).await;
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    let first = cancel(&shop.engine, &anybody(), request.clone()).await.unwrap().cancellation();
    assert_eq!((first.refund_id, first.saga_id), (None, placed.saga_id));
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Cancelling);
    shop.run_until(placed.saga_id, "compensated").await;
    shop.wake(zombie).await;
    assert_eq!(cancel(&shop.engine, &anybody(), request).await.unwrap(), Cancelled::Replayed(first));
    let seen = shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    assert_eq!(seen.payments[0].status, "refunded");
    shop.assert_well().await;
}

/// A cancellation that needs a person stays a cancellation.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_gets_stuck_ends_as_one() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &pay(), Death::BeforeRecord).await;
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    let first = cancel(&shop.engine, &anybody(), request.clone()).await.unwrap().cancellation();
    shop.knobs.turn(&at("hold", Lane::Compensation), Fault::Refuse);
    shop.run_until(placed.saga_id, "stuck").await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Attention);
    assert_eq!(cancel(&shop.engine, &anybody(), request).await.unwrap(), Cancelled::Replayed(first));
    shop.knobs.reset();
    shop.retry(placed.saga_id).await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Cancelling);
    shop.run_until(placed.saga_id, "compensated").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

/// Row 35: the compensation comes where the action never ran.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_before_anything_ran_leaves_nothing() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    cancel(&shop.engine, &anybody(), request).await.unwrap();
    shop.run_until(placed.saga_id, "compensated").await;
    assert_eq!(shop.charges(placed.order_id).await.len(), 0);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

/// Row 35: the action comes after its compensation, by a worker that was thought dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_the_compensation_charges_nothing() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let zombie = shop.run_and_die(placed.saga_id, &pay(), Death::Before).await;
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    cancel(&shop.engine, &anybody(), request).await.unwrap();
    shop.run_until(placed.saga_id, "compensated").await;
    shop.wake(zombie).await;
    assert_eq!(shop.charges(placed.order_id).await.len(), 0);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

/// A buyer whose bank wants to hear from them, and who never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_must_act_and_does_not_is_not_charged() {
    let settings = BookingSettings { hold_ttl_secs: 4, order_hold_secs: 4, ..BookingSettings::default() };
    let shop = Shop::with(settings, |gateway| gateway).await;
    let placed = shop.order("pm_card_authenticationRequired").await;
    shop.run_until(placed.saga_id, "waiting").await;
    let seen = shop.see(placed.order_id).await;
    assert_eq!(seen.status, OrderStatus::ActionRequired);
    assert!(seen.next_action.is_some());
    // somebody says that it is done; the gateway, which is asked, says that it is not
    let key = IdempotencyKey::new(format!("{}:pay:primary", placed.saga_id)).unwrap();
    shop.engine.signal(placed.saga_id, &payment_signal(&key), json!({}), "test").await.unwrap();
    let waits = |recorded: &&orchestrator::journal::Recorded| recorded.entry.kind() == "waits";
    while shop.view(placed.saga_id).await.journal.iter().filter(waits).count() < 2 {
        shop.turn().await;
    }
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::ActionRequired);
    let view = shop.run_until(placed.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "hold-expired");
    assert_eq!(shop.charges(placed.order_id).await[0]["status"], json!("voided"));
    shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    shop.assert_well().await;
}

/// As a gateway that takes another amount than it was asked for.
fn greedy(captured: Captured) -> Captured {
    Captured { amount: Money::new(captured.amount.amount_minor + 1, captured.amount.currency), ..captured }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_the_orders_is_for_a_person_and_never_a_ticket() {
    let shop = Shop::with(BookingSettings::default(), |gateway| Front::capturing(gateway, greedy)).await;
    let placed = shop.order(VISA).await;
    let view = shop.run_until(placed.saga_id, "stuck").await;
    assert_eq!(view.run.stuck.unwrap().failure.code, "amount-mismatch");
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.reason.as_deref()), (OrderStatus::Attention, Some("amount-mismatch")));
    assert!(seen.tickets.is_empty());
    assert_eq!(seen.payments[0].amount.amount_minor, PRICE + 1);
    assert_eq!(shop.seat_status(&seen.seat_ids[0]).await, SeatStatus::Held);
    shop.assert_sound().await;
}
