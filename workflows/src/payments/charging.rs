//! One charge in the hand: making it, asking about it, ending it, and what follows.

use super::{
    AMOUNT_MISMATCH, ChargeInput, ChargeOutput, Gateways, HOLD_EXPIRED, PaymentNote, Told,
    charges::{Attempted, Known, charges},
    declined, doubtful, held_back,
    news::told,
    not_executed, payment_signal, refused,
    route::{self, Route},
    settle::LeftBehind,
    unwanted::Unwanted,
};
use crate::{
    gateways::{
        Captured, ChargeOutcome, ChargeRequest, Decline, DeclineCategory, Gateway, IdempotencyKey, NotExecuted,
        PrepareOutcome, ProbeOutcome, Reference, Refusal, VoidOutcome,
    },
    money::Money,
};
use chrono::TimeDelta;
use orchestrator::action::{Answer, Call, Failure, Halt, Notebook, Wait};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long a gateway that works on a charge is left alone before it is asked again; its webhook comes sooner.
const PROCESSING_SECS: i64 = 10;

/// How many attempts are kept for the next gateway when a charge is left behind.
const ATTEMPTS_KEPT: u32 = 3;

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
    /// The longest that one call may take: a charge for which so much of the hold is not left is not begun.
    pub(super) call_takes: Duration,
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
        let call_takes = gateway.timeout;
        let gateway = Arc::clone(&gateway.gateway);
        Ok(Self { gateways, gateway, call, notebook, input, request, call_takes, attempt })
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

    /// What became of the charge: by asking, or where nobody can be asked by what was told. News of another amount
    /// than the order's is for a person, whatever the gateway says now.
    pub(super) async fn learn(&self) -> Answer<Asked> {
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
                Err(Halt::in_doubt("charge-not-found", "the gateway does not know the charge that it has named"))
            }
            ProbeOutcome::Unknown(doubt) => Err(doubtful(doubt)),
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
            VoidOutcome::Unknown(doubt) => Err(doubtful(doubt)),
        }
    }

    /// The seats are not kept any longer: makes sure that nothing is charged late.
    pub(super) async fn give_up(&self) -> Answer<ChargeOutput> {
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

    async fn declined(&self, decline: &Decline) -> Answer<Halt> {
        let (gateway, key) = self.names();
        let (reference, category) = (decline.reference.clone(), decline.category);
        PaymentNote::Declined { gateway, key, reference, category }.write(self.notebook).await?;
        Ok(self.go_on(Known::Declined(category), declined(decline), None))
    }

    /// Nothing of this charge is on its way: another gateway may be asked, and this one again by the same key.
    async fn not_executed(&self, reason: NotExecuted) -> Answer<Halt> {
        let (gateway, key) = self.names();
        PaymentNote::NotExecuted { gateway, key }.write(self.notebook).await?;
        if reason.is_held_back() {
            return Ok(self.step_aside(reason));
        }
        Ok(self.go_on(Known::Idle, Failure::new("gateway-unavailable", reason.detail), reason.retry_after))
    }

    /// It was we who did not ask, so no attempt is used up: a gateway that was not asked yet comes at once.
    fn step_aside(&self, reason: NotExecuted) -> Halt {
        let charges = charges(self.call);
        let was_asked =
            |gateway: &str| gateway == self.attempt.gateway || charges.iter().any(|charge| charge.gateway == gateway);
        let takers = self.takers().unwrap_or_default();
        let after =
            if takers.iter().all(|gateway| was_asked(gateway)) { reason.retry_after } else { Some(Duration::ZERO) };
        held_back(after, reason.detail)
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
        let takers = self.takers().unwrap_or_default();
        match route::next(&self.charges_with(known), &takers) {
            Some(Route { gateway, .. }) => {
                Halt::Transient { failure, after: after.filter(|_| gateway == self.attempt.gateway) }
            }
            None => Halt::Permanent(failure),
        }
    }

    /// Lets the order go on without this charge, whose outcome nobody can tell and which nobody can end, when there is
    /// another gateway and no time to wait any longer: the gateway `is_away`, the attempts run out, or the hold does.
    /// From here on a saga of its own looks after it.
    pub(super) async fn leave_behind(&self, is_away: bool) -> Answer<bool> {
        let mut takers = self.takers().unwrap_or_default();
        takers.retain(|gateway| self.gateways.charges_closed_for(gateway).is_none());
        let charges = self.charges_with(Known::LeftBehind);
        let Some(Route { gateway, .. }) = route::next(&charges, &takers) else { return Ok(false) };
        let needed = self.gateways.get(gateway).map_or(Duration::ZERO, |other| other.timeout);
        let hold_left = (self.input.expires_at - self.call.now).to_std().unwrap_or_default();
        let attempts_run_out = self.call.attempts_left.is_some_and(|left| left <= ATTEMPTS_KEPT);
        let hold_runs_out = hold_left < needed + self.call_takes;
        if hold_left < needed || !(is_away || attempts_run_out || hold_runs_out) {
            return Ok(false);
        }
        let (gateway, key) = self.names();
        let note = PaymentNote::LeftBehind { gateway, key }.to_value()?;
        let saga = LeftBehind::of(self.input.order_id, &self.attempt).saga()?;
        self.notebook.note_and_start(note, saga).await?;
        Ok(true)
    }

    fn takers(&self) -> Answer<Vec<&'a str>> {
        self.gateways.takers(&self.input.payment_method, self.input.total)
    }

    /// All charges, with what is known now of this one.
    fn charges_with(&self, known: Known) -> Vec<Attempted> {
        let mut charges = charges(self.call);
        charges.retain(|charge| charge.key != self.attempt.key || charge.gateway != self.attempt.gateway);
        charges.push(Attempted { known, ..self.attempt.clone() });
        charges
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

pub(super) fn hold_expired() -> Halt {
    Halt::permanent(HOLD_EXPIRED, "the hold has ended before the payment was taken")
}

/// More, less, or other money than the order costs.
pub(super) fn amount_mismatch(taken: Money, wanted: Money) -> Halt {
    Halt::permanent(AMOUNT_MISMATCH, format!("the gateway has taken {taken}, the order costs {wanted}"))
}
