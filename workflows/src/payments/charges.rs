//! What a step's journal tells of its charges: one for each gateway and key, in the order in which they were intended.

use super::PaymentNote;
use crate::{
    gateways::{DeclineCategory, IdempotencyKey, Reference},
    money::Money,
};
use chrono::{DateTime, Utc};
use orchestrator::action::Call;

/// How far a charge has come, as far as the journal knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Known {
    /// It may have been executed, or still be.
    Open,
    /// It was certainly not executed so far, and nothing of it is on its way.
    Idle,
    /// So much was taken.
    Captured(Money),
    /// Nothing was taken, and nothing will be.
    Declined(DeclineCategory),
    /// It was ended before it took anything.
    Voided,
    /// The order goes on without it, and a saga of its own looks after it.
    LeftBehind,
    /// It is over, and no money of it is with us any more.
    Settled,
}

impl Known {
    /// What is known after one more note. What is definite stays: money that was taken above all.
    fn after(self, note: &PaymentNote) -> Self {
        match (self, note) {
            (_, PaymentNote::Settled { .. }) | (Self::Settled, _) => Self::Settled,
            (_, PaymentNote::Captured { amount, .. }) => Self::Captured(*amount),
            (Self::Captured(_) | Self::Declined(_) | Self::Voided | Self::LeftBehind, _) => self,
            (
                _,
                PaymentNote::Intended { .. }
                | PaymentNote::Prepared { .. }
                | PaymentNote::ActionRequired { .. }
                | PaymentNote::Doubted { .. }
                | PaymentNote::NotEnded { .. },
            ) => Self::Open,
            (_, PaymentNote::Declined { category, .. }) => Self::Declined(*category),
            (_, PaymentNote::NotExecuted { .. }) => Self::Idle,
            (_, PaymentNote::Voided { .. }) => Self::Voided,
            (_, PaymentNote::LeftBehind { .. }) => Self::LeftBehind,
        }
    }
}

/// A charge with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempted {
    pub(super) gateway: String,
    pub(super) key: IdempotencyKey,
    pub(super) amount: Money,
    pub(super) reference: Option<Reference>,
    pub(super) known: Known,
    /// How many calls may have been made with its key and are not known to have had no effect.
    pub(super) calls: u32,
    /// The gateway was asked, and what it answered does not tell.
    pub(super) doubted: bool,
    /// The order has gone on without it.
    pub(super) left_behind: bool,
    /// When it was first heard that the gateway would not end it.
    pub(super) not_ended_at: Option<DateTime<Utc>>,
}

impl Attempted {
    pub(super) fn new(gateway: String, key: IdempotencyKey, amount: Money) -> Self {
        Self {
            gateway,
            key,
            amount,
            reference: None,
            known: Known::Open,
            calls: 0,
            doubted: false,
            left_behind: false,
            not_ended_at: None,
        }
    }

    /// Whether the gateway was asked for its money, and has not answered.
    pub(super) fn was_in_vain(&self) -> bool {
        self.doubted || matches!(self.known, Known::Voided | Known::LeftBehind)
    }

    /// One more note of it.
    pub(super) fn hear(&mut self, note: &PaymentNote) {
        self.known = self.known.after(note);
        match note {
            PaymentNote::Intended { .. } => self.calls += 1,
            PaymentNote::NotExecuted { .. } => self.calls = 0,
            PaymentNote::Doubted { .. } => self.doubted = true,
            PaymentNote::NotEnded { heard_at, .. } => self.not_ended_at = self.not_ended_at.or(Some(*heard_at)),
            PaymentNote::Prepared { reference, .. }
            | PaymentNote::ActionRequired { reference, .. }
            | PaymentNote::Captured { reference, .. } => self.reference = Some(reference.clone()),
            PaymentNote::LeftBehind { .. } => self.left_behind = true,
            PaymentNote::Declined { .. } | PaymentNote::Voided { .. } | PaymentNote::Settled { .. } => {}
        }
    }
}

