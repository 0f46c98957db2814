//! A gateway that answers what a test has written down, and the desk from which a test has it asked: what the engine does
//! with a step's notes, without the engine.

use super::{ProbeRefund, RefundNews, SubmitInput, SubmitRefund, Submitted, refund_signal};
use crate::{
    gateways::{
        AmountError, Capabilities, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, PrepareOutcome, ProbeOutcome,
        Reference, RefundOutcome, RefundProbeOutcome, RefundRequest, VoidOutcome, WebhookError, WebhookEvent,
    },
    ids::{OrderId, RefundId},
    money::{Currency, Money},
    payments::{ConfiguredGateway, Gateways},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::{
    action::{Answer, Call, ExternalAction, Halt, Lane, Notebook, Probe, Probed, Signal},
    ids::{SagaId, Uuid},
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

pub(super) const REFUND: RefundId = RefundId(Uuid::from_u128(7));

pub(super) fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub(super) fn reference(text: &str) -> Reference {
    Reference::new(text).unwrap()
}

/// What a gateway does with a refund and with a question about one.
pub(super) trait Script: Send {
    fn refund(&mut self, key: &str, asked: &RefundRequest) -> RefundOutcome;
    fn probe(&mut self, asked: &RefundRequest) -> RefundProbeOutcome;
}

/// Answers that come in this order.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) refunds: VecDeque<RefundOutcome>,
    pub(super) probes: VecDeque<RefundProbeOutcome>,
}

impl Script for Answers {
    fn refund(&mut self, key: &str, _: &RefundRequest) -> RefundOutcome {
        self.refunds.pop_front().unwrap_or_else(|| panic!("{key} was not expected"))
    }
    fn probe(&mut self, _: &RefundRequest) -> RefundProbeOutcome {
        self.probes.pop_front().expect("a question was not expected")
    }
}

pub(super) struct Scripted<S> {
    pub(super) script: Mutex<S>,
    /// What it was asked to pay back: by which key, and how much.
    asked: Mutex<Vec<(String, i64)>>,
    can_be_asked: bool,
}

#[async_trait]
impl<S: Script> Gateway for Scripted<S> {
    fn name(&self) -> &str {
        "primary"
    }
    fn protocol(&self) -> &'static str {
        "scripted"
    }
    fn capabilities(&self) -> Capabilities {
        let probes_refunds = self.can_be_asked;
        Capabilities { prepares: true, probes_charges: true, probes_refunds, voids: true, answers_refunds: true }
    }
    fn check_amount(&self, _: Money) -> Result<(), AmountError> {
        Ok(())
    }
    fn own_reference(&self, _: OrderId, _: &IdempotencyKey) -> Option<Reference> {
        None
    }
    async fn prepare(&self, _: &IdempotencyKey, _: &ChargeRequest) -> PrepareOutcome {
        PrepareOutcome::NothingToPrepare
    }
    async fn charge(&self, _: &IdempotencyKey, _: &ChargeRequest, _: Option<&Reference>) -> ChargeOutcome {
        unreachable!("nothing is charged here")
    }
    async fn probe(&self, _: &ChargeRequest, _: Option<&Reference>) -> ProbeOutcome {
        ProbeOutcome::CannotAsk
    }
    async fn void(&self, _: &IdempotencyKey, _: &ChargeRequest, _: Option<&Reference>) -> VoidOutcome {
        VoidOutcome::CannotVoid
    }
    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        self.asked.lock().unwrap().push((key.to_string(), refund.amount.amount_minor));
        self.script.lock().unwrap().refund(key.as_str(), refund)
    }
    async fn probe_refund(&self, refund: &RefundRequest, _: Option<&Reference>) -> RefundProbeOutcome {
        assert!(self.can_be_asked);
        self.script.lock().unwrap().probe(refund)
    }
    fn verify_webhook(&self, _: &HeaderMap, _: &[u8], _: DateTime<Utc>) -> Result<Vec<WebhookEvent>, WebhookError> {
        Ok(Vec::new())
    }
}

/// Keeps what is noted, as the journal would.
#[derive(Default)]
struct Notes(Mutex<Vec<Value>>);

