//! The same key: the same answer.

use serde_json::json;

use super::shop::{Shop, amount, payment};
use crate::support::assert_has;

#[tokio::test]
async fn the_same_key_and_body_get_the_same_answer() {
    let mut shop = Shop::open().await;
    let body = payment("M5N7TQ4TG5PFWR50");
    let first = shop.ask_with_key("/payments", &body, "k1").await;
    assert_eq!(first.header("idempotency-key"), Some("k1"));
    shop.told().await;
    let mut shop = shop.restart().await;
    let again = shop.ask_with_key("/payments", &body, "k1").await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotency-key"), Some("k1"));
    assert_has(&shop.charge_entry().await, json!({"asked": 2, "captured": 4500, "idempotencyKeys": ["k1"]}));

    let path = format!("/payments/{}/refunds", first.json()["pspReference"].as_str().unwrap());
    let refund = shop.ask_with_key(&path, &amount(1000), "k2").await;
    shop.told_of("REFUND").await;
    let again = shop.ask_with_key(&path, &amount(1000), "k2").await;
    assert_eq!((again.status, again.text), (201, refund.text));
    let books = shop.books().await;
    assert_eq!(books["refunds"].as_array().unwrap().len(), 1);
    assert_has(&books["refunds"][0], json!({"asked": 2, "idempotencyKeys": ["k2"]}));
    assert_eq!(books["charges"][0]["refunded"], 1000);
}

#[tokio::test]
async fn another_body_or_path_is_refused() {
    let shop = Shop::open().await;
    shop.ask_with_key("/payments", &payment("M5N7TQ4TG5PFWR50"), "k1").await.ok();
    let mut other = payment("M5N7TQ4TG5PFWR50");
    other["amount"]["value"] = json!(4501);
    for (path, body) in [("/payments", &other), ("/cancels", &json!({"merchantAccount": "A", "paymentReference": "r"}))]
    {
        let reply = shop.ask_with_key(path, body, "k1").await;
        assert_eq!(reply.status, 422);
        assert_eq!(reply.header("transient-error"), Some("false"));
        assert_eq!(reply.json()["errorCode"], "704");
    }
    shop.charge_entry().await;
    let long = "k".repeat(65);
    assert_eq!(shop.ask_with_key("/payments", &other, &long).await.status, 422);
}

#[tokio::test]
async fn a_key_in_use_says_so() {
    let shop = Shop::open().await;
    let body = payment("M5N7TQ4TG5PFWR50");
    shop.fault(json!({"fault": "slow", "operation": "charge", "delayMs": 20_000, "count": 1})).await.ok();
    let slow = shop.try_ask("/payments", &body, Some("k1"));
    let second = async {
        shop.books_when(|books| !books["charges"].as_array().unwrap().is_empty()).await;
        shop.ask_with_key("/payments", &body, "k1").await
    };
    let reply = tokio::select! {
        _ = slow => panic!("the slow call was answered"),
        reply = second => reply,
    };
    assert_eq!(reply.header("transient-error"), Some("true"));
    let expected = json!({"status": 422, "errorCode": "704", "message": "request already processed or in progress"});
    assert_eq!(reply.status, 422);
    assert_has(&reply.json(), expected);
}
