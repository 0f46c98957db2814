//! A buyer, and a rival, over the HTTP API and nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// How long anything may take before we call it broken.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Talks to one API.
#[derive(Clone)]
pub(super) struct Shop {
    base: String,
    token: SecretString,
    http: reqwest::Client,
}

/// An answer, whatever it was.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answered {
    /// Only what was hoped for.
    pub(super) fn expect(self, status: StatusCode) -> anyhow::Result<Value> {
        ensure!(self.status == status, "answered {} instead of {status}: {}", self.status, self.body);
        Ok(self.body)
    }
}

impl Shop {
    pub(super) fn new(base: &str, token: SecretString) -> Self {
        Self { base: base.to_owned(), token, http: reqwest::Client::new() }
    }

    /// The same buyer at another API.
    pub(super) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// Somebody else at the same API.
    pub(super) fn with(&self, token: SecretString) -> Self {
        Self { token, ..self.clone() }
    }

    /// A link that people can open.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answered> {
        let mut request = self.http.request(method, self.link(path)).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("asking {path}"))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok(Answered { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }

    /// A text that is no JSON.
    pub(super) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.http.get(self.link(path)).bearer_auth(self.token.expose_secret()).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    pub(super) async fn send_csv(&self, path: &str, text: String) -> anyhow::Result<Answered> {
        let request = self.http.post(self.link(path)).bearer_auth(self.token.expose_secret());
        let answer = request.header(reqwest::header::CONTENT_TYPE, "text/csv").body(text).send().await?;
        let status = answer.status();
        Ok(Answered { status, body: serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null) })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await?.expect(StatusCode::OK)
    }

    /// A new event with one row of seats; its id.
    pub(super) async fn event(&self, name: &str, seats: u32) -> anyhow::Result<String> {
        let body = json!({
            "name": name, "venue": "The Demo House", "startTime": "2035-06-01T19:30:00Z", "currency": "EUR",
            "sections": [{ "name": "Stalls", "rows": 1, "seatsPerRow": seats, "price": 6500 }],
        });
        let event = self.ask(Method::POST, "/events", Some(&body)).await?.expect(StatusCode::CREATED)?;
        text(&event, "/eventId")
    }

    /// The seats of an event: id and status.
    pub(super) async fn seats(&self, event: &str) -> anyhow::Result<Vec<(String, String)>> {
        let answer = self.get(&format!("/events/{event}/seats")).await?;
        let items = answer["items"].as_array().context("no seats in the answer")?;
        items.iter().map(|seat| Ok((text(seat, "/seatId")?, text(seat, "/status")?))).collect()
    }

    pub(super) async fn reserve(&self, event: &str, user: &str, wish: &Value) -> anyhow::Result<Answered> {
        let mut body = json!({ "userId": user });
        if let (Some(body), Some(wish)) = (body.as_object_mut(), wish.as_object()) {
            body.extend(wish.clone());
        }
        self.ask(Method::POST, &format!("/events/{event}/reserve"), Some(&body)).await
    }

    /// `payment_method`: a token, or one for each gateway.
    pub(super) async fn order(&self, reservation: &str, payment_method: &Value) -> anyhow::Result<Answered> {
        let body = json!({
            "reserveId": reservation, "paymentMethod": payment_method, "idempotencyKey": reservation,
        });
        self.ask(Method::POST, "/orders", Some(&body)).await
    }

    /// Reserves these seats and orders them; the order's id.
    pub(super) async fn buy(&self, event: &str, user: &str, seats: &[&str], method: &str) -> anyhow::Result<String> {
        self.buy_with(event, user, seats, &json!(method)).await
    }

    /// The same with a payment method of any form.
    pub(super) async fn buy_with(
        &self,
        event: &str,
        user: &str,
        seats: &[&str],
        method: &Value,
    ) -> anyhow::Result<String> {
        let reserved = self.reserve(event, user, &json!({ "seatIds": seats })).await?.expect(StatusCode::CREATED)?;
        let ordered = self.order(&text(&reserved, "/reserveId")?, method).await?.expect(StatusCode::ACCEPTED)?;
        text(&ordered, "/orderId")
    }

    /// The order once nothing more happens to it by itself.
    pub(super) async fn settled(&self, order: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let order = self.get(&format!("/orders/{order}?wait=10")).await?;
            if !matches!(order["status"].as_str(), Some("pending" | "cancelling")) {
                return Ok(order);
            }
        }
        bail!("order {order} was not settled within {} s", PATIENCE.as_secs())
    }

    /// The order, once it is like this.
    pub(super) async fn order_when(&self, order: &str, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let order = self.get(&format!("/orders/{order}")).await?;
            if is_so(&order) {
                return Ok(order);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("order {order} did not become what it should within {} s", PATIENCE.as_secs())
    }

    /// Of a sandbox: all its faults are over.
    pub(super) async fn heal(&self) -> anyhow::Result<()> {
        let answer = self.ask(Method::DELETE, "/_sandbox/faults", None).await?;
        ensure!(answer.status.is_success(), "the sandbox goes on failing: {}", answer.body);
        Ok(())
    }

    /// The saga, once its journal has an entry of this kind for this step.
    pub(super) async fn saga_with(&self, saga: &str, kind: &str, step: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let saga = self.get(&format!("/sagas/{saga}")).await?;
            let entries = saga["journal"].as_array().map(Vec::as_slice).unwrap_or_default();
            if entries.iter().any(|entry| entry["kind"] == kind && entry["step"] == step) {
                return Ok(saga);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("saga {saga} had no `{kind}` of {step} within {} s", PATIENCE.as_secs())
    }

    /// Tries to get these seats until they are ours.
    pub(super) async fn insist(&self, event: &str, user: &str, seats: &[&str]) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let answer = self.reserve(event, user, &json!({ "seatIds": seats })).await?;
            match answer.status {
                StatusCode::CREATED | StatusCode::OK => return Ok(()),
                StatusCode::CONFLICT => tokio::time::sleep(PAUSE).await,
                status => bail!("the rival was answered {status}: {}", answer.body),
            }
        }
        bail!("the rival did not get the seats within {} s", PATIENCE.as_secs())
    }
}

/// A text in an answer.
pub(super) fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no {pointer} in {value}"))
}