#[async_trait]
impl Notebook for Notes {
    async fn note(&self, note: Value) -> Result<(), Halt> {
        self.0.lock().unwrap().push(note);
        Ok(())
    }
    async fn note_unless_told(&self, note: Value) -> Result<(), Halt> {
        self.note(note).await
    }
    async fn note_and_start(&self, note: Value, _: orchestrator::action::Child) -> Result<(), Halt> {
        self.note(note).await
    }
}

/// See the module.
pub(super) struct Desk<S> {
    pub(super) gateway: Arc<Scripted<S>>,
    gateways: Arc<Gateways>,
    pub(super) notes: Vec<Value>,
    pub(super) told: Vec<RefundNews>,
    generation: i32,
}

pub(super) const AMOUNT: i64 = 4_500;

impl<S: Script + 'static> Desk<S> {
    /// Of a gateway that can be asked, or cannot.
    pub(super) fn new(script: S, can_be_asked: bool) -> Self {
        let gateway = Arc::new(Scripted { script: Mutex::new(script), asked: Mutex::default(), can_be_asked });
        let configured = ConfiguredGateway {
            gateway: Arc::<Scripted<S>>::clone(&gateway),
            webhook_secrets: Vec::new(),
            timeout: Duration::from_secs(1),
            late_window: Duration::from_secs(1),
        };
        let gateways = Arc::new(Gateways::new(vec![configured]).unwrap());
        Self { gateway, gateways, notes: Vec::new(), told: Vec::new(), generation: 1 }
    }

    pub(super) fn beginning_with(self, generation: i32) -> Self {
        Self { generation, ..self }
    }

    fn input(&self) -> SubmitInput {
        SubmitInput {
            order_id: OrderId(Uuid::from_u128(1)),
            refund_id: REFUND,
            gateway: "primary".to_owned(),
            payment: reference("pi_1"),
            amount: eur(AMOUNT),
            generation: self.generation,
        }
    }

    fn call(&self) -> Call {
        let told = (1..).zip(&self.told);
        Call {
            saga_id: SagaId(Uuid::from_u128(2)),
            keys_of: SagaId(Uuid::from_u128(2)),
            definition: "refund-order".to_owned(),
            tags: BTreeMap::new(),
            saga_input: Value::Null,
            step: "submit".to_owned(),
            lane: Lane::Forward,
            attempt: 1,
            now: DateTime::UNIX_EPOCH,
            deadline: None,
            notes: self.notes.clone(),
            output: None,
            cause: None,
            failure: None,
            attempts_left: None,
            signal: None,
            signals: told
                .map(|(seq, news)| Signal { seq, name: refund_signal(REFUND), payload: json!(news) })
                .collect(),
            wait_elapsed: false,
        }
    }

    /// One attempt: its intent is written down, then it is made.
    pub(super) async fn attempt(&mut self) -> Answer<Submitted> {
        let (call, notes) = (self.call(), Notes::default());
        let step = SubmitRefund { gateways: Arc::clone(&self.gateways) };
        let intent = step.intent(&call, &self.input()).await?;
        self.notes.push(intent.clone());
        let answer = step.run(&call, &notes, &intent, self.input()).await;
        self.notes.extend(notes.0.into_inner().unwrap());
        answer
    }

    /// One attempt by a worker that dies when its intent is written down.
    pub(super) async fn intend(&mut self) {
        let step = SubmitRefund { gateways: Arc::clone(&self.gateways) };
        let intent = step.intent(&self.call(), &self.input()).await.unwrap();
        self.notes.push(intent);
    }

    pub(super) async fn probe(&mut self) -> Answer<Probed<Submitted>> {
        let (call, notes) = (self.call(), Notes::default());
        let probe = ProbeRefund { gateways: Arc::clone(&self.gateways) };
        let found = probe.probe(&call, &notes, self.input()).await;
        self.notes.extend(notes.0.into_inner().unwrap());
        found
    }

    /// What was asked for so far: generation and amount.
    pub(super) fn asked(&self) -> Vec<(String, i64)> {
        let prefix = format!("refund:{REFUND}:");
        let asked = self.gateway.asked.lock().unwrap();
        asked.iter().map(|(key, amount)| (key.strip_prefix(&prefix).unwrap().to_owned(), *amount)).collect()
    }
}
