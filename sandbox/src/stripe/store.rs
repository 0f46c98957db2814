//! What a Stripe gateway knows, and what a call has changed of it.

use serde::{Deserialize, Serialize};

use super::objects::{Charge, Intent, Refund};
use crate::faults::Kind;
use crate::shelf::Shelf;
use crate::store::Objects;

/// What a line of the journal has of Stripe's.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intents: Vec<Intent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    charges: Vec<Charge>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<Refund>,
}

/// What happens after the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// The issuer decides on a payment intent that is processing.
    Decide { intent: String },
    /// A pending refund reaches the buyer.
    SucceedRefund { refund: String },
    /// A refund comes back.
    FailRefund { refund: String },
}

/// The store.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) intents: Shelf<Intent>,
    pub(crate) charges: Shelf<Charge>,
    pub(crate) refunds: Shelf<Refund>,
    /// What the current call has changed so far.
    changes: Changes,
}

impl Store {
    /// Keeps a payment intent as it is now.
    pub(crate) fn put_intent(&mut self, intent: Intent) {
        self.changes.intents.retain(|old| old.id != intent.id);
        self.changes.intents.push(intent.clone());
        self.intents.put(intent);
    }

    /// Keeps a charge as it is now.
    pub(crate) fn put_charge(&mut self, charge: Charge) {
        self.changes.charges.push(charge.clone());
        self.charges.put(charge);
    }

    /// Keeps a refund as it is now.
    pub(crate) fn put_refund(&mut self, refund: Refund) {
        self.changes.refunds.push(refund.clone());
        self.refunds.put(refund);
    }
}

impl Objects for Store {
    type Changes = Changes;
    type Effect = Effect;

    fn absorb(&mut self, changes: Changes) {
        changes.intents.into_iter().for_each(|it| self.intents.put(it));
        changes.charges.into_iter().for_each(|it| self.charges.put(it));
        changes.refunds.into_iter().for_each(|it| self.refunds.put(it));
    }

    fn take_changes(&mut self) -> Option<Changes> {
        let changes = std::mem::take(&mut self.changes);
        let is_empty = changes.intents.is_empty() && changes.charges.is_empty() && changes.refunds.is_empty();
        (!is_empty).then_some(changes)
    }

    fn note_asked(&mut self, kind: Kind, reference: &str, key: Option<&str>) -> bool {
        if let Some(mut intent) = self.intents.get(reference).cloned() {
            intent.asked.entry(kind).or_default().note(1, key);
            self.put_intent(intent);
        } else if let Some(mut refund) = self.refunds.get(reference).cloned() {
            refund.asked.note(1, key);
            self.put_refund(refund);
        } else {
            return false;
        }
        true
    }
}
