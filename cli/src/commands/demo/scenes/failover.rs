//! A primary gateway that fails, and what the backup, and the primary itself, do about it.

use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{
    super::shop::{Shop, text},
    GOOD_CARD, Outcome, Scene, fault, shown,
};
use crate::house::House;

/// How many orders wait for the gateway that is away.
const WAITING: u32 = 12;

/// Its first answer to a charge is a 500, which it repeats for ever for the same key.
pub(super) async fn primary_fails(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    fault(house, shop, &json!({ "fault": "error_500", "operation": "charge", "count": 1 })).await?;
    let order = buy(shop, "fay", "A primary that fails").await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::PrimaryFails.title(), &order).await?;
    confirmed_with(&mut outcome, &order, &[("primary", "voided"), ("backup", "captured")]);
    Ok(outcome)
}

/// It takes the money, and nobody hears of it.
pub(super) async fn answer_lost(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    fault(house, shop, &json!({ "fault": "timeout_after", "operation": "charge", "count": 1 })).await?;
    let order = buy(shop, "gil", "A lost answer").await?;
    let order = shop.settled(&order).await?;
    let mut outcome = shown(shop, Scene::AnswerLost.title(), &order).await?;
    confirmed_with(&mut outcome, &order, &[("primary", "captured")]);
    Ok(outcome)
}

/// It takes the money, and can then neither be asked nor told to give it up until the order is long confirmed.
pub(super) async fn left_behind(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    fault(house, shop, &json!({ "fault": "timeout_after", "operation": "charge", "count": 1 })).await?;
    for operation in ["probe", "void"] {
        fault(house, shop, &json!({ "fault": "error_500", "operation": operation })).await?;
    }
    let order_id = buy(shop, "hal", "A charge in the dark").await?;
    let confirmed = shop.settled(&order_id).await;
    shop.at(&house.sandboxes.primary.url).heal().await?;
    let taken_twice = confirmed?;
    let order = shop.order_when(&order_id, |order| order["payments"][0]["status"] == "refunded").await?;
    let mut outcome = shown(shop, Scene::LeftBehind.title(), &order).await?;
    confirmed_with(&mut outcome, &taken_twice, &[("primary", "inDoubt"), ("backup", "captured")]);
    confirmed_with(&mut outcome, &order, &[("primary", "refunded"), ("backup", "captured")]);
    Ok(outcome)
}

/// It is away for a while, and these buyers' cards are known to it alone: its breaker opens, their sagas are parked
/// without using up attempts, and come back by themselves.
pub(super) async fn breaker_opens(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let event = shop.event("An open breaker", WAITING).await?;
    let seats = shop.seats(&event).await?;
    fault(house, shop, &json!({ "fault": "error_500", "operation": "all" })).await?;
    let method = json!({ house.sandboxes.primary.name(): GOOD_CARD });
    let (event, method) = (event.as_str(), &method);
    let buying = seats
        .iter()
        .enumerate()
        .map(async |(number, (seat, _))| shop.buy_with(event, &format!("ida-{number}"), &[seat], method).await);
    let orders = try_join_all(buying).await;
    let waited = match &orders {
        Ok(orders) => all_parked(shop, orders).await,
        Err(_) => Ok(()),
    };
    shop.at(&house.sandboxes.primary.url).heal().await?;
    waited?;
    let orders = try_join_all(orders?.iter().map(|order| shop.settled(order))).await?;
    let mut outcome = shown(shop, Scene::BreakerOpens.title(), &orders[0]).await?;
    let confirmed = orders.iter().filter(|order| order["status"] == "confirmed").count();
    outcome.order = format!("{confirmed} confirmed");
    outcome.should(confirmed == orders.len(), || format!("{} of them are not", orders.len() - confirmed));
    Ok(outcome)
}

/// Waits until every one of these orders' sagas is parked.
async fn all_parked(shop: &Shop, orders: &[String]) -> anyhow::Result<()> {
    for order in orders {
        let order = shop.get(&format!("/orders/{order}")).await?;
        shop.saga_with(&text(&order, "/sagaId")?, "parked", "pay").await?;
    }
    Ok(())
}

/// Orders the first seat of a new event; the order's id.
async fn buy(shop: &Shop, user: &str, event: &str) -> anyhow::Result<String> {
    let event = shop.event(event, 4).await?;
    let seats = shop.seats(&event).await?;
    shop.buy(&event, user, &[&seats[0].0], GOOD_CARD).await
}

/// It has its tickets, and these are all its charges, in order.
fn confirmed_with(outcome: &mut Outcome, order: &Value, expected: &[(&str, &str)]) {
    outcome.should(order["status"] == "confirmed", || format!("it is {}", order["status"]));
    let payments = order["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let are = payments.iter().map(|payment| (payment["gateway"].as_str(), payment["status"].as_str()));
    let should_be = expected.iter().map(|(gateway, status)| (Some(*gateway), Some(*status)));
    outcome.should(are.eq(should_be), || format!("its payments are {}", order["payments"]));
}
