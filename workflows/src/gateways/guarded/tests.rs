//! What breakers and the retry budget make of the calls that are made.

use super::*;
use crate::{
    breakers::{BreakerSettings, Surroundings},
    gateways::{
        Captured,
        fake::{Fake, PREPARES, TELLS},
    },
    money::Currency,
    payments::bench::{TIMEOUT, no_answer},
};
use orchestrator::{SagaId, ids::Uuid};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

struct Bench {
    fake: Arc<Fake>,
    breakers: GatewayBreakers,
    gateway: Arc<dyn Gateway>,
    clock: Arc<AtomicI64>,
}

impl Bench {
    fn of(capabilities: Capabilities) -> Self {
        Self::with(capabilities, BreakerSettings::default())
    }

    fn with(capabilities: Capabilities, settings: BreakerSettings) -> Self {
        let fake = Fake::new("primary", capabilities);
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let hands = Arc::clone(&clock);
        let surroundings = Surroundings::given(move || hands.load(Ordering::SeqCst), |_| 0);
        let breakers = GatewayBreakers::alone("primary", TIMEOUT, settings, surroundings);
        Self { gateway: guarded(Arc::<Fake>::clone(&fake), breakers.clone()), fake, breakers, clock }
    }

    async fn charge(&self, key: &str, order: u128) -> ChargeOutcome {
        self.gateway.charge(&key.to_owned().try_into().unwrap(), &request(order), None).await
    }

    fn stands(&self) -> &'static str {
        self.breakers.standing(Operation::Charge).breaker
    }
}

fn request(order: u128) -> ChargeRequest {
    ChargeRequest {
        order_id: OrderId(Uuid::from_u128(order)),
        saga_id: SagaId(Uuid::from_u128(order)),
        amount: Money::new(100, Currency::EUR),
        payment_method: "pm".to_owned(),
        repeats: false,
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_nobody_waits_for_any_more_open_the_breaker_too() {
    let bench = Bench::of(TELLS);
    for order in 0..10 {
        bench.fake.charges.takes(Duration::from_secs(60), ChargeOutcome::Unknown(no_answer()));
        let dropped = tokio::time::timeout(Duration::from_secs(10), bench.charge("k", order)).await;
        assert!(dropped.is_err());
    }
    assert_eq!(bench.stands(), "open");
    assert_eq!(bench.breakers.standing(Operation::Charge).errors["timeout"], 10);
}

#[tokio::test]
async fn charges_that_fail_open_the_breaker_however_well_they_are_prepared() {
    let bench = Bench::of(PREPARES);
    for order in 0..10 {
        let key = IdempotencyKey::new(format!("k:{order}")).unwrap();
        let prepared = Reference::new(format!("pi_{order}")).unwrap();
        bench.fake.prepares.answers(PrepareOutcome::Prepared(prepared.clone()));
        let captured = Captured { reference: prepared, amount: request(order).amount };
        let outcome = if order == 0 { ChargeOutcome::Captured(captured) } else { ChargeOutcome::Unknown(no_answer()) };
        bench.fake.charges.answers(outcome);
        assert_eq!(bench.stands(), "closed", "so far {order} calls");
        bench.gateway.prepare(&key, &request(order)).await;
        bench.charge(key.as_str(), order).await;
    }
    assert_eq!(bench.stands(), "open", "nine charges of ten have failed");

    let fails = Bench::of(PREPARES);
    for order in 0..10 {
        fails.fake.prepares.answers(PrepareOutcome::Unknown(no_answer()));
        fails.gateway.prepare(&"k".to_owned().try_into().unwrap(), &request(order)).await;
    }
    assert_eq!(fails.stands(), "open", "a gateway that fails before is not well either");
}

#[tokio::test]
async fn a_charge_that_was_prepared_is_not_the_one_that_closes_the_breaker() {
    let bench = Bench::of(PREPARES);
    for order in 0..10 {
        bench.fake.charges.answers(ChargeOutcome::Unknown(no_answer()));
        bench.charge("k", order).await;
    }
    bench.clock.fetch_add(5_000, Ordering::SeqCst);
    for order in 0..200 {
        bench.fake.prepares.answers(PrepareOutcome::Prepared(Reference::new("pi").unwrap()));
        bench.gateway.prepare(&"k".to_owned().try_into().unwrap(), &request(order)).await;
    }
    assert_ne!(bench.stands(), "closed");
    bench.fake.charges.answers(ChargeOutcome::Unknown(no_answer()));
    bench.charge("k", 1_000).await;
    assert_eq!(bench.stands(), "open");
    assert!(bench.breakers.closed_for(Operation::Charge).is_some());
}

#[tokio::test]
async fn another_charge_of_an_order_is_a_repeated_call_until_one_was_answered() {
    let bench = Bench::with(TELLS, BreakerSettings { minimum_calls: 1_000, ..BreakerSettings::default() });
    for generation in 0..11 {
        bench.fake.charges.answers(ChargeOutcome::Unknown(no_answer()));
        bench.charge(&format!("k:{generation}"), 1).await;
    }
    assert_eq!(bench.fake.asked().len(), 11, "the first, and ten more that are there from the beginning");
    let ChargeOutcome::NotExecuted(reason) = bench.charge("k:11", 1).await else { panic!("it was made") };
    assert_eq!(reason.reason, NotExecutedReason::RetryBudget);

    bench.fake.charges.answers(ChargeOutcome::Voided { reference: Reference::new("pi").unwrap() });
    bench.charge("other", 2).await;
    for _ in 0..100 {
        bench.fake.charges.answers(ChargeOutcome::Voided { reference: Reference::new("pi").unwrap() });
        let outcome = bench.charge("other:2", 2).await;
        assert!(matches!(outcome, ChargeOutcome::Voided { .. }), "what was answered is not repeated");
    }
}
