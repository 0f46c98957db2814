//! A gateway for unit tests: it answers what a test has told it to, in order, and keeps what it was asked.

use super::{
    AmountError, Capabilities, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, PrepareOutcome, ProbeOutcome,
    Reference, RefundOutcome, RefundProbeOutcome, RefundRequest, VoidOutcome, WebhookError, WebhookEvent,
};
use crate::{ids::OrderId, money::Money};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// As Stripe.
pub(crate) const PREPARES: Capabilities =
    Capabilities { prepares: true, probes_charges: true, probes_refunds: true, voids: true, answers_refunds: true };
/// As Adyen.
pub(crate) const TELLS: Capabilities = Capabilities {
    prepares: false,
    probes_charges: false,
    probes_refunds: false,
    voids: false,
    answers_refunds: false,
};

/// What it answers to one kind of call, and how long each answer takes.
pub(crate) struct Script<O>(Mutex<VecDeque<(Duration, O)>>);

impl<O> Script<O> {
    pub(crate) fn answers(&self, outcome: O) {
        self.takes(Duration::ZERO, outcome);
    }

    pub(crate) fn takes(&self, time: Duration, outcome: O) {
        self.0.lock().unwrap().push_back((time, outcome));
    }

    async fn next(&self, what: &str) -> O {
        let next = self.0.lock().unwrap().pop_front();
        let (time, outcome) = next.unwrap_or_else(|| panic!("{what} was not expected"));
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        outcome
    }
}

impl<O> Default for Script<O> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// See the module.
pub(crate) struct Fake {
    name: String,
    capabilities: Capabilities,
    pub(crate) prepares: Script<PrepareOutcome>,
    pub(crate) charges: Script<ChargeOutcome>,
    pub(crate) probes: Script<ProbeOutcome>,
    pub(crate) voids: Script<VoidOutcome>,
    asked: Mutex<Vec<&'static str>>,
}

impl Fake {
    pub(crate) fn new(name: &str, capabilities: Capabilities) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            capabilities,
            prepares: Script::default(),
            charges: Script::default(),
            probes: Script::default(),
            voids: Script::default(),
            asked: Mutex::default(),
        })
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn next<O>(&self, what: &'static str, script: &Script<O>) -> O {
        self.asked.lock().unwrap().push(what);
        script.next(what).await
    }
}

#[async_trait]
impl Gateway for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn protocol(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn check_amount(&self, _: Money) -> Result<(), AmountError> {
        Ok(())
    }

    fn own_reference(&self, _: OrderId, _: &IdempotencyKey) -> Option<Reference> {
        None
    }

    async fn prepare(&self, _: &IdempotencyKey, _: &ChargeRequest) -> PrepareOutcome {
        if !self.capabilities.prepares {
            return PrepareOutcome::NothingToPrepare;
        }
        self.next("prepare", &self.prepares).await
    }

    async fn charge(&self, _: &IdempotencyKey, _: &ChargeRequest, _: Option<&Reference>) -> ChargeOutcome {
        self.next("charge", &self.charges).await
    }

    async fn probe(&self, _: &ChargeRequest, _: Option<&Reference>) -> ProbeOutcome {
        if !self.capabilities.probes_charges {
            return ProbeOutcome::CannotAsk;
        }
        self.next("probe", &self.probes).await
    }

    async fn void(&self, _: &IdempotencyKey, _: &ChargeRequest, _: Option<&Reference>) -> VoidOutcome {
        self.next("void", &self.voids).await
    }

    async fn refund(&self, _: &IdempotencyKey, _: &RefundRequest) -> RefundOutcome {
        RefundOutcome::NothingLeft
    }

    async fn probe_refund(&self, _: &RefundRequest, _: Option<&Reference>) -> RefundProbeOutcome {
        RefundProbeOutcome::CannotAsk
    }

    fn verify_webhook(&self, _: &HeaderMap, _: &[u8], _: DateTime<Utc>) -> Result<Vec<WebhookEvent>, WebhookError> {
        Ok(Vec::new())
    }
}
