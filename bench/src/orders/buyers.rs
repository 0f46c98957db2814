//! Buyers over HTTP, each with one order at a time; and somebody who asks a gateway for money with nothing in between.

use super::Observer;
use crate::api::{Api, client, text};
use anyhow::{Context, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How many seats a row has.
const SEATS_PER_ROW: usize = 100;
/// What everybody pays with, and how much.
const CARD: &str = "pm_card_visa";
const PRICE: u32 = 5_000;

/// An order that was confirmed: how long that took.
pub(super) struct Bought {
    /// Until its saga was seen to be finished; none where nobody looked.
    pub(super) confirmed_ms: Option<f64>,
    /// Until its buyer was told.
    pub(super) told_ms: f64,
}

/// A crowd at one event.
pub(super) struct Buyers<'a> {
    shop: &'a Api,
    event: String,
    seats: Vec<String>,
    /// The next seat that nobody has asked for.
    next: AtomicUsize,
}

impl<'a> Buyers<'a> {
    /// At a new event with so many seats at least.
    pub(super) async fn new(shop: &'a Api, seats: usize) -> anyhow::Result<Self> {
        let event = json!({
            "name": "A drop", "venue": "Hall", "startTime": "2035-01-01T20:00:00Z", "currency": "EUR",
            "sections": [{
                "name": "Floor", "rows": seats.div_ceil(SEATS_PER_ROW), "seatsPerRow": SEATS_PER_ROW, "price": PRICE,
            }],
        });
        let event = shop.ask(Method::POST, "/events", Some(&event), StatusCode::CREATED).await?;
        let event = text(&event, "eventId")?;
        let listed = shop.ask(Method::GET, &format!("/events/{event}/seats"), None, StatusCode::OK).await?;
        let seats = listed["items"].as_array().context("an event without seats")?;
        let seats = seats.iter().map(|seat| text(seat, "seatId")).collect::<anyhow::Result<_>>()?;
        Ok(Self { shop, event, seats, next: AtomicUsize::new(0) })
    }

    /// So many buyers buy so many seats between them. With an observer, an order is over when both have seen its end.
    pub(super) async fn buy(
        &self,
        buyers: usize,
        orders: usize,
        observer: Option<&Observer>,
    ) -> anyhow::Result<Vec<Bought>> {
        let last = self.next.load(Ordering::Relaxed) + orders;
        let one_after_another = async || {
            let mut bought = Vec::new();
            loop {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                if next >= last {
                    return anyhow::Ok(bought);
                }
                let seat = self.seats.get(next).context("there are not as many seats")?;
                bought.push(self.buy_one(seat, observer).await?);
            }
        };
        let all = futures::future::try_join_all((0..buyers).map(|_| one_after_another())).await?;
        self.next.store(last, Ordering::Relaxed);
        Ok(all.into_iter().flatten().collect())
    }

    async fn buy_one(&self, seat: &str, observer: Option<&Observer>) -> anyhow::Result<Bought> {
        let wish = json!({ "userId": format!("buyer-{seat}"), "seatIds": [seat] });
        let path = format!("/events/{}/reserve", self.event);
        let held = self.shop.ask(Method::POST, &path, Some(&wish), StatusCode::CREATED).await?;
        let order = json!({ "reserveId": held["reserveId"], "paymentMethod": CARD, "idempotencyKey": seat });
        let sent = Instant::now();
        let placed = self.shop.ask(Method::POST, "/orders", Some(&order), StatusCode::ACCEPTED).await?;
        let saga = text(&placed, "sagaId")?;
        let saga = saga.strip_prefix("sag_").and_then(|id| Uuid::try_parse(id).ok()).context("no saga's id")?;
        let path = format!("/orders/{}?wait=30", text(&placed, "orderId")?);
        let told = async {
            let order = self.shop.ask(Method::GET, &path, None, StatusCode::OK).await?;
            ensure!(order["status"] == "confirmed", "an order is not confirmed: {order}");
            Ok(ms(sent, Instant::now()))
        };
        let confirmed = async {
            match observer {
                Some(observer) => Ok(Some(ms(sent, observer.finished(saga).await?))),
                None => Ok(None),
            }
        };
        let (told_ms, confirmed_ms) = tokio::try_join!(told, confirmed)?;
        Ok(Bought { confirmed_ms, told_ms })
    }
}

/// What somebody sees who asks the gateway for so many payments, so many at a time, with nothing in between: how long
/// each took, in milliseconds.
pub(super) async fn ask_alone(url: &str, at_a_time: usize, payments: usize) -> anyhow::Result<Vec<f64>> {
    let (client, begun) = (client()?, Arc::new(AtomicUsize::new(0)));
    let mut askers = JoinSet::new();
    for _ in 0..at_a_time {
        let (client, begun, url) = (client.clone(), Arc::clone(&begun), url.to_owned());
        askers.spawn(async move {
            let mut times = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < payments {
                let sent = Instant::now();
                pay(&client, &url).await?;
                times.push(ms(sent, Instant::now()));
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(asked) = askers.join_next().await {
        times.extend(asked??);
    }
    Ok(times)
}

/// One payment by Stripe's protocol: created, then confirmed.
async fn pay(client: &Client, url: &str) -> anyhow::Result<()> {
    let price = PRICE.to_string();
    let new =
        [("amount", price.as_str()), ("currency", "eur"), ("payment_method", CARD), ("payment_method_types[]", "card")];
    let created = client.post(format!("{url}/v1/payment_intents")).form(&new);
    let created: Value = created.bearer_auth("any").send().await?.error_for_status()?.json().await?;
    let confirm = client.post(format!("{url}/v1/payment_intents/{}/confirm", text(&created, "id")?));
    let confirmed: Value = confirm.bearer_auth("any").send().await?.error_for_status()?.json().await?;
    ensure!(confirmed["status"] == "succeeded", "a payment is not captured: {confirmed}");
    Ok(())
}

fn ms(from: Instant, until: Instant) -> f64 {
    (until - from).as_secs_f64() * 1_000.0
}
