//! The step that pays, attempt by attempt, without an engine: gateways that answer as a test says, behind breakers whose
//! clock stands, and a journal that is a list.

use super::{
    Charge, ChargeInput, ChargeOutput, ConfiguredGateway, Gateways, ProbeCharge,
    notes::tests::{call_with, eur},
};
use crate::{
    breakers::{BreakerSettings, End, Failing, GatewayBreakers, Operation, Repeatable, Surroundings},
    gateways::{Capabilities, Doubt, DoubtReason, NotExecuted, NotExecutedReason, fake::Fake, guarded},
    ids::OrderId,
    orders::PaymentMethod,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use orchestrator::{
    action::{Answer, Call, Child, ExternalAction, Halt, Notebook, Probe, Probed},
    ids::Uuid,
};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// How long one call may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);
/// How long the seats are kept.
const HOLD_SECS: i64 = 900;
/// What the breakers' clock shows in the beginning.
const BEGINNING_MS: i64 = 1_000_000;

/// See the module.
pub(super) struct Bench {
    pub(super) fakes: Vec<Arc<Fake>>,
    pub(super) breakers: Vec<GatewayBreakers>,
    gateways: Arc<Gateways>,
    journal: Journal,
    pub(super) now: DateTime<Utc>,
    pub(super) attempts_left: u32,
    pub(super) input: ChargeInput,
}

/// What was written, and which sagas were started with it.
#[derive(Default)]
struct Journal {
    notes: Mutex<Vec<Value>>,
    started: Mutex<Vec<String>>,
}

#[async_trait]
impl Notebook for Journal {
    async fn note(&self, note: Value) -> Result<(), Halt> {
        self.notes.lock().unwrap().push(note);
        Ok(())
    }

    async fn note_unless_told(&self, note: Value) -> Result<(), Halt> {
        self.note(note).await
    }

    async fn note_and_start(&self, note: Value, child: Child) -> Result<(), Halt> {
        self.started.lock().unwrap().push(child.definition);
        self.note(note).await
    }
}

impl Bench {
    /// With these gateways, in order of preference.
    pub(super) fn with(gateways: &[(&str, Capabilities)]) -> Self {
        let clock = Arc::new(AtomicI64::new(BEGINNING_MS));
        let fakes: Vec<_> = gateways.iter().map(|(name, capabilities)| Fake::new(name, *capabilities)).collect();
        let breakers: Vec<_> = gateways
            .iter()
            .map(|(name, _)| {
                let hands = Arc::clone(&clock);
                let surroundings = Surroundings::given(move || hands.load(Ordering::SeqCst), |_| 0);
                GatewayBreakers::alone(name, TIMEOUT, BreakerSettings::default(), surroundings)
            })
            .collect();
        let configured = fakes.iter().zip(&breakers).map(|(fake, breakers)| ConfiguredGateway {
            gateway: guarded(Arc::<Fake>::clone(fake), breakers.clone()),
            webhook_secrets: Vec::new(),
            timeout: TIMEOUT,
            late_window: Duration::from_secs(300),
        });
        let now = DateTime::UNIX_EPOCH;
        Self {
            gateways: Arc::new(Gateways::new(configured.collect()).unwrap()),
            fakes,
            breakers,
            journal: Journal::default(),
            now,
            attempts_left: 10,
            input: ChargeInput {
                order_id: OrderId(Uuid::from_u128(1)),
                payment_method: PaymentMethod::Token("pm".to_owned()),
                total: eur(100),
                expires_at: now + TimeDelta::seconds(HOLD_SECS),
            },
        }
    }

    /// As if so many calls had failed as open it.
    pub(super) async fn trip(&self, gateway: usize, operation: Operation) {
        let breakers = &self.breakers[gateway];
        while breakers.standing(operation).breaker == "closed" {
            let pass = breakers.admit(operation, None).await.unwrap();
            breakers.settle(pass, End::Failed(Failing::Timeout)).await;
        }
    }

    /// As if it had answered 429, and for how long to be left alone.
    pub(super) async fn asks_for_patience(&self, gateway: usize, patience: Duration) {
        let pass = self.breakers[gateway].admit(Operation::Charge, None).await.unwrap();
        self.breakers[gateway].settle(pass, End::Throttled(Some(patience))).await;
    }

    /// As if as many calls had been repeated as may be.
    pub(super) async fn use_up_retries(&self, gateway: usize) {
        let another = Repeatable { name: "another order's".to_owned(), is_repeated: true };
        while let Ok(pass) = self.breakers[gateway].admit(Operation::Charge, Some(&another)).await {
            drop(pass);
        }
    }

    fn call(&self) -> Call {
        let notes = self.journal.notes.lock().unwrap().clone();
        Call { now: self.now, attempts_left: Some(self.attempts_left), ..call_with(notes) }
    }

    /// Writes what the next attempt is about to do, and no more: its worker dies.
    pub(super) async fn intends(&self) -> Answer<Value> {
        let charge = Charge { gateways: Arc::clone(&self.gateways) };
        let intent = charge.intent(&self.call(), &self.input).await?;
        self.journal.note(intent.clone()).await?;
        Ok(intent)
    }

    /// An attempt.
    pub(super) async fn runs(&self) -> Answer<ChargeOutput> {
        let call = self.call();
        let intent = self.intends().await?;
        let charge = Charge { gateways: Arc::clone(&self.gateways) };
        charge.run(&call, &self.journal, &intent, self.input.clone()).await
    }

    /// Asks what became of the last one.
    pub(super) async fn probes(&self) -> Answer<Probed<ChargeOutput>> {
        let probe = ProbeCharge { gateways: Arc::clone(&self.gateways) };
        probe.probe(&self.call(), &self.journal, self.input.clone()).await
    }

    /// What was written of charges, as `gateway note`.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = self.journal.notes.lock().unwrap();
        let text = |note: &Value, member: &str| note[member].as_str().unwrap_or_default().to_owned();
        notes.iter().map(|note| format!("{} {}", text(note, "gateway"), text(note, "payment"))).collect()
    }

    /// Which sagas were started.
    pub(super) fn started(&self) -> Vec<String> {
        self.journal.started.lock().unwrap().clone()
    }
}

pub(crate) fn no_answer() -> Doubt {
    Doubt { reason: DoubtReason::Timeout, detail: "no answer".to_owned(), retry_after: None }
}

pub(super) fn no_connection() -> NotExecuted {
    NotExecuted { reason: NotExecutedReason::NoConnection, detail: "refused".to_owned(), retry_after: None }
}
