//! Workers that freeze or die in the middle of a payment.

use serde_json::{Value, json};

use super::{
    super::shop::{Shop, text},
    GOOD_CARD, Outcome, Scene, fault, shown,
};
use crate::house::House;

/// Long enough for a worker to be caught in the middle; not as long as it waits for an answer.
const SLOW_MS: u64 = 3_000;
/// As short as it may be; the worker extends it to the time that one call to a gateway may take.
const SHORT_HOLD_SECS: u64 = 1;

pub(super) async fn hold_lost(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A lost hold", 4).await?;
    let seats = shop.seats(&event).await?;
    let wanted = [seats[0].0.as_str()];
    slow_charge(shop, house).await?;
    let hasty = shop.at(&house.second_api(|booking| booking.order_hold_secs = SHORT_HOLD_SECS).await?);
    let order = hasty.buy(&event, "cleo", &wanted, GOOD_CARD).await?;
    about_to_pay(shop, &order).await?;
    signal_worker(house, "-STOP").await?;
    let rival = shop.insist(&event, "dan", &wanted).await;
    signal_worker(house, "-CONT").await?;
    rival?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::HoldLost.title(), &order).await?;
    outcome.should(order["status"] == "rejected", || format!("it is {}", order["status"]));
    let refund = order.pointer("/refunds/0/state").and_then(Value::as_str).unwrap_or("missing").to_owned();
    outcome.should(refund == "succeeded", || format!("its refund is {refund}"));
    outcome.should(order["tickets"] == json!([]), || "it has tickets".to_owned());
    Ok(outcome)
}

pub(super) async fn worker_killed(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A killed worker", 4).await?;
    let seats = shop.seats(&event).await?;
    slow_charge(shop, house).await?;
    let order = shop.buy(&event, "eve", &[&seats[0].0], GOOD_CARD).await?;
    about_to_pay(shop, &order).await?;
    signal_worker(house, "-KILL").await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::WorkerKilled.title(), &order).await?;
    outcome.should(order["status"] == "confirmed", || format!("it is {}", order["status"]));
    let charges = order["payments"].as_array().map_or(0, Vec::len);
    outcome.should(charges == 1, || format!("{charges} charges instead of 1"));
    Ok(outcome)
}

/// The next charge takes long.
async fn slow_charge(shop: &Shop, house: &House) -> anyhow::Result<()> {
    fault(house, shop, &json!({ "fault": "slow", "operation": "charge", "count": 1, "delayMs": SLOW_MS })).await
}

/// Waits until the charge is prepared and its reference journaled: what follows is the call that moves money.
async fn about_to_pay(shop: &Shop, order: &str) -> anyhow::Result<()> {
    let placed = shop.get(&format!("/orders/{order}")).await?;
    shop.saga_with(&text(&placed, "/sagaId")?, "noted", "pay").await.map(drop)
}

async fn signal_worker(house: &House, signal: &str) -> anyhow::Result<()> {
    let pid = house.worker.pid().await?;
    let sent = tokio::process::Command::new("kill").args([signal, &pid.to_string()]).status().await?;
    anyhow::ensure!(sent.success(), "kill {signal} {pid} did not work");
    Ok(())
}
