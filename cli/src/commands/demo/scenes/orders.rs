//! Orders at gateways that are well.

use anyhow::Context;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    super::shop::{Answered, Shop, text},
    GOOD_CARD, Outcome, Scene, shown,
};

const DECLINED_CARD: &str = "pm_card_chargeDeclined";
const RACERS: usize = 200;
const SEATS_RACED_FOR: u32 = 20;

pub(super) async fn confirmed(shop: &Shop) -> anyhow::Result<Outcome> {
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

pub(super) async fn declined(shop: &Shop) -> anyhow::Result<Outcome> {
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

pub(super) async fn race(shop: &Shop) -> anyhow::Result<Outcome> {
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
    let ordered = shop.order(&text(&body, "/reserveId")?, &json!(GOOD_CARD)).await?.expect(StatusCode::ACCEPTED)?;
    shop.settled(&text(&ordered, "/orderId")?).await.map(Some)
}
