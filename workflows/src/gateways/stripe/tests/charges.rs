//! Prepare, charge, probe, void.

use super::*;
use crate::gateways::outcomes::{Decline, DeclineCategory, Doubt, DoubtReason, NotExecutedReason};
use std::time::Duration;

async fn prepared(script: Script) -> PrepareOutcome {
    let server = Server::start([script]).await;
    gateway(&server).prepare(&key(), &charge()).await
}

async fn charged(script: impl IntoIterator<Item = Script>) -> ChargeOutcome {
    let server = Server::start(script).await;
    gateway(&server).charge(&key(), &charge(), Some(&pi())).await
}

async fn probed(script: Script) -> ProbeOutcome {
    let server = Server::start([script]).await;
    gateway(&server).probe(&charge(), Some(&pi())).await
}

async fn voided(script: impl IntoIterator<Item = Script>) -> VoidOutcome {
    let server = Server::start(script).await;
    gateway(&server).void(&key(), &charge(), Some(&pi())).await
}

fn decline(code: &str, category: DeclineCategory, message: &str) -> Decline {
    Decline { reference: Some(pi()), code: code.into(), category, message: message.into() }
}

fn doubt_of(outcome: &ChargeOutcome) -> &Doubt {
    match outcome {
        ChargeOutcome::Unknown(doubt) => doubt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_charge_is_created_and_then_confirmed_with_nothing_needless() {
    let server = Server::start([
        Script::Json(200, intent("requires_confirmation")),
        Script::Json(200, succeeded()),
        Script::Json(200, succeeded()),
        Script::Json(200, intent("canceled")),
    ])
    .await;
    let gateway = gateway(&server);
    assert_eq!(gateway.prepare(&key(), &charge()).await, PrepareOutcome::Prepared(pi()));
    assert_eq!(gateway.charge(&key(), &charge(), Some(&pi())).await, ChargeOutcome::Captured(captured()));
    assert_eq!(gateway.probe(&charge(), Some(&pi())).await, ProbeOutcome::Captured(captured()));
    assert_eq!(gateway.void(&key(), &charge(), Some(&pi())).await, VoidOutcome::Voided { reference: pi() });

    let asked = server.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/payment_intents",
            "POST /v1/payment_intents/pi_1/confirm",
            "GET /v1/payment_intents/pi_1",
            "POST /v1/payment_intents/pi_1/cancel",
        ]
    );
    assert_eq!(
        asked[0].body,
        format!(
            "amount=4500&currency=eur&payment_method_types[]=card&payment_method=pm_card_visa\
             &metadata[order_id]={ORDER}&metadata[saga_id]={SAGA}"
        )
    );
    assert!(asked[1..].iter().all(|asked| asked.body.is_empty()));
    let keys: Vec<_> = asked.iter().map(|asked| asked.header("idempotency-key")).collect();
    assert_eq!(keys, [Some("saga-1:pay:create"), Some("saga-1:pay"), None, None]);
    for asked in &asked {
        assert_eq!(asked.header("authorization"), Some("Bearer sk_test_secret"));
        assert_eq!(asked.header("stripe-version"), Some("2026-02-25.clover"));
        assert!(asked.header("user-agent").unwrap().starts_with("showrunner/"));
        let is_form = asked.header("content-type") == Some("application/x-www-form-urlencoded");
        assert_eq!(is_form, asked.line.starts_with("POST"));
    }
}

#[tokio::test]
async fn the_return_url_is_sent_where_it_is_set() {
    let server = Server::start([Script::Json(200, succeeded())]).await;
    let mut settings = settings(&server.url);
    settings.return_url = Some("https://shop.example/back?a=1".into());
    let _ = build(&settings).unwrap().charge(&key(), &charge(), Some(&pi())).await;
    assert_eq!(server.asked()[0].body, "return_url=https%3A%2F%2Fshop.example%2Fback%3Fa%3D1");
}

