//! The step that has the gateway pay back, and the probe that asks what became of it.

use super::{
    RefundNote,
    refunding::{Refunding, key_of},
    tries::Tries,
};
use crate::{
    gateways::Reference,
    ids::{OrderId, RefundId},
    money::Money,
    payments::Gateways,
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, ExternalAction, Halt, Notebook, Probe, Probed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// `refunds.submit`: pays a refund back, once. A try that has failed for certain, or has brought back a part, is followed
/// by the next generation of the key for what is outstanding.
#[derive(Debug, Clone)]
pub struct SubmitRefund {
    /// Where.
    pub gateways: Arc<Gateways>,
}

/// `refunds.probe`: asks what became of a refund that is in doubt.
#[derive(Debug, Clone)]
pub struct ProbeRefund {
    /// Where.
    pub gateways: Arc<Gateways>,
}

/// What [`SubmitRefund`] and its probe need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitInput {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway that has the money.
    pub gateway: String,
    /// The charge.
    pub payment: Reference,
    /// How much is to go back.
    pub amount: Money,
    /// The first generation of the key that is this saga's.
    pub generation: i32,
}

/// What [`SubmitRefund`] gives: the money is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway's name for what brought back the last of it.
    pub reference: Reference,
    /// How much that was.
    pub amount: Money,
}

#[async_trait]
impl ExternalAction for SubmitRefund {
    const NAME: &'static str = "refunds.submit";
    const MONEY: bool = true;
    type Input = SubmitInput;
    type Output = Submitted;

    async fn intent(&self, call: &Call, input: &SubmitInput) -> Answer<Value> {
        let tries = Tries::of(&call.notes, input.generation, input.amount);
        let note = RefundNote::Intended {
            refund_id: input.refund_id,
            gateway: input.gateway.clone(),
            key: key_of(input, &tries)?,
            payment: input.payment.clone(),
            amount: tries.outstanding,
            generation: tries.generation,
        };
        note.to_value()
    }

    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: SubmitInput) -> Answer<Submitted> {
        let refunding = Refunding::new(&self.gateways, call, notebook, &input)?;
        if refunding.may_be_known()
            && let Some(done) = refunding.learn().await?
        {
            return Ok(done);
        }
        refunding.submit().await
    }
}

#[async_trait]
impl Probe for ProbeRefund {
    const NAME: &'static str = "refunds.probe";
    type Input = SubmitInput;
    type Output = Submitted;

    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: SubmitInput) -> Answer<Probed<Submitted>> {
        match Refunding::new(&self.gateways, call, notebook, &input)?.look().await {
            Ok(Some(done)) => Ok(Probed::Executed(done)),
            // the same key and content again is the same refund; after an end the next generation comes
            Ok(None) | Err(Halt::Transient { .. }) => Ok(Probed::NotExecuted),
            Err(Halt::Permanent(failure)) => Ok(Probed::Refused(failure)),
            Err(halt) => Err(halt),
        }
    }
}
