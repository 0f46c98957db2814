//! Each fault, as the client and as the books see it.

use serde_json::json;

use super::shop::{Shop, account, amount, payment};
use crate::support::assert_has;

const METHOD: &str = "M5N7TQ4TG5PFWR50";

#[tokio::test]
async fn declines() {
    let mut shop = Shop::open().await;
    for (fault, code) in [("decline", "2"), ("insufficient_funds", "12")] {
        shop.fault(json!({"fault": fault})).await.ok();
        let answer = shop.ask("/payments", &payment(METHOD)).await.ok();
        assert_has(&answer, json!({"resultCode": "Refused", "refusalReasonCode": code}));
        assert_eq!(shop.told().await["success"], "false");
        shop.end_faults().await;
    }
    let paid = shop.paid().await;
    shop.fault(json!({"fault": "decline", "operation": "refund"})).await.ok();
    shop.modify(&paid, "refunds", &amount(1)).await;
    assert_has(&shop.told().await, json!({"eventCode": "REFUND", "success": "false", "reason": "Refused"}));
}

#[tokio::test]
async fn what_is_not_executed_can_be_asked_again_with_the_same_key() {
    let shop = Shop::open().await;
    for (fault, status) in [("error_500", 500), ("rate_limited", 429)] {
        shop.fault(json!({"fault": fault, "operation": "charge", "count": 1})).await.ok();
        let reply = shop.ask_with_key("/payments", &payment(METHOD), fault).await;
        assert_eq!((reply.status, reply.header("transient-error")), (status, Some("true")));
        let executed = shop.ask_with_key("/payments", &payment(METHOD), fault).await.ok();
        assert_eq!(executed["resultCode"], "Authorised");
    }
    let books = shop.books().await;
    assert_eq!(books["charges"].as_array().unwrap().len(), 2);
    assert_eq!(books["charges"][0]["asked"], 2);
}

#[tokio::test]
async fn lost_calls_and_lost_answers() {
    let shop = Shop::open().await;
    for (index, fault) in ["timeout_before", "reset", "timeout_after"].into_iter().enumerate() {
        shop.fault(json!({"fault": fault, "operation": "charge", "delayMs": 1, "count": 1})).await.ok();
        let lost = shop.try_ask("/payments", &payment(METHOD), Some(fault)).await;
        assert!(lost.is_err(), "{fault}");
        let executed = shop.books().await["charges"].as_array().unwrap().len();
        assert_eq!(executed, index + usize::from(fault == "timeout_after"), "{fault}");
        shop.ask_with_key("/payments", &payment(METHOD), fault).await.ok();
    }
    for entry in shop.books().await["charges"].as_array().unwrap() {
        assert_has(entry, json!({"captured": 4500, "asked": 2}));
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_and_a_slow_one() {
    let shop = Shop::open().await;
    shop.fault(json!({"fault": "malformed", "operation": "charge", "count": 1})).await.ok();
    let reply = shop.ask("/payments", &payment(METHOD)).await;
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());
    shop.fault(json!({"fault": "slow", "operation": "charge", "delayMs": 300})).await.ok();
    let start = std::time::Instant::now();
    shop.ask("/payments", &payment(METHOD)).await.ok();
    assert!(start.elapsed() >= std::time::Duration::from_millis(300));
    assert_eq!(shop.books().await["charges"][0]["captured"], 4500);
    // A success keeps its own status.
    shop.fault(json!({"fault": "malformed", "operation": "refund"})).await.ok();
    let paid = shop.books().await["charges"][0]["reference"].as_str().unwrap().to_owned();
    assert_eq!(shop.ask(&format!("/payments/{paid}/refunds"), &amount(1)).await.status, 201);
}

#[tokio::test]
async fn faults_hit_the_operation_they_are_for() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    for operation in ["void", "refund", "capture"] {
        shop.fault(json!({"fault": "rate_limited", "operation": operation})).await.ok();
    }
    let ask = |act: &str| {
        let body = if matches!(act, "captures" | "refunds") { amount(1) } else { account() };
        let path = format!("/payments/{paid}/{act}");
        let shop = &shop;
        async move { shop.ask(&path, &body).await.status }
    };
    for act in ["captures", "refunds", "cancels", "reversals"] {
        assert_eq!(ask(act).await, 429, "{act}");
    }
    let body = json!({"merchantAccount": "ShowrunnerECOM", "paymentReference": "ord_1"});
    assert_eq!(shop.ask("/cancels", &body).await.status, 429);
    shop.ask("/payments", &payment(METHOD)).await.ok();
    shop.end_faults().await;
    assert_eq!(ask("refunds").await, 201);
}

#[tokio::test]
async fn a_payment_is_decided_after_its_answer_and_after_a_restart() {
    let shop = Shop::open().await;
    shop.fault(json!({"fault": "async", "delayMs": 1_000})).await.ok();
    let answer = shop.ask("/payments", &payment(METHOD)).await.ok();
    assert_eq!(answer["resultCode"], "Pending");
    assert_eq!(shop.charge_entry().await["status"], "processing");
    let mut shop = shop.restart().await;
    let item = shop.told().await;
    assert_has(&item, json!({"eventCode": "AUTHORISATION", "success": "true", "pspReference": answer["pspReference"]}));
    assert_eq!(shop.charge_entry().await["captured"], 4500);
}

#[tokio::test]
async fn a_modification_is_decided_late() {
    let mut shop = Shop::open().await;
    let authorised = shop.authorised().await;
    shop.fault(json!({"fault": "async", "operation": "void", "delayMs": 3_000})).await.ok();
    shop.modify(&authorised, "cancels", &account()).await;
    // The capture overtakes it.
    shop.modify(&authorised, "captures", &amount(4500)).await;
    assert_has(&shop.told().await, json!({"eventCode": "CAPTURE", "success": "true"}));
    assert_has(&shop.told().await, json!({"eventCode": "CANCELLATION", "success": "false"}));
}

#[tokio::test]
async fn any_payment_can_be_made_to_ask_for_its_buyer() {
    let shop = Shop::open().await;
    shop.fault(json!({"fault": "action_required"})).await.ok();
    let answer = shop.ask("/payments", &payment(METHOD)).await.ok();
    assert_eq!(answer["resultCode"], "RedirectShopper");
}

#[tokio::test]
async fn a_refund_succeeds_and_comes_back() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    shop.fault(json!({"fault": "refund_fails_later", "delayMs": 1, "count": 1})).await.ok();
    let refund = shop.modify(&paid, "refunds", &amount(4500)).await;
    let mut items = [shop.told().await, shop.told().await];
    items.sort_by_key(|item| item["eventCode"].as_str().unwrap().len());
    assert_has(&items[0], json!({"eventCode": "REFUND", "success": "true", "pspReference": refund}));
    assert_has(&items[1], json!({"eventCode": "REFUND_FAILED", "success": "true", "pspReference": refund}));
    assert_has(&items[1], json!({"originalReference": paid, "reason": "Refund Failed"}));
    let books = shop.books().await;
    assert_has(&books["charges"][0], json!({"status": "captured", "refunded": 0}));
    assert_eq!(books["refunds"][0]["status"], "failed");
    shop.modify(&paid, "refunds", &amount(4500)).await;
    assert_has(&shop.told().await, json!({"eventCode": "REFUND", "success": "true"}));
}