/// What a step's notes say of its charges, the one that was intended last at the end.
pub(super) fn charges(call: &Call) -> Vec<Attempted> {
    let mut charges: Vec<Attempted> = Vec::new();
    for note in call.notes_as::<PaymentNote>() {
        let (gateway, key) = note.charge();
        let known = charges.iter().position(|charge| charge.gateway == gateway && charge.key == *key);
        let mut charge = match (known, &note) {
            (Some(index), PaymentNote::Intended { .. }) => charges.remove(index),
            (Some(index), _) => {
                charges[index].hear(&note);
                continue;
            }
            (None, PaymentNote::Intended { gateway, key, amount }) => {
                Attempted::new(gateway.clone(), key.clone(), *amount)
            }
            // nobody can be asked about what was never intended
            (None, _) => continue,
        };
        charge.hear(&note);
        charges.push(charge);
    }
    charges
}

/// The charge that was intended last; nothing when none ever was.
pub(super) fn last_charge(call: &Call) -> Option<Attempted> {
    charges(call).pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::notes::tests::{call_with, eur, intended, key, reference, values};

    fn prepared(at: &str, name: &str) -> PaymentNote {
        PaymentNote::Prepared { gateway: at.to_owned(), key: key(at), reference: reference(name) }
    }

    fn captured(at: &str) -> PaymentNote {
        let (gateway, key) = (at.to_owned(), key(at));
        PaymentNote::Captured { gateway, key, reference: reference("pi_1"), amount: eur(100) }
    }

    fn voided(at: &str) -> PaymentNote {
        PaymentNote::Voided { gateway: at.to_owned(), key: key(at) }
    }

    fn not_executed(at: &str) -> PaymentNote {
        PaymentNote::NotExecuted { gateway: at.to_owned(), key: key(at) }
    }

    fn told(notes: &[PaymentNote]) -> Vec<Attempted> {
        charges(&call_with(values(notes)))
    }

    #[test]
    fn each_charge_has_its_own_notes_and_the_last_intent_is_the_last() {
        assert_eq!(told(&[]), []);
        let notes = [intended("a"), prepared("a", "pi_1"), intended("b"), prepared("b", "pi_2"), voided("b")];
        let charges = told(&notes);
        let known: Vec<_> = charges.iter().map(|charge| (charge.gateway.as_str(), charge.known)).collect();
        assert_eq!(known, [("a", Known::Open), ("b", Known::Voided)]);
        assert_eq!(charges[0].reference, Some(reference("pi_1")));
        let back = told(&[intended("a"), not_executed("a"), intended("b"), not_executed("b"), intended("a")]);
        let known: Vec<_> = back.iter().map(|charge| (charge.gateway.as_str(), charge.known)).collect();
        assert_eq!(known, [("b", Known::Idle), ("a", Known::Open)]);
    }

    #[test]
    fn what_is_definite_stays() {
        let known = |notes: &[PaymentNote]| told(notes).pop().unwrap().known;
        assert_eq!(known(&[intended("a"), voided("a")]), Known::Voided);
        assert_eq!(known(&[intended("a"), voided("a"), not_executed("a"), intended("a")]), Known::Voided);
        assert_eq!(known(&[intended("a"), captured("a"), voided("a")]), Known::Captured(eur(100)));
        assert_eq!(known(&[intended("a"), voided("a"), captured("a")]), Known::Captured(eur(100)), "it was late");
    }

    #[test]
    fn calls_that_may_have_had_an_effect_are_counted() {
        let calls = |notes: &[PaymentNote]| told(notes).pop().unwrap().calls;
        assert_eq!(calls(&[intended("a"), intended("a")]), 2);
        assert_eq!(calls(&[intended("a"), intended("a"), not_executed("a")]), 0);
        assert_eq!(calls(&[intended("a"), not_executed("a"), intended("a")]), 1);
    }

    #[test]
    fn what_was_not_answered_was_in_vain() {
        let was_in_vain = |notes: &[PaymentNote]| told(notes).pop().unwrap().was_in_vain();
        let doubted = PaymentNote::Doubted { gateway: "a".to_owned(), key: key("a") };
        assert!(was_in_vain(&[intended("a"), voided("a")]));
        assert!(was_in_vain(&[intended("a"), prepared("a", "pi_1"), doubted]));
        // who died, or was held back, has not been asked in vain
        assert!(!was_in_vain(&[intended("a")]));
        assert!(!was_in_vain(&[intended("a"), not_executed("a")]));
    }

    #[test]
    fn other_notes_are_passed_over() {
        let mut notes = values(&[intended("a")]);
        notes.push(serde_json::json!({"something": "else"}));
        assert_eq!(charges(&call_with(notes)).len(), 1);
    }
}
