//! The step that takes the money.

use super::{
    GATEWAYS_AWAY, Gateways, PaymentNote,
    charges::{Attempted, Known, charges},
    charging::{Asked, Charging},
    news::told,
    route::{self, Route},
};
use crate::{
    breakers::{Operation, parked_reason},
    gateways::{IdempotencyKey, Reference},
    ids::OrderId,
    money::Money,
    orders::PaymentMethod,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::action::{Answer, Call, ExternalAction, Halt, Notebook};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// `payments.charge`: takes an order's total, once, whatever happens in between.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Where.
    pub gateways: Arc<Gateways>,
}

/// What [`Charge`], its probe and its compensation need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeInput {
    /// The order.
    pub order_id: OrderId,
    /// What it is paid with.
    pub payment_method: PaymentMethod,
    /// What it costs.
    pub total: Money,
    /// Until when its seats are kept: after that it is not charged any more.
    pub expires_at: DateTime<Utc>,
}

/// What [`Charge`] gives: money was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeOutput {
    /// Where.
    pub gateway: String,
    /// By which key.
    pub key: IdempotencyKey,
    /// The gateway's name for it.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
}

#[async_trait]
impl ExternalAction for Charge {
    const NAME: &'static str = "payments.charge";
    const MONEY: bool = true;
    type Input = ChargeInput;
    type Output = ChargeOutput;

    async fn intent(&self, call: &Call, input: &ChargeInput) -> Answer<Value> {
        self.choose(call, input)?.to_value()
    }

    async fn run(
        &self,
        call: &Call,
        notebook: &dyn Notebook,
        intent: &Value,
        input: ChargeInput,
    ) -> Answer<ChargeOutput> {
        let attempt = attempt_of(call, intent)?;
        let charging = Charging::new(&self.gateways, call, notebook, &input, attempt)?;
        if charging.attempt.reference.is_some() || told(call, &charging.attempt).is_some() {
            // an earlier attempt came at least this far
            match charging.learn().await? {
                Asked::Captured(output) => return Ok(output),
                Asked::Ended => {
                    return Err(Halt::transient("charge-ended", "the charge was ended, to begin another one"));
                }
                Asked::Unknown { halt, .. } => return Err(halt),
                Asked::Open => {}
            }
        }
        if charging.is_too_late() {
            return charging.give_up().await;
        }
        let reference = charging.prepare().await?;
        if charging.is_too_late() {
            return charging.give_up().await;
        }
        charging.confirm(reference.as_ref()).await
    }
}

impl Charge {
    /// The charge that is still open, or else a new one at the gateway whose turn it is.
    fn choose(&self, call: &Call, input: &ChargeInput) -> Answer<PaymentNote> {
        let charges = charges(call);
        if let Some(Attempted { gateway, key, amount, known: Known::Open, .. }) = charges.last().cloned() {
            return Ok(PaymentNote::Intended { gateway, key, amount });
        }
        let takers = self.gateways.takers(&input.payment_method, input.total)?;
        if route::next(&charges, &takers).is_none() {
            return Err(Halt::permanent("card-declined", "no gateway is left that could take the payment"));
        }
        let let_through = |gateway: &&str| self.gateways.charges_closed_for(gateway).is_none();
        let open: Vec<_> = takers.iter().copied().filter(let_through).collect();
        let Route { gateway, generation } =
            route::next(&charges, &open).ok_or_else(|| self.kept_away(call, input, &charges, &takers))?;
        let base = format!("{}:{gateway}", call.idempotency_key());
        let key = if generation == 1 { base } else { format!("{base}:{generation}") };
        let key = IdempotencyKey::new(key).map_err(|error| Halt::permanent("idempotency-key", error.to_string()))?;
        Ok(PaymentNote::Intended { gateway: gateway.to_owned(), key, amount: input.total })
    }

    /// Nobody who could take the payment lets charges through: until the first of them does, or no charge can begin any more
    /// before the hold is over. Then the buyer is told at once, while the seats could still be had in another way.
    fn kept_away(&self, call: &Call, input: &ChargeInput, charges: &[Attempted], takers: &[&str]) -> Halt {
        let of_use: Vec<_> = takers.iter().copied().filter(|taker| route::next(charges, &[taker]).is_some()).collect();
        let call_takes =
            of_use.iter().filter_map(|name| Some(self.gateways.get(name)?.timeout)).min().unwrap_or_default();
        let Ok(left) = (input.expires_at - call_takes - call.now).to_std() else {
            let message = format!("{} takes no charges while the seats are kept", of_use.join(", "));
            return Halt::permanent(GATEWAYS_AWAY, message);
        };
        let closed = of_use.iter().filter_map(|gateway| Some((self.gateways.charges_closed_for(gateway)?, gateway)));
        match closed.min() {
            Some((wait, gateway)) => {
                Halt::Parked { after: wait.min(left), reason: parked_reason(gateway, Operation::Charge) }
            }
            // it lets them through since a moment ago
            None => Halt::Parked { after: Duration::ZERO, reason: "a gateway".to_owned() },
        }
    }
}

/// The charge that `intent` speaks of, with what earlier attempts have noted.
fn attempt_of(call: &Call, intent: &Value) -> Answer<Attempted> {
    let Ok(PaymentNote::Intended { gateway, key, amount }) = PaymentNote::deserialize(intent) else {
        return Err(Halt::permanent("intent", "the intent is not one of a charge"));
    };
    let earlier = charges(call).into_iter().find(|earlier| earlier.key == key && earlier.gateway == gateway);
    Ok(earlier.unwrap_or_else(|| Attempted::new(gateway, key, amount)))
}
