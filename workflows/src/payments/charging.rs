//! One charge in the hand: making it, asking about it, ending it. What follows is in [`onward`].

mod onward;
#[cfg(test)]
mod tests;

use super::{
    AMOUNT_MISMATCH, ChargeInput, ChargeOutput, Gateways, HOLD_EXPIRED, PaymentNote, Told,
    charges::{Attempted, Known, charges},
    doubtful,
    news::told,
    payment_signal,
    unwanted::Unwanted,
};
use crate::{
    gateways::{
        Captured, ChargeOutcome, ChargeRequest, Decline, Doubt, DoubtReason, Gateway, IdempotencyKey, PrepareOutcome,
        ProbeOutcome, Reference, VoidOutcome,
    },
    money::Money,
};
use chrono::{DateTime, TimeDelta, Utc};
use orchestrator::action::{Answer, Call, Failure, Halt, Notebook, Wait};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a gateway that works on a charge is left alone before it is asked again; its webhook comes sooner.
const PROCESSING_SECS: i64 = 10;

/// What a gateway says of a charge that an earlier attempt has made.
pub(super) enum Asked {
    /// The money was taken.
    Captured(ChargeOutput),
    /// Not yet; the same call may be made again.
    Open,
    /// It is ended, or left behind, so that another charge may begin.
    Ended,
    /// It could not be told.
    Unknown {
        /// What follows when nobody else can help.
        halt: Halt,
        /// The gateway is kept from being asked by its breaker.
        is_away: bool,
    },
}

impl Asked {
    fn unknown(doubt: Doubt) -> Self {
        Self::Unknown { is_away: doubt.reason == DoubtReason::BreakerOpen, halt: doubtful(doubt) }
    }
}

