//! A gateway that is away for a while: it is left alone, those who wait for it keep their attempts, and when it is well
//! again all of them come to their end.

use super::{
    gateways::{GATEWAY_TIMEOUT_MS, Sandbox},
    shop::{PRICE, Shop, VISA, anybody},
};
use orchestrator::SagaId;
use sandbox::Protocol;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use workflows::{
    breakers::{BreakerSettings, End, Failing, GatewayBreakers, Operation, Surroundings},
    orders::{CancelOrder, OrderStatus, Placement, cancel},
    settings::BookingSettings,
};

const ORDERS: usize = 24;
/// So many calls that have failed open a breaker.
const MINIMUM_CALLS: u32 = 4;
const PRIMARY: (&str, Protocol) = ("primary", Protocol::Stripe);

/// How many entries of this kind a saga has.
async fn entries(shop: &Shop, saga: SagaId, kind: &str) -> usize {
    let journal = shop.view(saga).await.journal;
    journal.iter().filter(|recorded| recorded.entry.kind() == kind).count()
}

async fn sum(shop: &Shop, orders: &[Placement], kind: &str) -> usize {
    let mut sum = 0;
    for placed in orders {
        sum += entries(shop, placed.saga_id, kind).await;
    }
    sum
}

/// What stands before the gateways, with the clock that it goes by.
struct Breakers {
    of: Vec<GatewayBreakers>,
    clock: Arc<AtomicI64>,
}

impl Breakers {
    /// What is open may try.
    fn later(&self) {
        self.clock.fetch_add(1_000, Ordering::Relaxed);
    }
}

impl Shop {
    /// With these gateways behind breakers, primary first. What opens stays open for a second, by a clock that stands
    /// until the test moves it.
    async fn behind_breakers(protocols: &[(&str, Protocol)], booking: BookingSettings) -> (Self, Breakers) {
        let settings = BreakerSettings { minimum_calls: MINIMUM_CALLS, open_secs: 1, ..BreakerSettings::default() };
        let clock = Arc::new(AtomicI64::new(0));
        let (mut sandboxes, mut gateways, mut breakers) = (Vec::new(), Vec::new(), Vec::new());
        for (name, protocol) in protocols {
            let sandbox = Sandbox::start(*protocol).await;
            let protocol = if *protocol == Protocol::Adyen { "adyen" } else { "stripe" };
            let timeout = Duration::from_millis(GATEWAY_TIMEOUT_MS.into());
            let hands = Arc::clone(&clock);
            let surroundings = Surroundings::given(move || hands.load(Ordering::Relaxed), |_| 0);
            let own = GatewayBreakers::alone(name, timeout, settings, surroundings);
            let gateway = workflows::gateways::build(&sandbox.settings(name, protocol)).unwrap();
            gateways.push(workflows::gateways::guarded(gateway, own.clone()));
            breakers.push(own);
            sandboxes.push(sandbox);
        }
        (Self::on(booking, gateways, sandboxes).await, Breakers { of: breakers, clock })
    }
}

fn stands(breakers: &GatewayBreakers) -> &'static str {
    breakers.standing(Operation::Charge).breaker
}

/// How many calls that charge have failed, as the breaker has counted them.
fn failed(breakers: &GatewayBreakers) -> usize {
    breakers.standing(Operation::Charge).errors.values().map(|count| *count as usize).sum()
}

/// As if so many calls had failed.
async fn fail(breakers: &GatewayBreakers, operation: Operation, calls: u32) {
    for _ in 0..calls {
        let pass = breakers.admit(operation, None).await.unwrap();
        breakers.settle(pass, End::Failed(Failing::Timeout)).await;
    }
}

/// As if so many calls had failed as open it.
async fn trip(breakers: &GatewayBreakers, operation: Operation) {
    while breakers.standing(operation).breaker == "closed" {
        fail(breakers, operation, 1).await;
    }
}

async fn turn_until(shop: &Shop, what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < super::shop::PATIENCE, "{what} never was");
        shop.turn().await;
    }
}

