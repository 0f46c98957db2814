//! Cards whose issuer wants to hear from the buyer.

use serde_json::json;

use crate::support::{Gateway, Reply, assert_has};

const CARD: &str = "pm_card_authenticationRequired";

async fn challenged(gateway: &Gateway) -> (String, String) {
    let id = gateway.intent(CARD).await;
    let path = format!("/v1/payment_intents/{id}/confirm");
    let form = [("return_url", "https://example.org/back?order=1")];
    let intent = gateway.post(&path, &form).await.ok();
    assert_eq!(intent["status"], "requires_action");
    assert_eq!(intent["next_action"]["type"], "redirect_to_url");
    let url = intent["next_action"]["redirect_to_url"]["url"].as_str().unwrap();
    (id, url.to_owned())
}

async fn visit(gateway: &Gateway, url: &str) -> Reply {
    Reply::read(gateway.client.get(url).send().await.unwrap()).await
}

#[tokio::test]
async fn the_buyer_passes_and_comes_back() {
    let gateway = Gateway::start().await;
    let (id, url) = challenged(&gateway).await;
    assert_eq!(gateway.charge_entry().await["status"], "actionRequired");
    let back = visit(&gateway, &url).await;
    assert_eq!(back.status, 303);
    let location = back.header("location").unwrap();
    assert!(location.starts_with("https://example.org/back?order=1&payment_intent="));
    assert!(location.ends_with("&redirect_status=succeeded"));
    let intent = gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
    assert_has(&intent, json!({"status": "succeeded", "next_action": null}));
    assert_eq!(visit(&gateway, &url).await.status, 400);
}

#[tokio::test]
async fn the_buyer_fails() {
    let gateway = Gateway::start().await;
    let (id, url) = challenged(&gateway).await;
    let back = visit(&gateway, &format!("{url}?outcome=fail")).await;
    assert!(back.header("location").unwrap().ends_with("redirect_status=failed"));
    let intent = gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["last_payment_error"]["code"], "payment_intent_authentication_failure");
}

#[tokio::test]
async fn without_a_buyer_it_is_declined() {
    let gateway = Gateway::start().await;
    for name in ["off_session", "error_on_requires_action"] {
        let id = gateway.intent(CARD).await;
        let path = format!("/v1/payment_intents/{id}/confirm");
        let error = gateway.post(&path, &[(name, "true")]).await.error(402);
        assert_has(&error, json!({"code": "authentication_required", "decline_code": "authentication_required"}));
    }
    let id = gateway.intent(CARD).await;
    let intent = gateway.confirm(&id).await.ok();
    assert_eq!(intent["next_action"]["type"], "use_stripe_sdk");
    assert_eq!(gateway.cancel(&id).await.ok()["status"], "canceled");
}
