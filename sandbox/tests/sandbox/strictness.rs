//! What Stripe does not document is refused.

use serde_json::json;

use crate::support::{Gateway, assert_has, new_intent};

#[tokio::test]
async fn unknown_parameters_and_bad_values() {
    let gateway = Gateway::start().await;
    for (name, value, code, param) in [
        ("foo", "1", json!("parameter_unknown"), "foo"),
        ("metadata", "x", json!(null), "metadata"),
        ("confirm", "yes", json!(null), "confirm"),
        ("confirm", "", json!("parameter_invalid_empty"), "confirm"),
        ("capture_method", "later", json!(null), "capture_method"),
        ("return_url", "https://example.org", json!(null), "return_url"),
        ("expand[]", "customer.email", json!(null), "expand"),
        ("automatic_payment_methods[x]", "1", json!("parameter_unknown"), "automatic_payment_methods[x]"),
    ] {
        let mut form = new_intent("pm_card_visa").to_vec();
        form.retain(|(known, _)| !(name == "metadata" && known.starts_with(name)));
        form.push((name, value));
        let error = gateway.post("/v1/payment_intents", &form).await.error(400);
        assert_has(&error, json!({"type": "invalid_request_error", "code": code, "param": param}));
    }
    for (index, value, code, param) in [
        (0, "45.00", json!("parameter_invalid_integer"), "amount"),
        (0, "0", json!("parameter_invalid_integer"), "amount"),
        (0, "-1", json!("parameter_invalid_integer"), "amount"),
        (0, "100000000", json!("amount_too_large"), "amount"),
        (1, "xxx", json!(null), "currency"),
        (2, "cash", json!("payment_intent_invalid_parameter"), "payment_method_types"),
        (3, "4242424242424242", json!("resource_missing"), "payment_method"),
    ] {
        let mut form = new_intent("pm_card_visa");
        form[index].1 = value;
        let error = gateway.post("/v1/payment_intents", &form).await.error(400);
        assert_has(&error, json!({"code": code, "param": param}));
    }
    let error = gateway.post("/v1/payment_intents", &[("amount", "1")]).await.error(400);
    assert_has(&error, json!({"code": "parameter_missing", "param": "currency"}));
    assert_eq!(gateway.books().await["charges"], json!([]));
}

#[tokio::test]
async fn methods_chosen_by_stripe_need_a_way_back() {
    let gateway = Gateway::start().await;
    let form = [("amount", "100"), ("currency", "eur"), ("payment_method", "pm_card_visa")];
    let intent = gateway.post("/v1/payment_intents", &form).await.ok();
    assert_eq!(intent["automatic_payment_methods"]["allow_redirects"], "always");
    let id = intent["id"].as_str().unwrap();
    gateway.confirm(id).await.error(400);
    let path = format!("/v1/payment_intents/{id}/confirm");
    let form = [("return_url", "https://example.org/back")];
    assert_eq!(gateway.post(&path, &form).await.ok()["status"], "succeeded");
}

#[tokio::test]
async fn paths_and_content_types() {
    let gateway = Gateway::start().await;
    let error = gateway.post("/v1/unknown", &[]).await.error(404);
    assert!(error["message"].as_str().unwrap().contains("POST: /v1/unknown"));
    gateway.get("/v2/payment_intents").await.error(404);
    for path in ["payment_intents/pi_none", "charges/ch_none", "refunds/re_none"] {
        let error = gateway.get(&format!("/v1/{path}")).await.error(404);
        assert_eq!(error["code"], "resource_missing");
    }
    let request = gateway.client.post(gateway.url("/v1/payment_intents"));
    let response = request.json(&json!({"amount": 1})).send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn the_api_key_is_asked_for_where_there_is_one() {
    let gateway = Gateway::start_with(|settings| settings.api_key = Some("sk_test_1".into())).await;
    gateway.get("/v1/payment_intents").await.error(401);
    for (key, status) in [("sk_test_1", 200), ("sk_test_2", 401)] {
        let request = || gateway.client.get(gateway.url("/v1/payment_intents"));
        let bearer = request().bearer_auth(key).send().await.unwrap();
        assert_eq!(bearer.status(), status);
        let basic = request().basic_auth(key, None::<&str>).send().await.unwrap();
        assert_eq!(basic.status(), status);
    }
    gateway.books().await;
    assert_eq!(gateway.get("/_sandbox/healthz").await.status, 200);
}
