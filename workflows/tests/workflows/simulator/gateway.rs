//! A gateway with books of its own. What reaches it is carried out whether or not the one who asked still lives; an
//! answer may be lost, and a call may arrive long after everybody has given it up.

use super::{
    books::{Books, State},
    protocol::{DEADLY, Shared, declined, doubt, own_reference},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::store::simulated::{Fate, Process};
use reqwest::header::HeaderMap;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::sleep};
use workflows::{
    breakers::{GatewayBreakers, Operation},
    gateways::{
        AmountError, Capabilities, Captured, ChargeOutcome, ChargeRequest, Gateway, IdempotencyKey, NotExecuted,
        NotExecutedReason, PrepareOutcome, ProbeOutcome, Reference, RefundOutcome, RefundProbeOutcome, RefundRequest,
        Refunded, VoidOutcome, WebhookError, WebhookEvent,
    },
    ids::OrderId,
    money::Money,
};

/// One process's way to it.
pub(super) struct SimulatedGateway {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Process,
    /// What this process has before it.
    pub(super) breakers: GatewayBreakers,
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

/// What a call is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To make what has no effect on money yet.
    Making,
    Charging,
    PayingBack,
    Ending,
    Asking,
}

impl Purpose {
    /// What moves money may come late.
    fn moves_money(self) -> bool {
        matches!(self, Self::Charging | Self::PayingBack)
    }

    /// The breaker that has let it through.
    fn operation(self) -> Operation {
        match self {
            Self::Making | Self::Charging => Operation::Charge,
            Self::PayingBack => Operation::Refund,
            Self::Ending => Operation::Void,
            Self::Asking => Operation::Probe,
        }
    }
}

impl SimulatedGateway {
    /// Has `work` done at the gateway. Whoever asked may be gone by then, or not hear of it.
    async fn call<T, W>(&self, purpose: Purpose, work: W) -> Result<T, Silence>
    where
        T: Send + 'static,
        W: FnOnce(&Shared, &mut Books, bool) -> T + Send + 'static,
    {
        let is_half_open = self.breakers.standing(purpose.operation()).breaker == "halfOpen";
        self.process.goes_on().await;
        let (luck, faults) = (&self.shared.luck, *self.shared.faults.lock().unwrap());
        if luck.strikes(faults.refused) {
            sleep(luck.time(Duration::from_millis(50))).await;
            self.process.goes_on().await;
            return Err(Silence::Refused);
        }
        let dark = faults.dark && purpose != Purpose::Making;
        let late = purpose.moves_money() && luck.strikes(faults.late);
        let lost_before = luck.strikes(if dark { 300 } else { faults.lost_before });
        let lost_after = dark || luck.strikes(faults.lost_after);
        let slow = if luck.strikes(faults.slow) { Duration::from_millis(7_500) } else { Duration::from_millis(100) };
        let late_by = Duration::from_secs(5) + luck.time(Duration::from_secs(90));
        let (way, way_back) = (if late { late_by } else { luck.time(slow) }, luck.time(slow));
        let (answer, answered) = oneshot::channel();
        let (shared, under_way) = (Arc::clone(&self.shared), self.shared.post.under_way());
        if !lost_before {
            tokio::spawn(async move {
                sleep(way).await;
                let done = {
                    let mut books = shared.books.lock().unwrap();
                    work(&shared, &mut books, late)
                };
                drop(under_way);
                sleep(way_back).await;
                drop(answer.send(done));
            });
        }
        if lost_before || lost_after || late {
            sleep(luck.time(Duration::from_secs(8))).await;
            self.process.goes_on().await;
            return Err(Silence::Lost);
        }
        let done = answered.await.map_err(|_| Silence::Lost)?;
        self.process.goes_on().await;
        self.shared.books.lock().unwrap().came_back += u64::from(is_half_open);
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
        let stripes_way = self.shared.prepares;
        Capabilities {
            prepares: stripes_way,
            probes_charges: stripes_way,
            probes_refunds: stripes_way,
            voids: stripes_way,
            answers_refunds: stripes_way,
        }
    }

    fn check_amount(&self, _: Money) -> Result<(), AmountError> {
        Ok(())
    }

    fn own_reference(&self, _: OrderId, key: &IdempotencyKey) -> Option<Reference> {
        (!self.shared.prepares).then(|| own_reference(key))
    }

    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome {
        if !self.shared.prepares {
            return PrepareOutcome::NothingToPrepare;
        }
        let (key, charge) = (key.clone(), charge.clone());
        match self.call(Purpose::Making, move |_, books, _| books.charge(&key, &charge).reference.clone()).await {
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
            let row = books.charge(&key, &request);
            if shared.prepares && at.as_ref() != Some(&row.reference) {
                let wrong = format!("{key} was confirmed by another name than its own");
                books.broken.push(wrong);
            }
            shared.confirm(books, &key, late)
        };
        match self.call(Purpose::Charging, confirm).await {
            Ok(outcome) => outcome,
            Err(Silence::Refused) => ChargeOutcome::NotExecuted(not_executed()),
            Err(Silence::Lost) => ChargeOutcome::Unknown(doubt("no answer")),
        }
    }

    async fn probe(&self, _: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome {
        let Some(reference) = reference.cloned().filter(|_| self.shared.prepares) else {
            return ProbeOutcome::CannotAsk;
        };
        let found = self.call(Purpose::Asking, move |_, books, _| books.named(&reference).cloned()).await;
        match found {
            Err(_) => ProbeOutcome::Unknown(doubt("could not be asked")),
            Ok(None) => ProbeOutcome::NotFound,
            Ok(Some(row)) => {
                let (reference, amount) = (row.reference.clone(), row.taken());
                match row.state {
                    State::Made => ProbeOutcome::NotCaptured { reference },
                    State::Challenged => {
                        ProbeOutcome::ActionRequired { reference, next_action: json!({ "go": "there" }) }
                    }
                    State::Processing => ProbeOutcome::Processing { reference },
                    State::Captured => ProbeOutcome::Captured(Captured { reference, amount }),
                    State::Declined => ProbeOutcome::Declined(declined(&row)),
                    State::Voided => ProbeOutcome::Voided { reference },
                }
            }
        }
    }

    async fn void(&self, key: &IdempotencyKey, _: &ChargeRequest, at: Option<&Reference>) -> VoidOutcome {
        let (key, at) = (key.clone(), at.cloned());
        let void = move |shared: &Shared, books: &mut Books, _| match at {
            Some(reference) if shared.prepares => shared.cancel(books.named(&reference)),
            None if shared.prepares => VoidOutcome::CannotVoid,
            _ => shared.wish_to_cancel(books, &key),
        };
        self.call(Purpose::Ending, void).await.unwrap_or_else(|_| VoidOutcome::Unknown(doubt("no answer")))
    }

    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome {
        let (key, refund) = (key.clone(), refund.clone());
        let pay_back = move |shared: &Shared, books: &mut Books, _| shared.pay_back(books, &key, refund);
        match self.call(Purpose::PayingBack, pay_back).await {
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
        match self.call(Purpose::Asking, find).await {
            Ok(Some(row)) => RefundProbeOutcome::Succeeded(Refunded { reference: row.reference, amount: row.amount }),
            Ok(None) => RefundProbeOutcome::NotFound,
            Err(_) => RefundProbeOutcome::Unknown(doubt("could not be asked")),
        }
    }

    fn verify_webhook(&self, _: &HeaderMap, _: &[u8], _: DateTime<Utc>) -> Result<Vec<WebhookEvent>, WebhookError> {
        Ok(Vec::new())
    }
}
