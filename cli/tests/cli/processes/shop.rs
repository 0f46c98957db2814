//! Buying, also where the house is away in between; and what the gateways say of it.

use super::{super::client::Api, Patience, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a placed order is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) order: String,
    pub(super) saga: String,
}

impl Api {
    /// Asks again and again until there is a definite answer. Being away is answered by a broken connection or by
    /// 503, and by nothing else.
    pub(super) async fn persist(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let patience = Patience::with(format!("{path} is answered"));
        loop {
            if let Ok((status, answer)) = self.try_ask(method.clone(), path, body.as_ref()).await {
                assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {answer}");
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    return (status, answer);
                }
            }
            patience.wait().await;
        }
    }

    /// Reserves the best seat under the buyer's own token, so that asking twice does not hold two.
    pub(super) async fn reserve(&self, event: &str, buyer: &str) -> Value {
        let wish = json!({ "userId": buyer, "bestAvailable": { "count": 1 }, "holdToken": format!("hold-{buyer}") });
        let (status, held) = self.persist(Method::POST, &format!("/events/{event}/reserve"), Some(wish)).await;
        assert!(status.is_success(), "{held}");
        held
    }

    /// Places an order for a reserved seat.
    pub(super) async fn place(&self, held: &Value, buyer: &str) -> Placed {
        self.place_order(order_for(held, buyer)).await
    }

    /// The same, paid by this.
    pub(super) async fn place_paid_by(&self, held: &Value, buyer: &str, payment_method: Value) -> Placed {
        let mut order = order_for(held, buyer);
        order["paymentMethod"] = payment_method;
        self.place_order(order).await
    }

    async fn place_order(&self, order: Value) -> Placed {
        let (status, placed) = self.persist(Method::POST, "/orders", Some(order)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        let text = |name: &str| placed[name].as_str().unwrap().to_owned();
        Placed { order: text("orderId"), saga: text("sagaId") }
    }

    /// An order that is on its way.
    pub(super) async fn order(&self, event: &str, buyer: &str) -> Placed {
        let held = self.reserve(event, buyer).await;
        self.place(&held, buyer).await
    }

    /// The order, once it has come to its end.
    pub(super) async fn at_rest(&self, placed: &Placed) -> Value {
        let patience = Patience::with(format!("{placed:?} is at rest"));
        loop {
            let path = format!("/orders/{}?wait=2", placed.order);
            let (status, order) = self.persist(Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::OK, "{order}");
            if order["status"] != "pending" {
                return order;
            }
            patience.wait().await;
        }
    }

    /// Waits until an order is confirmed.
    pub(super) async fn confirmed(&self, placed: &Placed) {
        let order = self.at_rest(placed).await;
        assert_eq!(order["status"], "confirmed", "{order:#}");
    }

    /// The buyer cancels an order.
    pub(super) async fn cancel(&self, placed: &Placed) {
        let path = format!("/orders/{}/cancel", placed.order);
        let (status, answer) = self.persist(Method::POST, &path, Some(json!({ "reason": "ill" }))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    /// An order, once it is this.
    pub(super) async fn order_is(&self, placed: &Placed, wanted: &str) -> Value {
        until(&format!("{placed:?} is {wanted}"), async || {
            Some(self.at_rest(placed).await).filter(|order| order["status"] == wanted)
        })
        .await
    }

    /// How many seats of an event are like this.
    pub(super) async fn seats_that_are(&self, event: &str, status: &str) -> usize {
        let (_, seats) = self.persist(Method::GET, &format!("/events/{event}/seats"), None).await;
        seats["items"].as_array().unwrap().iter().filter(|seat| seat["status"] == status).count()
    }

    /// Starts a saga, once per key.
    pub(super) async fn start(&self, definition: &str, key: &str, input: Value) -> String {
        let body = json!({ "definition": definition, "idempotencyKey": key, "input": input });
        let (status, started) = self.persist(Method::POST, "/sagas", Some(body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        started["sagaId"].as_str().unwrap().to_owned()
    }

    /// A saga with its journal.
    pub(super) async fn saga(&self, id: &str) -> Value {
        let (status, saga) = self.persist(Method::GET, &format!("/sagas/{id}"), None).await;
        assert_eq!(status, StatusCode::OK, "{saga}");
        saga
    }

    /// A saga, once it is in this state.
    pub(super) async fn saga_is(&self, id: &str, state: &str) -> Value {
        until(&format!("saga {id} is {state}"), async || {
            Some(self.saga(id).await).filter(|saga| saga["state"] == state)
        })
        .await
    }

    /// Makes a document the version of a definition that new sagas use.
    pub(super) async fn define(&self, name: &str, yaml: &str) -> i64 {
        let url = format!("{}/definitions/{name}", self.base);
        let request = self.http.put(url).bearer_auth(&self.token).header("content-type", "application/yaml");
        let answer: Value = request.body(yaml.to_owned()).send().await.unwrap().json().await.unwrap();
        let version = answer["version"].as_i64().unwrap_or_else(|| panic!("{answer:#}"));
        let path = format!("/definitions/{name}/{version}/activate");
        let reason = json!({ "reason": "a test" });
        let (status, answer) = self.ask(Method::POST, &path, Some(reason.clone())).await;
        let approval = answer["approvalId"].as_str().unwrap_or_else(|| panic!("{status}: {answer:#}"));
        let url = format!("{}/approvals/{approval}/approve", self.base);
        let consent = self.http.post(url).bearer_auth(&self.second).json(&reason).send().await.unwrap();
        assert_eq!(consent.status(), 202);
        version
    }

    /// From now on a payment may take longer than any test: nobody gives up on a call that a test holds.
    pub(super) async fn let_payments_take_their_time(&self) {
        const BOOK_TICKETS: &str = include_str!("../../../../workflows/definitions/book-tickets.yaml");
        let patient = BOOK_TICKETS.replace("timeout: 30s", "timeout: 14m");
        assert_ne!(patient, BOOK_TICKETS);
        self.define("book-tickets", &patient).await;
    }
}

/// What a saga's journal says of its charges at a gateway, one word for each note.
pub(super) fn notes_of<'a>(saga: &'a Value, gateway: &str) -> Vec<&'a str> {
    let details = saga["journal"].as_array().unwrap().iter().map(|entry| &entry["detail"]);
    let notes = details.flat_map(|detail| [&detail["intent"], &detail["note"]]);
    notes.filter(|note| note["gateway"] == gateway).filter_map(|note| note["payment"].as_str()).collect()
}

/// The entries of a saga's journal that are about a step.
pub(super) fn kinds_of<'a>(saga: &'a Value, step: &str) -> Vec<&'a str> {
    let entries = saga["journal"].as_array().unwrap().iter();
    entries.filter(|entry| entry["step"] == step).map(|entry| entry["kind"].as_str().unwrap()).collect()
}

