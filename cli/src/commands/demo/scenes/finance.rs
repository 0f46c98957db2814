//! Money that goes back, and books that are compared with the gateway's.

use anyhow::Context;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use workflows::access::Role;

use super::{
    super::shop::{Shop, text},
    GOOD_CARD, Outcome, Scene, fault, shown,
};
use crate::{house::House, output};

/// So many seats cost more than finance may give back alone.
const DEAR: u32 = 10;

/// The gateway refuses to pay back, try after try; once it is well, somebody from finance has it tried again.
pub(super) async fn replayed(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let order_id = bought(shop, "joy", "A refused refund", 1).await?;
    fault(house, shop, &json!({ "fault": "decline", "operation": "refund" })).await?;
    let refused = refused(shop, &order_id).await;
    shop.at(&house.sandboxes.primary.url).heal().await?;
    let refund = refused?;

    let replay = format!("/refunds/{refund}/replay");
    let reason = json!({ "reason": "the gateway is well again" });
    shop.ask(Method::POST, &replay, Some(&reason)).await?.expect(StatusCode::ACCEPTED)?;
    let order = shop.order_when(&order_id, |order| order["status"] == "cancelled").await?;
    let told = shop.get(&format!("/refunds/{refund}")).await?;
    let mut outcome = of_refund(shop, Scene::Replayed, order, &told).await?;
    let is_back = told["state"] == "succeeded" && told["outstanding"]["amount"] == 0;
    outcome.should(is_back, || format!("the refund is {told}"));
    let again = shop.ask(Method::POST, &replay, Some(&reason)).await?;
    outcome.should(again.status == StatusCode::CONFLICT, || format!("a replay of it is answered {}", again.status));
    Ok(outcome)
}

/// The buyer cancels, and the refund is not made; the refund's id.
async fn refused(shop: &Shop, order: &str) -> anyhow::Result<String> {
    let cancel = json!({ "reason": "she is ill" });
    let path = format!("/orders/{order}/cancel");
    let cancelled = shop.ask(Method::POST, &path, Some(&cancel)).await?.expect(StatusCode::ACCEPTED)?;
    shop.order_when(order, |order| order["status"] == "attention").await?;
    text(&cancelled, "/refundId")
}

/// Somebody from finance gives much money back: not before somebody else consents.
pub(super) async fn four_eyes(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let order_id = bought(shop, "kim", "A large refund", DEAR).await?;
    let finance = shop.with(house.tokens.of(Role::Finance)?.clone());
    let wish = json!({ "reason": "the evening was cut short", "idempotencyKey": order_id });
    let path = format!("/orders/{order_id}/refunds");
    let asked = finance.ask(Method::POST, &path, Some(&wish)).await?.expect(StatusCode::ACCEPTED)?;
    let approve = format!("/approvals/{}/approve", text(&asked, "/approvalId")?);
    let reason = json!({ "reason": "looked at it" });
    let alone = finance.ask(Method::POST, &approve, Some(&reason)).await?;
    shop.ask(Method::POST, &approve, Some(&reason)).await?.expect(StatusCode::ACCEPTED)?;
    let order = shop.order_when(&order_id, |order| order["status"] == "cancelled").await?;
    let told = shop.get(&format!("/refunds/{}", text(&asked, "/refundId")?)).await?;
    let mut outcome = of_refund(shop, Scene::FourEyes, order, &told).await?;
    outcome.should(asked["state"] == "requested", || format!("it is {} at once", asked["state"]));
    outcome.should(alone.body["type"] == "/problems/four-eyes", || format!("alone it is answered {}", alone.body));
    outcome.should(told["state"] == "succeeded", || format!("the refund is {told}"));
    Ok(outcome)
}

