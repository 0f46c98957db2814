//! A charge that nobody wants any more: ended for good, or found to have taken money.

use super::{
    Gateways, PaymentNote, Told,
    charges::{Attempted, Known},
    doubtful, payment_signal, refused,
};
use crate::{
    gateways::{Captured, ChargeRequest, IdempotencyKey, Reference, VoidOutcome},
    ids::OrderId,
};
use chrono::TimeDelta;
use orchestrator::action::{Answer, Call, Failure, Halt, Notebook, Wait};
use std::time::Duration;

/// How long a gateway that cannot end a charge now is left alone; its webhook comes sooner.
const LATER: Duration = Duration::from_secs(10);
/// How long the webhook is waited for that tells the end of a wish to cancel, before the wish is repeated.
const CANCEL_SECS: i64 = 60;

/// A charge that is to end.
pub(super) struct Unwanted<'a> {
    pub(super) gateways: &'a Gateways,
    pub(super) call: &'a Call,
    pub(super) notebook: &'a dyn Notebook,
    pub(super) order_id: OrderId,
    pub(super) charge: &'a Attempted,
    /// The strongest news of it, with the gateway's name for it where the news has it.
    pub(super) news: Option<(Told, Option<Reference>)>,
}

impl Unwanted<'_> {
    /// Ends it; what it has taken when it is too late for that. Both are definite, and noted.
    ///
    /// # Errors
    /// [`Halt::Wait`] while the gateway has its webhook still to send; [`Halt::Transient`] when it could not be
    /// asked; [`Halt::Permanent`] when it will not do it: a person must look; [`Halt::Parked`] behind a breaker.
    pub(super) async fn end(&self) -> Answer<Option<Captured>> {
        match (self.charge.known, &self.charge.reference) {
            (Known::Captured(amount), Some(reference)) => {
                return Ok(Some(Captured { reference: reference.clone(), amount }));
            }
            (Known::Idle | Known::Declined(_) | Known::Voided | Known::Settled, _) => return Ok(None),
            (Known::Captured(_) | Known::Open | Known::LeftBehind, _) => {}
        }
        let Some(configured) = self.gateways.get(&self.charge.gateway) else {
            let message = format!("the gateway {} is not configured here", self.charge.gateway);
            return Err(Halt::transient("gateway-unknown", message));
        };
        let gateway = configured.gateway.as_ref();
        if self.charge.reference.is_none() && gateway.capabilities().prepares {
            // nothing is charged before its reference is committed
            return self.voided().await;
        }
        if !gateway.capabilities().probes_charges
            && let Some(ended) = self.told(configured.late_window).await?
        {
            return Ok(ended);
        }
        let request = ChargeRequest {
            order_id: self.order_id,
            saga_id: self.call.saga_id,
            amount: self.charge.amount,
            payment_method: String::new(),
            repeats: false,
        };
        match gateway.void(&self.charge.key, &request, self.charge.reference.as_ref()).await {
            VoidOutcome::Voided { .. } => self.voided().await,
            VoidOutcome::AlreadyCaptured(captured) => self.captured(captured).await,
            VoidOutcome::Accepted => Err(self.wait(TimeDelta::seconds(CANCEL_SECS))),
            VoidOutcome::Processing { .. } => Err(self.wait(delta(LATER))),
            VoidOutcome::NotFound => Err(later("charge-not-found", "the gateway does not know the charge")),
            VoidOutcome::CannotVoid => Err(later("charge-open", "the gateway cannot end the charge")),
            VoidOutcome::Refused(refusal) => Err(Halt::Permanent(refused(refusal))),
            VoidOutcome::Unknown(doubt) if doubt.is_held_back() => Err(doubtful(doubt)),
            VoidOutcome::Unknown(doubt) => {
                Err(Halt::Transient { failure: Failure::new("gateway-doubt", doubt.detail), after: doubt.retry_after })
            }
        }
    }

    /// What a gateway that cannot be asked has told; nothing while it has told no end.
    async fn told(&self, late_window: Duration) -> Answer<Option<Option<Captured>>> {
        let (gateway, key) = self.names();
        let now = self.call.now;
        match &self.news {
            Some((Told::Captured { amount }, reference)) => {
                let reference = reference.as_ref().or(self.charge.reference.as_ref()).cloned();
                let reference =
                    reference.ok_or_else(|| later("charge-unnamed", "the news does not name the charge"))?;
                self.captured(Captured { reference, amount: *amount }).await.map(Some)
            }
            Some((Told::Declined { .. } | Told::Voided, _)) => self.voided().await.map(Some),
            news => match (self.charge.not_ended_at, news) {
                // nothing of this key has come in all the time in which it could
                (Some(heard_at), _) if now >= heard_at + delta(late_window) => {
                    PaymentNote::Voided { gateway, key }.write_unless_told(self.notebook).await?;
                    Ok(Some(None))
                }
                (Some(heard_at), _) => Err(self.wait(heard_at + delta(late_window) - now)),
                (None, Some((Told::VoidFailed, _))) => {
                    PaymentNote::NotEnded { gateway, key, heard_at: now }.write(self.notebook).await?;
                    Err(self.wait(delta(late_window)))
                }
                (None, _) => Ok(None),
            },
        }
    }

    async fn captured(&self, captured: Captured) -> Answer<Option<Captured>> {
        let (gateway, key) = self.names();
        let Captured { reference, amount } = captured.clone();
        PaymentNote::Captured { gateway, key, reference, amount }.write(self.notebook).await?;
        Ok(Some(captured))
    }

    async fn voided(&self) -> Answer<Option<Captured>> {
        let (gateway, key) = self.names();
        PaymentNote::Voided { gateway, key }.write(self.notebook).await?;
        Ok(None)
    }

    fn wait(&self, at_most: TimeDelta) -> Halt {
        Halt::Wait(Wait {
            signal: Some(payment_signal(&self.charge.key)),
            until: Some(self.call.now + at_most),
            reason: format!("{} to end the payment", self.charge.gateway),
            ..Wait::default()
        })
    }

    fn names(&self) -> (String, IdempotencyKey) {
        (self.charge.gateway.clone(), self.charge.key.clone())
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn later(code: &str, message: &str) -> Halt {
    Halt::Transient { failure: Failure::new(code, message), after: Some(LATER) }
}
