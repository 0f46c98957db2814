//! What breakers and the retry budget make of the calls that are made.

use super::*;
use crate::{
    breakers::{BreakerSettings, Surroundings},
    gateways::fake::{Fake, TELLS},
    money::Currency,
    payments::bench::{TIMEOUT, no_answer},
};
use orchestrator::{SagaId, ids::Uuid};
use std::{sync::atomic::AtomicI64, time::Duration};

struct Bench {
    fake: Arc<Fake>,
    breakers: GatewayBreakers,
    gateway: Arc<dyn Gateway>,
}

impl Bench {
    fn of(capabilities: Capabilities) -> Self {
        let fake = Fake::new("primary", capabilities);
        let surroundings = Surroundings::by_hand(Arc::new(AtomicI64::new(1_000_000)));
        let breakers = GatewayBreakers::alone("primary", TIMEOUT, BreakerSettings::default(), surroundings);
        Self { gateway: guarded(Arc::<Fake>::clone(&fake), breakers.clone()), fake, breakers }
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
