//! Captures, cancels, refunds and reversals: received at once, decided and told afterwards.

use serde_json::json;

use super::shop::{Shop, account, amount, payment};
use crate::support::assert_has;

#[tokio::test]
async fn a_refund_is_received_and_then_told() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    let reply = shop.ask(&format!("/payments/{paid}/refunds"), &amount(1000)).await;
    assert_eq!(reply.status, 201);
    let answer = reply.json();
    let refund = answer["pspReference"].clone();
    let expected = json!({
        "amount": {"currency": "EUR", "value": 1000},
        "merchantAccount": "ShowrunnerECOM",
        "paymentPspReference": paid,
        "pspReference": refund,
        "reference": "ref_1",
        "status": "received",
    });
    assert_eq!(answer, expected);
    let item = shop.told().await;
    assert_has(&item, json!({"eventCode": "REFUND", "success": "true", "amount": {"currency": "EUR", "value": 1000}}));
    assert_has(&item, json!({"pspReference": refund, "originalReference": paid, "merchantReference": "ord_1"}));
    let books = shop.books().await;
    assert_has(&books["charges"][0], json!({"status": "captured", "refunded": 1000}));
    assert_has(
        &books["refunds"][0],
        json!({"reference": refund, "payment": paid, "amount": 1000, "status": "succeeded"}),
    );
    assert_eq!(books["refunds"][0]["merchantReference"], "ref_1");
}

#[tokio::test]
async fn no_more_is_refunded_than_was_captured() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    // Both fit alone, and not together.
    for _ in 0..2 {
        shop.modify(&paid, "refunds", &amount(3000)).await;
    }
    let outcomes = [shop.told().await, shop.told().await].map(|item| (item["success"].clone(), item["reason"].clone()));
    assert!(outcomes.contains(&(json!("true"), json!(""))), "{outcomes:?}");
    assert!(outcomes.contains(&(json!("false"), json!("Insufficient balance on payment"))), "{outcomes:?}");
    assert_eq!(shop.charge_entry().await["refunded"], 3000);
    let authorised = shop.authorised().await;
    shop.modify(&authorised, "refunds", &amount(1)).await;
    let reason = "Transaction hasn't been captured, refund not possible";
    assert_has(&shop.told().await, json!({"eventCode": "REFUND", "success": "false", "reason": reason}));
}

#[tokio::test]
async fn what_is_captured_is_not_cancelled() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    let cancel = shop.modify(&paid, "cancels", &account()).await;
    let item = shop.told().await;
    assert_has(&item, json!({"eventCode": "CANCELLATION", "success": "false", "pspReference": cancel}));
    assert_eq!(shop.charge_entry().await["captured"], 4500);
    let authorised = shop.authorised().await;
    shop.modify(&authorised, "cancels", &account()).await;
    assert_has(
        &shop.told().await,
        json!({"eventCode": "CANCELLATION", "success": "true", "originalReference": authorised}),
    );
    let books = shop.books().await;
    assert_has(&books["charges"][1], json!({"status": "voided", "captured": 0}));
    assert_has(&books["voids"][0], json!({"status": "failed", "reference": paid}));
    assert_has(&books["voids"][1], json!({"status": "voided", "reference": authorised}));
}

#[tokio::test]
async fn a_cancel_by_reference_leaves_nothing_behind() {
    let mut shop = Shop::open().await;
    let mut body = account();
    body["paymentReference"] = json!("ord_1");
    let reply = shop.ask("/cancels", &body).await;
    assert_eq!(reply.status, 201);
    let cancel = reply.json();
    assert_has(&cancel, json!({"paymentReference": "ord_1", "status": "received"}));
    let item = shop.told().await;
    assert_has(&item, json!({"eventCode": "TECHNICAL_CANCEL", "success": "false", "originalReference": null}));
    assert_eq!(item["pspReference"], cancel["pspReference"]);
    // What arrives late is made like any other payment.
    let authorised = shop.authorised().await;
    shop.ask("/cancels", &body).await;
    let item = shop.told().await;
    assert_has(&item, json!({"eventCode": "TECHNICAL_CANCEL", "success": "true", "originalReference": authorised}));
    assert_eq!(item["merchantReference"], "ord_1");
    assert_eq!(shop.charge_entry().await["status"], "voided");
}

#[tokio::test]
async fn a_reversal_does_what_is_possible() {
    let mut shop = Shop::open().await;
    let (paid, authorised) = (shop.paid().await, shop.authorised().await);
    for (payment, action) in [(&paid, "refund"), (&authorised, "cancel")] {
        shop.modify(payment, "reversals", &account()).await;
        let item = shop.told().await;
        assert_has(&item, json!({"eventCode": "CANCEL_OR_REFUND", "success": "true", "originalReference": payment}));
        assert_eq!(item["additionalData"]["modification.action"], action);
    }
    let books = shop.books().await;
    assert_has(&books["charges"][0], json!({"status": "refunded", "refunded": 4500}));
    assert_has(&books["refunds"][0], json!({"amount": 4500, "status": "succeeded"}));
    assert_has(&books["voids"][0], json!({"status": "voided", "reference": authorised}));
}

#[tokio::test]
async fn a_manual_capture_takes_the_money_once() {
    let mut shop = Shop::open().await;
    let authorised = shop.authorised().await;
    assert_has(&shop.charge_entry().await, json!({"status": "authorized", "captured": 0}));
    for (value, success) in [(4501, "false"), (4000, "true"), (500, "false")] {
        shop.modify(&authorised, "captures", &amount(value)).await;
        assert_has(&shop.told().await, json!({"eventCode": "CAPTURE", "success": success}));
    }
    assert_has(&shop.charge_entry().await, json!({"status": "captured", "captured": 4000}));
    let mut delayed = payment("M5N7TQ4TG5PFWR50");
    delayed["captureDelayHours"] = json!(1);
    shop.ask("/payments", &delayed).await.ok();
    assert_has(&shop.books().await["charges"][1], json!({"status": "authorized", "captured": 0}));
}

#[tokio::test]
async fn what_there_is_not_is_not_modified() {
    let mut shop = Shop::open().await;
    let paid = shop.paid().await;
    for act in ["captures", "cancels", "refunds", "reversals"] {
        let body = if matches!(act, "captures" | "refunds") { amount(1) } else { account() };
        let reply = shop.ask(&format!("/payments/ABCDEFGHIJKLMNOP/{act}"), &body).await;
        assert_eq!(reply.status, 422);
        assert_has(
            &reply.json(),
            json!({"errorCode": "167", "message": "Original pspReference required for this operation"}),
        );
    }
    let mut other = account();
    other["merchantAccount"] = json!("OtherECOM");
    let reply = shop.ask(&format!("/payments/{paid}/cancels"), &other).await;
    assert_eq!((reply.status, reply.json()["errorCode"].clone()), (403, json!("901")));
}
