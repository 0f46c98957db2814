//! What becomes of a charge that its order has left behind: a saga of its own keeps at it until it is definite, and
//! gives back what it has taken. Nobody has to ask for that, and nobody may be the reason why it waits.

use super::{
    Gateways, PaymentNote, Told,
    charges::{Attempted, Known},
    news::told,
    unwanted::Unwanted,
};
use crate::{
    gateways::{IdempotencyKey, Reference},
    ids::{OrderId, RefundId},
    ledger,
    money::Money,
    orders::REFUND_ORDER,
};
use async_trait::async_trait;
use orchestrator::{
    action::{Answer, Call, Child, ExternalAction, Halt, LocalAction, Notebook, Wait},
    ids::Uuid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::sync::Arc;

/// The saga that looks after a charge that its order has left behind.
pub const SETTLE_DOUBT: &str = "settle-doubt";

/// A charge that its order has left behind: the input of [`SETTLE_DOUBT`] and of its actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftBehind {
    /// Whose.
    pub order_id: OrderId,
    /// Where.
    pub gateway: String,
    /// By which key.
    pub key: IdempotencyKey,
    /// How much was to be taken.
    pub amount: Money,
    /// The gateway's name for it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// What it has taken, where the gateway has told that before anybody looked after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Money>,
}

/// The key under which the saga is started that looks after a charge: whoever leaves it behind first starts it.
pub(super) fn settle_key(gateway: &str, key: &IdempotencyKey) -> String {
    format!("settle:{gateway}:{key}")
}

impl LeftBehind {
    pub(super) fn of(order_id: OrderId, charge: &Attempted) -> Self {
        Self {
            order_id,
            gateway: charge.gateway.clone(),
            key: charge.key.clone(),
            amount: charge.amount,
            reference: charge.reference.clone(),
            taken: None,
        }
    }

    /// [`settle_key`].
    pub(super) fn saga_key(&self) -> String {
        settle_key(&self.gateway, &self.key)
    }

    /// The tags by which people find its saga.
    pub(super) fn tags(&self) -> std::collections::BTreeMap<String, String> {
        [("order".to_owned(), self.order_id.to_string())].into()
    }

    /// The saga that looks after it.
    pub(super) fn saga(&self) -> Answer<Child> {
        let input = serde_json::to_value(self).map_err(|error| Halt::permanent("input", error.to_string()))?;
        Ok(Child { definition: SETTLE_DOUBT.to_owned(), key: self.saga_key(), input, tags: self.tags() })
    }

    /// The refund of what it has taken: always the same one.
    fn refund_id(&self) -> RefundId {
        let name = format!("refund:{}:{}", self.gateway, self.key);
        RefundId(Uuid::new_v5(&self.order_id.0, name.as_bytes()))
    }

    fn refund(&self, call: &Call) -> Child {
        let (order, refund) = (self.order_id, self.refund_id());
        Child {
            definition: REFUND_ORDER.to_owned(),
            key: format!("refund:{order}:{}:{}", self.gateway, self.key),
            input: json!({
                "orderId": order, "refundId": refund, "reason": "left-behind", "requestedBy": call.saga_id,
                "charge": { "gateway": self.gateway, "key": self.key },
            }),
            tags: [("order".to_owned(), order.to_string()), ("refund".to_owned(), refund.to_string())].into(),
        }
    }
}

/// `payments.adopt`: the charge is its order's no longer. Its money is not the order's money from here on.
#[derive(Debug, Clone, Copy)]
pub struct Adopt;

/// What [`Adopt`] gives.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {}

#[async_trait]
impl LocalAction for Adopt {
    const NAME: &'static str = "payments.adopt";
    type Input = LeftBehind;
    type Output = Adopted;

    async fn run(&self, tx: &mut PgConnection, _call: &Call, input: LeftBehind) -> Answer<Adopted> {
        ledger::left_behind_in_tx(tx, &input.gateway, &input.key).await?;
        let adopted = sqlx::query!(
            "update booking.payments set left_behind_at = coalesce(left_behind_at, now()), updated_at = now()
             where gateway = $1 and key = $2 and order_id = $3",
            input.gateway,
            input.key.as_str(),
            input.order_id.0
        )
        .execute(tx)
        .await?;
        if adopted.rows_affected() == 1 {
            return Ok(Adopted {});
        }
        let LeftBehind { gateway, key, order_id, .. } = input;
        Err(Halt::permanent("unknown-charge", format!("{order_id} has no charge {key} at {gateway}")))
    }
}

/// `payments.settle`: ends a charge that was left behind, or gives back what it has taken.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Where.
    pub gateways: Arc<Gateways>,
}

/// What [`Settle`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettledDoubt {
    /// How much it had taken; nothing where it took nothing, and never will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<Money>,
    /// What gave it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
}

#[async_trait]
impl ExternalAction for Settle {
    const NAME: &'static str = "payments.settle";
    type Input = LeftBehind;
    type Output = SettledDoubt;

    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: LeftBehind) -> Answer<SettledDoubt> {
        let charge = as_noted(call, &input);
        let (gateways, order_id) = (self.gateways.as_ref(), input.order_id);
        let taken = input.taken.map(|amount| (Told::Captured { amount }, input.reference.clone()));
        let news = told(call, &charge).or(taken);
        let unwanted = Unwanted { gateways, call, notebook, order_id, charge: &charge, news };
        let Some(taken) = unwanted.end().await? else {
            return Ok(SettledDoubt { taken: None, refund_id: None });
        };
        wait_for(call, input.refund(call), "the refund")?;
        Ok(SettledDoubt { taken: Some(taken.amount), refund_id: Some(input.refund_id()) })
    }
}

/// The charge with what this saga has noted of it.
fn as_noted(call: &Call, input: &LeftBehind) -> Attempted {
    let mut charge = Attempted::new(input.gateway.clone(), input.key.clone(), input.amount);
    charge.known = Known::LeftBehind;
    charge.reference = input.reference.clone();
    let of_it = call.notes_as::<PaymentNote>().filter(|note| note.charge() == (&input.gateway, &input.key));
    of_it.for_each(|note| charge.hear(&note));
    charge
}

/// Starts a saga that gives money back, and waits until it has done so: for good when its end has just been told.
pub(super) fn wait_for(call: &Call, child: Child, what: &str) -> Answer<()> {
    let told = Wait::child_signal(&child.key);
    let Some(ended) = call.signal.as_ref().filter(|signal| signal.name == told) else {
        return Err(Halt::Wait(Wait { child: Some(child), reason: what.to_owned(), ..Wait::default() }));
    };
    match ended.payload.get("state").and_then(Value::as_str) {
        Some("completed") => Ok(()),
        state => {
            let (key, state) = (child.key, state.unwrap_or("gone"));
            Err(Halt::permanent("refund-not-done", format!("the saga {key} is {state}")))
        }
    }
}
