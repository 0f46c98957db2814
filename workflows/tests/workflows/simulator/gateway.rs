//! A gateway with books of its own. What reaches it is carried out whether or not the one who asked still lives; an
//! answer may be lost, and a call may arrive long after everybody has given it up.

use super::world::Post;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::{
    SagaId,
    store::simulated::{Fate, Luck, Process},
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::oneshot;
use workflows::{
    gateways::{
        AmountError, Capabilities, Captured, ChargeOutcome, ChargeRequest, Decline, DeclineCategory, Doubt,
        DoubtReason, Gateway, IdempotencyKey, NotExecuted, NotExecutedReason, PrepareOutcome, ProbeOutcome, Reference,
        RefundOutcome, RefundProbeOutcome, RefundRequest, Refunded, VoidOutcome, WebhookError, WebhookEvent,
    },
    ids::OrderId,
    money::Money,
    payments::{PaymentNews, Told, payment_signal},
    refunds::{RefundEnd, RefundNews},
};

/// The payment method of a buyer whose bank says no.
pub(super) const DECLINED: &str = "pm_declined";
/// That of a buyer whose bank wants to hear from them first.
pub(super) const CHALLENGED: &str = "pm_challenged";

/// That of a buyer whose charge kills every process that makes it, until that is mended.
pub(super) const DEADLY: &str = "pm_deadly";

/// How often what goes wrong, in a thousand calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) refused: u32,
    pub(super) lost_before: u32,
    pub(super) lost_after: u32,
    pub(super) late: u32,
    pub(super) slow: u32,
    pub(super) processing: u32,
    /// [`DEADLY`] charges are.
    pub(super) deadly: bool,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Made,
    Challenged,
    Processing,
    Captured,
    Declined,
    Voided,
}

#[derive(Debug, Clone)]
pub(super) struct ChargeRow {
    pub(super) order: OrderId,
    pub(super) saga: SagaId,
    pub(super) amount: Money,
    pub(super) state: State,
    key: IdempotencyKey,
    reference: Reference,
    method: String,
}

#[derive(Debug, Clone)]
pub(super) struct RefundRow {
    pub(super) payment: Reference,
    pub(super) amount: Money,
    refund: RefundRequest,
    reference: Reference,
}

/// What a saga is told.
pub(super) struct News {
    pub(super) saga: SagaId,
    pub(super) signal: String,
    pub(super) payload: Value,
}

/// The gateway's own truth.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By key.
    pub(super) charges: BTreeMap<String, ChargeRow>,
    /// By key.
    pub(super) refunds: BTreeMap<String, RefundRow>,
    pub(super) late: u64,
    pub(super) late_refused: u64,
    pub(super) void_too_late: u64,
    names: u64,
}

/// What all processes share of one gateway.
pub(super) struct Shared {
    pub(super) name: &'static str,
    /// Whether it makes charges before it moves money, and can be asked: Stripe's way, or else Adyen's.
    pub(super) prepares: bool,
    pub(super) books: Mutex<Books>,
    pub(super) faults: Mutex<Faults>,
    pub(super) luck: Luck,
    pub(super) post: Post,
}

/// One process's way to it.
pub(super) struct SimulatedGateway {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Process,
}

impl Books {
    fn name(&mut self, prefix: &str) -> Reference {
        self.names += 1;
        Reference::new(format!("{prefix}_{}", self.names)).unwrap()
    }

    fn named(&mut self, reference: &Reference) -> Option<&mut ChargeRow> {
        self.charges.values_mut().find(|charge| charge.reference == *reference)
    }

    /// The charge with this key, made if there is none.
    fn charge(&mut self, key: &IdempotencyKey, request: &ChargeRequest) -> &mut ChargeRow {
        if !self.charges.contains_key(key.as_str()) {
            let row = ChargeRow {
                order: request.order_id,
                saga: request.saga_id,
                amount: request.amount,
                state: State::Made,
                key: key.clone(),
                reference: self.name("pi"),
                method: request.payment_method.clone(),
            };
            self.charges.insert(key.as_str().to_owned(), row);
        }
        self.charges.get_mut(key.as_str()).unwrap()
    }