#[tokio::test]
async fn what_cannot_be_charged_is_refused_without_a_call() {
    let server = Server::start([]).await;
    let gateway = gateway(&server);
    let small = charge_of(eur(49));
    assert!(matches!(gateway.check_amount(eur(49)), Err(AmountError::BelowMinimum { .. })));
    let refused = gateway.prepare(&key(), &small).await;
    assert!(matches!(&refused, PrepareOutcome::Refused(why) if why.class == RefusalClass::Amount), "{refused:?}");
    let refused = gateway.charge(&key(), &small, Some(&pi())).await;
    assert!(matches!(refused, ChargeOutcome::Refused(_)));
    assert!(matches!(gateway.charge(&key(), &charge(), None).await, ChargeOutcome::Refused(_)));
    assert_eq!(gateway.probe(&charge(), None).await, ProbeOutcome::CannotAsk);
    assert_eq!(gateway.void(&key(), &charge(), None).await, VoidOutcome::CannotVoid);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_payment_method_that_cannot_be_used_is_a_decline() {
    for (status, body) in [
        (
            400,
            json!({"type": "invalid_request_error", "code": "resource_missing", "param": "payment_method",
                     "message": "No such PaymentMethod: 'pm_x'"}),
        ),
        (404, json!({"type": "invalid_request_error", "message": "Not Found"})),
        (402, json!({"type": "card_error", "code": "card_declined", "decline_code": "lost_card"})),
    ] {
        let outcome = prepared(Script::Json(status, error(body))).await;
        assert!(matches!(&outcome, PrepareOutcome::Declined(why) if why.reference.is_none()), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_prepare_that_was_refused_or_lost_says_so() {
    let unknown_path = "Unrecognized request URL (POST: /v1/payment_intents).";
    for (status, body, class) in [
        (401, json!({"type": "invalid_request_error"}), RefusalClass::Credentials),
        (403, json!({}), RefusalClass::Credentials),
        (404, json!({"type": "invalid_request_error", "message": unknown_path}), RefusalClass::Configuration),
        (400, json!({"code": "parameter_unknown", "param": "metadata"}), RefusalClass::Configuration),
        (400, json!({"code": "amount_too_small", "param": "amount"}), RefusalClass::Amount),
    ] {
        let outcome = prepared(Script::Json(status, error(body))).await;
        assert!(matches!(&outcome, PrepareOutcome::Refused(why) if why.class == class), "{outcome:?}");
    }
    let limited = prepared(Script::Raw(429, "retry-after: 7\r\n", String::new())).await;
    let PrepareOutcome::NotExecuted(why) = limited else { panic!("{limited:?}") };
    assert_eq!((why.reason, why.retry_after), (NotExecutedReason::RateLimited, Some(Duration::from_secs(7))));
    for script in [
        Script::Json(500, json!({})),
        Script::Json(200, json!({"object": "payment_intent"})),
        Script::Json(200, json!({"id": "pi/../1", "status": "requires_confirmation", "amount": 1, "currency": "eur"})),
        Script::Cut(200),
        Script::HangUp,
        Script::Silence,
    ] {
        assert!(matches!(prepared(script).await, PrepareOutcome::Unknown(_)));
    }
}

#[tokio::test]
async fn declines_carry_their_code_and_what_it_means() {
    for (code, decline_code, category) in [
        ("card_declined", Some("insufficient_funds"), DeclineCategory::Final),
        ("card_declined", Some("issuer_not_available"), DeclineCategory::RetryElsewhere),
        ("card_declined", Some("authentication_required"), DeclineCategory::NeedsAction),
        ("expired_card", None, DeclineCategory::Final),
        ("processing_error", None, DeclineCategory::RetryElsewhere),
    ] {
        let body = json!({"type": "card_error", "code": code, "decline_code": decline_code, "message": "No.",
                          "payment_intent": declined()});
        let expected = decline(decline_code.unwrap_or(code), category, "No.");
        assert_eq!(charged([Script::Json(402, error(body))]).await, ChargeOutcome::Declined(expected));
    }
    // Less than Stripe says itself, as servers that imitate it do.
    let bare = json!({"type": "invalid_request_error", "code": "card_declined", "message": "Your card was declined."});
    let expected = decline("card_declined", DeclineCategory::Final, "Your card was declined.");
    assert_eq!(charged([Script::Json(402, error(bare))]).await, ChargeOutcome::Declined(expected));
    // What a sentence must not carry further.
    let leaky = json!({"type": "card_error", "code": "card_declined", "message": "4242 4242 4242 4242 was declined"});
    let expected = decline("card_declined", DeclineCategory::Final, "[card number] was declined");
    assert_eq!(charged([Script::Json(402, error(leaky))]).await, ChargeOutcome::Declined(expected));
}

#[tokio::test]
async fn a_confirmed_intent_is_taken_for_what_it_says() {
    let mut challenge = intent("requires_action");
    challenge["next_action"] = json!({"type": "redirect_to_url"});
    let next_action = challenge["next_action"].clone();
    for (said, expected) in [
        (challenge, ChargeOutcome::ActionRequired { reference: pi(), next_action }),
        (intent("processing"), ChargeOutcome::Processing { reference: pi() }),
        (intent("canceled"), ChargeOutcome::Voided { reference: pi() }),
    ] {
        assert_eq!(charged([Script::Json(200, said)]).await, expected);
    }
    let mut other = succeeded();
    other["id"] = json!("pi_2");
    let mut float = succeeded();
    float["amount_received"] = json!(4500.0);
    let mut currency = succeeded();
    currency["currency"] = json!("zzz");
    for (said, reason) in [
        (other, DoubtReason::Unreadable),
        (float, DoubtReason::Unreadable),
        (currency, DoubtReason::Unreadable),
        (intent("a_new_status"), DoubtReason::Unreadable),
        (json!([]), DoubtReason::Unreadable),
        (intent("requires_confirmation"), DoubtReason::UnexpectedState),
    ] {
        assert_eq!(doubt_of(&charged([Script::Json(200, said)]).await).reason, reason);
    }
    // Another amount is the caller's to see.
    let mut more = succeeded();
    more["amount_received"] = json!(9999);
    let expected = ChargeOutcome::Captured(Captured { reference: pi(), amount: eur(9999) });
    assert_eq!(charged([Script::Json(200, more)]).await, expected);
}

#[tokio::test]
async fn a_lost_charge_is_unknown_and_never_failed() {
    let too_long = format!("{{\"id\": \"{}\"}}", "x".repeat(1024 * 1024));
    for (script, reason) in [
        (Script::Silence, DoubtReason::Timeout),
        (Script::HangUp, DoubtReason::ConnectionLost),
        (Script::Cut(200), DoubtReason::Unreadable),
        (Script::Cut(402), DoubtReason::Unreadable),
        (Script::Raw(200, "", too_long), DoubtReason::Unreadable),
        (Script::Raw(200, "", "<html>".into()), DoubtReason::Unreadable),
        (Script::Raw(302, "location: http://127.0.0.1:1/\r\n", String::new()), DoubtReason::Unreadable),
        (Script::Raw(307, "location: http://127.0.0.1:1/\r\n", String::new()), DoubtReason::Unreadable),
        (Script::Raw(400, "", "<html>".into()), DoubtReason::Unreadable),
        (Script::Json(500, error(json!({"type": "api_error"}))), DoubtReason::ServerError),
        (Script::Raw(503, "retry-after: 2\r\n", String::new()), DoubtReason::ServerError),
        (Script::Cut(500), DoubtReason::ServerError),
        (
            Script::Json(409, error(json!({"type": "idempotency_error", "code": "idempotency_key_in_use"}))),
            DoubtReason::InFlight,
        ),
        (Script::Json(429, error(json!({"code": "lock_timeout"}))), DoubtReason::InFlight),
        (Script::Json(400, error(json!({"type": "idempotency_error"}))), DoubtReason::KeyReused),
    ] {
        assert_eq!(doubt_of(&charged([script]).await).reason, reason);
    }
}

#[tokio::test]
async fn what_never_left_is_certainly_not_executed() {
    // A port that nobody listens on any more; no such host; no TLS: silence instead of it, or the end at once.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let silent = Server::start([Script::Silence]).await;
    let rude = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = rude.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = rude.accept().await {
            drop(stream);
        }
    });
    for base_url in [
        format!("http://{free}"),
        "http://nowhere.invalid".into(),
        silent.url.replace("http:", "https:"),
        format!("https://{hangs_up}"),
    ] {
        let outcome = build(&settings(&base_url)).unwrap().charge(&key(), &charge(), Some(&pi())).await;
        let ChargeOutcome::NotExecuted(why) = outcome else { panic!("{base_url}: {outcome:?}") };
        assert_eq!(why.reason, NotExecutedReason::NoConnection);
    }
    let limited = charged([Script::Json(429, error(json!({"code": "rate_limit"})))]).await;
    assert!(matches!(limited, ChargeOutcome::NotExecuted(_)), "{limited:?}");
    let refused = charged([Script::Json(401, error(json!({})))]).await;
    assert!(matches!(refused, ChargeOutcome::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn a_refused_confirm_looks_at_the_intent() {
    let unexpected = |intent: Value| {
        error(json!({"type": "invalid_request_error", "code": "payment_intent_unexpected_state",
                     "payment_intent": intent}))
    };
    let bare = || Script::Json(400, error(json!({"type": "invalid_request_error", "message": "Bad request"})));
    // An earlier confirm was executed: in the error itself, or when asked.
    assert_eq!(charged([Script::Json(400, unexpected(succeeded()))]).await, ChargeOutcome::Captured(captured()));
    assert_eq!(charged([bare(), Script::Json(200, succeeded())]).await, ChargeOutcome::Captured(captured()));
    assert_eq!(
        charged([Script::Json(400, unexpected(intent("canceled")))]).await,
        ChargeOutcome::Voided { reference: pi() }
    );
    assert!(matches!(charged([bare(), Script::Json(200, declined())]).await, ChargeOutcome::Declined(_)));
    // Still open: the call itself is wrong.
    let open = intent("requires_confirmation");
    assert!(matches!(charged([bare(), Script::Json(200, open)]).await, ChargeOutcome::Refused(_)));
    let parameter = error(json!({"code": "parameter_unknown", "param": "return_url"}));
    assert!(matches!(charged([Script::Json(400, parameter)]).await, ChargeOutcome::Refused(_)));
    // And when it cannot be asked, nothing is known.
    assert!(matches!(charged([bare(), Script::HangUp]).await, ChargeOutcome::Unknown(_)));
}

#[tokio::test]
async fn a_probe_tells_open_from_dead_and_never_guesses() {
    let expected = decline("insufficient_funds", DeclineCategory::Final, "Your card has insufficient funds.");
    for (said, outcome) in [
        (succeeded(), ProbeOutcome::Captured(captured())),
        (intent("requires_confirmation"), ProbeOutcome::NotCaptured { reference: pi() }),
        (intent("requires_payment_method"), ProbeOutcome::NotCaptured { reference: pi() }),
        (intent("requires_capture"), ProbeOutcome::NotCaptured { reference: pi() }),
        (declined(), ProbeOutcome::Declined(expected)),
        (intent("canceled"), ProbeOutcome::Voided { reference: pi() }),
        (intent("processing"), ProbeOutcome::Processing { reference: pi() }),
    ] {
        assert_eq!(probed(Script::Json(200, said)).await, outcome);
    }
    let missing = error(json!({"type": "invalid_request_error", "code": "resource_missing", "param": "intent"}));
    assert_eq!(probed(Script::Json(404, missing)).await, ProbeOutcome::NotFound);
    for script in [
        Script::Json(500, json!({})),
        Script::Json(401, error(json!({}))),
        Script::Json(429, error(json!({}))),
        Script::Json(400, error(json!({}))),
        Script::Cut(200),
        Script::Silence,
    ] {
        assert!(matches!(probed(script).await, ProbeOutcome::Unknown(_)));
    }
}

#[tokio::test]
async fn a_void_says_whether_it_came_in_time() {
    let unexpected = |intent: Value| {
        let body = json!({"code": "payment_intent_unexpected_state", "payment_intent": intent});
        [Script::Json(400, error(body))]
    };
    assert_eq!(voided([Script::Json(200, intent("canceled"))]).await, VoidOutcome::Voided { reference: pi() });
    assert_eq!(voided(unexpected(intent("canceled"))).await, VoidOutcome::Voided { reference: pi() });
    assert_eq!(voided(unexpected(succeeded())).await, VoidOutcome::AlreadyCaptured(captured()));
    assert_eq!(voided(unexpected(intent("processing"))).await, VoidOutcome::Processing { reference: pi() });
    let bare = || Script::Json(400, error(json!({"message": "Bad request"})));
    assert_eq!(voided([bare(), Script::Json(200, succeeded())]).await, VoidOutcome::AlreadyCaptured(captured()));
    let open = intent("requires_confirmation");
    assert!(matches!(voided([bare(), Script::Json(200, open)]).await, VoidOutcome::Refused(_)));
    assert_eq!(voided([Script::Json(404, error(json!({})))]).await, VoidOutcome::NotFound);
    assert!(matches!(voided([Script::Json(401, error(json!({})))]).await, VoidOutcome::Refused(_)));
    for script in [Script::Json(500, json!({})), Script::HangUp, Script::Silence, Script::Json(429, error(json!({})))] {
        assert!(matches!(voided([script]).await, VoidOutcome::Unknown(_)));
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
    assert_eq!(with(|it| it.base_url = "http://127.0.0.1:1/".into()), None);
    let refused = with(|it| it.protocol = "paypal".into()).unwrap();
    assert_eq!(refused, "gateway `primary`: there is no protocol `paypal`; there is stripe, adyen");
    for change in [
        (|it: &mut GatewaySettings| it.base_url = "nonsense".into()) as fn(&mut GatewaySettings),
        |it| it.base_url = "ftp://x".into(),
        |it| it.base_url = "https://x/?a=1".into(),
        |it| it.timeout_ms = 0,
    ] {
        assert!(with(change).is_some());
    }
    let printed = format!("{:?}", settings("http://127.0.0.1:1"));
    assert!(!printed.contains("sk_test") && !printed.contains("whsec"), "{printed}");
}
