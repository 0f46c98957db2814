//! The same key again.

use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, assert_has, new_intent};

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let gateway = Gateway::start().await;
    let form = new_intent("pm_card_visa");
    let first = gateway.post_with_key("/v1/payment_intents", &form, "create-1").await;
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("idempotency-key"), Some("create-1"));
    let again = gateway.post_with_key("/v1/payment_intents", &form, "create-1").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_eq!(again.text, first.text);

    let id = first.json()["id"].as_str().unwrap().to_owned();
    let confirm = format!("/v1/payment_intents/{id}/confirm");
    for _ in 0..3 {
        let reply = gateway.post_with_key(&confirm, &[], "confirm-1").await;
        assert_eq!(reply.ok()["status"], "succeeded");
    }
    assert_has(
        &gateway.charge_entry().await,
        json!({
            "captured": 4500, "asked": 3, "idempotencyKeys": ["create-1", "confirm-1"],
        }),
    );
}

#[tokio::test]
async fn a_decline_is_stored_and_a_mistake_in_the_request_is_not() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_chargeDeclined").await;
    let confirm = format!("/v1/payment_intents/{id}/confirm");
    gateway.post_with_key(&confirm, &[], "k1").await.error(402);
    let again = gateway.post_with_key(&confirm, &[], "k1").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    again.error(402);

    let wrong = [("foo", "bar")];
    gateway.post_with_key(&confirm, &wrong, "k2").await.error(400);
    let right = [("payment_method", "pm_card_visa")];
    gateway.post_with_key(&confirm, &right, "k2").await.ok();
}

#[tokio::test]
async fn another_request_with_the_key_is_refused() {
    let gateway = Gateway::start().await;
    let form = new_intent("pm_card_visa");
    gateway.post_with_key("/v1/payment_intents", &form, "k1").await.ok();
    let mut other = form;
    other[0].1 = "4600";
    let error = gateway.post_with_key("/v1/payment_intents", &other, "k1").await.error(400);
    assert_eq!(error["type"], "idempotency_error");
    let error = gateway.post_with_key("/v1/refunds", &[("payment_intent", "pi_1")], "k1").await.error(400);
    assert_eq!(error["type"], "idempotency_error");
    assert_eq!(gateway.charge_entry().await["amount"], 4500);
}

#[tokio::test]
async fn a_key_in_use_is_a_conflict_until_it_is_answered() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "slow", "delayMs": 3000, "count": 1})).await.ok();
    let form = new_intent("pm_card_visa");
    let first = gateway.post_with_key("/v1/payment_intents", &form, "k1");
    let second = async {
        // The first has reached the gateway as soon as its fault is used up.
        while !gateway.get("/_sandbox/faults").await.ok()["items"].as_array().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gateway.post_with_key("/v1/payment_intents", &form, "k1").await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.header("stripe-should-retry"), Some("true"));
    assert_has(&second.error(409), json!({"type": "idempotency_error", "code": "idempotency_key_in_use"}));
    let again = gateway.post_with_key("/v1/payment_intents", &form, "k1").await;
    assert_eq!(again.text, first.text);
}

#[tokio::test]
async fn a_hundred_copies_make_one_charge() {
    let gateway = Gateway::start().await;
    let mut form = new_intent("pm_card_visa").to_vec();
    form.push(("confirm", "true"));
    let calls = (0..100).map(|_| gateway.post_with_key("/v1/payment_intents", &form, "k1"));
    for reply in futures::future::join_all(calls).await {
        assert!([200, 409].contains(&reply.status), "{}", reply.text);
    }
    assert_has(&gateway.charge_entry().await, json!({"captured": 4500, "asked": 100}));
}
