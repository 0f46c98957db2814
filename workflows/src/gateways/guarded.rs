//! Every gateway as it is used: behind its breakers. While one is open no call is made, and the answer says so.

use super::{
    AmountError, Capabilities, ChargeOutcome, ChargeRequest, Doubt, DoubtReason, Gateway, IdempotencyKey, NotExecuted,
    NotExecutedReason, PrepareOutcome, ProbeOutcome, Reference, RefundOutcome, RefundProbeOutcome, RefundRequest,
    Refusal, RefusalClass, VoidOutcome, WebhookError, WebhookEvent,
};
use crate::{
    breakers::{End, Failing, GatewayBreakers, HeldBack, Operation, Pass, Repeatable, Why},
    ids::OrderId,
    money::Money,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use reqwest::header::HeaderMap;
use std::sync::Arc;
use tokio::{runtime::Handle, task::unconstrained};

/// This gateway, behind these breakers.
#[must_use]
pub fn guarded(gateway: Arc<dyn Gateway>, breakers: GatewayBreakers) -> Arc<dyn Gateway> {
    Arc::new(Guarded { gateway, breakers })
}

struct Guarded {
    gateway: Arc<dyn Gateway>,
    breakers: GatewayBreakers,
}

impl Guarded {
    /// Makes the call if its breaker lets it through. `known_as` is what a repeated call has in common with the first.
    async fn call<O: Guardable>(
        &self,
        operation: Operation,
        known_as: Option<Repeatable>,
        call: impl Future<Output = O> + Send,
    ) -> O {
        match self.breakers.admit(operation, known_as.as_ref()).await {
            Ok(pass) => {
                let mut under_way = UnderWay::new(&self.breakers, pass);
                let outcome = call.await;
                under_way.end = outcome.end();
                outcome
            }
            Err(held_back) => O::held_back(held_back),
        }
    }
}

/// A call that is being made. When it has ended its breaker is told how, also when nobody waits for it any more: to
/// whoever dropped it, it took too long.
struct UnderWay {
    breakers: GatewayBreakers,
    pass: Option<Pass>,
    end: End,
}

impl UnderWay {
    fn new(breakers: &GatewayBreakers, pass: Pass) -> Self {
        Self { breakers: breakers.clone(), pass: Some(pass), end: End::Failed(Failing::Timeout) }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        let (breakers, end) = (self.breakers.clone(), self.end);
        let mut settling = Box::pin(unconstrained(async move { breakers.settle(pass, end).await }));
        // mostly there is nothing to wait for; a move waits for Redis, and the call's answer does not wait for that
        if (&mut settling).now_or_never().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(settling));
        }
    }
}

#[async_trait]
impl Gateway for Guarded {
    fn name(&self) -> &str {
        self.gateway.name()
    }

    fn protocol(&self) -> &'static str {
        self.gateway.protocol()
    }

    fn capabilities(&self) -> Capabilities {
        self.gateway.capabilities()
    }

    fn check_amount(&self, amount: Money) -> Result<(), AmountError> {
        self.gateway.check_amount(amount)
    }

    fn own_reference(&self, order: OrderId, key: &IdempotencyKey) -> Option<Reference> {
        self.gateway.own_reference(order, key)
    }

    fn breakers(&self) -> Option<&GatewayBreakers> {
        Some(&self.breakers)
    }

    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        if !self.capabilities().prepares {
            return self.gateway.prepare(key, charge).await;
        }
        let known_as = Repeatable { name: format!("prepare:{}", charge.order_id), is_repeated: charge.repeats };
        self.call(Operation::Charge, Some(known_as), self.gateway.prepare(key, charge)).await
    }

    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &ChargeRequest,
        reference: Option<&Reference>,
    ) -> ChargeOutcome {
        // another charge of the order, by another key, is a repeated call when this one was not answered
        let known_as = Repeatable { name: format!("charge:{}", charge.order_id), is_repeated: charge.repeats };
        let call = self.gateway.charge(key, charge, reference);
        self.call(Operation::Charge, Some(known_as), call).await
    }

    async fn probe(&self, charge: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        if !self.capabilities().probes_charges {
            return self.gateway.probe(charge, reference).await;
        }
        self.call(Operation::Probe, None, self.gateway.probe(charge, reference)).await
    }

    async fn void(&self, key: &IdempotencyKey, charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome {
        let call = self.gateway.void(key, charge, reference);
        self.call(Operation::Void, Some(first(format!("void:{key}"))), call).await
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        self.call(Operation::Refund, Some(first(format!("refund:{key}"))), self.gateway.refund(key, refund)).await
    }

    async fn probe_refund(&self, refund: &RefundRequest, reference: Option<&Reference>) -> RefundProbeOutcome {
        if !self.capabilities().probes_refunds {
            return self.gateway.probe_refund(refund, reference).await;
        }
        self.call(Operation::Probe, None, self.gateway.probe_refund(refund, reference)).await
    }

    fn verify_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        self.gateway.verify_webhook(headers, body, now)
    }
}

