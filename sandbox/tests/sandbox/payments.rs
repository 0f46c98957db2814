//! Payment intents from the first call to the last.

use serde_json::{Value, json};

use crate::support::{Gateway, assert_has, metadata, new_intent};

#[tokio::test]
async fn a_charge_in_two_steps() {
    let gateway = Gateway::start().await;
    let created = gateway.post("/v1/payment_intents", &new_intent("pm_card_visa")).await;
    assert!(created.header("request-id").unwrap().starts_with("req_"));
    let created = created.ok();
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("pi_"));
    let secret = created["client_secret"].as_str().unwrap();
    assert!(secret.starts_with(&format!("{id}_secret_")));
    assert_has(
        &created,
        json!({
            "object": "payment_intent", "amount": 4500, "amount_received": 0, "currency": "eur",
            "status": "requires_confirmation", "payment_method": "pm_card_visa",
            "payment_method_types": ["card"], "metadata": metadata(), "latest_charge": null,
            "last_payment_error": null, "next_action": null, "capture_method": "automatic",
            "confirmation_method": "automatic", "livemode": false, "cancellation_reason": null,
            "canceled_at": null, "automatic_payment_methods": null,
        }),
    );

    let confirmed = gateway.confirm(id).await.ok();
    assert_has(&confirmed, json!({"id": id, "status": "succeeded", "amount_received": 4500}));
    let found = gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
    assert_eq!(found, confirmed);

    let charge = confirmed["latest_charge"].as_str().unwrap();
    let charge = gateway.get(&format!("/v1/charges/{charge}")).await.ok();
    assert_has(
        &charge,
        json!({
            "object": "charge", "amount": 4500, "amount_captured": 4500, "amount_refunded": 0,
            "captured": true, "paid": true, "refunded": false, "status": "succeeded",
            "payment_intent": id, "metadata": metadata(),
        }),
    );
    let entry = gateway.charge_entry().await;
    assert_has(
        &entry,
        json!({
            "reference": id, "amount": 4500, "currency": "EUR", "status": "captured",
            "captured": 4500, "refunded": 0, "asked": 1, "metadata": metadata(),
        }),
    );
}

#[tokio::test]
async fn a_charge_in_one_step() {
    let gateway = Gateway::start().await;
    let mut form = new_intent("pm_card_visa").to_vec();
    form.push(("confirm", "true"));
    let paid = gateway.post_with_key("/v1/payment_intents", &form, "k1").await.ok();
    assert_eq!(paid["status"], "succeeded");
    assert_has(&gateway.charge_entry().await, json!({"asked": 1, "idempotencyKeys": ["k1"], "status": "captured"}));
}

#[tokio::test]
async fn a_declined_confirmation_can_be_tried_with_another_method() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa_chargeDeclinedInsufficientFunds").await;
    let error = gateway.confirm(&id).await.error(402);
    assert_has(
        &error,
        json!({
            "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.",
        }),
    );
    assert_has(
        &error["payment_intent"],
        json!({"id": id, "status": "requires_payment_method", "payment_method": null}),
    );
    assert_eq!(error["payment_intent"]["last_payment_error"]["decline_code"], "insufficient_funds");
    assert_eq!(error["charge"], error["payment_intent"]["latest_charge"]);
    assert_has(
        &gateway.charge_entry().await,
        json!({"status": "declined", "captured": 0, "declineCode": "insufficient_funds"}),
    );

    let error = gateway.confirm(&id).await.error(400);
    assert_eq!(error["code"], "payment_intent_unexpected_state");

    let path = format!("/v1/payment_intents/{id}/confirm");
    let form = [("payment_method", "pm_card_visa")];
    let confirmed = gateway.post(&path, &form).await.ok();
    assert_has(&confirmed, json!({"status": "succeeded", "last_payment_error": null}));
    assert_has(&gateway.charge_entry().await, json!({"status": "captured", "captured": 4500, "asked": 3}));
}

