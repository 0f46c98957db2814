//! Payments, by what the issuer says.

use serde_json::json;

use super::shop::{Shop, payment};
use crate::support::{Reply, assert_has};

#[tokio::test]
async fn an_authorised_payment_is_captured_with_it() {
    let mut shop = Shop::open().await;
    let reply = shop.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await;
    assert_eq!(reply.header("content-type"), Some("application/json;charset=UTF-8"));
    let answer = reply.ok();
    let psp_reference = answer["pspReference"].clone();
    assert_eq!(psp_reference.as_str().unwrap().len(), 16);
    let expected = json!({
        "amount": {"currency": "EUR", "value": 4500},
        "merchantReference": "ord_1",
        "paymentMethod": {"brand": "visa", "type": "scheme"},
        "pspReference": psp_reference,
        "resultCode": "Authorised",
    });
    assert_eq!(answer, expected);
    let item = shop.told().await;
    assert_has(
        &item,
        json!({
            "amount": {"currency": "EUR", "value": 4500},
            "eventCode": "AUTHORISATION",
            "merchantAccountCode": "ShowrunnerECOM",
            "merchantReference": "ord_1",
            "operations": ["CANCEL", "CAPTURE", "REFUND"],
            "originalReference": null,
            "pspReference": psp_reference,
            "reason": "",
            "success": "true",
        }),
    );
    assert!(chrono::DateTime::parse_from_rfc3339(item["eventDate"].as_str().unwrap()).is_ok());
    let entry = shop.charge_entry().await;
    assert_has(&entry, json!({"reference": psp_reference, "merchantReference": "ord_1", "status": "captured"}));
    assert_has(&entry, json!({"captured": 4500, "refunded": 0, "exponent": 2, "metadata": {"order_id": "ord_1"}}));
}

#[tokio::test]
async fn a_refused_payment_says_why() {
    let mut shop = Shop::open().await;
    for (code, reason, result) in [
        (2, "Refused", "Refused"),
        (12, "Not enough balance", "Refused"),
        (4, "Acquirer Error", "Error"),
        (20, "FRAUD", "Refused"),
    ] {
        let answer = shop.ask("/payments", &payment(&format!("sandbox_refused_{code}"))).await.ok();
        assert_has(
            &answer,
            json!({"resultCode": result, "refusalReason": reason, "refusalReasonCode": code.to_string()}),
        );
        let item = shop.told().await;
        assert_has(&item, json!({"eventCode": "AUTHORISATION", "success": "false", "reason": reason}));
    }
    let books = shop.books().await;
    assert_has(&books["charges"][1], json!({"status": "declined", "captured": 0, "declineCode": "12"}));
}

#[tokio::test]
async fn a_token_of_stripes_is_the_same_card_here_and_needs_no_shopper() {
    let shop = Shop::open().await;
    for (method, result, code) in [
        ("pm_card_visa", "Authorised", None),
        ("pm_card_chargeDeclined", "Refused", Some("2")),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "Refused", Some("12")),
        ("pm_card_authenticationRequired", "RedirectShopper", None),
    ] {
        let mut body = payment(method);
        body.as_object_mut().unwrap().remove("shopperReference");
        let answer = shop.ask("/payments", &body).await.ok();
        assert_eq!((&answer["resultCode"], answer["refusalReasonCode"].as_str()), (&json!(result), code), "{method}");
    }
}

#[tokio::test]
async fn some_payments_stay_undecided() {
    let shop = Shop::open().await;
    for (method, result) in [("sandbox_pending", "Pending"), ("sandbox_received", "Received")] {
        assert_eq!(shop.ask("/payments", &payment(method)).await.ok()["resultCode"], result);
    }
    let books = shop.books().await;
    assert_has(&books["charges"][1], json!({"status": "processing", "protocolStatus": "Received", "captured": 0}));
}

/// Goes where the buyer is sent, and comes back with this.
async fn visit(shop: &Shop, answer: &serde_json::Value, query: &str) -> String {
    assert_eq!((&answer["resultCode"], &answer["action"]["type"]), (&json!("RedirectShopper"), &json!("redirect")));
    let url = format!("{}{query}", answer["action"]["url"].as_str().unwrap());
    let back = Reply::read(shop.client.get(url).send().await.unwrap()).await;
    assert_eq!(back.status, 303, "{}", back.text);
    let location = back.header("location").unwrap().to_owned();
    location.strip_prefix("https://example.org/back?order=1&redirectResult=").unwrap().to_owned()
}

#[tokio::test]
async fn a_challenge_is_decided_by_its_details() {
    let mut shop = Shop::open().await;
    for (query, result, success) in [("", "Authorised", "true"), ("?outcome=fail", "Refused", "false")] {
        let answer = shop.ask("/payments", &payment("sandbox_challenge")).await.ok();
        let brought = visit(&shop, &answer, query).await;
        let books = shop.books().await;
        assert_eq!(books["charges"].as_array().unwrap().last().unwrap()["status"], "actionRequired");
        let details = json!({"details": {"redirectResult": brought}});
        for _ in 0..2 {
            let decided = shop.ask("/payments/details", &details).await.ok();
            assert_has(&decided, json!({"resultCode": result, "pspReference": answer["pspReference"]}));
        }
        assert_has(&shop.told().await, json!({"success": success, "pspReference": answer["pspReference"]}));
    }
    let unknown = json!({"details": {"redirectResult": "nothing"}});
    assert_eq!(shop.ask("/payments/details", &unknown).await.status, 422);
}

#[tokio::test]
async fn a_redirect_is_decided_where_it_leads_to() {
    let mut shop = Shop::open().await;
    let answer = shop.ask("/payments", &payment("sandbox_redirect")).await.ok();
    let brought = visit(&shop, &answer, "").await;
    assert_has(&shop.told().await, json!({"eventCode": "AUTHORISATION", "success": "true"}));
    assert_eq!(shop.charge_entry().await["status"], "captured");
    let details = json!({"details": {"redirectResult": brought}});
    assert_eq!(shop.ask("/payments/details", &details).await.ok()["resultCode"], "Authorised");
}
