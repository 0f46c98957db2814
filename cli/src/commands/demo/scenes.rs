//! What is tried, and what is right then.

use anyhow::Context;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::shop::{Answered, Shop, text};
use crate::house::House;

const GOOD_CARD: &str = "pm_card_visa";
const DECLINED_CARD: &str = "pm_card_chargeDeclined";
/// Longer than the short hold, so that it ends while the gateway is working; not as long as we wait for an answer.
const SLOW_MS: u64 = 3_000;
const SHORT_HOLD_SECS: u64 = 2;
const RACERS: usize = 200;
const SEATS_RACED_FOR: u32 = 20;

/// One thing to try.
#[derive(Clone, Copy)]
pub(super) enum Scene {
    Confirmed,
    Declined,
    HoldLost,
    WorkerKilled,
    Race,
}

/// What became of it.
pub(super) struct Outcome {
    pub(super) title: String,
    pub(super) order: String,
    pub(super) steps: Vec<String>,
    pub(super) links: Vec<String>,
    /// What was not as it should be.
    pub(super) wrong: Vec<String>,
}

impl Outcome {
    /// It could not even be tried to its end.
    pub(super) fn broken(title: &str, error: &anyhow::Error) -> Self {
        Self {
            title: title.to_owned(),
            order: "?".to_owned(),
            steps: Vec::new(),
            links: Vec::new(),
            wrong: vec![format!("{error:#}")],
        }
    }

    /// What was not as it should be, with where.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.wrong.iter().map(|wrong| format!("{}: {wrong}", self.title)).collect()
    }

    fn should(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }
}

/// All scenes, in order.
pub(super) fn all() -> [Scene; 5] {
    [Scene::Confirmed, Scene::Declined, Scene::HoldLost, Scene::WorkerKilled, Scene::Race]
}

impl Scene {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Confirmed => "A good card",
            Self::Declined => "A declined card",
            Self::HoldLost => "The hold is lost while the gateway is slow",
            Self::WorkerKilled => "The worker is killed in the middle of the payment",
            Self::Race => "200 buyers race for 20 seats",
        }
    }

    pub(super) async fn play(self, house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
        match self {
            Self::Confirmed => confirmed(shop).await,
            Self::Declined => declined(shop).await,
            Self::HoldLost => hold_lost(house, shop).await,
            Self::WorkerKilled => worker_killed(house, shop).await,
            Self::Race => race(shop).await,
        }
    }
}

async fn confirmed(shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A good card", 4).await?;
    let seats = shop.seats(&event).await?;
    let order = shop.buy(&event, "ada", &[&seats[0].0, &seats[1].0], GOOD_CARD).await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::Confirmed.title(), &order).await?;
    outcome.should(order["status"] == "confirmed", || format!("it is {}", order["status"]));
    let tickets = order["tickets"].as_array().map_or(0, Vec::len);
    outcome.should(tickets == 2, || format!("{tickets} tickets instead of 2"));
    Ok(outcome)
}

async fn declined(shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A declined card", 4).await?;
    let seats = shop.seats(&event).await?;
    let order = shop.buy(&event, "bob", &[&seats[0].0], DECLINED_CARD).await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::Declined.title(), &order).await?;
    outcome.should(order["status"] == "rejected", || format!("it is {}", order["status"]));
    let reason = order["reason"].as_str().unwrap_or_default().to_owned();
    outcome.should(reason.starts_with("card-declined"), || format!("the reason is {reason:?}"));
    let free = shop.seats(&event).await?.iter().all(|(_, status)| status == "available");
    outcome.should(free, || "its seats are not free again".to_owned());
    Ok(outcome)
}

async fn hold_lost(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A lost hold", 4).await?;
    let seats = shop.seats(&event).await?;
    let wanted = [seats[0].0.as_str()];
    slow_charge(shop, house).await?;
    let hasty = shop.at(&house.second_api(SHORT_HOLD_SECS).await?);
    let order = hasty.buy(&event, "cleo", &wanted, GOOD_CARD).await?;
    shop.insist(&event, "dan", &wanted).await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::HoldLost.title(), &order).await?;
    outcome.should(order["status"] == "rejected", || format!("it is {}", order["status"]));
    let refund = order.pointer("/refunds/0/state").and_then(Value::as_str).unwrap_or("missing").to_owned();
    outcome.should(refund == "succeeded", || format!("its refund is {refund}"));
    outcome.should(order["tickets"] == json!([]), || "it has tickets".to_owned());
    Ok(outcome)
}

async fn worker_killed(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A killed worker", 4).await?;
    let seats = shop.seats(&event).await?;
    slow_charge(shop, house).await?;
    let order = shop.buy(&event, "eve", &[&seats[0].0], GOOD_CARD).await?;
    let placed = shop.get(&format!("/orders/{order}")).await?;
    // the charge is prepared and its reference journaled: what follows is the call that moves money
    shop.saga_with(&text(&placed, "/sagaId")?, "noted", "pay").await?;
    let pid = house.worker.pid().await?;
    let killed = tokio::process::Command::new("kill").args(["-9", &pid.to_string()]).status().await?;
    anyhow::ensure!(killed.success(), "kill -9 {pid} did not work");
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::WorkerKilled.title(), &order).await?;
    outcome.should(order["status"] == "confirmed", || format!("it is {}", order["status"]));
    let charges = order["payments"].as_array().map_or(0, Vec::len);
    outcome.should(charges == 1, || format!("{charges} charges instead of 1"));
    Ok(outcome)
}