#[tokio::test]
async fn what_is_canceled_is_never_charged() {
    let gateway = Gateway::start().await;
    let id = gateway.intent("pm_card_visa").await;
    let path = format!("/v1/payment_intents/{id}/cancel");
    let form = [("cancellation_reason", "abandoned")];
    let canceled = gateway.post_with_key(&path, &form, "void-1").await.ok();
    assert_has(&canceled, json!({"status": "canceled", "cancellation_reason": "abandoned"}));
    assert!(canceled["canceled_at"].is_i64());

    for refused in [gateway.confirm(&id).await, gateway.cancel(&id).await] {
        let error = refused.error(400);
        assert_has(&error, json!({"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}));
        assert_eq!(error["payment_intent"], canceled);
    }
    let books = gateway.books().await;
    assert_has(&books["charges"][0], json!({"status": "voided", "captured": 0}));
    assert_has(&books["voids"][0], json!({"reference": id, "amount": 4500, "idempotencyKeys": ["void-1"], "asked": 2}));
}

#[tokio::test]
async fn what_is_paid_is_neither_confirmed_again_nor_canceled() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    for refused in [gateway.confirm(&id).await, gateway.cancel(&id).await] {
        let error = refused.error(400);
        assert_eq!(error["code"], "payment_intent_unexpected_state");
        assert_eq!(error["payment_intent"]["status"], "succeeded");
    }
    let books = gateway.books().await;
    assert_eq!(books["charges"][0]["captured"], 4500);
    assert_eq!(books["voids"], json!([]));
}

#[tokio::test]
async fn an_authorization_is_captured_or_let_go() {
    let gateway = Gateway::start().await;
    let mut form = new_intent("pm_card_visa").to_vec();
    form.extend([("capture_method", "manual"), ("confirm", "true")]);
    let authorized = gateway.post("/v1/payment_intents", &form).await.ok();
    assert_has(&authorized, json!({"status": "requires_capture", "amount_capturable": 4500, "amount_received": 0}));
    let capture = format!("/v1/payment_intents/{}/capture", authorized["id"].as_str().unwrap());
    let too_much = [("amount_to_capture", "4501")];
    assert_eq!(gateway.post(&capture, &too_much).await.error(400)["code"], "amount_too_large");
    let part = [("amount_to_capture", "4000")];
    let captured = gateway.post(&capture, &part).await.ok();
    assert_has(&captured, json!({"status": "succeeded", "amount_received": 4000}));
    assert_eq!(gateway.charge_entry().await["captured"], 4000);
    assert_eq!(gateway.post(&capture, &[]).await.error(400)["code"], "payment_intent_unexpected_state");

    let other = gateway.post("/v1/payment_intents", &form).await.ok();
    let canceled = gateway.cancel(other["id"].as_str().unwrap()).await.ok();
    assert_eq!(canceled["status"], "canceled");
    let charge = canceled["latest_charge"].as_str().unwrap();
    let charge = gateway.get(&format!("/v1/charges/{charge}")).await.ok();
    assert_has(&charge, json!({"captured": false, "refunded": true}));
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(gateway.intent("pm_card_visa").await);
    }
    let ids_of = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().unwrap();
        data.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = gateway.get("/v1/payment_intents?limit=2").await.ok();
    assert_has(&first, json!({"object": "list", "url": "/v1/payment_intents", "has_more": true}));
    assert_eq!(ids_of(&first), [ids[2].clone(), ids[1].clone()]);
    let rest = format!("/v1/payment_intents?limit=2&starting_after={}", ids[1]);
    let rest = gateway.get(&rest).await.ok();
    assert_eq!(ids_of(&rest), [ids[0].clone()]);
    assert_eq!(rest["has_more"], false);
    let back = format!("/v1/payment_intents?limit=1&ending_before={}", ids[0]);
    let back = gateway.get(&back).await.ok();
    assert_eq!(ids_of(&back), [ids[1].clone()]);
    assert_eq!(back["has_more"], true);
}

#[tokio::test]
async fn ids_are_expanded_on_request() {
    let gateway = Gateway::start().await;
    let id = gateway.paid().await;
    let path = format!("/v1/payment_intents/{id}?expand[]=latest_charge.payment_intent");
    let found = gateway.get(&path).await.ok();
    assert_eq!(found["latest_charge"]["object"], "charge");
    assert_eq!(found["latest_charge"]["payment_intent"]["id"], id);
    let list = gateway.get("/v1/payment_intents?expand[]=data.latest_charge").await.ok();
    assert_eq!(list["data"][0]["latest_charge"]["object"], "charge");
}