    fn refunded(&self, payment: &Reference) -> i64 {
        let of_it = self.refunds.values().filter(|refund| refund.payment == *payment);
        of_it.map(|refund| refund.amount.amount_minor).sum()
    }

    /// What the gateway has of an order's money.
    pub(super) fn net(&self, order: OrderId) -> i64 {
        let captured = self.charges.values().filter(|charge| charge.order == order && charge.state == State::Captured);
        captured.map(|charge| charge.amount.amount_minor - self.refunded(&charge.reference)).sum()
    }

    /// How often an order was charged.
    pub(super) fn captures(&self, order: OrderId) -> usize {
        self.charges.values().filter(|charge| charge.order == order && charge.state == State::Captured).count()
    }
}

fn doubt(detail: &str) -> Doubt {
    Doubt { reason: DoubtReason::Timeout, detail: detail.to_owned(), retry_after: None }
}

fn not_executed() -> NotExecuted {
    let detail = "the connection was refused".to_owned();
    NotExecuted { reason: NotExecutedReason::NoConnection, detail, retry_after: None }
}

/// Why a call has no answer.
enum Silence {
    Refused,
    Lost,
}

impl Shared {
    /// Moves the money, unless something speaks against it.
    fn confirm(&self, books: &mut Books, charge: &ChargeRow, late: bool) -> ChargeOutcome {
        let reference = charge.reference.clone();
        let next = match charge.state {
            State::Made if charge.method == DECLINED => State::Declined,
            State::Made if charge.method == CHALLENGED => {
                self.answer_challenge(charge);
                State::Challenged
            }
            State::Made if self.luck.strikes(self.faults.lock().unwrap().processing) => {
                self.finish_later(charge);
                State::Processing
            }
            State::Made => State::Captured,
            state => state,
        };
        books.late += u64::from(late && charge.state == State::Made);
        books.late_refused += u64::from(late && charge.state == State::Voided);
        if let Some(row) = books.named(&reference) {
            row.state = next;
        }
        match next {
            State::Captured => ChargeOutcome::Captured(Captured { reference, amount: charge.amount }),
            State::Declined => ChargeOutcome::Declined(declined(reference)),
            State::Challenged => ChargeOutcome::ActionRequired { reference, next_action: json!({ "go": "there" }) },
            State::Made | State::Processing => ChargeOutcome::Processing { reference },
            State::Voided => ChargeOutcome::Voided { reference },
        }
    }

    /// The buyer answers their bank, sooner or later or never.
    fn answer_challenge(&self, charge: &ChargeRow) {
        if !self.luck.strikes(250) {
            self.post.settle(charge.clone(), State::Challenged, self.luck.time(Duration::from_secs(40)));
        }
    }

    fn finish_later(&self, charge: &ChargeRow) {
        self.post.settle(charge.clone(), State::Processing, self.luck.time(Duration::from_secs(30)));
    }

    /// What was asked for is done at last, and whom it concerns is told.
    pub(super) fn settle(&self, charge: &ChargeRow, from: State) -> Option<News> {
        let mut books = self.books.lock().unwrap();
        let row = books.named(&charge.reference).filter(|row| row.state == from)?;
        row.state = State::Captured;
        let news = PaymentNews {
            event_id: format!("captured:{}", row.reference),
            gateway: self.name.to_owned(),
            key: row.key.clone(),
            reference: Some(row.reference.clone()),
            told: Told::Captured { amount: row.amount },
        };
        Some(News { saga: row.saga, signal: payment_signal(&row.key), payload: json!(news) })
    }

    fn tell_refund(&self, row: &RefundRow) {
        let news = RefundNews {
            event_id: format!("refunded:{}", row.reference),
            gateway: self.name.to_owned(),
            refund_id: row.refund.refund_id,
            generation: i32::try_from(row.refund.generation).unwrap(),
            reference: row.reference.clone(),
            amount: row.amount,
            state: RefundEnd::Succeeded,
            reason: None,
        };
        self.post.tell_refund(row.refund.refund_id, json!(news));
    }
}

