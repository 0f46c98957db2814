//! The step that takes the money.

use super::{
    AMOUNT_MISMATCH, Gateways, HOLD_EXPIRED, PaymentNote,
    charges::{Attempted, Known, charges},
    declined, not_executed, payment_signal, refused,
    route::{self, Route},
};
use crate::{
    gateways::{
        Captured, ChargeOutcome, ChargeRequest, DeclineCategory, Gateway, IdempotencyKey, NotExecuted, PrepareOutcome,
        ProbeOutcome, Reference, Refusal, VoidOutcome,
    },
    ids::OrderId,
    money::Money,
    orders::PaymentMethod,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use orchestrator::action::{Answer, Call, ExternalAction, Failure, Halt, Notebook, Wait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long a gateway that works on a charge is left alone before it is asked again; its webhook comes sooner.
const PROCESSING_SECS: i64 = 10;

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
        if charging.attempt.reference.is_some() {
            // an earlier attempt came at least this far
            match charging.ask().await? {
                Asked::Captured(output) => return Ok(output),
                Asked::Ended => {
                    return Err(Halt::transient("charge-ended", "the charge was ended, to begin another one"));
                }
                Asked::Open => {}
            }
        }
        if call.now >= input.expires_at {
            return charging.give_up().await;
        }
        let reference = charging.prepare().await?;
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
        let takers = takers(&self.gateways, input)?;
        let Route { gateway, generation } = route::next(&charges, &takers)
            .ok_or_else(|| Halt::permanent("card-declined", "no gateway is left that could take the payment"))?;
        let base = format!("{}:{gateway}", call.idempotency_key());
        let key = if generation == 1 { base } else { format!("{base}:{generation}") };
        let key = IdempotencyKey::new(key).map_err(|error| Halt::permanent("idempotency-key", error.to_string()))?;
        Ok(PaymentNote::Intended { gateway: gateway.to_owned(), key, amount: input.total })
    }
}

/// The gateways that take the payment method and the amount, in order of preference.
fn takers<'a>(gateways: &'a Gateways, input: &'a ChargeInput) -> Answer<Vec<&'a str>> {
    let mut takers = Vec::new();
    let mut refusal = Halt::permanent("no-gateway", "no gateway takes this payment method");
    for gateway in gateways.that_take(&input.payment_method) {
        match gateway.check_amount(input.total) {
            Ok(()) => takers.push(gateway.name()),
            Err(error) => refusal = Halt::permanent("gateway-refused:amount", error.to_string()),
        }
    }
    if takers.is_empty() { Err(refusal) } else { Ok(takers) }
}

/// The charge that `intent` speaks of, with what earlier attempts have noted.
fn attempt_of(call: &Call, intent: &Value) -> Answer<Attempted> {
    let Ok(PaymentNote::Intended { gateway, key, amount }) = PaymentNote::deserialize(intent) else {
        return Err(Halt::permanent("intent", "the intent is not one of a charge"));
    };
    let earlier = charges(call).into_iter().find(|earlier| earlier.key == key && earlier.gateway == gateway);
    Ok(earlier.unwrap_or_else(|| Attempted::new(gateway, key, amount)))
}

/// What a gateway says of a charge that an earlier attempt has made.
pub(super) enum Asked {
    /// The money was taken.
    Captured(ChargeOutput),
    /// Not yet; the same call may be made again.
    Open,
    /// It is ended, so that another charge may begin.
    Ended,
}

/// One charge in the hand.
pub(super) struct Charging<'a> {
    gateways: &'a Gateways,
    gateway: Arc<dyn Gateway>,
    call: &'a Call,
    notebook: &'a dyn Notebook,
    input: &'a ChargeInput,
    request: ChargeRequest,
    pub(super) attempt: Attempted,
}

impl<'a> Charging<'a> {
    pub(super) fn new(
        gateways: &'a Gateways,
        call: &'a Call,
        notebook: &'a dyn Notebook,
        input: &'a ChargeInput,
        attempt: Attempted,
    ) -> Answer<Self> {
        let gateway = gateways.get(&attempt.gateway).ok_or_else(|| {
            let message = format!("the gateway {} is not configured here", attempt.gateway);
            Halt::transient("gateway-unknown", message)
        })?;
        let request = ChargeRequest {
            order_id: input.order_id,
            saga_id: call.saga_id,
            amount: attempt.amount,
            payment_method: input.payment_method.token_for(&attempt.gateway).unwrap_or_default().to_owned(),
        };
        Ok(Self { gateways, gateway: Arc::clone(&gateway.gateway), call, notebook, input, request, attempt })
    }

