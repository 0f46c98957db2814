//! Refunds, within their bounds.

use serde_json::{Value, json};

use crate::support::{Gateway, assert_has};

async fn refund(gateway: &Gateway, id: &str, more: &[(&str, &str)]) -> crate::support::Reply {
    let form = [&[("payment_intent", id)], more].concat();
    gateway.post("/v1/refunds", &form).await
}

#[tokio::test]
async fn in_parts_and_never_more_than_was_taken() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    let more = [("amount", "1000"), ("reason", "requested_by_customer"), ("metadata[refund_id]", "ref_1")];
    let first = refund(&gateway, &id, &more).await.ok();
    assert!(first["id"].as_str().unwrap().starts_with("re_"));
    assert_has(
        &first,
        json!({
            "object": "refund", "amount": 1000, "currency": "eur", "status": "succeeded",
            "payment_intent": id, "reason": "requested_by_customer",
            "metadata": {"refund_id": "ref_1"},
        }),
    );

    let error = refund(&gateway, &id, &[("amount", "3501")]).await.error(400);
    assert_has(&error, json!({"type": "invalid_request_error", "param": "amount"}));

    let charge = first["charge"].as_str().unwrap();
    let rest = gateway.post("/v1/refunds", &[("charge", charge)]).await.ok();
    assert_eq!(rest["amount"], 3500);
    let error = refund(&gateway, &id, &[]).await.error(400);
    assert_eq!(error["code"], "charge_already_refunded");

    let charge = gateway.get(&format!("/v1/charges/{charge}")).await.ok();
    assert_has(&charge, json!({"amount_refunded": 4500, "refunded": true}));
    let list = gateway.get(&format!("/v1/refunds?payment_intent={id}")).await.ok();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&rest["id"], &first["id"]]);
    let path = format!("/v1/refunds/{}", first["id"].as_str().unwrap());
    assert_eq!(gateway.get(&path).await.ok(), first);

    let books = gateway.books().await;
    assert_has(&books["charges"][0], json!({"captured": 4500, "refunded": 4500, "status": "refunded"}));
    let amounts: Vec<_> = books["refunds"].as_array().unwrap().iter().map(|it| &it["amount"]).collect();
    assert_eq!(amounts, [1000, 3500]);
    assert_has(&books["refunds"][0], json!({"payment": id, "asked": 1, "currency": "EUR"}));
}

#[tokio::test]
async fn only_of_what_was_taken() {
    let gateway = Gateway::start().await;
    for method in ["pm_card_visa", "pm_card_chargeDeclined"] {
        let id = gateway.intent(method).await;
        if method == "pm_card_chargeDeclined" {
            gateway.confirm(&id).await.error(402);
        }
        let error = refund(&gateway, &id, &[]).await.error(400);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("does not have a successful charge"), "{message}");
    }
    let error = refund(&gateway, "pi_none", &[]).await.error(404);
    assert_has(&error, json!({"code": "resource_missing", "param": "payment_intent"}));
    assert_eq!(gateway.books().await["refunds"], json!([]));
}

#[tokio::test]
async fn concurrent_refunds_do_not_exceed_the_charge() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    let form = [("payment_intent", id.as_str()), ("amount", "1000")];
    let calls = (0..10).map(|_| gateway.post("/v1/refunds", &form));
    let replies = futures::future::join_all(calls).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    let succeeded = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(succeeded, 4, "{statuses:?}");
    let entry: Value = gateway.charge_entry().await;
    assert_eq!(entry["refunded"], 4000);
}
