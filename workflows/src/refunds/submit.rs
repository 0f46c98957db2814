//! The step that has the gateway pay back.

use super::{RefundEnd, RefundNews, refund_key, refund_signal};
use crate::{
    gateways::{
        Gateway, IdempotencyKey, Reference, RefundFailure, RefundOutcome, RefundProbeOutcome, RefundRequest, Refunded,
    },
    ids::{OrderId, RefundId},
    money::Money,
    payments::{AMOUNT_MISMATCH, Gateways, doubtful, not_executed, refused},
};
use async_trait::async_trait;
use chrono::TimeDelta;
use orchestrator::action::{Answer, Call, ExternalAction, Halt, Notebook, Probe, Probed, Wait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// How long a gateway that works on a refund is left alone before it is asked again; its webhook comes sooner.
const PENDING_SECS: i64 = 30;
/// How long the webhook of a gateway that cannot be asked is waited for before the log says that it is missing.
const WEBHOOK_SECS: i64 = 24 * 60 * 60;

/// `refunds.submit`: pays a refund back, once.
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
    /// How much goes back.
    pub amount: Money,
    /// Which try at the gateway.
    pub generation: i32,
}

/// What [`SubmitRefund`] gives: the money is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The refund.
    pub refund_id: RefundId,
    /// The gateway's name for it.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
}

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
        /// How much.
        amount: Money,
    },
    /// The gateway works on it.
    Pending {
        /// The refund.
        refund_id: RefundId,
        /// The gateway's name for it.
        reference: Reference,
    },
    /// The gateway has said no.
    Failed {
        /// The refund.
        refund_id: RefundId,
        /// The gateway's name for it, where it has one.
        reference: Option<Reference>,
    },
}

#[async_trait]
impl ExternalAction for SubmitRefund {
    const NAME: &'static str = "refunds.submit";
    const MONEY: bool = true;
    type Input = SubmitInput;
    type Output = Submitted;

    async fn intent(&self, _call: &Call, input: &SubmitInput) -> Answer<Value> {
        let note = RefundNote::Intended {
            refund_id: input.refund_id,
            gateway: input.gateway.clone(),
            key: key_of(input)?,
            payment: input.payment.clone(),
            amount: input.amount,
        };
        value_of(&note)
    }

    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: SubmitInput) -> Answer<Submitted> {
        let refunding = Refunding::new(&self.gateways, call, notebook, &input)?;
        if refunding.reference.is_some() || call.told(&refund_signal(input.refund_id)).next().is_some() {
            // an earlier attempt was accepted, or the gateway has told of one
            if let Some(done) = refunding.learn().await? {
                return Ok(done);
            }
        }
        refunding.submit(&key_of(&input)?).await
    }
}

#[async_trait]
impl Probe for ProbeRefund {
    const NAME: &'static str = "refunds.probe";
    type Input = SubmitInput;
    type Output = Submitted;

    async fn probe(&self, call: &Call, notebook: &dyn Notebook, input: SubmitInput) -> Answer<Probed<Submitted>> {
        match Refunding::new(&self.gateways, call, notebook, &input)?.learn().await {
            Ok(Some(done)) => Ok(Probed::Executed(done)),
            // the same key and content again is the same refund
            Ok(None) => Ok(Probed::NotExecuted),
            Err(Halt::Permanent(failure)) => Ok(Probed::Refused(failure)),
            Err(halt) => Err(halt),
        }
    }
}

/// One refund in the hand.
struct Refunding<'a> {
    gateway: Arc<dyn Gateway>,
    call: &'a Call,
    notebook: &'a dyn Notebook,
    request: RefundRequest,
    input: &'a SubmitInput,
    reference: Option<Reference>,
}

impl<'a> Refunding<'a> {
    fn new(gateways: &Gateways, call: &'a Call, notebook: &'a dyn Notebook, input: &'a SubmitInput) -> Answer<Self> {
        let gateway = gateways.get(&input.gateway).ok_or_else(|| {
            Halt::transient("gateway-unknown", format!("the gateway {} is not configured here", input.gateway))
        })?;
        let request = RefundRequest {
            order_id: input.order_id,
            refund_id: input.refund_id,
            generation: u32::try_from(input.generation).unwrap_or(1),
            payment: input.payment.clone(),
            amount: input.amount,
        };
        let reference = call.notes_as::<RefundNote>().fold(None, |known, note| match note {
            RefundNote::Pending { reference, .. } => Some(reference),
            RefundNote::Intended { .. } | RefundNote::Failed { .. } => known,
        });
        Ok(Self { gateway: Arc::clone(&gateway.gateway), call, notebook, request, input, reference })
    }