    /// The charge as the gateway has it, before money moves. Its name is committed before anything else.
    async fn prepare(&self) -> Answer<Option<Reference>> {
        if let Some(reference) = &self.attempt.reference {
            return Ok(Some(reference.clone()));
        }
        match self.gateway.prepare(&self.attempt.key, &self.request).await {
            PrepareOutcome::Prepared(reference) => {
                let (gateway, key) = self.names();
                PaymentNote::Prepared { gateway, key, reference: reference.clone() }.write(self.notebook).await?;
                Ok(Some(reference))
            }
            PrepareOutcome::NothingToPrepare => Ok(None),
            PrepareOutcome::Declined(decline) => Err(self.declined(&decline).await?),
            PrepareOutcome::NotExecuted(reason) => Err(self.not_executed(reason).await?),
            PrepareOutcome::Refused(refusal) => Err(self.refused(refusal).await?),
            // nothing has moved, and nothing will by a charge whose name nobody knows
            PrepareOutcome::Unknown(doubt) => {
                let (gateway, key) = self.names();
                PaymentNote::Voided { gateway, key }.write(self.notebook).await?;
                let failure = Failure::new("gateway-doubt", doubt.detail);
                Err(self.go_on(Known::Voided, failure, doubt.retry_after))
            }
        }
    }

    /// Moves the money.
    async fn confirm(&self, reference: Option<&Reference>) -> Answer<ChargeOutput> {
        match self.gateway.charge(&self.attempt.key, &self.request, reference).await {
            ChargeOutcome::Captured(captured) => self.captured(captured).await,
            ChargeOutcome::Declined(decline) => Err(self.declined(&decline).await?),
            ChargeOutcome::ActionRequired { reference, next_action } => {
                Err(self.wait_for_buyer(reference, next_action).await?)
            }
            ChargeOutcome::Processing { reference } => Err(self.wait_for_gateway(reference).await?),
            ChargeOutcome::Voided { .. } => Err(self.voided().await?),
            // an earlier call by this key may still be on its way: this one says nothing about it
            ChargeOutcome::NotExecuted(reason) if self.attempt.calls > 0 => Err(not_executed(reason)),
            ChargeOutcome::NotExecuted(reason) => Err(self.not_executed(reason).await?),
            ChargeOutcome::Refused(refusal) => Err(self.refused(refusal).await?),
            ChargeOutcome::Unknown(doubt) => {
                let (gateway, key) = self.names();
                PaymentNote::Doubted { gateway, key }.write(self.notebook).await?;
                Err(Halt::in_doubt("gateway-doubt", doubt.detail))
            }
        }
    }

    /// What became of the charge.
    pub(super) async fn ask(&self) -> Answer<Asked> {
        match self.gateway.probe(&self.request, self.attempt.reference.as_ref()).await {
            ProbeOutcome::Captured(captured) => self.captured(captured).await.map(Asked::Captured),
            ProbeOutcome::Declined(decline) => Err(self.declined(&decline).await?),
            // by us, whose note of it was lost
            ProbeOutcome::Voided { .. } if self.attempt.doubted => {
                self.voided().await?;
                Ok(Asked::Ended)
            }
            ProbeOutcome::Voided { .. } => Err(self.voided().await?),
            ProbeOutcome::NotCaptured { .. } if self.attempt.doubted && self.gateway.capabilities().voids => {
                self.end().await
            }
            ProbeOutcome::ActionRequired { reference, next_action } if self.call.now < self.input.expires_at => {
                Err(self.wait_for_buyer(reference, next_action).await?)
            }
            ProbeOutcome::Processing { reference } => Err(self.wait_for_gateway(reference).await?),
            // the same key and content again is the same charge
            ProbeOutcome::NotCaptured { .. } | ProbeOutcome::ActionRequired { .. } | ProbeOutcome::CannotAsk => {
                Ok(Asked::Open)
            }
            ProbeOutcome::NotFound => {
                Err(Halt::in_doubt("charge-not-found", "the gateway does not know the charge that it has named"))
            }
            ProbeOutcome::Unknown(doubt) => Err(Halt::in_doubt("gateway-doubt", doubt.detail)),
        }
    }

    /// Ends a charge that is not captured, so that it is definitely dead before another one begins.
    async fn end(&self) -> Answer<Asked> {
        match self.gateway.void(&self.attempt.key, &self.request, self.attempt.reference.as_ref()).await {
            VoidOutcome::Voided { .. } => {
                self.voided().await?;
                Ok(Asked::Ended)
            }
            VoidOutcome::AlreadyCaptured(captured) => self.captured(captured).await.map(Asked::Captured),
            VoidOutcome::Processing { reference } => Err(self.wait_for_gateway(reference).await?),
            VoidOutcome::NotFound | VoidOutcome::CannotVoid | VoidOutcome::Refused(_) => Ok(Asked::Open),
            VoidOutcome::Unknown(doubt) => Err(Halt::in_doubt("gateway-doubt", doubt.detail)),
        }
    }