/// The next charge takes long.
async fn slow_charge(shop: &Shop, house: &House) -> anyhow::Result<()> {
    let fault = json!({ "fault": "slow", "operation": "charge", "count": 1, "delayMs": SLOW_MS });
    let sandbox = shop.at(&house.sandboxes.primary.url);
    let answer = sandbox.ask(reqwest::Method::POST, "/_sandbox/faults", Some(&fault)).await?;
    anyhow::ensure!(answer.status.is_success(), "the sandbox refused the fault: {}", answer.body);
    Ok(())
}

async fn race(shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("A race", SEATS_RACED_FOR).await?;
    let racers = (0..RACERS).map(|racer| race_one(shop, &event, racer));
    let results: Vec<anyhow::Result<Option<Value>>> = join_all(racers).await;
    let orders = results.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let sold: Vec<_> = orders.into_iter().flatten().collect();
    let first = sold.first().context("nobody got a seat")?;
    let mut outcome = shown(shop, Scene::Race.title(), first).await?;
    let confirmed = sold.iter().filter(|order| order["status"] == "confirmed").count();
    outcome.order = format!("{confirmed} confirmed, {} told that nothing is left", RACERS - sold.len());
    outcome.should(confirmed == SEATS_RACED_FOR as usize, || format!("{confirmed} orders are confirmed"));
    let seats = shop.seats(&event).await?;
    let gone = seats.iter().filter(|(_, status)| status == "sold").count();
    outcome.should(gone == SEATS_RACED_FOR as usize, || format!("{gone} seats are sold"));
    Ok(outcome)
}

/// One buyer takes the best seat there is; none when nothing is left.
async fn race_one(shop: &Shop, event: &str, racer: usize) -> anyhow::Result<Option<Value>> {
    let wish = json!({ "bestAvailable": { "count": 1 } });
    let Answered { status, body } = shop.reserve(event, &format!("racer-{racer}"), &wish).await?;
    if status == StatusCode::CONFLICT {
        return Ok(None);
    }
    anyhow::ensure!(status == StatusCode::CREATED, "a racer was answered {status}: {body}");
    let ordered = shop.order(&text(&body, "/reserveId")?, GOOD_CARD).await?.expect(StatusCode::ACCEPTED)?;
    shop.settled(&text(&ordered, "/orderId")?).await.map(Some)
}

/// What there is to see of an order.
async fn shown(shop: &Shop, title: &str, order: &Value) -> anyhow::Result<Outcome> {
    let (order_id, saga_id) = (text(order, "/orderId")?, text(order, "/sagaId")?);
    let saga = shop.get(&format!("/sagas/{saga_id}")).await?;
    let entries = saga["journal"].as_array().map(Vec::as_slice).unwrap_or_default();
    let status = text(order, "/status")?;
    let reason = order["reason"].as_str().map(|reason| format!("\n{reason}")).unwrap_or_default();
    Ok(Outcome {
        title: title.to_owned(),
        order: format!("{status}{reason}"),
        steps: steps(entries),
        links: vec![shop.link(&format!("/orders/{order_id}")), shop.link(&format!("/sagas/{saga_id}"))],
        wrong: Vec::new(),
    })
}

/// A journal in short: one line for what happened to each step, in order.
fn steps(entries: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        let step = entry["step"].as_str().unwrap_or_default();
        let backward = entry.pointer("/detail/lane").and_then(Value::as_str) == Some("compensation");
        let step = match backward {
            true if had_effect(entries, step) => format!("{step}, taken back"),
            true => format!("{step}, nothing to take back"),
            false => step.to_owned(),
        };
        let code = entry.pointer("/detail/failure/code").and_then(Value::as_str).unwrap_or_default();
        let line = match entry["kind"].as_str().unwrap_or_default() {
            "succeeded" if entry.pointer("/detail/probed") == Some(&Value::Bool(true)) => {
                format!("✓ {step} (the gateway was asked)")
            }
            "succeeded" => format!("✓ {step}"),
            "failed" => format!("✗ {step}: {code}"),
            "inDoubt" => format!("? {step}: {code}"),
            "waits" => format!("… {step}"),
            "compensating" => {
                format!("← because of {}", entry.pointer("/detail/cause/code").and_then(Value::as_str).unwrap_or("?"))
            }
            "completed" => "completed".to_owned(),
            "compensated" => "compensated".to_owned(),
            "stuck" => format!("stuck: {code}"),
            _ => continue,
        };
        lines.push(line);
    }
    lines
}

/// Whether a step has done something, or may have.
fn had_effect(entries: &[Value], step: &str) -> bool {
    entries.iter().any(|entry| {
        let forward = entry.pointer("/detail/lane").and_then(Value::as_str) == Some("forward");
        forward && entry["step"] == step && ["succeeded", "inDoubt"].iter().any(|kind| entry["kind"] == **kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_not_taken_back() {
        let entry =
            |kind: &str, step: &str, lane: &str| json!({ "kind": kind, "step": step, "detail": { "lane": lane } });
        let entries = [
            entry("succeeded", "hold", "forward"),
            entry("failed", "pay", "forward"),
            entry("succeeded", "pay", "compensation"),
            entry("succeeded", "hold", "compensation"),
        ];
        let lines = ["✓ hold", "✗ pay: ", "✓ pay, nothing to take back", "✓ hold, taken back"];
        assert_eq!(steps(&entries), lines);
    }
}
