//! The step that takes the money.

use super::{
    AMOUNT_MISMATCH, Gateways, HOLD_EXPIRED, PaymentNote, declined, not_executed,
    notes::{Attempted, Known, last_charge},
    payment_signal, refused,
};
use crate::{
    gateways::{
        Captured, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, PrepareOutcome, ProbeOutcome, Reference,
        VoidOutcome,
    },
    ids::OrderId,
    money::Money,
    orders::PaymentMethod,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use orchestrator::action::{Answer, Call, ExternalAction, Halt, Notebook, Wait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

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
    /// The charge that is still open, or else a new one at the first gateway.
    fn choose(&self, call: &Call, input: &ChargeInput) -> Answer<PaymentNote> {
        if let Some(Attempted { gateway, key, amount, known: Known::Open, .. }) = last_charge(call) {
            return Ok(PaymentNote::Intended { gateway, key, amount });
        }
        let gateway = self
            .gateways
            .first_for(&input.payment_method)
            .ok_or_else(|| Halt::permanent("no-gateway", "no gateway takes this payment method"))?;
        gateway
            .check_amount(input.total)
            .map_err(|error| Halt::permanent("gateway-refused:amount", error.to_string()))?;
        let key = IdempotencyKey::new(format!("{}:{}", call.idempotency_key(), gateway.name()))
            .map_err(|error| Halt::permanent("idempotency-key", error.to_string()))?;
        Ok(PaymentNote::Intended { gateway: gateway.name().to_owned(), key, amount: input.total })
    }
}

/// The charge that `intent` speaks of, with what earlier attempts have noted.
fn attempt_of(call: &Call, intent: &Value) -> Answer<Attempted> {
    let Ok(PaymentNote::Intended { gateway, key, amount }) = PaymentNote::deserialize(intent) else {
        return Err(Halt::permanent("intent", "the intent is not one of a charge"));
    };
    let earlier = last_charge(call).filter(|earlier| earlier.key == key && earlier.gateway == gateway);
    Ok(earlier.unwrap_or(Attempted { gateway, key, amount, reference: None, known: Known::Open }))
}

/// What a gateway says of a charge that an earlier attempt has made.
pub(super) enum Asked {
    /// The money was taken.
    Captured(ChargeOutput),
    /// Not yet; the same call may be made again.
    Open,
}

/// One charge in the hand.
pub(super) struct Charging<'a> {
    gateway: Arc<dyn Gateway>,
    call: &'a Call,
    notebook: &'a dyn Notebook,
    input: &'a ChargeInput,
    request: ChargeRequest,
    pub(super) attempt: Attempted,
}

impl<'a> Charging<'a> {
    pub(super) fn new(
        gateways: &Gateways,
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
        Ok(Self { gateway: Arc::clone(&gateway.gateway), call, notebook, input, request, attempt })
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
            PrepareOutcome::NotExecuted(reason) => Err(not_executed(reason)),
            PrepareOutcome::Refused(refusal) => Err(Halt::Permanent(refused(refusal))),
            // nothing has moved, and the same key may be sent again
            PrepareOutcome::Unknown(doubt) => Err(Halt::Transient {
                failure: orchestrator::action::Failure::new("gateway-doubt", doubt.detail),
                after: doubt.retry_after,
            }),
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
            ChargeOutcome::NotExecuted(reason) => Err(not_executed(reason)),
            ChargeOutcome::Refused(refusal) => Err(Halt::Permanent(refused(refusal))),
            ChargeOutcome::Unknown(doubt) => Err(Halt::in_doubt("gateway-doubt", doubt.detail)),
        }
    }

    /// What became of the charge.
    pub(super) async fn ask(&self) -> Answer<Asked> {
        match self.gateway.probe(&self.request, self.attempt.reference.as_ref()).await {
            ProbeOutcome::Captured(captured) => self.captured(captured).await.map(Asked::Captured),
            ProbeOutcome::Declined(decline) => Err(self.declined(&decline).await?),
            ProbeOutcome::Voided { .. } => Err(self.voided().await?),
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
        PaymentNote::Declined { gateway, key, reference: decline.reference.clone() }.write(self.notebook).await?;
        Ok(Halt::Permanent(declined(decline)))
    }

    async fn voided(&self) -> Answer<Halt> {
        let (gateway, key) = self.names();
        PaymentNote::Voided { gateway, key }.write(self.notebook).await?;
        Ok(Halt::permanent("charge-voided", "the charge was ended before it was taken"))
    }

    async fn wait_for_buyer(&self, reference: Reference, next_action: Value) -> Answer<Halt> {
        let (gateway, key) = self.names();
        let wait = Wait {
            signal: Some(payment_signal(&reference)),
            until: Some(self.input.expires_at),
            reason: "the buyer's bank".to_owned(),
            ..Wait::default()
        };
        PaymentNote::ActionRequired { gateway, key, reference, next_action }.write(self.notebook).await?;
        Ok(Halt::Wait(wait))
    }

    async fn wait_for_gateway(&self, reference: Reference) -> Answer<Halt> {
        let wait = Wait {
            signal: Some(payment_signal(&reference)),
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
