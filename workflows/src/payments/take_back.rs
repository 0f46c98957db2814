//! The compensation of a charge: whatever became of it, in the end the buyer's money is with the buyer.

use super::{
    ChargeInput, ChargeOutput, Gateways, PaymentNote,
    charge::amount_mismatch,
    charges::{Attempted, Known, last_charge},
    refused,
};
use crate::{
    gateways::{ChargeRequest, Gateway, VoidOutcome},
    ids::RefundId,
    money::Money,
    orders::{REFUND_ORDER, whole_refund_id, whole_refund_key},
};
use async_trait::async_trait;
use orchestrator::action::{Answer, Call, Child, ExternalAction, Failure, Halt, Notebook, Signal, Wait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long a gateway that cannot end a charge now is left alone.
const LATER: Duration = Duration::from_secs(10);

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
        let nothing = TakenBack { refund_id: None };
        let Some(attempt) = last_charge(call) else { return Ok(nothing) };
        let taken = match (&call.output, &attempt.known) {
            (Some(output), _) => match ChargeOutput::deserialize(output) {
                Ok(output) => Some(output.amount),
                Err(error) => return Err(Halt::permanent("charge-output", error.to_string())),
            },
            (None, Known::Captured(amount)) => Some(*amount),
            (None, Known::Idle | Known::Declined(_) | Known::Voided) => None,
            (None, Known::Open) => self.void(call, notebook, &input, &attempt).await?,
        };
        match taken {
            None => Ok(nothing),
            Some(amount) if amount != input.total => Err(amount_mismatch(amount, input.total)),
            Some(_) => refund(call, &input),
        }
    }
}

impl TakeBack {
    /// Ends the charge for good; what it has taken when it is too late for that.
    async fn void(
        &self,
        call: &Call,
        notebook: &dyn Notebook,
        input: &ChargeInput,
        attempt: &Attempted,
    ) -> Answer<Option<Money>> {
        let gateway = self.gateways.get(&attempt.gateway).map(|configured| Arc::clone(&configured.gateway));
        let Some(gateway) = gateway else {
            let message = format!("the gateway {} is not configured here", attempt.gateway);
            return Err(Halt::transient("gateway-unknown", message));
        };
        let outcome = if attempt.reference.is_none() && gateway.capabilities().prepares {
            None // nothing is charged before its reference is committed
        } else {
            Some(self.ask_for_void(gateway.as_ref(), call, input, attempt).await)
        };
        let (name, key) = (attempt.gateway.clone(), attempt.key.clone());
        match outcome {
            None | Some(VoidOutcome::Voided { .. }) => {
                PaymentNote::Voided { gateway: name, key }.write(notebook).await?;
                Ok(None)
            }
            Some(VoidOutcome::AlreadyCaptured(captured)) => {
                let (reference, amount) = (captured.reference, captured.amount);
                PaymentNote::Captured { gateway: name, key, reference, amount }.write(notebook).await?;
                Ok(Some(amount))
            }
            Some(VoidOutcome::Processing { .. }) => Err(later("charge-processing", "the gateway still works on it")),
            Some(VoidOutcome::NotFound) => Err(later("charge-not-found", "the gateway does not know the charge")),
            Some(VoidOutcome::CannotVoid) => Err(later("charge-open", "the gateway cannot end the charge")),
            Some(VoidOutcome::Refused(refusal)) => Err(Halt::Permanent(refused(refusal))),
            Some(VoidOutcome::Unknown(doubt)) => {
                Err(Halt::Transient { failure: Failure::new("gateway-doubt", doubt.detail), after: doubt.retry_after })
            }
        }
    }

    async fn ask_for_void(
        &self,
        gateway: &dyn Gateway,
        call: &Call,
        input: &ChargeInput,
        attempt: &Attempted,
    ) -> VoidOutcome {
        let request = ChargeRequest {
            order_id: input.order_id,
            saga_id: call.saga_id,
            amount: attempt.amount,
            payment_method: input.payment_method.token_for(&attempt.gateway).unwrap_or_default().to_owned(),
        };
        gateway.void(&attempt.key, &request, attempt.reference.as_ref()).await
    }
}

fn later(code: &str, message: &str) -> Halt {
    Halt::Transient { failure: Failure::new(code, message), after: Some(LATER) }
}

/// The saga that gives the money back: started once, and waited for.
fn refund(call: &Call, input: &ChargeInput) -> Answer<TakenBack> {
    let refund_id = whole_refund_id(input.order_id);
    let key = whole_refund_key(input.order_id);
    if let Some(ended) = call.signal.as_ref().filter(|signal| signal.name == Wait::child_signal(&key)) {
        return refunded(ended, refund_id);
    }
    let cause = call.cause.as_ref().map_or("compensated", |cause| cause.code.as_str());
    let child = Child {
        definition: REFUND_ORDER.to_owned(),
        key,
        input: json!({
            "orderId": input.order_id, "refundId": refund_id, "reason": cause, "requestedBy": call.saga_id,
        }),
        tags: [("order".to_owned(), input.order_id.to_string()), ("refund".to_owned(), refund_id.to_string())].into(),
    };
    Err(Halt::Wait(Wait { child: Some(child), reason: "the refund".to_owned(), ..Wait::default() }))
}

fn refunded(ended: &Signal, refund_id: RefundId) -> Answer<TakenBack> {
    match ended.payload.get("state").and_then(Value::as_str) {
        Some("completed") => Ok(TakenBack { refund_id: Some(refund_id) }),
        state => {
            let state = state.unwrap_or("gone");
            Err(Halt::permanent("refund-not-done", format!("the saga of refund {refund_id} is {state}")))
        }
    }
}