/// A call of this name, as far as nobody but the breakers knows better.
fn first(name: String) -> Repeatable {
    Repeatable { name, is_repeated: false }
}

/// An outcome that tells whether the gateway is well, and that can say that it was not asked.
trait Guardable {
    fn end(&self) -> End;
    fn held_back(held_back: HeldBack) -> Self;
}

impl Guardable for PrepareOutcome {
    fn end(&self) -> End {
        match self {
            // it moves no money: that it goes well says nothing about the call that does
            Self::Prepared(_) | Self::Declined(_) | Self::NothingToPrepare => End::NotMade,
            Self::NotExecuted(why) => not_executed(why),
            Self::Refused(refusal) => refused(refusal),
            Self::Unknown(doubt) => doubtful(doubt),
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::NotExecuted(held_back.into())
    }
}

impl Guardable for ChargeOutcome {
    fn end(&self) -> End {
        match self {
            Self::Captured(_)
            | Self::Declined(_)
            | Self::ActionRequired { .. }
            | Self::Processing { .. }
            | Self::Voided { .. } => End::Answered,
            Self::NotExecuted(why) => not_executed(why),
            Self::Refused(refusal) => refused(refusal),
            Self::Unknown(doubt) => doubtful(doubt),
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::NotExecuted(held_back.into())
    }
}

impl Guardable for ProbeOutcome {
    fn end(&self) -> End {
        match self {
            Self::CannotAsk => End::NotMade,
            Self::Unknown(doubt) => doubtful(doubt),
            _ => End::Answered,
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::Unknown(held_back.into())
    }
}

impl Guardable for VoidOutcome {
    fn end(&self) -> End {
        match self {
            Self::CannotVoid => End::NotMade,
            Self::Refused(refusal) => refused(refusal),
            Self::Unknown(doubt) => doubtful(doubt),
            _ => End::Answered,
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::Unknown(held_back.into())
    }
}

impl Guardable for RefundOutcome {
    fn end(&self) -> End {
        match self {
            Self::Succeeded(_) | Self::Pending(_) | Self::Failed(_) | Self::NothingLeft => End::Answered,
            Self::NotExecuted(why) => not_executed(why),
            Self::Refused(refusal) => refused(refusal),
            Self::Unknown(doubt) => doubtful(doubt),
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::NotExecuted(held_back.into())
    }
}

impl Guardable for RefundProbeOutcome {
    fn end(&self) -> End {
        match self {
            Self::CannotAsk => End::NotMade,
            Self::Unknown(doubt) => doubtful(doubt),
            _ => End::Answered,
        }
    }

    fn held_back(held_back: HeldBack) -> Self {
        Self::Unknown(held_back.into())
    }
}

fn not_executed(why: &NotExecuted) -> End {
    match why.reason {
        NotExecutedReason::NoConnection => End::Failed(Failing::NoConnection),
        NotExecutedReason::RateLimited => End::Throttled(why.retry_after),
        NotExecutedReason::BreakerOpen | NotExecutedReason::RetryBudget => End::NotMade,
    }
}

fn refused(refusal: &Refusal) -> End {
    match refusal.class {
        // found before any call
        RefusalClass::Amount => End::NotMade,
        RefusalClass::Credentials | RefusalClass::Configuration => End::Answered,
    }
}

fn doubtful(doubt: &Doubt) -> End {
    match doubt.reason {
        DoubtReason::Timeout => End::Failed(Failing::Timeout),
        DoubtReason::ConnectionLost => End::Failed(Failing::ConnectionLost),
        DoubtReason::ServerError => End::Failed(Failing::ServerError),
        DoubtReason::Unreadable => End::Failed(Failing::Unreadable),
        DoubtReason::NoConnection => End::Failed(Failing::NoConnection),
        DoubtReason::RateLimited => End::Throttled(doubt.retry_after),
        // what it says about this one call is a problem of the call's
        DoubtReason::KeptError
        | DoubtReason::InFlight
        | DoubtReason::KeyReused
        | DoubtReason::UnexpectedState
        | DoubtReason::NotAsked => End::Answered,
        DoubtReason::BreakerOpen | DoubtReason::RetryBudget => End::NotMade,
    }
}

impl From<HeldBack> for NotExecuted {
    fn from(held_back: HeldBack) -> Self {
        let reason = match held_back.why {
            Why::Open => NotExecutedReason::BreakerOpen,
            Why::RetryBudget => NotExecutedReason::RetryBudget,
        };
        Self { reason, detail: held_back.detail, retry_after: Some(held_back.after) }
    }
}

impl From<HeldBack> for Doubt {
    fn from(held_back: HeldBack) -> Self {
        NotExecuted::from(held_back).into()
    }
}

#[cfg(test)]
mod tests;