/// The primary's file has left one of two charges out, and says too much of the other: that is written off by two.
pub(super) async fn settled(house: &House, shop: &Shop) -> anyhow::Result<Outcome> {
    let (left_out, too_much) =
        (bought(shop, "lea", "A line that is missing", 1).await?, bought(shop, "max", "A line too large", 1).await?);
    let names = (charge_of(shop, &left_out).await?, charge_of(shop, &too_much).await?);
    let wrong = format!("/_sandbox/settlement.csv?missing={}&over={}", names.0, names.1);
    let file = shop.at(&house.sandboxes.primary.url).text(&wrong).await?;
    // whose books are closed every day
    let finance = shop.with(house.tokens.of(Role::Finance)?.clone());
    let strict = finance.at(&house.second_api(|booking| booking.settlement_missing_days = 0).await?);
    let path = format!("/settlements?gateway={}", house.sandboxes.primary.name());
    let settlement = strict.send_csv(&path, file).await?.expect(StatusCode::CREATED)?;
    let settlement = format!("/settlements/{}", text(&settlement, "/settlementId")?);
    let missing = line(shop, &settlement, "missing", &left_out).await?;
    let over = line(shop, &settlement, "over", &too_much).await?;

    let reason = json!({ "reason": "not worth a call" });
    let write_off = format!("{settlement}/lines/{}/write-off", over["line"]);
    let asked = finance.ask(Method::POST, &write_off, Some(&reason)).await?.expect(StatusCode::ACCEPTED)?;
    let approve = format!("/approvals/{}/approve", text(&asked, "/approvalId")?);
    shop.ask(Method::POST, &approve, Some(&reason)).await?.expect(StatusCode::ACCEPTED)?;
    let written_off = line(shop, &settlement, "over", &too_much).await?;

    let books = finance.get("/ledger/accounts").await?;
    let mut outcome = Outcome {
        title: Scene::Settled.title().to_owned(),
        order: format!("missing: {}\nover: {}", missing["state"], written_off["state"]).replace('"', ""),
        steps: balances(&books)?,
        links: vec![shop.link(&settlement), shop.link("/ledger/accounts")],
        wrong: Vec::new(),
    };
    outcome.should(missing["state"] == "open", || format!("the line that is missing is {missing}"));
    outcome.should(written_off["state"] == "writtenOff", || format!("the line that is over is {written_off}"));
    let sums = books["trialBalance"].as_array().context("no trial balance")?;
    outcome.should(sums.iter().all(|sum| sum["amount"] == 0), || format!("the trial balance is {sums:?}"));
    Ok(outcome)
}

/// A confirmed order for so many seats; its id.
async fn bought(shop: &Shop, user: &str, event: &str, seats: u32) -> anyhow::Result<String> {
    let event = shop.event(event, seats).await?;
    let seats = shop.seats(&event).await?;
    let wanted: Vec<_> = seats.iter().map(|(seat, _)| seat.as_str()).collect();
    let order = shop.buy(&event, user, &wanted, GOOD_CARD).await?;
    let status = shop.settled(&order).await?["status"].clone();
    anyhow::ensure!(status == "confirmed", "order {order} is {status}");
    Ok(order)
}

/// An order with what the saga of its refund did.
async fn of_refund(shop: &Shop, scene: Scene, mut order: Value, refund: &Value) -> anyhow::Result<Outcome> {
    order["sagaId"] = refund["sagaId"].clone();
    shown(shop, scene.title(), &order).await
}

/// The gateway's name for the charge of an order.
async fn charge_of(shop: &Shop, order: &str) -> anyhow::Result<String> {
    text(&shop.get(&format!("/orders/{order}")).await?, "/payments/0/reference")
}

/// The line of a settlement that is about an order.
async fn line(shop: &Shop, settlement: &str, outcome: &str, order: &str) -> anyhow::Result<Value> {
    let found = shop.get(&format!("{settlement}?outcome={outcome}&limit=500")).await?;
    let mut lines = found["lines"].as_array().into_iter().flatten();
    let line = lines.find(|line| line["orderId"] == order);
    line.cloned().with_context(|| format!("no line of {order} is {outcome}"))
}

/// The trial balance: where the money is.
fn balances(books: &Value) -> anyhow::Result<Vec<String>> {
    let accounts = books["items"].as_array().context("no accounts")?;
    let shared =
        accounts.iter().filter(|item| !text(item, "/account").is_ok_and(|name| name.starts_with("organiser:")));
    let mut lines: Vec<_> = shared
        .map(|item| Ok(format!("{}: {}", text(item, "/account")?, output::text(item.get("balance")))))
        .collect::<anyhow::Result<_>>()?;
    let sums = books["trialBalance"].as_array().into_iter().flatten();
    lines.extend(sums.map(|sum| format!("all accounts: {}", output::text(Some(sum)))));
    Ok(lines)
}
