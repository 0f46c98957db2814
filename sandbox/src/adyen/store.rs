//! What an Adyen gateway knows, and what a call has changed of it.

use serde::{Deserialize, Serialize};

use super::objects::{Modification, Payment};
use crate::faults::Kind;
use crate::shelf::Shelf;
use crate::store::Objects;

/// What a line of the journal has of Adyen's.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    payments: Vec<Payment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modifications: Vec<Modification>,
}

/// What happens after the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// The issuer decides on a payment that is pending.
    Decide { payment: String },
    /// The money of an authorised payment is taken by itself.
    Capture { payment: String },
    /// A modification is decided.
    Settle { modification: String, is_refused: bool, fails_after_ms: Option<i64> },
    /// A refund that succeeded comes back.
    FailRefund { modification: String },
}

/// The store.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) payments: Shelf<Payment>,
    pub(crate) modifications: Shelf<Modification>,
    /// What the current call has changed so far.
    changes: Changes,
}

impl Store {
    /// Keeps a payment as it is now.
    pub(crate) fn put_payment(&mut self, payment: Payment) {
        self.changes.payments.push(payment.clone());
        self.payments.put(payment);
    }

    /// Keeps a modification as it is now.
    pub(crate) fn put_modification(&mut self, modification: Modification) {
        self.changes.modifications.push(modification.clone());
        self.modifications.put(modification);
    }
}

impl Objects for Store {
    type Changes = Changes;
    type Effect = Effect;

    fn absorb(&mut self, changes: Changes) {
        changes.payments.into_iter().for_each(|it| self.payments.put(it));
        changes.modifications.into_iter().for_each(|it| self.modifications.put(it));
    }

    fn take_changes(&mut self) -> Option<Changes> {
        let changes = std::mem::take(&mut self.changes);
        let is_empty = changes.payments.is_empty() && changes.modifications.is_empty();
        (!is_empty).then_some(changes)
    }

    fn note_asked(&mut self, _: Kind, reference: &str, key: Option<&str>) -> bool {
        if let Some(mut payment) = self.payments.get(reference).cloned() {
            payment.asked.note(1, key);
            self.put_payment(payment);
        } else if let Some(mut modification) = self.modifications.get(reference).cloned() {
            modification.asked.note(1, key);
            self.put_modification(modification);
        } else {
            return false;
        }
        true
    }
}