    async fn submit(&self, key: &IdempotencyKey) -> Answer<Submitted> {
        match self.gateway.refund(key, &self.request).await {
            RefundOutcome::Succeeded(refunded) => self.succeeded(refunded),
            RefundOutcome::Pending(refunded) => Err(self.wait(refunded.reference).await?),
            RefundOutcome::Failed(failure) => Err(self.failed(failure).await?),
            RefundOutcome::NothingLeft => match self.ask().await? {
                Some(done) => Ok(done),
                None => Err(Halt::permanent(
                    "refunded-elsewhere",
                    "the gateway has nothing left to refund, and does not know this refund",
                )),
            },
            RefundOutcome::NotExecuted(reason) => Err(not_executed(reason)),
            RefundOutcome::Refused(refusal) => Err(Halt::Permanent(refused(refusal))),
            RefundOutcome::Unknown(doubt) => Err(doubtful(doubt)),
        }
    }

    /// What became of it, by asking, or where nobody can be asked by what was told; nothing when the same call may be
    /// made again.
    async fn learn(&self) -> Answer<Option<Submitted>> {
        if self.gateway.capabilities().probes_refunds {
            return self.ask().await;
        }
        match (self.told(), &self.reference) {
            (Some(news), _) if news.state == RefundEnd::Succeeded => {
                self.succeeded(Refunded { reference: news.reference, amount: news.amount }).map(Some)
            }
            (Some(news), _) if news.state == RefundEnd::Failed => {
                let message = news.reason.unwrap_or_else(|| "the gateway has not said why".to_owned());
                let failure = RefundFailure { reference: Some(news.reference), code: "refused".to_owned(), message };
                Err(self.failed(failure).await?)
            }
            (Some(RefundNews { reference, .. }), None) => Err(self.wait(reference).await?),
            (_, Some(reference)) => Err(self.wait(reference.clone()).await?),
            (None, None) => Ok(None),
        }
    }

    /// The strongest news of this try at the gateway, under the gateway's name for it where that is known.
    fn told(&self) -> Option<RefundNews> {
        let is_ours = |news: &RefundNews| {
            news.refund_id == self.input.refund_id
                && news.gateway == self.input.gateway
                && news.generation == self.input.generation
                && self.reference.as_ref().is_none_or(|known| *known == news.reference)
        };
        let name = refund_signal(self.input.refund_id);
        let told = self.call.told(&name).filter_map(|signal| RefundNews::deserialize(&signal.payload).ok());
        told.filter(is_ours).max_by_key(|news| news.state)
    }

    /// Asks what became of it; nothing when the same call may be made again.
    async fn ask(&self) -> Answer<Option<Submitted>> {
        match self.gateway.probe_refund(&self.request, self.reference.as_ref()).await {
            RefundProbeOutcome::Succeeded(refunded) => self.succeeded(refunded).map(Some),
            RefundProbeOutcome::Pending(refunded) => Err(self.wait(refunded.reference).await?),
            RefundProbeOutcome::Failed(failure) => Err(self.failed(failure).await?),
            RefundProbeOutcome::NotFound | RefundProbeOutcome::CannotAsk => Ok(None),
            RefundProbeOutcome::Unknown(doubt) => Err(doubtful(doubt)),
        }
    }

    fn succeeded(&self, refunded: Refunded) -> Answer<Submitted> {
        let Refunded { reference, amount } = refunded;
        if amount == self.input.amount {
            return Ok(Submitted { refund_id: self.input.refund_id, reference, amount });
        }
        let message = format!("the gateway has refunded {amount} instead of {}", self.input.amount);
        Err(Halt::permanent(AMOUNT_MISMATCH, message))
    }

    async fn wait(&self, reference: Reference) -> Answer<Halt> {
        // also where it is known: each attempt has said before that it was about to ask
        let note = RefundNote::Pending { refund_id: self.input.refund_id, reference };
        self.notebook.note(value_of(&note)?).await?;
        let can_be_asked = self.gateway.capabilities().probes_refunds;
        if self.call.wait_elapsed && !can_be_asked {
            let (gateway, refund_id) = (self.gateway.name(), self.input.refund_id);
            tracing::warn!(
                gateway.name = gateway, refund.id = %refund_id,
                "{gateway} has not told the end of refund {refund_id} for {WEBHOOK_SECS} seconds"
            );
        }
        let patience_secs = if can_be_asked { PENDING_SECS } else { WEBHOOK_SECS };
        Ok(Halt::Wait(Wait {
            signal: Some(refund_signal(self.input.refund_id)),
            until: Some(self.call.now + TimeDelta::seconds(patience_secs)),
            reason: format!("{} to finish the refund", self.gateway.name()),
            ..Wait::default()
        }))
    }

    async fn failed(&self, failure: RefundFailure) -> Answer<Halt> {
        let note = RefundNote::Failed { refund_id: self.input.refund_id, reference: failure.reference };
        self.notebook.note(value_of(&note)?).await?;
        Ok(Halt::permanent(format!("refund-failed:{}", failure.code), failure.message))
    }
}

fn key_of(input: &SubmitInput) -> Answer<IdempotencyKey> {
    refund_key(input.refund_id, input.generation).map_err(|error| Halt::permanent("idempotency-key", error.to_string()))
}

fn value_of(note: &RefundNote) -> Answer<Value> {
    serde_json::to_value(note).map_err(|error| Halt::permanent("note", error.to_string()))
}
