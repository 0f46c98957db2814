//! What a step's journal tells of its tries at the gateway. Each try is a generation of the refund's key; the next one
//! begins when the one before has ended for certain, and asks for what is outstanding.

use super::RefundNote;
use crate::{gateways::Reference, money::Money};
use orchestrator::action::Failure;
use serde::Deserialize;
use serde_json::Value;

/// After so many tries that the gateway has refused, or has paid back a part of, a person must look.
pub(super) const GENERATIONS_MAX: u32 = 3;
/// The code of a try that a gateway's error has ended, which it keeps for that key: of the next key it says nothing.
pub(super) const SERVER_ERROR: &str = "refund-failed:server-error";

/// How far a refund has come, as far as the journal knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tries {
    /// The generation that is under way, or else the next one.
    pub(super) generation: i32,
    /// What it asks for.
    pub(super) outstanding: Money,
    /// The gateway's name for it, where it is known.
    pub(super) reference: Option<Reference>,
    /// How many calls for it may have been made: none when it is still to be intended.
    pub(super) calls: u32,
    /// How many tries have ended without all of the money.
    pub(super) ended: u32,
    /// How many of them were not ended by an error of the gateway's.
    refused: u32,
    /// How the last of them ended, and whether another could end otherwise.
    pub(super) last_end: Option<(Failure, bool)>,
}

impl Tries {
    /// What `notes` tell of a refund of `amount` whose first generation here is `generation`.
    pub(super) fn of(notes: &[Value], generation: i32, amount: Money) -> Self {
        let fresh =
            Self { generation, outstanding: amount, reference: None, calls: 0, ended: 0, refused: 0, last_end: None };
        notes.iter().filter_map(|note| RefundNote::deserialize(note).ok()).fold(fresh, |mut tries, note| {
            tries.hear(note);
            tries
        })
    }

    /// The generation may still come to something.
    pub(super) fn is_open(&self) -> bool {
        self.calls > 0
    }

    /// One more note. An end is of what is open: told twice, it is one.
    pub(super) fn hear(&mut self, note: RefundNote) {
        match note {
            RefundNote::Intended { generation, .. } if generation >= self.generation => {
                self.generation = generation;
                self.calls += 1;
            }
            RefundNote::Pending { reference, .. } => self.reference = Some(reference),
            RefundNote::Part { amount, .. } if self.is_open() => {
                self.outstanding = self.outstanding.checked_sub(amount).unwrap_or(self.outstanding);
                let failure = Failure::new("refund-partial", format!("only {amount} went back"));
                self.end(failure, false);
            }
            RefundNote::Failed { failure, is_final, .. } if self.is_open() => {
                let unsaid = || Failure::new("refund-failed", "the gateway has not said why");
                self.end(failure.unwrap_or_else(unsaid), is_final);
            }
            // also the first intended again after it had failed, as releases before did
            RefundNote::Intended { .. } | RefundNote::Part { .. } | RefundNote::Failed { .. } => {}
        }
    }

    fn end(&mut self, failure: Failure, is_final: bool) {
        self.generation += 1;
        self.reference = None;
        self.calls = 0;
        self.ended += 1;
        self.refused += u32::from(failure.code != SERVER_ERROR);
        self.last_end = Some((failure, is_final));
    }

    /// There is no next try without a person; those that a person asks for are counted anew.
    pub(super) fn is_given_up(&self) -> bool {
        let Some((failure, is_final)) = self.last_end.as_ref().filter(|_| !self.is_open()) else { return false };
        *is_final || (failure.code != SERVER_ERROR && self.refused.is_multiple_of(GENERATIONS_MAX))
    }
}

/// Whether the last try that `notes` tell of is over, so that nothing of it is under way.
pub(super) fn has_ended(notes: &[Value]) -> bool {
    let told = notes.iter().rev().filter_map(|note| RefundNote::deserialize(note).ok());
    let mut ends = told.filter(|note| !matches!(note, RefundNote::Pending { .. }));
    matches!(ends.next(), Some(RefundNote::Part { .. } | RefundNote::Failed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::RefundId, money::Currency, refunds::refund_key};
    use orchestrator::ids::Uuid;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::EUR)
    }

    /// The tries of a refund, each ended with this code.
    fn ended(codes: &[&str]) -> Tries {
        let refund_id = RefundId(Uuid::nil());
        let mut tries = Tries::of(&[], 1, eur(100));
        for (generation, code) in (1..).zip(codes) {
            tries.hear(RefundNote::Intended {
                refund_id,
                gateway: "primary".to_owned(),
                key: refund_key(refund_id, generation).unwrap(),
                payment: Reference::new("pi_1").unwrap(),
                amount: eur(100),
                generation,
            });
            let failure = Some(Failure::new(*code, ""));
            tries.hear(RefundNote::Failed { refund_id, reference: None, failure, is_final: false });
        }
        tries
    }

    #[test]
    fn only_what_the_gateway_refuses_again_and_again_is_for_a_person() {
        const REFUSED: &str = "refund-failed:declined";
        for (codes, is_given_up) in [
            (&[][..], false),
            (&[REFUSED, REFUSED], false),
            (&[REFUSED, REFUSED, REFUSED], true),
            (&[SERVER_ERROR; 9], false),
            (&[REFUSED, SERVER_ERROR, REFUSED], false),
            (&[REFUSED, SERVER_ERROR, REFUSED, REFUSED], true),
            (&[REFUSED, REFUSED, REFUSED, SERVER_ERROR], false),
        ] {
            assert_eq!(ended(codes).is_given_up(), is_given_up, "{codes:?}");
        }
        assert_eq!(ended(&[SERVER_ERROR, REFUSED]).generation, 3);
    }
}
