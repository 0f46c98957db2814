//! Notifications, as a merchant receives them.

use serde_json::json;

use super::shop::{HMAC_KEY, Shop, hmac, item, payment};
use crate::support::assert_has;

#[test]
fn this_test_signs_as_adyen_publishes_it() {
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let published = json!({
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    });
    assert_eq!(hmac(key, &published), "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=");
    let report = json!({
        "pspReference": "test_REPORT_AVAILABLE",
        "merchantAccountCode": "Magento2Rik",
        "merchantReference": "testMerchantRef1",
        "amount": {"value": "0", "currency": "EUR"},
        "eventCode": "REPORT_AVAILABLE",
        "success": "true",
    });
    assert_eq!(hmac(HMAC_KEY, &report), "NuEkADFmlCC6VgX+wcoPAegIWxVPNBPCuKlM4Hzo5qc=");
}

#[tokio::test]
async fn one_is_sent_again_until_it_is_taken_and_after_a_restart() {
    let mut shop = Shop::open().await;
    shop.inbox.refuse(1_000);
    let answer = shop.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await.ok();
    let first = shop.inbox.next().await;
    assert_eq!(shop.inbox.next().await.body, first.body);
    let mut shop = shop.restart().await;
    shop.inbox.accept();
    assert_eq!(shop.inbox.next().await.body, first.body);
    assert_has(&item(&first), json!({"pspReference": answer["pspReference"]}));
}

#[tokio::test]
async fn one_comes_several_times() {
    let mut shop = Shop::open().await;
    shop.fault(json!({"fault": "webhook_duplicate", "operation": "charge"})).await.ok();
    shop.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await.ok();
    let first = shop.told().await;
    for _ in 1..5 {
        assert_eq!(shop.told().await, first);
    }
}

#[tokio::test]
async fn one_comes_after_the_one_that_follows_it() {
    let mut shop = Shop::open().await;
    shop.fault(json!({"fault": "webhook_reordered", "count": 1, "delayMs": 20_000})).await.ok();
    let mut names = Vec::new();
    for _ in 0..2 {
        let answer = shop.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await.ok();
        names.push(answer["pspReference"].clone());
    }
    assert_eq!(shop.told().await["pspReference"], names[1]);
    assert_eq!(shop.told().await["pspReference"], names[0]);
}

#[tokio::test]
async fn a_key_that_is_not_hexadecimal_is_refused() {
    let folder = crate::support::Folder::new();
    let mut settings = sandbox::Settings::speaking(sandbox::Protocol::Adyen, folder.books());
    settings.webhook_secret = "whsec_1".to_owned();
    let error = sandbox::Running::start(settings).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("webhook secret"), "{error}");
}

#[tokio::test]
async fn a_dispute_is_told_with_its_end() {
    let mut shop = Shop::open().await;
    let paid = shop.ask("/payments", &payment("M5N7TQ4TG5PFWR50")).await.ok();
    shop.told().await;
    let mut disputes = Vec::new();
    for (state, code) in [("opened", "CHARGEBACK"), ("won", "PREARBITRATION_WON")] {
        let request = shop.gateway.client.post(shop.gateway.url("/_sandbox/disputes"));
        let body = json!({"payment": paid["pspReference"], "state": state});
        assert_eq!(request.json(&body).send().await.unwrap().status(), 204);
        let item = shop.told().await;
        assert_has(&item, json!({"eventCode": code, "success": "true", "originalReference": paid["pspReference"]}));
        disputes.push(item["pspReference"].clone());
    }
    assert_eq!(disputes[0], disputes[1]);
    assert_ne!(disputes[0], paid["pspReference"]);
}
