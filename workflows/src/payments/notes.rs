//! What the payment steps write into the journal, and what they read back from it.

use crate::{
    gateways::{DeclineCategory, IdempotencyKey, Reference},
    money::Money,
};
use chrono::{DateTime, Utc};
use orchestrator::action::{Halt, Notebook};
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
        /// Whether another gateway could do better; journals of before did not say, and tried no other.
        #[serde(default = "no_other", skip_serializing_if = "is_no_other")]
        category: DeclineCategory,
    },
    /// Nobody knows what became of a call for it, and it is not asked for again before it is known or ended.
    Doubted {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
    /// It was certainly not executed so far, and is not on its way: it may be asked for again by the same key.
    NotExecuted {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
    /// It was ended before it took money.
    Voided {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
    /// The gateway would not end it: it has taken money, of which we have not heard yet, or has never arrived.
    NotEnded {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// When that was heard.
        heard_at: DateTime<Utc>,
    },
    /// It could neither be asked about nor ended in time: the order goes on without it, and a saga of its own
    /// ([`super::SETTLE_DOUBT`]) sees to it that it takes no money, or that the money goes back.
    LeftBehind {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
    /// It is over, and no money of it is with us any more.
    Settled {
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
    },
}

fn no_other() -> DeclineCategory {
    DeclineCategory::Final
}

fn is_no_other(category: &DeclineCategory) -> bool {
    *category == no_other()
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
            | Self::Doubted { gateway, key }
            | Self::NotExecuted { gateway, key }
            | Self::Voided { gateway, key }
            | Self::NotEnded { gateway, key, .. }
            | Self::LeftBehind { gateway, key }
            | Self::Settled { gateway, key } => (gateway, key),
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

    /// The same where it rests on nothing having been told.
    ///
    /// # Errors
    /// [`Halt::Superseded`], also when something was told meanwhile.
    pub async fn write_unless_told(&self, notebook: &dyn Notebook) -> Result<(), Halt> {
        notebook.note_unless_told(self.to_value()?).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::money::Currency;
    use orchestrator::{
        action::{Call, Lane},
        ids::{SagaId, Uuid},
    };
    use std::collections::BTreeMap;

    pub(crate) fn call_with(notes: Vec<Value>) -> Call {
        Call {
            saga_id: SagaId(Uuid::from_u128(1)),
            keys_of: SagaId(Uuid::from_u128(1)),
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

    pub(crate) fn values(notes: &[PaymentNote]) -> Vec<Value> {
        notes.iter().map(|note| note.to_value().unwrap()).collect()
    }

    #[test]
    fn a_decline_of_before_is_final() {
        let before = serde_json::json!({"payment": "declined", "gateway": "a", "key": "a", "reference": null});
        let declined = PaymentNote::deserialize(&before).unwrap();
        assert!(matches!(declined, PaymentNote::Declined { category: DeclineCategory::Final, .. }));
    }
}
