//! The books, on disk, when the gateway is killed.

use serde_json::json;

use super::shop::{Shop, amount, payment};
use crate::books::start_child;
use crate::support::assert_has;

#[tokio::test]
async fn a_killed_gateway_knows_its_payments_and_decides_what_it_had_received() {
    let mut shop = Shop::open().await;
    let books = shop.folder.path().join("child.jsonl");
    let (child, url) = start_child(&books, "adyen");
    shop.gateway.running.url = url;
    shop.fault(json!({"fault": "async", "operation": "refund", "delayMs": 1_000})).await.ok();
    let answer = shop.ask_with_key("/payments", &payment("M5N7TQ4TG5PFWR50"), "k1").await;
    let paid = answer.json()["pspReference"].as_str().unwrap().to_owned();
    let refund = shop.modify(&paid, "refunds", &amount(1000)).await;
    drop(child);

    let (child, url) = start_child(&books, "adyen");
    shop.gateway.running.url = url;
    let again = shop.ask_with_key("/payments", &payment("M5N7TQ4TG5PFWR50"), "k1").await;
    assert_eq!(again.text, answer.text);
    let books = shop.books_when(|books| books["refunds"][0]["status"] == "succeeded").await;
    assert_has(&books["refunds"][0], json!({"reference": refund, "amount": 1000}));
    assert_has(&books["charges"][0], json!({"reference": paid, "captured": 4500, "refunded": 1000, "asked": 2}));
    drop(child);
}