fn declined(reference: Reference) -> Decline {
    Decline {
        reference: Some(reference),
        code: "card_declined".to_owned(),
        category: DeclineCategory::Final,
        message: "no".to_owned(),
    }
}

impl SimulatedGateway {
    /// Has `work` done at the gateway. Whoever asked may be gone by then, or not hear of it.
    async fn call<T, W>(&self, moves_money: bool, work: W) -> Result<T, Silence>
    where
        T: Send + 'static,
        W: FnOnce(&Shared, &mut Books, bool) -> T + Send + 'static,
    {
        self.process.goes_on().await;
        let (luck, faults) = (&self.shared.luck, *self.shared.faults.lock().unwrap());
        if luck.strikes(faults.refused) {
            tokio::time::sleep(luck.time(Duration::from_millis(50))).await;
            self.process.goes_on().await;
            return Err(Silence::Refused);
        }
        let lost_before = luck.strikes(faults.lost_before);
        let lost_after = luck.strikes(faults.lost_after);
        let late = moves_money && luck.strikes(faults.late);
        let slow = if luck.strikes(faults.slow) { Duration::from_secs(15) } else { Duration::from_millis(200) };
        let way = if late { Duration::from_secs(5) + luck.time(Duration::from_secs(90)) } else { luck.time(slow) };
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        if !lost_before {
            tokio::spawn(async move {
                tokio::time::sleep(way).await;
                let done = {
                    let mut books = shared.books.lock().unwrap();
                    work(&shared, &mut books, late)
                };
                drop(answer.send(done));
            });
        }
        if lost_before || lost_after || late {
            tokio::time::sleep(luck.time(Duration::from_secs(8))).await;
            self.process.goes_on().await;
            return Err(Silence::Lost);
        }
        let done = answered.await.map_err(|_| Silence::Lost)?;
        self.process.goes_on().await;
        Ok(done)
    }
}

#[async_trait]
impl Gateway for SimulatedGateway {
    fn name(&self) -> &str {
        self.shared.name
    }

    fn protocol(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> Capabilities {
        let prepares = self.shared.prepares;
        Capabilities {
            prepares,
            probes_charges: prepares,
            probes_refunds: prepares,
            voids: true,
            answers_refunds: true,
        }
    }

    fn check_amount(&self, _: Money) -> Result<(), AmountError> {
        Ok(())
    }

    fn own_reference(&self, _: OrderId, _: &IdempotencyKey) -> Option<Reference> {
        None
    }

    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        if !self.shared.prepares {
            return PrepareOutcome::NothingToPrepare;
        }
        let (key, charge) = (key.clone(), charge.clone());
        match self.call(false, move |_, books, _| books.charge(&key, &charge).reference.clone()).await {
            Ok(reference) => PrepareOutcome::Prepared(reference),
            Err(Silence::Refused) => PrepareOutcome::NotExecuted(not_executed()),
            Err(Silence::Lost) => PrepareOutcome::Unknown(doubt("no answer")),
        }
    }

    async fn charge(&self, key: &IdempotencyKey, request: &ChargeRequest, at: Option<&Reference>) -> ChargeOutcome {
        if request.payment_method == DEADLY && self.shared.faults.lock().unwrap().deadly {
            self.process.meets(Fate::Dead);
        }
        let (key, request, at) = (key.clone(), request.clone(), at.cloned());
        let confirm = move |shared: &Shared, books: &mut Books, late| {
            let charge = match &at {
                Some(reference) => books.named(reference).cloned(),
                None => Some(books.charge(&key, &request).clone()),
            };
            let charge = charge.expect("a charge is confirmed by the name that it was given");
            shared.confirm(books, &charge, late)
        };
        match self.call(true, confirm).await {
            Ok(outcome) => outcome,
            Err(Silence::Refused) => ChargeOutcome::NotExecuted(not_executed()),
            Err(Silence::Lost) => ChargeOutcome::Unknown(doubt("no answer")),
        }
    }

