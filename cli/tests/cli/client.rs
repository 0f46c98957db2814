//! A client of the HTTP API, as buyers and operators have one.

use super::dev::PATIENCE;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// A client of a running API.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) http: Client,
    pub(super) base: String,
    pub(super) token: String,
    /// Another administrator's, where there is one.
    pub(super) second: String,
}

impl Api {
    pub(super) fn new(base: &str, token: &str) -> Self {
        // another test may have been first
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { http: Client::new(), base: base.to_owned(), token: token.to_owned(), second: String::new() }
    }

    /// The answer, where the connection holds.
    pub(super) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.timeout(PATIENCE).send().await?;
        Ok((answer.status(), answer.json().await.unwrap_or(Value::Null)))
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.try_ask(method, path, body.as_ref()).await.unwrap()
    }

    pub(super) async fn event(&self, seats: usize) -> String {
        let body = json!({
            "name": "A drop", "venue": "Hall", "startTime": "2035-01-01T20:00:00Z", "currency": "EUR",
            "sections": [{ "name": "Floor", "rows": 10, "seatsPerRow": seats / 10, "price": 5000 }],
        });
        let (status, event) = self.ask(Method::POST, "/events", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{event}");
        event["eventId"].as_str().unwrap().to_owned()
    }

    /// The ids of an event's seats.
    pub(super) async fn seats(&self, event: &str) -> Vec<String> {
        let (_, seats) = self.ask(Method::GET, &format!("/events/{event}/seats"), None).await;
        seats["items"].as_array().unwrap().iter().map(|seat| seat["seatId"].as_str().unwrap().to_owned()).collect()
    }

    /// One buyer: tries for the best seat, or for this one; orders and waits; the order if there is one.
    pub(super) async fn buy(&self, event: &str, buyer: usize, seat: Option<&str>) -> Option<Value> {
        let mut wish = json!({ "userId": format!("buyer-{buyer}") });
        match seat {
            Some(seat) => wish["seatIds"] = json!([seat]),
            None => wish["bestAvailable"] = json!({ "count": 1 }),
        }
        let (status, held) = loop {
            let answer = self.ask(Method::POST, &format!("/events/{event}/reserve"), Some(wish.clone())).await;
            // asked to come back: a definite answer follows
            if answer.0 != StatusCode::SERVICE_UNAVAILABLE && answer.0 != StatusCode::TOO_MANY_REQUESTS {
                break answer;
            }
        };
        if status == StatusCode::CONFLICT {
            assert_eq!(held["type"], "/problems/seats-unavailable", "{held}");
            return None;
        }
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let order = json!({
            "reserveId": held["reserveId"], "paymentMethod": "pm_card_visa", "idempotencyKey": format!("drop-{buyer}"),
            "email": format!("buyer-{buyer}@example.org"),
        });
        let (status, placed) = self.ask(Method::POST, "/orders", Some(order)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        loop {
            let path = format!("/orders/{}?wait=20", placed["orderId"].as_str().unwrap());
            let (status, order) = self.ask(Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::OK, "{order}");
            if order["status"] != "pending" {
                return Some(order);
            }
        }
    }
}
