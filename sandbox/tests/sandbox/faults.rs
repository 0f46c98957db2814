//! Each fault, as the client and as the books see it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Gateway, assert_has, new_intent};

async fn status(gateway: &Gateway, id: &str) -> String {
    let intent = gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
    intent["status"].as_str().unwrap().to_owned()
}

fn confirm_path(id: &str) -> String {
    format!("/v1/payment_intents/{id}/confirm")
}

#[tokio::test]
async fn a_gateway_answers_no_sooner_than_it_is_set_to() {
    const ANSWER_AFTER: Duration = Duration::from_millis(150);
    let gateway = Gateway::start_with(|settings| settings.answer_after = ANSWER_AFTER).await;
    let asked = Instant::now();
    let id = gateway.intent("pm_card_visa").await;
    gateway.confirm(&id).await.ok();
    assert!(asked.elapsed() >= 2 * ANSWER_AFTER, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn declines() {
    let gateway = Gateway::start().await;
    for (fault, decline_code) in [("decline", "generic_decline"), ("insufficient_funds", "insufficient_funds")] {
        gateway.fault(json!({"fault": fault})).await.ok();
        let id = gateway.intent("pm_card_visa").await;
        let error = gateway.confirm(&id).await.error(402);
        assert_has(&error, json!({"code": "card_declined", "decline_code": decline_code}));
        assert_eq!(status(&gateway, &id).await, "requires_payment_method");
        gateway.end_faults().await;
    }
    let id = gateway.paid().await;
    gateway.fault(json!({"fault": "decline", "operation": "refund"})).await.ok();
    let form = [("payment_intent", id.as_str())];
    gateway.post("/v1/refunds", &form).await.error(402);
    assert_eq!(gateway.books().await["refunds"], json!([]));
}

#[tokio::test]
async fn an_error_500_sticks_to_its_key() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    let confirm = confirm_path(&id);
    gateway.fault(json!({"fault": "error_500", "operation": "charge"})).await.ok();
    let error = gateway.post_with_key(&confirm, &[], "k1").await.error(500);
    assert_eq!(error["type"], "api_error");
    gateway.end_faults().await;
    let again = gateway.post_with_key(&confirm, &[], "k1").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("stripe-should-retry"), Some("false"));
    again.error(500);
    assert_eq!(status(&gateway, &id).await, "requires_confirmation");
    gateway.post_with_key(&confirm, &[], "k2").await.ok();
    assert_has(&gateway.charge_entry().await, json!({"captured": 4500, "asked": 3}));
}

#[tokio::test]
async fn a_timeout_before_and_one_after() {
    let gateway = Gateway::start().await;
    for (fault, expected) in [("timeout_before", "requires_confirmation"), ("timeout_after", "succeeded")] {
        let id = gateway.intent("pm_card_visa").await;
        let rule = json!({"fault": fault, "operation": "charge", "delayMs": 300, "count": 1});
        gateway.fault(rule).await.ok();
        let start = Instant::now();
        let error = gateway.try_post(&confirm_path(&id), &[], Some(&id)).await.unwrap_err();
        assert!(!error.is_timeout() && start.elapsed() >= Duration::from_millis(300));
        assert_eq!(status(&gateway, &id).await, expected);
        let again = gateway.post_with_key(&confirm_path(&id), &[], &id).await;
        let is_replay = again.header("idempotent-replayed").is_some();
        assert_eq!(is_replay, fault == "timeout_after");
        assert_eq!(again.ok()["status"], "succeeded");
    }
    for entry in gateway.books().await["charges"].as_array().unwrap() {
        assert_has(entry, json!({"captured": 4500, "asked": 2}));
    }
}

#[tokio::test]
async fn what_hangs_holds_nobody_else_up() {
    let gateway = Gateway::start().await;
    let held = gateway.intent("pm_card_visa").await;
    gateway.fault(json!({"fault": "timeout_before", "operation": "charge", "count": 50})).await.ok();
    let path = confirm_path(&held);
    let hanging = (0..50).map(|_| gateway.try_post(&path, &[], None));
    let others = async {
        while !gateway.get("/_sandbox/faults").await.ok()["items"].as_array().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Canceling the held one is the tombstone that its late confirmation would find.
        gateway.cancel(&held).await.ok();
        gateway.paid().await
    };
    let start = Instant::now();
    tokio::select! {
        _ = futures::future::join_all(hanging) => panic!("the held calls were answered"),
        _ = others => {}
    }
    assert!(start.elapsed() < Duration::from_secs(15));
    // Stopping does not wait for what a fault holds.
    let start = Instant::now();
    gateway.running.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_held_create_is_counted_on_what_comes_of_its_key() {
    let gateway = Gateway::start().await;
    let mut form = new_intent("pm_card_visa").to_vec();
    form.push(("confirm", "true"));
    gateway.fault(json!({"fault": "timeout_before", "delayMs": 1, "count": 2})).await.ok();
    for _ in 0..2 {
        let held = gateway.try_post("/v1/payment_intents", &form, Some("k1")).await;
        assert!(held.is_err());
    }
    assert_eq!(gateway.books().await["charges"], json!([]));
    gateway.post_with_key("/v1/payment_intents", &form, "k1").await.ok();
    assert_eq!(gateway.charge_entry().await["asked"], 3);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    gateway.fault(json!({"fault": "reset", "operation": "charge"})).await.ok();
    let error = gateway.try_post(&confirm_path(&id), &[], None).await.unwrap_err();
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let is_reset = causes.any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset)
    });
    assert!(is_reset, "{error:?}");
    assert_eq!(status(&gateway, &id).await, "requires_confirmation");
}

