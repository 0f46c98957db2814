//! Events, as a merchant receives them.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::inbox::{Inbox, Post};
use crate::support::{Gateway, assert_has};

async fn start() -> (Gateway, Inbox) {
    let inbox = Inbox::start().await;
    let gateway = Gateway::start_with(|settings| {
        settings.webhook_url = Some(inbox.url.clone());
        settings.webhook_secret = "whsec_1".to_owned();
    })
    .await;
    (gateway, inbox)
}

fn verify(post: &Post) -> Value {
    let signature = post.header("stripe-signature").unwrap();
    let (time, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_1").unwrap();
    mac.update(format!("{time}.{}", post.body).as_bytes());
    assert_eq!(hex::encode(mac.finalize().into_bytes()), digest);
    post.json()
}

#[tokio::test]
async fn events_are_signed_and_sent_again_until_they_are_taken() {
    let (gateway, mut inbox) = start().await;
    inbox.refuse(1);
    let id = gateway.paid().await;
    let first = verify(&inbox.next().await);
    assert_eq!(verify(&inbox.next().await)["id"], first["id"]);
    assert_has(&first, json!({"object": "event", "type": "payment_intent.succeeded", "livemode": false}));
    assert_has(&first["data"]["object"], json!({"id": id, "status": "succeeded"}));

    let form = [("payment_intent", id.as_str())];
    gateway.post_with_key("/v1/refunds", &form, "refund-1").await.ok();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let event = verify(&inbox.next().await);
        assert_eq!(event["request"]["idempotency_key"], "refund-1");
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["charge.refunded", "refund.updated"]);
}

#[tokio::test]
async fn what_was_not_taken_is_told_after_a_restart() {
    let (gateway, mut inbox) = start().await;
    inbox.refuse(1_000);
    let id = gateway.paid().await;
    let refused = verify(&inbox.next().await);
    let gateway = gateway.restart().await;
    inbox.accept();
    let again = verify(&inbox.next().await);
    assert_eq!(again["id"], refused["id"]);
    assert_eq!(again["data"]["object"]["id"], json!(id));
    // What was taken is not told again: the next one is of something else.
    let is_noted = |_: &Value| std::fs::read_to_string(gateway.folder.books()).unwrap().contains("\"taken\"");
    gateway.books_when(is_noted).await;
    let gateway = gateway.restart().await;
    let other = gateway.paid().await;
    assert_eq!(verify(&inbox.next().await)["data"]["object"]["id"], json!(other));
}

#[tokio::test]
async fn one_comes_several_times() {
    let (gateway, mut inbox) = start().await;
    gateway.fault(json!({"fault": "webhook_duplicate"})).await.ok();
    gateway.paid().await;
    let first = verify(&inbox.next().await);
    for _ in 1..5 {
        assert_eq!(verify(&inbox.next().await)["id"], first["id"]);
    }
}

#[tokio::test]
async fn one_comes_after_the_one_that_follows_it() {
    let (gateway, mut inbox) = start().await;
    gateway.fault(json!({"fault": "webhook_reordered", "count": 1, "delayMs": 20_000})).await.ok();
    let first = gateway.paid().await;
    let second = gateway.paid().await;
    for id in [second, first] {
        assert_eq!(verify(&inbox.next().await)["data"]["object"]["id"], json!(id));
    }
}

#[tokio::test]
async fn one_comes_late() {
    let (gateway, mut inbox) = start().await;
    gateway.fault(json!({"fault": "webhook_late", "operation": "charge", "delayMs": 300})).await.ok();
    let start = Instant::now();
    gateway.paid().await;
    verify(&inbox.next().await);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_dispute_is_told_with_its_end() {
    let (gateway, mut inbox) = start().await;
    let id = gateway.paid().await;
    inbox.next().await;
    let tell = async |payment: &str, state: &str| {
        let request = gateway.client.post(gateway.url("/_sandbox/disputes"));
        request.json(&json!({"payment": payment, "state": state})).send().await.unwrap().status()
    };
    for (state, kind, status) in
        [("opened", "charge.dispute.created", "needs_response"), ("lost", "charge.dispute.closed", "lost")]
    {
        assert_eq!(tell(&id, state).await, 204);
        let event = verify(&inbox.next().await);
        assert_eq!(event["type"], kind);
        let dispute = id.replace("pi_", "du_");
        let wanted = json!({"id": dispute, "amount": 4500, "currency": "eur", "status": status, "payment_intent": id});
        assert_has(&event["data"]["object"], wanted);
    }
    let unpaid = gateway.intent("pm_card_visa").await;
    assert_eq!(tell(&unpaid, "opened").await, 404);
    assert_eq!(tell(&id, "forgotten").await, 400);
}