async fn orders(shop: &Shop) -> Vec<Placement> {
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        orders.push(shop.order(VISA).await);
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_open_breaker_nobody_uses_up_attempts_and_all_come_back() {
    let (shop, breakers) = Shop::behind_breakers(&[PRIMARY], BookingSettings::default()).await;
    let primary = &breakers.of[0];
    shop.gateway_fault(json!({"fault": "error_500", "operation": "all"})).await;
    let orders = orders(&shop).await;
    turn_until(&shop, "everybody parked", async || sum(&shop, &orders, "parked").await > 2 * ORDERS).await;
    let at_opening = failed(primary);
    for tries in 1..4 {
        breakers.later();
        let in_vain = async || failed(primary) > at_opening + tries - 1 && stands(primary) == "open";
        turn_until(&shop, "a gateway that was tried again", in_vain).await;
        assert_eq!(failed(primary), at_opening + tries, "by one call");
    }
    assert_eq!(sum(&shop, &orders, "failed").await, failed(primary), "an attempt is a call that was made");

    shop.heal_gateway().await;
    breakers.later();
    for placed in &orders {
        shop.run_until(placed.saga_id, "completed").await;
        shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    }
    assert_eq!(sum(&shop, &orders, "failed").await, at_opening + 3);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_left_alone_is_passed_over_before_anything_is_intended_there() {
    let gateways = [PRIMARY, ("backup", Protocol::Adyen)];
    let (shop, breakers) = Shop::behind_breakers(&gateways, BookingSettings::default()).await;
    shop.gateway_fault(json!({"fault": "rate_limited", "operation": "all"})).await;
    let first = orders(&shop).await;
    for placed in &first {
        shop.run_until(placed.saga_id, "completed").await;
    }
    assert_eq!(stands(&breakers.of[0]), "open");
    assert_eq!(
        sum(&shop, &first, "failed").await,
        failed(&breakers.of[0]),
        "the others took no attempt to go elsewhere"
    );

    let later = orders(&shop).await;
    for placed in &later {
        shop.run_until(placed.saga_id, "completed").await;
        assert_eq!(shop.see(placed.order_id).await.payments.len(), 1);
    }
    for placed in first.iter().chain(&later) {
        shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
        let captured = |charge: &Value| charge["captured"] == json!(PRICE);
        assert_eq!(shop.charges_at(1, placed.order_id).await.iter().filter(|charge| captured(charge)).count(), 1);
    }
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_behind_a_breaker_that_opens_does_not_cost_the_order() {
    let gateways = [("primary", Protocol::Adyen), ("backup", Protocol::Stripe)];
    let (shop, breakers) = Shop::behind_breakers(&gateways, BookingSettings::default()).await;
    let primary = &breakers.of[0];
    fail(primary, Operation::Charge, MINIMUM_CALLS - 1).await;
    shop.gateway_fault(json!({"fault": "timeout_before", "operation": "charge", "count": 1, "delayMs": 0})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert_eq!((stands(primary), failed(primary)), ("open", MINIMUM_CALLS as usize), "by the order's own call");
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    let gateways: Vec<_> = order.payments.iter().map(|payment| payment.gateway.as_str()).collect();
    assert_eq!(gateways, ["primary", "backup"]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everybody_is_left_alone_the_order_waits_and_no_longer_than_its_seats_are_kept() {
    let booking = BookingSettings { order_hold_secs: 3, ..BookingSettings::default() };
    let (shop, breakers) = Shop::behind_breakers(&[PRIMARY], booking).await;
    trip(&breakers.of[0], Operation::Charge).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "compensated").await;
    let order = shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    assert_eq!(order.reason.as_deref(), Some("gateways-away"));
    assert!(entries(&shop, placed.saga_id, "parked").await > 0);
    assert!(order.payments.is_empty(), "nothing was intended");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_asks_and_what_gives_back_is_parked_as_well() {
    let (shop, breakers) = Shop::behind_breakers(&[PRIMARY], BookingSettings::default()).await;
    trip(&breakers.of[0], Operation::Probe).await;
    shop.gateway_fault(json!({"fault": "timeout_after", "operation": "charge", "count": 1})).await;
    let placed = shop.order(VISA).await;
    let doubts = async |parked: bool| {
        let journal = shop.view(placed.saga_id).await.journal;
        let entries = journal.iter().map(|recorded| json!(recorded.entry));
        entries
            .filter(|entry| entry["kind"] == "inDoubt" && entry["parked"].as_bool().unwrap_or(false) == parked)
            .count()
    };
    turn_until(&shop, "a doubt that waits", async || doubts(true).await > 1).await;
    assert_eq!(doubts(false).await, 1, "not having asked is no attempt");
    breakers.later();
    shop.run_until(placed.saga_id, "completed").await;
    assert_eq!(doubts(false).await, 1);

    trip(&breakers.of[0], Operation::Refund).await;
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    let refund = cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation().saga_id;
    turn_until(&shop, "a refund that waits", async || entries(&shop, refund, "parked").await > 1).await;
    breakers.later();
    shop.run_until(refund, "completed").await;
    assert_eq!(entries(&shop, refund, "failed").await, 0);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}
