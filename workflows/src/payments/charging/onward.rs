//! What follows from a charge that is over, or that nobody can wait for any longer: the next one, or none.

use super::{Asked, Charging};
use crate::{
    gateways::{Decline, DeclineCategory, NotExecuted, Refusal},
    payments::{
        ChargeOutput, PaymentNote,
        charges::{Attempted, Known, charges},
        declined, held_back, not_executed, refused,
        route::{self, Route},
        settle::LeftBehind,
    },
};
use orchestrator::action::{Answer, Failure, Halt};
use std::time::Duration;

/// How many attempts are kept for the next gateway when a charge is left behind: of ten, three are made before.
const ATTEMPTS_KEPT: u32 = 7;

/// What speaks for going on without a charge whose outcome nobody can tell.
#[derive(Debug, Clone, Copy)]
struct Pressure {
    /// Its gateway is kept from being asked.
    is_away: bool,
    /// How often the step may still be tried; none: any number of times.
    attempts_left: Option<u32>,
    /// How long the seats are still kept.
    hold_left: Duration,
    /// How long one more call to its gateway may take.
    call_takes: Duration,
    /// How long a call to the next gateway may take; none: there is none.
    next_takes: Option<Duration>,
}

impl Pressure {
    /// There is a gateway that can still take the payment in time, and none would have the time if this one were
    /// asked again.
    fn is_too_much(self) -> bool {
        let Some(next_takes) = self.next_takes.filter(|takes| *takes <= self.hold_left) else { return false };
        let attempts_run_out = self.attempts_left.is_some_and(|left| left <= ATTEMPTS_KEPT);
        let hold_runs_out = self.hold_left < next_takes + self.call_takes;
        self.is_away || attempts_run_out || hold_runs_out
    }
}

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

    /// It was we who did not ask, so no attempt is used up: a gateway that was not asked yet and can be comes at once.
    fn step_aside(&self, reason: NotExecuted) -> Halt {
        let charges = charges(self.call);
        let was_asked =
            |gateway: &str| gateway == self.attempt.gateway || charges.iter().any(|charge| charge.gateway == gateway);
        let is_another_there = self.open_takers().into_iter().any(|gateway| !was_asked(gateway));
        if is_another_there { held_back(Some(Duration::ZERO), reason.detail) } else { self.parked(reason) }
    }

    /// Until the call may be made, and no longer than the seats are kept.
    fn parked(&self, reason: NotExecuted) -> Halt {
        let after = reason.retry_after.map(|after| after.min(self.hold_left()));
        held_back(after, reason.detail)
    }

    fn hold_left(&self) -> Duration {
        (self.input.expires_at - self.now()).to_std().unwrap_or_default()
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

    /// This call was not made, and an earlier one by the same key may have moved money, or still may: the charge is
    /// ended where its protocol can, or left behind when it is time. Else the same call comes again.
    pub(super) async fn still_open(&self, reason: NotExecuted) -> Answer<ChargeOutput> {
        let asked = self.end_where_possible().await?;
        let used_up = u32::from(!reason.is_held_back());
        match self.leave_in_time(asked, used_up).await? {
            Asked::Captured(output) => Ok(output),
            Asked::Open if reason.is_held_back() => Err(self.parked(reason)),
            Asked::Open => Err(not_executed(reason)),
            // the next one at once, unless this was an attempt
            Asked::Ended if reason.is_held_back() => Err(held_back(Some(Duration::ZERO), reason.detail)),
            Asked::Ended => Err(not_executed(NotExecuted { retry_after: None, ..reason })),
            Asked::Unknown { halt, .. } => Err(halt),
        }
    }

    /// What became of the charge. When it may still take money and it is time, it is ended where its protocol can, or
    /// else the order goes on without it.
    pub(in crate::payments) async fn learn_in_time(&self) -> Answer<Asked> {
        let asked = match self.learn().await? {
            Asked::Open if self.pressure(false, 0).is_too_much() => self.end_where_possible().await?,
            asked => asked,
        };
        self.leave_in_time(asked, 0).await
    }

    async fn end_where_possible(&self) -> Answer<Asked> {
        if self.gateway.capabilities().voids { self.end().await } else { Ok(Asked::Open) }
    }

    /// Lets the order go on without a charge whose outcome nobody can tell and which nobody can end, when there is
    /// another gateway and no time to wait any longer. From here on a saga of its own looks after it.
    async fn leave_in_time(&self, asked: Asked, used_up: u32) -> Answer<Asked> {
        let is_away = match asked {
            Asked::Open => false,
            Asked::Unknown { is_away, .. } => is_away,
            Asked::Captured(_) | Asked::Ended => return Ok(asked),
        };
        if !self.pressure(is_away, used_up).is_too_much() {
            return Ok(asked);
        }
        let (gateway, key) = self.names();
        let note = PaymentNote::LeftBehind { gateway, key }.to_value()?;
        let saga = LeftBehind::of(self.input.order_id, &self.attempt).saga()?;
        match self.notebook.note_and_start(note, saga).await {
            Ok(()) => Ok(Asked::Ended),
            // it is in as much doubt as before
            Err(Halt::Permanent(failure) | Halt::Transient { failure, .. }) => Err(Halt::InDoubt(failure)),
            Err(halt) => Err(halt),
        }
    }

    /// `used_up`: attempts that will have been made when this one has ended, and are not counted yet.
    fn pressure(&self, is_away: bool, used_up: u32) -> Pressure {
        let charges = self.charges_with(Known::LeftBehind);
        let next =
            route::next(&charges, &self.open_takers()).and_then(|Route { gateway, .. }| self.gateways.get(gateway));
        Pressure {
            is_away: is_away || self.gateways.charges_closed_for(&self.attempt.gateway).is_some(),
            attempts_left: self.call.attempts_left.map(|left| left.saturating_sub(used_up)),
            hold_left: self.hold_left(),
            call_takes: self.call_takes,
            next_takes: next.map(|next| next.timeout),
        }
    }

    fn takers(&self) -> Answer<Vec<&'a str>> {
        self.gateways.takers(&self.input.payment_method, self.input.total)
    }

    /// Those of them that charges are let through to.
    fn open_takers(&self) -> Vec<&'a str> {
        let mut takers = self.takers().unwrap_or_default();
        takers.retain(|gateway| self.gateways.charges_closed_for(gateway).is_none());
        takers
    }

    /// All charges, with what is known now of this one.
    fn charges_with(&self, known: Known) -> Vec<Attempted> {
        let mut charges = charges(self.call);
        charges.retain(|charge| charge.key != self.attempt.key || charge.gateway != self.attempt.gateway);
        charges.push(Attempted { known, ..self.attempt.clone() });
        charges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Pressure = Pressure {
        is_away: false,
        attempts_left: Some(8),
        hold_left: Duration::from_secs(900),
        call_takes: Duration::from_secs(8),
        next_takes: Some(Duration::from_secs(5)),
    };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_charge_is_left_behind_when_it_is_time_and_not_before() {
        for (is_left, pressure) in [
            (false, ENOUGH),
            (false, Pressure { attempts_left: None, ..ENOUGH }),
            (true, Pressure { is_away: true, ..ENOUGH }),
            (true, Pressure { attempts_left: Some(7), ..ENOUGH }),
            (true, Pressure { attempts_left: Some(0), ..ENOUGH }),
            (false, Pressure { hold_left: secs(13), ..ENOUGH }),
            (true, Pressure { hold_left: secs(12), ..ENOUGH }),
            (true, Pressure { hold_left: secs(5), ..ENOUGH }),
        ] {
            assert_eq!(pressure.is_too_much(), is_left, "{pressure:?}");
        }
    }

    #[test]
    fn a_charge_is_not_left_behind_for_nothing() {
        let pressed = Pressure { is_away: true, attempts_left: Some(1), ..ENOUGH };
        assert!(!Pressure { next_takes: None, ..pressed }.is_too_much(), "nobody else takes the payment");
        assert!(!Pressure { hold_left: secs(4), ..pressed }.is_too_much(), "the next one would come too late");
        assert!(!Pressure { hold_left: secs(0), ..pressed }.is_too_much());
    }
}
