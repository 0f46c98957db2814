//! Every gateway as it is used: how each of its calls ended, and how long it took, is measured.

use super::{
    AmountError, Capabilities, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, PrepareOutcome, ProbeOutcome,
    Reference, RefundOutcome, RefundProbeOutcome, RefundRequest, VoidOutcome, WebhookError, WebhookEvent,
};
use crate::{ids::OrderId, money::Money};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use std::{sync::Arc, time::Instant};
use tracing::Instrument;

/// This gateway, measured.
pub(super) fn measured(gateway: Arc<dyn Gateway>) -> Arc<dyn Gateway> {
    Arc::new(Measured(gateway))
}

struct Measured(Arc<dyn Gateway>);

impl Measured {
    async fn call<O: Named>(&self, operation: &'static str, call: impl Future<Output = O> + Send) -> O {
        let begun = Instant::now();
        let gateway = self.0.name().to_owned();
        let span = tracing::info_span!(
            "gateway call",
            otel.kind = "client",
            otel.name = format!("{operation} at {gateway}"),
            gateway.name = gateway,
            gateway.protocol = self.0.protocol(),
            operation,
            outcome = tracing::field::Empty,
        );
        let outcome = call.instrument(span.clone()).await;
        span.record("outcome", outcome.name());
        metrics::histogram!(
            "showrunner_gateway_call_seconds",
            "gateway" => gateway, "operation" => operation, "outcome" => outcome.name()
        )
        .record(begun.elapsed());
        outcome
    }
}

#[async_trait]
impl Gateway for Measured {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn protocol(&self) -> &'static str {
        self.0.protocol()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn check_amount(&self, amount: Money) -> Result<(), AmountError> {
        self.0.check_amount(amount)
    }

    fn own_reference(&self, order: OrderId, key: &IdempotencyKey) -> Option<Reference> {
        self.0.own_reference(order, key)
    }

    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        self.call("prepare", self.0.prepare(key, charge)).await
    }

    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &ChargeRequest,
        reference: Option<&Reference>,
    ) -> ChargeOutcome {
        self.call("charge", self.0.charge(key, charge, reference)).await
    }

    async fn probe(&self, charge: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        self.call("probe", self.0.probe(charge, reference)).await
    }

    async fn void(&self, key: &IdempotencyKey, charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome {
        self.call("void", self.0.void(key, charge, reference)).await
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        self.call("refund", self.0.refund(key, refund)).await
    }

    async fn probe_refund(&self, refund: &RefundRequest, reference: Option<&Reference>) -> RefundProbeOutcome {
        self.call("probe-refund", self.0.probe_refund(refund, reference)).await
    }

    fn verify_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        let verified = self.0.verify_webhook(headers, body, now);
        let outcome = if verified.is_ok() { "verified" } else { "refused" };
        let gateway = self.0.name().to_owned();
        metrics::counter!("showrunner_webhooks_total", "gateway" => gateway, "outcome" => outcome).increment(1);
        verified
    }
}

/// An outcome's name, as a label.
trait Named {
    fn name(&self) -> &'static str;
}

impl Named for PrepareOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Prepared(_) => "prepared",
            Self::NothingToPrepare => "nothing-to-prepare",
            Self::Declined(_) => "declined",
            Self::NotExecuted(_) => "not-executed",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Named for ChargeOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Captured(_) => "captured",
            Self::Declined(_) => "declined",
            Self::ActionRequired { .. } => "action-required",
            Self::Processing { .. } => "processing",
            Self::Voided { .. } => "voided",
            Self::NotExecuted(_) => "not-executed",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Named for ProbeOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Captured(_) => "captured",
            Self::NotCaptured { .. } => "not-captured",
            Self::Declined(_) => "declined",
            Self::Voided { .. } => "voided",
            Self::ActionRequired { .. } => "action-required",
            Self::Processing { .. } => "processing",
            Self::NotFound => "not-found",
            Self::CannotAsk => "cannot-ask",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Named for VoidOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Voided { .. } => "voided",
            Self::AlreadyCaptured(_) => "captured",
            Self::Accepted => "accepted",
            Self::Processing { .. } => "processing",
            Self::NotFound => "not-found",
            Self::CannotVoid => "cannot-void",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Named for RefundOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Pending(_) => "pending",
            Self::Failed(_) => "failed",
            Self::NothingLeft => "nothing-left",
            Self::NotExecuted(_) => "not-executed",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Named for RefundProbeOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Pending(_) => "pending",
            Self::Failed(_) => "failed",
            Self::NotFound => "not-found",
            Self::CannotAsk => "cannot-ask",
            Self::Unknown(_) => "unknown",
        }
    }
}
