//! What happens after the answer.

use serde_json::json;

use crate::support::{Gateway, assert_has};

#[tokio::test]
async fn a_payment_is_decided_after_its_answer_and_after_a_restart() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "async", "delayMs": 1_000})).await.ok();
    let id = gateway.intent("pm_card_visa").await;
    assert_eq!(gateway.confirm(&id).await.ok()["status"], "processing");
    gateway.cancel(&id).await.error(400);
    let declined = gateway.intent("pm_card_chargeDeclined").await;
    assert_eq!(gateway.confirm(&declined).await.ok()["status"], "processing");

    let gateway = gateway.restart().await;
    let books = gateway.books_when(|books| books["charges"][1]["status"] == "declined").await;
    assert_has(&books["charges"][0], json!({"reference": id, "status": "captured", "captured": 4500}));
}

#[tokio::test]
async fn a_cut_connection_and_a_late_decision_can_meet() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "async", "delayMs": 100})).await.ok();
    gateway.fault(json!({"fault": "timeout_after", "operation": "charge", "delayMs": 1})).await.ok();
    let id = gateway.intent("pm_card_visa").await;
    let path = format!("/v1/payment_intents/{id}/confirm");
    assert!(gateway.try_post(&path, &[], Some("k1")).await.is_err());
    gateway.books_when(|books| books["charges"][0]["status"] == "captured").await;
}

#[tokio::test]
async fn any_card_can_be_made_to_ask_for_its_buyer() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "action_required"})).await.ok();
    let id = gateway.intent("pm_card_visa").await;
    assert_eq!(gateway.confirm(&id).await.ok()["status"], "requires_action");
}

#[tokio::test]
async fn a_refund_succeeds_and_comes_back() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    gateway.fault(json!({"fault": "refund_fails_later", "delayMs": 1, "count": 1})).await.ok();
    let form = [("payment_intent", id.as_str())];
    let refund = gateway.post("/v1/refunds", &form).await.ok();
    assert_eq!(refund["status"], "succeeded");
    let books = gateway.books_when(|books| books["refunds"][0]["status"] == "failed").await;
    assert_has(&books["charges"][0], json!({"status": "captured", "refunded": 0}));
    // It can be given back again.
    gateway.post("/v1/refunds", &form).await.ok();
}

#[tokio::test]
async fn a_refund_is_pending_first() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    gateway.fault(json!({"fault": "async", "operation": "refund", "delayMs": 1})).await.ok();
    let form = [("payment_intent", id.as_str())];
    assert_eq!(gateway.post("/v1/refunds", &form).await.ok()["status"], "pending");
    gateway.books_when(|books| books["refunds"][0]["status"] == "succeeded").await;
}
