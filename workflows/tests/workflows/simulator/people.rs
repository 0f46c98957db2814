//! Buyers, who place orders (some of them twice, some with seats that others want as well) and take them back, and
//! operators, who act at random, on what they saw a while ago.

use super::{
    protocol::{CHALLENGED, DEADLY, DECLINED, DECLINED_HERE, PRIMARY, SHORT},
    world::World,
};
use orchestrator::{
    CHILD_OWNER, SagaId, Start, Started,
    acts::{Act, ActError, ActRequest},
    journal::Entry,
    saga::State,
    store::simulated::SagaRow,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;
use workflows::{
    ids::{EventId, OrderId},
    orders::{BOOK_TICKETS, REFUND_ORDER, whole_refund_id, whole_refund_key},
    payments::AMOUNT_MISMATCH,
};

/// How many seats there are.
const SEATS: u64 = 8;

/// What a buyer wants, and was told.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) order: OrderId,
    pub(super) seats: Vec<String>,
    /// The saga that the buyer was told of.
    pub(super) saga: SagaId,
    /// The payment method is of use at this gateway only.
    pub(super) only_at: Option<&'static str>,
}

pub(super) fn start(definition: &str, owner: &str, key: String, input: serde_json::Value) -> Start {
    Start {
        definition: definition.to_owned(),
        version: None,
        input,
        owner: owner.to_owned(),
        key,
        tags: BTreeMap::new(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: owner.to_owned(),
    }
}

impl World {
    fn order_start(&self, order: OrderId, seats: &[String], method: &Value) -> Start {
        let input = json!({
            "orderId": order, "paymentMethod": method, "userId": "ann", "seatIds": seats,
            "eventId": EventId(self.luck.id(0)),
        });
        start(BOOK_TICKETS, "buyer", order.to_string(), input)
    }

    /// One buyer's story. What they were told must be true in the end.
    pub(super) async fn buyer(self, patience: Duration) -> Placed {
        sleep(self.luck.time(patience)).await;
        let order = OrderId(self.luck.id(1));
        let first = self.luck.up_to(SEATS - 1);
        let seats: Vec<_> = (0..=self.luck.up_to(2)).map(|n| format!("seat-{}", (first + n) % SEATS)).collect();
        let only_at = self.luck.strikes(80).then_some(PRIMARY);
        let method = only_at.map_or_else(|| json!(self.method()), |gateway| json!({ gateway: self.method() }));
        let wanted = self.order_start(order, &seats, &method);
        let told = self.place(wanted.clone()).await;
        assert!(!matches!(told, Started::Conflict(_)), "a fresh key was taken");
        let saga = told.saga_id();
        if self.luck.strikes(150) {
            assert_eq!(self.place(wanted).await, Started::Known(saga), "the same request again");
        }
        if self.luck.strikes(100) {
            let other = self.order_start(order, &["seat-x".to_owned()], &method);
            assert_eq!(self.place(other).await, Started::Conflict(saga), "the same key for something else");
        }
        if self.luck.strikes(250) {
            sleep(self.luck.time(Duration::from_secs(60))).await;
            self.take_back(order, saga).await;
        }
        Placed { order, seats, saga, only_at }
    }

    fn method(&self) -> &'static str {
        let methods = ["pm_card", "pm_card", "pm_card", "pm_card", DECLINED, DECLINED_HERE, CHALLENGED, CHALLENGED];
        if self.luck.strikes(70) {
            return DEADLY;
        }
        if self.luck.strikes(30) {
            return SHORT;
        }
        self.luck.one_of::<&'static str>(&methods)
    }

    pub(super) async fn place(&self, wanted: Start) -> Started {
        loop {
            match self.api.start(wanted.clone()).await {
                Ok(started) => return started,
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// As `orders::cancel` decides: what is confirmed is refunded, what is not is compensated.
    async fn take_back(&self, order: OrderId, saga: SagaId) {
        let state = self.store.committed().sagas.get(&saga).map(|row| row.state);
        if state == Some(State::Completed) {
            let input = json!({
                "orderId": order, "refundId": whole_refund_id(order), "reason": "ill", "requestedBy": "ann",
            });
            self.place(start(REFUND_ORDER, CHILD_OWNER, whole_refund_key(order), input)).await;
        } else {
            drop(self.act(saga, Act::Cancel).await);
        }
    }

    /// An act on what is seen now.
    pub(super) async fn act(&self, saga: SagaId, act: Act) -> Result<(), ActError> {
        let seq = self.store.committed().sagas.get(&saga).map_or(0, |row| row.seq);
        self.act_on(saga, act, seq).await
    }

    async fn act_on(&self, saga: SagaId, act: Act, seq: i64) -> Result<(), ActError> {
        let request = ActRequest {
            saga_id: saga,
            act,
            reason: "as they saw fit".to_owned(),
            seq,
            by: "olga".to_owned(),
            address: None,
        };
        self.api.act(request).await.map(drop)
    }

    /// Acts at random, for as long as it is let.
    pub(super) async fn operator(&self) {
        loop {
            sleep(self.luck.time(Duration::from_secs(12))).await;
            let sagas: Vec<_> = {
                let data = self.store.committed();
                data.sagas.iter().map(|(saga, row)| (*saga, row.seq, row.state)).collect()
            };
            if sagas.is_empty() {
                continue;
            }
            let (saga, seq, state) = *self.luck.one_of(&sagas);
            // a while passes between the look and the act
            sleep(self.luck.time(Duration::from_secs(1))).await;
            let act = match self.luck.up_to(99) {
                0..=54 => Act::Retry,
                55..=79 => Act::Signal { name: "by-hand".to_owned(), payload: json!(1) },
                80..=96 => Act::Cancel,
                _ => Act::Kill,
            };
            if act == Act::Kill && !self.is_order(saga) {
                continue;
            }
            let done = self.act_on(saga, act.clone(), seq).await.is_ok();
            if done && act == Act::Retry && state == State::Stuck {
                self.count(|rare| rare.retried_by_person += 1);
            }
        }
    }

    /// What gives money back is never killed.
    fn is_order(&self, saga: SagaId) -> bool {
        self.store.committed().sagas.get(&saga).is_some_and(|row| definition_of(row) == Some(BOOK_TICKETS))
    }

    /// Has everything that is stuck tried again, but for orders of which another amount was taken than they cost: those
    /// are seen to by hand, and end here.
    pub(super) async fn mend(&self) {
        let stuck: Vec<_> = {
            let data = self.store.committed();
            let stuck = data.sagas.iter().filter(|(_, row)| row.state == State::Stuck);
            stuck.map(|(saga, row)| (*saga, is_by_amount(row))).collect()
        };
        for (saga, is_by_amount) in stuck {
            if is_by_amount {
                drop(self.act(saga, Act::Kill).await);
            } else if self.act(saga, Act::Retry).await.is_ok() {
                self.count(|rare| rare.retried_by_person += 1);
            }
        }
    }
}

fn is_by_amount(row: &SagaRow) -> bool {
    let last = row.journal.last().map(|(recorded, _)| &recorded.entry);
    matches!(last, Some(Entry::Stuck { failure, .. }) if failure.code == AMOUNT_MISMATCH)
}

fn definition_of(row: &SagaRow) -> Option<&str> {
    match &row.journal.first()?.0.entry {
        Entry::Started { definition, .. } => Some(definition),
        _ => None,
    }
}