    async fn probe(&self, _: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        let Some(reference) = reference.cloned().filter(|_| self.shared.prepares) else {
            return ProbeOutcome::CannotAsk;
        };
        let found = self.call(false, move |_, books, _| books.named(&reference).cloned()).await;
        match found {
            Err(_) => ProbeOutcome::Unknown(doubt("could not be asked")),
            Ok(None) => ProbeOutcome::NotFound,
            Ok(Some(ChargeRow { state, reference, amount, .. })) => match state {
                State::Made => ProbeOutcome::NotCaptured { reference },
                State::Challenged => ProbeOutcome::ActionRequired { reference, next_action: json!({ "go": "there" }) },
                State::Processing => ProbeOutcome::Processing { reference },
                State::Captured => ProbeOutcome::Captured(Captured { reference, amount }),
                State::Declined => ProbeOutcome::Declined(declined(reference)),
                State::Voided => ProbeOutcome::Voided { reference },
            },
        }
    }

    async fn void(&self, key: &IdempotencyKey, request: &ChargeRequest, at: Option<&Reference>) -> VoidOutcome {
        let (key, request, at) = (key.clone(), request.clone(), at.cloned());
        let void = move |_: &Shared, books: &mut Books, _| {
            let row = match &at {
                Some(reference) => books.named(reference),
                // a tombstone: what arrives later finds it
                None => Some(books.charge(&key, &request)),
            };
            let Some(row) = row else { return VoidOutcome::NotFound };
            let (reference, amount) = (row.reference.clone(), row.amount);
            match row.state {
                State::Captured => {
                    books.void_too_late += 1;
                    VoidOutcome::AlreadyCaptured(Captured { reference, amount })
                }
                State::Processing => VoidOutcome::Processing { reference },
                _ => {
                    row.state = State::Voided;
                    VoidOutcome::Voided { reference }
                }
            }
        };
        self.call(false, void).await.unwrap_or_else(|_| VoidOutcome::Unknown(doubt("no answer")))
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        let (key, refund) = (key.clone(), refund.clone());
        let pay_back = move |shared: &Shared, books: &mut Books, _| {
            let captured = books.named(&refund.payment).map_or(0, |charge| charge.amount.amount_minor);
            let left = captured - books.refunded(&refund.payment);
            let reference = books.name("re");
            let fresh = !books.refunds.contains_key(key.as_str());
            if fresh && left < refund.amount.amount_minor {
                return RefundOutcome::NothingLeft;
            }
            let row = RefundRow { payment: refund.payment.clone(), amount: refund.amount, refund, reference };
            let row = books.refunds.entry(key.as_str().to_owned()).or_insert(row).clone();
            let refunded = Refunded { reference: row.reference.clone(), amount: row.amount };
            if fresh && !shared.prepares {
                shared.tell_refund(&row);
                return RefundOutcome::Pending(refunded);
            }
            RefundOutcome::Succeeded(refunded)
        };
        match self.call(true, pay_back).await {
            Ok(outcome) => outcome,
            Err(Silence::Refused) => RefundOutcome::NotExecuted(not_executed()),
            Err(Silence::Lost) => RefundOutcome::Unknown(doubt("no answer")),
        }
    }

    async fn probe_refund(&self, refund: &RefundRequest, _: Option<&Reference>) -> RefundProbeOutcome {
        if !self.shared.prepares {
            return RefundProbeOutcome::CannotAsk;
        }
        let refund = refund.clone();
        let find =
            move |_: &Shared, books: &mut Books, _| books.refunds.values().find(|row| row.refund == refund).cloned();
        match self.call(false, find).await {
            Ok(Some(row)) => RefundProbeOutcome::Succeeded(Refunded { reference: row.reference, amount: row.amount }),
            Ok(None) => RefundProbeOutcome::NotFound,
            Err(_) => RefundProbeOutcome::Unknown(doubt("could not be asked")),
        }
    }

    fn verify_webhook(&self, _: &HeaderMap, _: &[u8], _: DateTime<Utc>) -> Result<Vec<WebhookEvent>, WebhookError> {
        Ok(Vec::new())
    }
}