/// The body of an order for a reserved seat.
pub(super) fn order_for(held: &Value, buyer: &str) -> Value {
    json!({
        "reserveId": held["reserveId"], "paymentMethod": "pm_card_visa", "idempotencyKey": format!("order-{buyer}"),
    })
}

/// Whose charge it is, in the words of either protocol.
fn order_of(charge: &Value) -> &str {
    let metadata = &charge["metadata"];
    metadata["order_id"].as_str().or(metadata["orderId"].as_str()).unwrap()
}

/// What the gateways have on their books, each.
pub(super) struct Books(Vec<Vec<Value>>);

impl Books {
    pub(super) async fn read(gateways: &[&Api]) -> Self {
        let mut all = Vec::new();
        for gateway in gateways {
            let (status, books) = gateway.ask(Method::GET, "/_sandbox/books", None).await;
            assert_eq!(status, StatusCode::OK, "{books}");
            all.push(books["charges"].as_array().unwrap().clone());
        }
        Self(all)
    }

    /// The charges of an order.
    pub(super) fn of(&self, order: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().flatten().filter(move |charge| order_of(charge) == order)
    }

    /// How often money was asked for, for an order.
    pub(super) fn asked(&self, order: &str) -> u64 {
        self.of(order).map(|charge| charge["asked"].as_u64().unwrap()).sum()
    }

    /// What the gateways have of an order, after what they have given back.
    pub(super) fn kept(&self, order: &str) -> i64 {
        self.of(order).map(kept).sum()
    }

    /// The same of one gateway, the primary first.
    pub(super) fn kept_by(&self, gateway: usize, order: &str) -> i64 {
        self.0[gateway].iter().filter(|charge| order_of(charge) == order).map(kept).sum()
    }

    /// How many charges have taken money.
    pub(super) fn captured(&self) -> usize {
        self.0.iter().flatten().filter(|charge| charge["captured"] != 0).count()
    }

    /// An order that is confirmed has tickets, and its price was taken by one charge and kept; of any other, what was
    /// taken is given back. No gateway has charged an order twice, under whatever key.
    pub(super) async fn agree_with(&self, api: &Api) {
        let (status, orders) = api.ask(Method::GET, "/orders?limit=500", None).await;
        assert_eq!(status, StatusCode::OK, "{orders}");
        assert_eq!(orders["next"], Value::Null, "there are more orders than this looks at");
        let mut known = BTreeSet::new();
        for order in orders["items"].as_array().unwrap() {
            let id = order["orderId"].as_str().unwrap();
            let is_confirmed = order["status"] == "confirmed";
            let charges: Vec<_> = self.of(id).collect();
            let kept: Vec<_> = charges.iter().copied().map(kept).filter(|kept| *kept != 0).collect();
            let owed = is_confirmed.then(|| order["total"]["amount"].as_i64().unwrap());
            assert_eq!(kept, Vec::from_iter(owed), "{order:#}, {charges:#?}");
            let tickets = order["tickets"].as_array().unwrap().iter().filter(|ticket| ticket["valid"] == true);
            let seats = if is_confirmed { order["seatIds"].as_array().unwrap().len() } else { 0 };
            assert_eq!(tickets.count(), seats, "{order:#}");
            known.insert(id);
        }
        for charges in &self.0 {
            let (mut charged, mut keys) = (BTreeSet::new(), BTreeSet::new());
            for charge in charges {
                let (order, captured) = (order_of(charge), charge["captured"].as_i64().unwrap());
                assert!(known.contains(order), "a charge of no order: {charge:#}");
                assert!(captured == 0 || charged.insert(order), "{order} was charged twice: {charges:#?}");
                assert!(captured <= charge["amount"].as_i64().unwrap(), "{charge:#}");
                for key in charge["idempotencyKeys"].as_array().unwrap() {
                    assert!(keys.insert(key.as_str().unwrap()), "two charges have the key {key}");
                }
            }
        }
    }
}

/// What a gateway has of a charge after what it has given back.
fn kept(charge: &Value) -> i64 {
    charge["captured"].as_i64().unwrap() - charge["refunded"].as_i64().unwrap()
}
