//! What a step's journal tells of its tries at the gateway. Each try is a generation of the refund's key; the next one
//! begins when the one before has ended for certain, and asks for what is outstanding.

use super::RefundNote;
use crate::{gateways::Reference, money::Money};
use orchestrator::action::Failure;
use serde::Deserialize;
use serde_json::Value;

/// After so many tries that failed or brought back a part, one after another, a person must look.
pub(super) const GENERATIONS_MAX: u32 = 3;

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
    /// How the last of them ended, and whether another could end otherwise.
    pub(super) last_end: Option<(Failure, bool)>,
}

impl Tries {
    /// What `notes` tell of a refund of `amount` whose first generation here is `generation`.
    pub(super) fn of(notes: &[Value], generation: i32, amount: Money) -> Self {
        let fresh = Self { generation, outstanding: amount, reference: None, calls: 0, ended: 0, last_end: None };
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
        self.last_end = Some((failure, is_final));
    }

    /// There is no next try without a person; those that a person asks for are counted anew.
    pub(super) fn is_given_up(&self) -> bool {
        let is_final = self.last_end.as_ref().is_some_and(|(_, is_final)| *is_final);
        !self.is_open() && self.ended > 0 && (is_final || self.ended.is_multiple_of(GENERATIONS_MAX))
    }
}

/// Whether the last try that `notes` tell of is over, so that nothing of it is under way.
pub(super) fn has_ended(notes: &[Value]) -> bool {
    let told = notes.iter().rev().filter_map(|note| RefundNote::deserialize(note).ok());
    let mut ends = told.filter(|note| !matches!(note, RefundNote::Pending { .. }));
    matches!(ends.next(), Some(RefundNote::Part { .. } | RefundNote::Failed { .. }))
}
