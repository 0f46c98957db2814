//! What the step that has a gateway pay back writes into the journal.

use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::RefundId,
    money::Money,
};
use orchestrator::action::{Failure, Halt, Notebook};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fact about a refund, in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "refund", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RefundNote {
    /// It is about to be asked for.
    Intended {
        /// The refund.
        refund_id: RefundId,
        /// Where.
        gateway: String,
        /// By which key.
        key: IdempotencyKey,
        /// Of which charge.
        payment: Reference,
        /// How much: what is outstanding.
        amount: Money,
        /// Which generation of the key; journals of before had only the first.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        generation: i32,
    },
    /// The gateway works on it.
    Pending {
        /// The refund.
        refund_id: RefundId,
        /// The gateway's name for it.
        reference: Reference,
    },
    /// The gateway has paid back less than it was asked for, and that was all of this generation.
    Part {
        /// The refund.
        refund_id: RefundId,
        /// Of which generation.
        generation: i32,
        /// The gateway's name for it.
        reference: Reference,
        /// How much went back.
        amount: Money,
    },
    /// The gateway has said no to this generation: nothing of it goes back.
    Failed {
        /// The refund.
        refund_id: RefundId,
        /// The gateway's name for it, where it has one.
        reference: Option<Reference>,
        /// Why; journals of before did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// Another generation could not end otherwise.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_final: bool,
    },
}

fn first() -> i32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(generation: &i32) -> bool {
    *generation == first()
}

impl RefundNote {
    /// As it stands in the journal.
    ///
    /// # Errors
    /// Never for a value of this type; what its serializer says.
    pub(super) fn to_value(&self) -> Result<Value, Halt> {
        serde_json::to_value(self).map_err(|error| Halt::permanent("note", error.to_string()))
    }

    /// Commits it as an entry of the call.
    ///
    /// # Errors
    /// [`Halt::Superseded`]: make no further call.
    pub(super) async fn write(&self, notebook: &dyn Notebook) -> Result<(), Halt> {
        notebook.note(self.to_value()?).await
    }
}
