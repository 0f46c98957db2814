//! The compensation of a charge: whatever became of it, in the end the buyer's money is with the buyer.

use super::{
    ChargeInput, ChargeOutput, Gateways, PaymentNote,
    charges::{Attempted, Known, charges},
    charging::amount_mismatch,
    news::told,
    settle::{LeftBehind, wait_for},
    unwanted::Unwanted,
};
use crate::{
    ids::RefundId,
    orders::{REFUND_ORDER, whole_refund_id, whole_refund_key},
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, Child, ExternalAction, Halt, Notebook};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// `payments.refund`: voids what is open, refunds what was taken.
#[derive(Debug, Clone)]
pub struct TakeBack {
    /// Where.
    pub gateways: Arc<Gateways>,
}

/// What [`TakeBack`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TakenBack {
    /// The refund, where money had been taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
}

#[async_trait]
impl ExternalAction for TakeBack {
    const NAME: &'static str = "payments.refund";
    const MONEY: bool = true;
    type Input = ChargeInput;
    type Output = TakenBack;

    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: ChargeInput) -> Answer<TakenBack> {
        let charges = charges(call);
        let (left_behind, own): (Vec<_>, Vec<_>) = charges.iter().partition(|charge| charge.left_behind);
        let mut taken_back = TakenBack { refund_id: None };
        if let Some(charge) = own.last() {
            taken_back.refund_id = self.take_back(call, notebook, &input, charge).await?;
            if taken_back.refund_id.is_some() && charge.known != Known::Settled && !left_behind.is_empty() {
                let (gateway, key) = (charge.gateway.clone(), charge.key.clone());
                PaymentNote::Settled { gateway, key }.write(notebook).await?;
            }
        }
        for charge in left_behind.into_iter().filter(|charge| charge.known != Known::Settled) {
            settled(call, notebook, &input, charge).await?;
        }
        Ok(taken_back)
    }
}

impl TakeBack {
    /// What was taken is given back; what is open is ended.
    async fn take_back(
        &self,
        call: &Call,
        notebook: &dyn Notebook,
        input: &ChargeInput,
        charge: &Attempted,
    ) -> Answer<Option<RefundId>> {
        if charge.known == Known::Settled {
            return Ok(Some(whole_refund_id(input.order_id)));
        }
        let taken = match &call.output {
            Some(output) => {
                let output = ChargeOutput::deserialize(output);
                Some(output.map_err(|error| Halt::permanent("charge-output", error.to_string()))?.amount)
            }
            None => {
                let (gateways, order_id) = (self.gateways.as_ref(), input.order_id);
                let news = told(call, charge);
                Unwanted { gateways, call, notebook, order_id, charge, news }.end().await?.map(|taken| taken.amount)
            }
        };
        match taken {
            None => Ok(None),
            Some(amount) if amount != input.total => Err(amount_mismatch(amount, input.total)),
            Some(_) => refund(call, input).map(Some),
        }
    }
}

/// Waits for the saga that looks after a charge that was left behind: the buyer has all their money back after that.
async fn settled(call: &Call, notebook: &dyn Notebook, input: &ChargeInput, charge: &Attempted) -> Answer<()> {
    let saga = LeftBehind::of(input.order_id, charge).saga()?;
    wait_for(call, saga, &format!("the payment at {} to be settled", charge.gateway))?;
    let (gateway, key) = (charge.gateway.clone(), charge.key.clone());
    PaymentNote::Settled { gateway, key }.write(notebook).await
}

/// The saga that gives the money back: started once, and waited for.
fn refund(call: &Call, input: &ChargeInput) -> Answer<RefundId> {
    let refund_id = whole_refund_id(input.order_id);
    let key = whole_refund_key(input.order_id);
    let cause = call.cause.as_ref().map_or("compensated", |cause| cause.code.as_str());
    let child = Child {
        definition: REFUND_ORDER.to_owned(),
        key,
        input: json!({
            "orderId": input.order_id, "refundId": refund_id, "reason": cause, "requestedBy": call.saga_id,
        }),
        tags: [("order".to_owned(), input.order_id.to_string()), ("refund".to_owned(), refund_id.to_string())].into(),
    };
    wait_for(call, child, "the refund").map(|()| refund_id)
}
