//! What the payment steps write into the journal, and what they read back from it.

use crate::{
    gateways::{IdempotencyKey, Reference},
    money::Money,
};
use orchestrator::action::{Call, Halt, Notebook};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fact about a charge. The gateway and the key say which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "payment", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PaymentNote {
    /// It is about to be asked for.
    Intended {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// How much.
        amount: Money,
    },
    /// The gateway has a name for it; no money has moved.
    Prepared {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// The gateway's name for it.
        reference: Reference,
    },
    /// The buyer must do something first.
    ActionRequired {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// The gateway's name for it.
        reference: Reference,
        /// What.
        next_action: Value,
    },
    /// Money was taken. Written where that is learned other than as the step's output.
    Captured {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// The gateway's name for it.
        reference: Reference,
        /// How much, as the gateway says.
        amount: Money,
    },
    /// No money was taken, and none will be.
    Declined {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// The gateway's name for it, where it has one.
        reference: Option<Reference>,
    },
    /// It was ended before it took money.
    Voided {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
}

impl PaymentNote {
    /// Which charge it is about.
    #[must_use]
    pub fn charge(&self) -> (&str, &IdempotencyKey) {
        match self {
            Self::Intended { gateway, key, .. }
            | Self::Prepared { gateway, key, .. }
            | Self::ActionRequired { gateway, key, .. }
            | Self::Captured { gateway, key, .. }
            | Self::Declined { gateway, key, .. }
            | Self::Voided { gateway, key } => (gateway, key),
        }
    }

    /// As it stands in the journal.
    ///
    /// # Errors
    /// Never for a value of this type; what its serializer says.
    pub fn to_value(&self) -> Result<Value, Halt> {
        serde_json::to_value(self).map_err(|error| Halt::permanent("note", error.to_string()))
    }

    /// Commits it as an entry of the call.
    ///
    /// # Errors
    /// [`Halt::Superseded`]: make no further call.
    pub async fn write(&self, notebook: &dyn Notebook) -> Result<(), Halt> {
        notebook.note(self.to_value()?).await
    }
}

/// How a charge ended, as far as the journal knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    /// It may have been executed, or still be.
    Open,
    /// So much was taken.
    Captured(Money),
    /// Nothing was taken, and nothing will be.
    Dead,
}

/// The charge that was intended last, with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempted {
    pub(super) gateway: String,
    pub(super) key: IdempotencyKey,
    pub(super) amount: Money,
    pub(super) reference: Option<Reference>,
    pub(super) known: Known,
}

/// What a step's notes say of its last charge; nothing when none was ever intended.
pub(super) fn last_charge(call: &Call) -> Option<Attempted> {
    let notes: Vec<PaymentNote> = call.notes_as().collect();
    let mut last = notes.iter().rev().find_map(|note| match note {
        PaymentNote::Intended { gateway, key, amount } => Some(Attempted {
            gateway: gateway.clone(),
            key: key.clone(),
            amount: *amount,
            reference: None,
            known: Known::Open,
        }),
        _ => None,
    })?;
    for note in notes {
        if note.charge() != (last.gateway.as_str(), &last.key) {
            continue;
        }
        match note {
            PaymentNote::Intended { .. } => {}
            PaymentNote::Prepared { reference, .. } | PaymentNote::ActionRequired { reference, .. } => {
                last.reference = Some(reference);
            }
            PaymentNote::Captured { reference, amount, .. } => {
                last.reference = Some(reference);
                last.known = Known::Captured(amount);
            }
            PaymentNote::Declined { .. } | PaymentNote::Voided { .. } => {
                if last.known == Known::Open {
                    last.known = Known::Dead;
                }
            }
        }
    }
    Some(last)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::money::Currency;
    use orchestrator::{
        action::Lane,
        ids::{SagaId, Uuid},
    };
    use std::collections::BTreeMap;

    pub(crate) fn call_with(notes: Vec<Value>) -> Call {
        Call {
            saga_id: SagaId(Uuid::from_u128(1)),
            definition: "book-tickets".to_owned(),
            tags: BTreeMap::new(),
            saga_input: Value::Null,
            step: "pay".to_owned(),
            lane: Lane::Forward,
            attempt: 1,
            now: chrono::DateTime::UNIX_EPOCH,
            deadline: None,
            notes,
            output: None,
            cause: None,
            failure: None,
            attempts_left: None,
            signal: None,
            signals: Vec::new(),
            wait_elapsed: false,
        }
    }

    pub(crate) fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    pub(crate) fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(text).unwrap()
    }

    pub(crate) fn reference(text: &str) -> Reference {
        Reference::new(text).unwrap()
    }

    pub(crate) fn intended(at: &str) -> PaymentNote {
        PaymentNote::Intended { gateway: at.to_owned(), key: key(at), amount: eur(100) }
    }

    fn values(notes: &[PaymentNote]) -> Vec<Value> {
        notes.iter().map(|note| note.to_value().unwrap()).collect()
    }

    #[test]
    fn the_last_intent_counts_with_its_own_notes() {
        assert_eq!(last_charge(&call_with(vec![])), None);
        let prepared = |at: &str, name: &str| PaymentNote::Prepared {
            gateway: at.to_owned(),
            key: key(at),
            reference: reference(name),
        };
        let notes = [intended("a"), prepared("a", "pi_1"), intended("b"), prepared("b", "pi_2"), intended("b")];
        let last = last_charge(&call_with(values(&notes))).unwrap();
        assert_eq!((last.gateway.as_str(), last.reference, last.known), ("b", Some(reference("pi_2")), Known::Open));
    }

    #[test]
    fn what_was_captured_is_not_declined_by_a_late_note() {
        let captured = PaymentNote::Captured {
            gateway: "a".to_owned(),
            key: key("a"),
            reference: reference("pi_1"),
            amount: eur(100),
        };
        let voided = PaymentNote::Voided { gateway: "a".to_owned(), key: key("a") };
        let dead = last_charge(&call_with(values(&[intended("a"), voided.clone()]))).unwrap();
        assert_eq!(dead.known, Known::Dead);
        let taken = last_charge(&call_with(values(&[intended("a"), captured, voided]))).unwrap();
        assert_eq!(taken.known, Known::Captured(eur(100)));
    }

    #[test]
    fn other_notes_are_passed_over() {
        let mut notes = values(&[intended("a")]);
        notes.push(serde_json::json!({"something": "else"}));
        assert_eq!(last_charge(&call_with(notes)).unwrap().key, key("a"));
    }
}