#[tokio::test]
async fn a_malformed_answer_is_a_200_that_cannot_be_read() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    gateway.fault(json!({"fault": "malformed", "operation": "charge"})).await.ok();
    let reply = gateway.confirm(&id).await;
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());
    assert_eq!(status(&gateway, &id).await, "succeeded");
}

#[tokio::test]
async fn slow_answers_are_executed_and_come() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    gateway.fault(json!({"fault": "slow", "operation": "charge", "delayMs": 300})).await.ok();
    let start = Instant::now();
    gateway.confirm(&id).await.ok();
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn rate_limited_is_not_executed() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "rate_limited"})).await.ok();
    let reply = gateway.post("/v1/payment_intents", &new_intent("pm_card_visa")).await;
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.error(429)["code"], "rate_limit");
    assert_eq!(gateway.books().await["charges"], json!([]));
}

#[tokio::test]
async fn who_is_turned_away_is_told_for_how_long() {
    let gateway = Gateway::start().await;
    for retry_after in ["8", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        gateway.fault(json!({"fault": "rate_limited", "retryAfter": retry_after})).await.ok();
        let reply = gateway.post("/v1/payment_intents", &new_intent("pm_card_visa")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some(retry_after)));
    }
    for wrong in [json!({"fault": "reset", "retryAfter": "8"}), json!({"fault": "rate_limited", "retryAfter": "8\r\n"})]
    {
        let reply = gateway.fault(wrong).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("retryAfter"), "{}", reply.text);
    }
}

#[tokio::test]
async fn calls_are_listed_in_the_order_in_which_they_came() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    gateway.fault(json!({"fault": "reset", "operation": "charge"})).await.ok();
    gateway.try_post(&confirm_path(&id), &[], Some("k1")).await.unwrap_err();
    gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
    let listed = gateway.get("/_sandbox/calls").await.ok();
    let shown =
        |call: &serde_json::Value| ["operation", "key", "status", "began", "ended"].map(|name| call[name].clone());
    let items: Vec<_> = listed["items"].as_array().unwrap().iter().map(shown).collect();
    let nothing = json!(null);
    let expected = [
        ["create".into(), nothing.clone(), 200.into(), 1.into(), 2.into()],
        ["charge".into(), "k1".into(), nothing.clone(), 3.into(), 4.into()],
        ["probe".into(), nothing, 200.into(), 5.into(), 6.into()],
    ];
    assert_eq!(items, expected);
}

#[tokio::test]
async fn faults_hit_the_operation_they_are_for() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    for operation in ["probe", "void", "refund", "capture"] {
        gateway.fault(json!({"fault": "rate_limited", "operation": operation})).await.ok();
    }
    gateway.get(&format!("/v1/payment_intents/{id}")).await.error(429);
    gateway.cancel(&id).await.error(429);
    gateway.post(&format!("/v1/payment_intents/{id}/capture"), &[]).await.error(429);
    gateway.post("/v1/refunds", &[("payment_intent", id.as_str())]).await.error(429);
    gateway.confirm(&id).await.ok();
}

#[tokio::test]
async fn rates_are_kept_roughly() {
    let gateway = Gateway::start().await;
    gateway.fault(json!({"fault": "rate_limited", "operation": "probe", "rate": 0.5})).await.ok();
    let calls = (0..200).map(|_| gateway.get("/v1/payment_intents"));
    let replies = futures::future::join_all(calls).await;
    let limited = replies.iter().filter(|reply| reply.status == 429).count();
    assert!((50..150).contains(&limited), "{limited} of 200");
}

#[tokio::test]
async fn unknown_faults_and_members_are_named() {
    let gateway = Gateway::start().await;
    for (rule, named) in [
        (json!({"fault": "gremlin"}), "gremlin"),
        (json!({"fault": "slow", "delay": 1}), "delay"),
        (json!({"fault": "slow", "operation": "settle"}), "settle"),
    ] {
        let reply = gateway.fault(rule).await;
        assert_eq!(reply.status, 400);
        assert!(reply.json()["detail"].as_str().unwrap().contains(named));
    }
    assert_eq!(gateway.get("/_sandbox/faults").await.ok()["items"], json!([]));
}
