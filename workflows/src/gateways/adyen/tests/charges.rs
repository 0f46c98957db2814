//! Charge, and what there is no way of asking.

use super::*;
use crate::gateways::outcomes::{Decline, DeclineCategory, Doubt, NotExecutedReason, RefusalClass};
use std::time::Duration;

async fn charged(script: Script) -> ChargeOutcome {
    let server = Server::start([script]).await;
    gateway(&server).charge(&key(), &charge(), None).await
}

fn doubt_of(outcome: &ChargeOutcome) -> &Doubt {
    match outcome {
        ChargeOutcome::Unknown(doubt) => doubt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_charge_is_one_call_with_nothing_needless() {
    let server =
        Server::start([Script::Json(200, payment("Authorised")), Script::Json(200, payment("Authorised"))]).await;
    let gateway = gateway(&server);
    assert_eq!(gateway.prepare(&key(), &charge()).await, PrepareOutcome::NothingToPrepare);
    for _ in 0..2 {
        assert_eq!(gateway.charge(&key(), &charge(), None).await, ChargeOutcome::Captured(captured()));
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!((&asked[0].line, &asked[0].body), (&asked[1].line, &asked[1].body));
    assert_eq!(asked[0].line, "POST /v71/payments");
    assert_eq!(
        asked[0].body,
        format!(
            r#"{{"merchantAccount":"ShowrunnerTest","amount":{{"currency":"EUR","value":4500}},"reference":"{OURS}","#
        ) + r#""paymentMethod":{"type":"scheme","storedPaymentMethodId":"M5N7TQ4TG5PFWR50"},"#
            + r#""shopperReference":"buyer-7","shopperInteraction":"ContAuth","recurringProcessingModel":"CardOnFile","#
            + &format!(r#""captureDelayHours":0,"metadata":{{"orderId":"{ORDER}","sagaId":"{SAGA}"}}}}"#)
    );
    assert_eq!(asked[0].header("x-api-key"), Some("AQE_test_secret"));
    assert_eq!(asked[0].header("idempotency-key"), Some("saga-1:pay"));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert!(asked[0].header("user-agent").unwrap().starts_with("showrunner/"));
}

#[tokio::test]
async fn what_is_not_known_is_not_sent() {
    let server =
        Server::start([Script::Json(200, payment("Authorised")), Script::Json(200, payment("Authorised"))]).await;
    let mut with_return = settings(&format!("{}/", server.url));
    with_return.return_url = Some("https://shop.example/back?a=1".into());
    let mut alone = charge();
    alone.payment_method = "M5N7TQ4TG5PFWR50".into();
    let _ = build(&with_return).unwrap().charge(&key(), &alone, None).await;
    let long = IdempotencyKey::new("k".repeat(200)).unwrap();
    let _ = gateway(&server).charge(&long, &charge(), None).await;
    let asked = server.asked();
    let sent: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(sent["returnUrl"], "https://shop.example/back?a=1");
    assert_eq!(sent["paymentMethod"]["storedPaymentMethodId"], "M5N7TQ4TG5PFWR50");
    assert!(sent.get("shopperReference").is_none());
    assert_eq!(asked[1].header("idempotency-key").unwrap().len(), 64);
    let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert!(sent["reference"].as_str().unwrap().len() <= 80);
    assert_ne!(sent["reference"], OURS);
}

#[tokio::test]
async fn what_cannot_be_charged_or_asked_is_said_without_a_call() {
    let server = Server::start([]).await;
    let gateway = gateway(&server);
    let cents = charge_of(Money::new(501, Currency::IDR));
    assert_eq!(gateway.check_amount(cents.amount), Err(AmountError::TooPrecise(cents.amount)));
    let refused = gateway.prepare(&key(), &cents).await;
    assert!(matches!(&refused, PrepareOutcome::Refused(why) if why.class == RefusalClass::Amount), "{refused:?}");
    assert!(matches!(gateway.charge(&key(), &cents, None).await, ChargeOutcome::Refused(_)));
    for reference in [None, Some(&psp())] {
        assert_eq!(gateway.probe(&charge(), reference).await, ProbeOutcome::CannotAsk);
    }
    let can = gateway.capabilities();
    assert!(!can.prepares && !can.probes_charges && !can.probes_refunds && !can.voids && !can.answers_refunds);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_result_is_taken_for_what_it_says() {
    let without = |result: &str, member: &str| {
        let mut payment = payment(result);
        payment.as_object_mut().unwrap().remove(member);
        payment
    };
    let mut part = payment("PartiallyAuthorised");
    part["amount"]["value"] = json!(100);
    let mut challenge = without("IdentifyShopper", "pspReference");
    challenge["action"] = json!({"type": "threeDS2"});
    let next_action = challenge["action"].clone();
    for (said, expected) in [
        (without("Authorised", "amount"), ChargeOutcome::Captured(captured())),
        (without("Authorised", "merchantReference"), ChargeOutcome::Captured(captured())),
        (part, ChargeOutcome::Captured(Captured { reference: psp(), amount: eur(100) })),
        (payment("Pending"), ChargeOutcome::Processing { reference: psp() }),
        (payment("Received"), ChargeOutcome::Processing { reference: psp() }),
        // Adyen has no name for it yet.
        (challenge, ChargeOutcome::ActionRequired { reference: ours(), next_action }),
    ] {
        assert_eq!(charged(Script::Json(200, said)).await, expected);
    }
    for result in ["RedirectShopper", "ChallengeShopper", "PresentToShopper"] {
        let expected = ChargeOutcome::ActionRequired { reference: psp(), next_action: Value::Null };
        assert_eq!(charged(Script::Json(200, payment(result))).await, expected);
    }
    let mut other = payment("Authorised");
    other["merchantReference"] = json!("another");
    let mut float = payment("Authorised");
    float["amount"]["value"] = json!(4500.0);
    let mut currency = payment("Authorised");
    currency["amount"]["currency"] = json!("ZZZ");
    for (said, reason) in [
        (other, DoubtReason::Unreadable),
        (float, DoubtReason::Unreadable),
        (currency, DoubtReason::Unreadable),
        (without("PartiallyAuthorised", "amount"), DoubtReason::Unreadable),
        (without("Authorised", "pspReference"), DoubtReason::Unreadable),
        (without("Pending", "pspReference"), DoubtReason::Unreadable),
        (without("Authorised", "resultCode"), DoubtReason::Unreadable),
        (payment("ANewResult"), DoubtReason::Unreadable),
        (json!([]), DoubtReason::Unreadable),
        (payment("AuthenticationFinished"), DoubtReason::UnexpectedState),
        (payment("Success"), DoubtReason::UnexpectedState),
    ] {
        assert_eq!(doubt_of(&charged(Script::Json(200, said)).await).reason, reason);
    }
}

#[tokio::test]
async fn declines_carry_our_word_and_what_it_means() {
    for (result, code, reason, word, category) in [
        ("Refused", Some("12"), "Not enough balance", "insufficient_funds", DeclineCategory::Final),
        ("Refused", Some("38"), "Authentication required", "authentication_required", DeclineCategory::NeedsAction),
        ("Error", Some("4"), "Acquirer Error", "acquirer_error", DeclineCategory::RetryElsewhere),
        ("Cancelled", Some("16"), "Shopper Cancelled", "shopper_cancelled", DeclineCategory::Final),
        ("Refused", None, "4242 4242 4242 4242", "unknown_reason", DeclineCategory::Final),
    ] {
        let mut said = payment(result);
        said["refusalReason"] = json!(reason);
        said["refusalReasonCode"] = json!(code);
        let message = if code.is_some() { reason } else { "[card number]" };
        let reference = Some(psp());
        let expected = Decline { reference, code: word.into(), category, message: message.into() };
        assert_eq!(charged(Script::Json(200, said)).await, ChargeOutcome::Declined(expected));
    }
    // The stored payment method is gone.
    let gone = charged(error(422, "803")).await;
    assert!(matches!(&gone, ChargeOutcome::Declined(why) if why.category == DeclineCategory::Final), "{gone:?}");
}

#[tokio::test]
async fn a_lost_charge_is_unknown_and_never_failed() {
    let too_long = format!("{{\"resultCode\": \"{}\"}}", "x".repeat(1024 * 1024));
    let transient = json!({"status": 422, "errorCode": "000", "message": "Later."}).to_string();
    for (script, reason) in [
        (Script::Silence, DoubtReason::Timeout),
        (Script::HangUp, DoubtReason::ConnectionLost),
        (Script::Cut(200), DoubtReason::Unreadable),
        (Script::Cut(422), DoubtReason::Unreadable),
        (Script::Raw(200, "", too_long), DoubtReason::Unreadable),
        (Script::Raw(200, "", "<html>".into()), DoubtReason::Unreadable),
        (Script::Raw(307, "location: http://127.0.0.1:1/\r\n", String::new()), DoubtReason::Unreadable),
        (Script::Raw(404, "", "<html>".into()), DoubtReason::Unreadable),
        (error(500, "905"), DoubtReason::ServerError),
        (Script::Raw(503, "retry-after: 2\r\n", String::new()), DoubtReason::ServerError),
        (Script::Cut(500), DoubtReason::ServerError),
        (error(422, "704"), DoubtReason::InFlight),
        (error(409, "704"), DoubtReason::InFlight),
        (Script::Raw(422, "transient-error: true\r\n", transient), DoubtReason::InFlight),
    ] {
        assert_eq!(doubt_of(&charged(script).await).reason, reason);
    }
}

#[tokio::test]
async fn what_was_not_executed_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let outcome = build(&settings(&format!("http://{free}"))).unwrap().charge(&key(), &charge(), None).await;
    let ChargeOutcome::NotExecuted(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why.reason, NotExecutedReason::NoConnection);
    let limited = charged(Script::Raw(429, "retry-after: 7\r\n", String::new())).await;
    let ChargeOutcome::NotExecuted(why) = limited else { panic!("{limited:?}") };
    assert_eq!((why.reason, why.retry_after), (NotExecutedReason::RateLimited, Some(Duration::from_secs(7))));
    for (script, class) in [
        (error(401, "000"), RefusalClass::Credentials),
        (error(403, "901"), RefusalClass::Credentials),
        (error(400, "702"), RefusalClass::Configuration),
        (error(422, "14_030"), RefusalClass::Configuration),
        (error(422, "137"), RefusalClass::Amount),
        (error(422, "138"), RefusalClass::Amount),
    ] {
        let outcome = charged(script).await;
        assert!(matches!(&outcome, ChargeOutcome::Refused(why) if why.class == class), "{outcome:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let with = |change: fn(&mut GatewaySettings)| {
        let mut settings = settings("http://127.0.0.1:1");
        change(&mut settings);
        build(&settings).err().map(|error| error.to_string())
    };
    assert_eq!(with(|_| {}), None);
    let refused = "gateway `backup`: merchant_account must be set: the protocol is adyen";
    assert_eq!(with(|it| it.merchant_account = None).as_deref(), Some(refused));
    assert_eq!(with(|it| it.merchant_account = Some(String::new())).as_deref(), Some(refused));
    for change in [
        (|it: &mut GatewaySettings| it.webhook_secret = "whsec_new".into()) as fn(&mut GatewaySettings),
        |it| it.webhook_secret = "".into(),
        |it| it.webhook_secret_previous = Some("zz".into()),
        |it| it.api_key = "a\nb".into(),
        |it| it.base_url = "ftp://x".into(),
        |it| it.timeout_ms = 0,
    ] {
        let refused = with(change).unwrap();
        assert!(!refused.contains("whsec") && !refused.contains("zz"), "{refused}");
    }
}