/// One charge in the hand.
pub(super) struct Charging<'a> {
    gateways: &'a Gateways,
    gateway: Arc<dyn Gateway>,
    call: &'a Call,
    notebook: &'a dyn Notebook,
    input: &'a ChargeInput,
    request: ChargeRequest,
    /// The longest that one call may take.
    call_takes: Duration,
    /// When [`Call::now`] was.
    begun: Instant,
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
            repeats: charges(call).iter().any(|earlier| earlier.gateway == attempt.gateway && earlier.was_in_vain()),
        };
        let call_takes = gateway.timeout;
        let gateway = Arc::clone(&gateway.gateway);
        Ok(Self { gateways, gateway, call, notebook, input, request, call_takes, begun: Instant::now(), attempt })
    }

    /// The database's time, after the calls that were made since.
    fn now(&self) -> DateTime<Utc> {
        self.call.now + self.begun.elapsed()
    }

    /// A charge is not begun when less of the hold is left than the call may take.
    pub(super) fn is_too_late(&self) -> bool {
        self.now() + self.call_takes > self.input.expires_at
    }

    /// The charge as the gateway has it, before money moves. Its name is committed before anything else.
    pub(super) async fn prepare(&self) -> Answer<Option<Reference>> {
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
    pub(super) async fn confirm(&self, reference: Option<&Reference>) -> Answer<ChargeOutput> {
        match self.gateway.charge(&self.attempt.key, &self.request, reference).await {
            ChargeOutcome::Captured(captured) => self.captured(captured).await,
            ChargeOutcome::Declined(decline) => Err(self.declined(&decline).await?),
            ChargeOutcome::ActionRequired { reference, next_action } => {
                Err(self.wait_for_buyer(reference, next_action).await?)
            }
            ChargeOutcome::Processing { reference } => Err(self.wait_for_gateway(reference).await?),
            ChargeOutcome::Voided { .. } => Err(self.voided().await?),
            // this call says nothing about an earlier one
            ChargeOutcome::NotExecuted(reason) if self.may_be_executed() => self.still_open(reason).await,
            ChargeOutcome::NotExecuted(reason) => Err(self.not_executed(reason).await?),
            ChargeOutcome::Refused(refusal) => Err(self.refused(refusal).await?),
            ChargeOutcome::Unknown(doubt) => {
                let (gateway, key) = self.names();
                PaymentNote::Doubted { gateway, key }.write(self.notebook).await?;
                Err(Halt::in_doubt("gateway-doubt", doubt.detail))
            }
        }
    }

    /// What became of the charge: what was noted, else by asking, or where nobody can be asked by what was told. News of another amount
    /// than the order's is for a person, whatever the gateway says now.
    pub(super) async fn learn(&self) -> Answer<Asked> {
        if let (Known::Captured(amount), Some(reference)) = (self.attempt.known, &self.attempt.reference) {
            let captured = Captured { reference: reference.clone(), amount };
            return self.captured(captured).await.map(Asked::Captured);
        }
        let Some((told, reference)) = told(self.call, &self.attempt) else { return self.ask().await };
        let reference = reference.or_else(|| self.attempt.reference.clone());
        let is_truth = !self.gateway.capabilities().probes_charges;
        match (told, reference) {
            (Told::Captured { amount }, Some(reference)) if is_truth || amount != self.input.total => {
                self.captured(Captured { reference, amount }).await.map(Asked::Captured)
            }
            (Told::Declined { code, category, message }, reference) if is_truth => {
                Err(self.declined(&Decline { reference, code, category, message }).await?)
            }
            (Told::Voided, _) if is_truth => Err(self.voided().await?),
            (Told::ActionRequired { next_action }, Some(reference))
                if is_truth && self.call.now < self.input.expires_at =>
            {
                Err(self.wait_for_buyer(reference, next_action).await?)
            }
            _ => self.ask().await,
        }
    }

    /// Asks what became of the charge.
    async fn ask(&self) -> Answer<Asked> {
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
                let halt = Halt::in_doubt("charge-not-found", "the gateway does not know the charge that it has named");
                Ok(Asked::Unknown { halt, is_away: false })
            }
            ProbeOutcome::Unknown(doubt) => Ok(Asked::unknown(doubt)),
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
            VoidOutcome::Accepted | VoidOutcome::NotFound | VoidOutcome::CannotVoid | VoidOutcome::Refused(_) => {
                Ok(Asked::Open)
            }
            VoidOutcome::Unknown(doubt) => Ok(Asked::unknown(doubt)),
        }
    }

    /// The seats are not kept any longer: makes sure that nothing is charged late.
    pub(super) async fn give_up(&self) -> Answer<ChargeOutput> {
        if !self.may_be_executed() {
            self.voided().await?;
            return Err(hold_expired());
        }
        let (gateways, order_id, charge) = (self.gateways, self.input.order_id, &self.attempt);
        let (call, notebook) = (self.call, self.notebook);
        let unwanted = Unwanted { gateways, call, notebook, order_id, charge, news: told(call, charge) };
        match unwanted.end().await {
            // the step that commits the seats decides what to do with it
            Ok(Some(captured)) => self.captured(captured).await,
            // what could not be ended its compensation ends
            Ok(None) | Err(Halt::Transient { .. } | Halt::Parked { .. } | Halt::Permanent(_)) => Err(hold_expired()),
            Err(halt) => Err(halt),
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

    /// Whether an earlier call by this key may have moved money, or still may.
    fn may_be_executed(&self) -> bool {
        // nothing is charged before its reference is committed
        let was_never_named = self.attempt.reference.is_none() && self.gateway.capabilities().prepares;
        self.attempt.calls > 0 && !was_never_named
    }

    fn names(&self) -> (String, IdempotencyKey) {
        (self.attempt.gateway.clone(), self.attempt.key.clone())
    }
}

fn hold_expired() -> Halt {
    Halt::permanent(HOLD_EXPIRED, "the hold has ended before the payment was taken")
}

/// More, less, or other money than the order costs.
pub(super) fn amount_mismatch(taken: Money, wanted: Money) -> Halt {
    Halt::permanent(AMOUNT_MISMATCH, format!("the gateway has taken {taken}, the order costs {wanted}"))
}