    /// The seats are not kept any longer: makes sure that nothing is charged late.
    async fn give_up(&self) -> Answer<ChargeOutput> {
        let expired = || Halt::permanent(HOLD_EXPIRED, "the hold has ended before the payment was taken");
        if self.attempt.reference.is_none() && self.gateway.capabilities().prepares {
            return Err(expired());
        }
        match self.gateway.void(&self.attempt.key, &self.request, self.attempt.reference.as_ref()).await {
            VoidOutcome::Voided { .. } => {
                self.voided().await?;
                Err(expired())
            }
            // the step that commits the seats decides what to do with it
            VoidOutcome::AlreadyCaptured(captured) => self.captured(captured).await,
            VoidOutcome::Processing { reference } => Err(self.wait_for_gateway(reference).await?),
            // its compensation takes it from here
            VoidOutcome::NotFound | VoidOutcome::CannotVoid | VoidOutcome::Refused(_) => Err(expired()),
            VoidOutcome::Unknown(doubt) => Err(Halt::in_doubt("gateway-doubt", doubt.detail)),
        }
    }

    /// Money was taken; when it is not what was asked for, a person must look.
    async fn captured(&self, captured: Captured) -> Answer<ChargeOutput> {
        let Captured { reference, amount } = captured;
        let (gateway, key) = self.names();
        if amount == self.input.total {
            return Ok(ChargeOutput { gateway, key, reference, amount });
        }
        PaymentNote::Captured { gateway, key, reference, amount }.write(self.notebook).await?;
        Err(amount_mismatch(amount, self.input.total))
    }

    async fn declined(&self, decline: &crate::gateways::Decline) -> Answer<Halt> {
        let (gateway, key) = self.names();
        let (reference, category) = (decline.reference.clone(), decline.category);
        PaymentNote::Declined { gateway, key, reference, category }.write(self.notebook).await?;
        Ok(self.go_on(Known::Declined(category), declined(decline), None))
    }

    /// Nothing of this charge is on its way: another gateway may be asked, and this one again by the same key.
    async fn not_executed(&self, reason: NotExecuted) -> Answer<Halt> {
        let (gateway, key) = self.names();
        PaymentNote::NotExecuted { gateway, key }.write(self.notebook).await?;
        Ok(self.go_on(Known::Idle, Failure::new("gateway-unavailable", reason.detail), reason.retry_after))
    }

    /// A gateway that takes nothing from us; another one may.
    async fn refused(&self, refusal: Refusal) -> Answer<Halt> {
        let category = DeclineCategory::RetryElsewhere;
        let halt = self.go_on(Known::Declined(category), refused(refusal), None);
        // else an earlier call by this key may still be on its way
        if self.attempt.calls == 0 {
            let (gateway, key) = self.names();
            PaymentNote::Declined { gateway, key, reference: None, category }.write(self.notebook).await?;
        }
        Ok(halt)
    }

    /// What follows from a charge that is certainly over: the next one, where one can be made. Only the same gateway
    /// is left alone for as long as it asks.
    fn go_on(&self, known: Known, failure: Failure, after: Option<Duration>) -> Halt {
        let mut charges = charges(self.call);
        charges.retain(|charge| charge.key != self.attempt.key || charge.gateway != self.attempt.gateway);
        charges.push(Attempted { known, ..self.attempt.clone() });
        let takers = takers(self.gateways, self.input).unwrap_or_default();
        match route::next(&charges, &takers) {
            Some(Route { gateway, .. }) => {
                Halt::Transient { failure, after: after.filter(|_| gateway == self.attempt.gateway) }
            }
            None => Halt::Permanent(failure),
        }
    }

    async fn voided(&self) -> Answer<Halt> {
        let (gateway, key) = self.names();
        PaymentNote::Voided { gateway, key }.write(self.notebook).await?;
        Ok(Halt::permanent("charge-voided", "the charge was ended before it was taken"))
    }

    async fn wait_for_buyer(&self, reference: Reference, next_action: Value) -> Answer<Halt> {
        let (gateway, key) = self.names();
        let wait = Wait {
            signal: Some(payment_signal(&self.attempt.key)),
            until: Some(self.input.expires_at),
            reason: "the buyer's bank".to_owned(),
            ..Wait::default()
        };
        PaymentNote::ActionRequired { gateway, key, reference, next_action }.write(self.notebook).await?;
        Ok(Halt::Wait(wait))
    }

    async fn wait_for_gateway(&self, reference: Reference) -> Answer<Halt> {
        let wait = Wait {
            signal: Some(payment_signal(&self.attempt.key)),
            until: Some(self.call.now + TimeDelta::seconds(PROCESSING_SECS)),
            reason: format!("{} to finish the payment", self.gateway.name()),
            ..Wait::default()
        };
        if self.attempt.reference.is_none() {
            let (gateway, key) = self.names();
            PaymentNote::Prepared { gateway, key, reference }.write(self.notebook).await?;
        }
        Ok(Halt::Wait(wait))
    }

    fn names(&self) -> (String, IdempotencyKey) {
        (self.attempt.gateway.clone(), self.attempt.key.clone())
    }
}

/// More, less, or other money than the order costs.
pub(super) fn amount_mismatch(taken: Money, wanted: Money) -> Halt {
    Halt::permanent(AMOUNT_MISMATCH, format!("the gateway has taken {taken}, the order costs {wanted}"))
}
