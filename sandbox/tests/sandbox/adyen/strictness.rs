//! What is not in the description, or not valid.

use serde_json::{Value, json};

use super::shop::{Shop, payment};
use crate::support::assert_has;

#[tokio::test]
async fn unknown_members_are_named() {
    let shop = Shop::open().await;
    for (pointer, message) in [
        ("", "Structure of PaymentRequest contains the following unknown fields: [gremlin]"),
        ("/amount", "Structure of Amount contains the following unknown fields: [gremlin]"),
        ("/paymentMethod", "Structure of CardDetails contains the following unknown fields: [gremlin]"),
    ] {
        let mut body = payment("M5N7TQ4TG5PFWR50");
        body.pointer_mut(pointer).unwrap()["gremlin"] = json!(1);
        let reply = shop.ask("/payments", &body).await;
        assert_eq!(reply.status, 400);
        assert_has(
            &reply.json(),
            json!({"status": 400, "errorCode": "702", "errorType": "validation", "message": message}),
        );
    }
    assert_eq!(shop.books().await["charges"], json!([]));
}

#[tokio::test]
async fn what_is_documented_and_not_needed_is_taken() {
    let shop = Shop::open().await;
    let mut body = payment("M5N7TQ4TG5PFWR50");
    body["shopperEmail"] = json!("buyer@example.org");
    body["applicationInfo"] = json!({"merchantApplication": {"name": "shop"}});
    shop.ask("/payments", &body).await.ok();
}

#[tokio::test]
async fn what_is_missing_or_wrong_has_adyens_code() {
    let shop = Shop::open().await;
    let cases: [(&str, Value, u16, &str); 16] = [
        ("/amount", Value::Null, 422, "100"),
        ("/amount/value", Value::Null, 422, "100"),
        ("/amount/value", json!(-1), 422, "137"),
        ("/amount/value", json!("45"), 400, "702"),
        ("/amount/value", json!(45.5), 400, "702"),
        ("/amount/currency", json!("XXX"), 422, "138"),
        ("/amount/currency", json!("eur"), 422, "138"),
        ("/reference", Value::Null, 422, "130"),
        ("/reference", json!("x".repeat(81)), 422, "702"),
        ("/returnUrl", Value::Null, 422, "14_030"),
        ("/paymentMethod", Value::Null, 422, "14_004"),
        ("/paymentMethod/storedPaymentMethodId", Value::Null, 422, "14_004"),
        ("/paymentMethod/type", json!("ideal"), 422, "905"),
        ("/shopperReference", Value::Null, 422, "139"),
        ("/recurringProcessingModel", json!("Sometimes"), 400, "702"),
        ("/metadata", json!({"a name that is too long": "x"}), 422, "177"),
    ];
    for (pointer, value, status, code) in cases {
        let mut body = payment("M5N7TQ4TG5PFWR50");
        *body.pointer_mut(pointer).unwrap() = value;
        let reply = shop.ask("/payments", &body).await;
        assert_eq!(reply.status, status, "{pointer}: {}", reply.text);
        let error = reply.json();
        assert_has(&error, json!({"status": status, "errorCode": code, "errorType": "validation"}));
        assert_eq!(reply.header("pspreference"), error["pspReference"].as_str());
    }
    let mut body = payment("M5N7TQ4TG5PFWR50");
    body["merchantAccount"] = Value::Null;
    let reply = shop.ask("/payments", &body).await;
    assert_eq!((reply.status, reply.json()["errorCode"].clone()), (403, json!("901")));
    let reply = shop.ask("/payments/X/refunds", &json!({"merchantAccount": "ShowrunnerECOM"})).await;
    assert_eq!((reply.status, reply.json()["errorCode"].clone()), (422, json!("100")));
    assert_eq!(shop.books().await["charges"], json!([]));
}

#[tokio::test]
async fn the_api_key_is_asked_for_where_there_is_one() {
    let shop = Shop::open_with(|settings| settings.api_key = Some("AQE_1".into())).await;
    let ask = |key: Option<&str>| {
        let mut request = shop.client.post(shop.url("/v71/payments")).json(&payment("M5N7TQ4TG5PFWR50"));
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        request.send()
    };
    for key in [None, Some("AQE_2")] {
        let response = ask(key).await.unwrap();
        assert_eq!(response.status(), 401);
        let error: Value = response.json().await.unwrap();
        assert_has(&error, json!({"status": 401, "errorCode": "000", "errorType": "security"}));
        assert_eq!(error["message"], "HTTP Status Response - Unauthorized");
    }
    assert_eq!(ask(Some("AQE_1")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn other_paths_methods_and_bodies() {
    let shop = Shop::open().await;
    let body = payment("M5N7TQ4TG5PFWR50");
    for path in ["/payments/X", "/payments/X/amounts", "/payments//cancels", "/sessions"] {
        assert_eq!(shop.ask(path, &body).await.status, 404, "{path}");
    }
    assert_eq!(shop.get("/v71/payments").await.status, 405);
    let request = || shop.client.post(shop.url("/v71/payments"));
    let form = request().form(&[("amount", "1")]).send().await.unwrap();
    let broken = request().header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!((form.status().as_u16(), broken.status().as_u16()), (400, 400));
}
