//! What follows from a charge that is over, or that nobody can wait for any longer: the next one, or none.

use super::Charging;
use crate::{
    gateways::{Decline, DeclineCategory, NotExecuted, Refusal},
    payments::{
        PaymentNote,
        charges::{Attempted, Known, charges},
        declined, held_back, refused,
        route::{self, Route},
        settle::LeftBehind,
    },
};
use orchestrator::action::{Answer, Failure, Halt};
use std::time::Duration;

/// How many attempts are kept for the next gateway when a charge is left behind.
const ATTEMPTS_KEPT: u32 = 3;

impl<'a> Charging<'a> {
    pub(super) async fn declined(&self, decline: &Decline) -> Answer<Halt> {
        let (gateway, key) = self.names();
        let (reference, category) = (decline.reference.clone(), decline.category);
        PaymentNote::Declined { gateway, key, reference, category }.write(self.notebook).await?;
        Ok(self.go_on(Known::Declined(category), declined(decline), None))
    }

    /// Nothing of this charge is on its way: another gateway may be asked, and this one again by the same key.
    pub(super) async fn not_executed(&self, reason: NotExecuted) -> Answer<Halt> {
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
    pub(super) async fn refused(&self, refusal: Refusal) -> Answer<Halt> {
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
    pub(super) fn go_on(&self, known: Known, failure: Failure, after: Option<Duration>) -> Halt {
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
    pub(in crate::payments) async fn leave_behind(&self, is_away: bool) -> Answer<bool> {
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
}
