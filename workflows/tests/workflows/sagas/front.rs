//! A gateway that does something else than it was asked for, in front of the real one.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use std::sync::Arc;
use workflows::{
    gateways::{
        AmountError, Capabilities, Captured, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, PrepareOutcome,
        ProbeOutcome, Reference, RefundOutcome, RefundProbeOutcome, RefundRequest, VoidOutcome, WebhookError,
        WebhookEvent,
    },
    ids::OrderId,
    money::Money,
};

pub(super) struct Front {
    gateway: Arc<dyn Gateway>,
    /// What it says that it has taken.
    captured: fn(Captured) -> Captured,
    /// What it pays back when it is asked for this by this key.
    refunded: fn(&IdempotencyKey, &RefundRequest) -> RefundRequest,
}

impl Front {
    pub(super) fn capturing(gateway: Arc<dyn Gateway>, captured: fn(Captured) -> Captured) -> Arc<dyn Gateway> {
        Arc::new(Self { gateway, captured, refunded: |_, asked| asked.clone() })
    }

    pub(super) fn refunding(
        gateway: Arc<dyn Gateway>,
        refunded: fn(&IdempotencyKey, &RefundRequest) -> RefundRequest,
    ) -> Arc<dyn Gateway> {
        Arc::new(Self { gateway, captured: |captured| captured, refunded })
    }
}

#[async_trait]
impl Gateway for Front {
    fn name(&self) -> &str {
        self.gateway.name()
    }
    fn protocol(&self) -> &'static str {
        self.gateway.protocol()
    }
    fn capabilities(&self) -> Capabilities {
        self.gateway.capabilities()
    }
    fn check_amount(&self, amount: Money) -> Result<(), AmountError> {
        self.gateway.check_amount(amount)
    }
    fn own_reference(&self, order: OrderId, key: &IdempotencyKey) -> Option<Reference> {
        self.gateway.own_reference(order, key)
    }
    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        self.gateway.prepare(key, charge).await
    }
    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &ChargeRequest,
        reference: Option<&Reference>,
    ) -> ChargeOutcome {
        match self.gateway.charge(key, charge, reference).await {
            ChargeOutcome::Captured(captured) => ChargeOutcome::Captured((self.captured)(captured)),
            other => other,
        }
    }
    async fn probe(&self, charge: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        match self.gateway.probe(charge, reference).await {
            ProbeOutcome::Captured(captured) => ProbeOutcome::Captured((self.captured)(captured)),
            other => other,
        }
    }
    async fn void(&self, key: &IdempotencyKey, charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome {
        self.gateway.void(key, charge, reference).await
    }
    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        self.gateway.refund(key, &(self.refunded)(key, refund)).await
    }
    async fn probe_refund(&self, refund: &RefundRequest, reference: Option<&Reference>) -> RefundProbeOutcome {
        self.gateway.probe_refund(refund, reference).await
    }
    fn verify_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        self.gateway.verify_webhook(headers, body, now)
    }
}
