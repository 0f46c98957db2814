//! Refund and its probe.

use super::*;
use crate::gateways::outcomes::{RefundFailure, Refunded};

fn object(status: &str) -> Value {
    json!({
        "id": "re_1", "object": "refund", "amount": 1500, "currency": "eur", "status": status,
        "payment_intent": "pi_1", "charge": "ch_1", "metadata": {"order_id": ORDER, "refund_id": REFUND},
    })
}

fn refunded() -> Refunded {
    Refunded { reference: Reference::new("re_1").unwrap(), amount: eur(1500) }
}

fn failed(code: &str) -> RefundFailure {
    RefundFailure {
        reference: Some(refunded().reference),
        code: code.into(),
        message: "the gateway's refund is failed".into(),
        is_final: code == "expired_or_canceled_card",
    }
}

async fn outcome(script: Script) -> RefundOutcome {
    let server = Server::start([script]).await;
    gateway(&server).refund(&key(), &refund_request()).await
}

async fn probed(script: Script, reference: Option<&Reference>) -> (RefundProbeOutcome, String) {
    let server = Server::start([script]).await;
    let outcome = gateway(&server).probe_refund(&refund_request(), reference).await;
    (outcome, server.asked()[0].line.clone())
}

#[tokio::test]
async fn a_refund_names_the_payment_and_our_id_and_nothing_needless() {
    let server = Server::start([Script::Json(200, object("succeeded")), Script::Json(200, object("pending"))]).await;
    let gateway = gateway(&server);
    assert_eq!(gateway.refund(&key(), &refund_request()).await, RefundOutcome::Succeeded(refunded()));
    let second = RefundRequest { generation: 2, ..refund_request() };
    assert_eq!(gateway.refund(&key(), &second).await, RefundOutcome::Pending(refunded()));
    let asked = server.asked();
    let expected = format!("payment_intent=pi_1&amount=1500&metadata[order_id]={ORDER}&metadata[refund_id]={REFUND}");
    assert_eq!((asked[0].line.as_str(), asked[0].body.as_str()), ("POST /v1/refunds", expected.as_str()));
    assert_eq!(asked[0].header("idempotency-key"), Some("saga-1:pay"));
    assert_eq!(asked[1].body, format!("{expected}&metadata[generation]=2"));
}

#[tokio::test]
async fn a_refund_is_taken_for_what_it_says() {
    let mut with_reason = object("failed");
    with_reason["failure_reason"] = json!("expired_or_canceled_card");
    assert_eq!(
        outcome(Script::Json(200, with_reason)).await,
        RefundOutcome::Failed(failed("expired_or_canceled_card"))
    );
    assert_eq!(outcome(Script::Json(200, object("requires_action"))).await, RefundOutcome::Pending(refunded()));
    assert!(matches!(outcome(Script::Json(200, object("novel"))).await, RefundOutcome::Unknown(_)));
    let more = "Refund amount (€20.00) is greater than unrefunded amount on charge (€15.00)";
    for body in [json!({"code": "charge_already_refunded"}), json!({"param": "amount", "message": more})] {
        assert_eq!(outcome(Script::Json(400, error(body))).await, RefundOutcome::NothingLeft);
    }
    for (status, body) in [
        (402, json!({"type": "card_error", "code": "card_declined"})),
        (400, json!({"type": "invalid_request_error", "message": "Cannot refund a failed payment."})),
        (400, json!({"code": "charge_disputed"})),
    ] {
        assert!(matches!(outcome(Script::Json(status, error(body))).await, RefundOutcome::Failed(_)));
    }
    for (status, body) in [
        (401, json!({})),
        (404, json!({"code": "resource_missing", "param": "payment_intent"})),
        (400, json!({"code": "parameter_unknown", "param": "metadata"})),
    ] {
        assert!(matches!(outcome(Script::Json(status, error(body))).await, RefundOutcome::Refused(_)));
    }
    assert!(matches!(outcome(Script::Json(429, error(json!({})))).await, RefundOutcome::NotExecuted(_)));
    for script in [Script::Json(500, json!({})), Script::Silence, Script::HangUp, Script::Cut(200)] {
        assert!(matches!(outcome(script).await, RefundOutcome::Unknown(_)));
    }
}

#[tokio::test]
async fn a_refund_in_doubt_is_found_by_reference_or_by_our_id() {
    let known = Reference::new("re_1").unwrap();
    let (outcome, line) = probed(Script::Json(200, object("succeeded")), Some(&known)).await;
    assert_eq!(outcome, RefundProbeOutcome::Succeeded(refunded()));
    assert_eq!(line, "GET /v1/refunds/re_1");

    let mut other = object("failed");
    other["id"] = json!("re_0");
    other["metadata"] = json!({});
    let mut next_generation = object("failed");
    next_generation["id"] = json!("re_2");
    next_generation["metadata"]["generation"] = json!("2");
    let list = json!({"object": "list", "has_more": false, "data": [next_generation, other, object("pending")]});
    let (outcome, line) = probed(Script::Json(200, list), None).await;
    assert_eq!(outcome, RefundProbeOutcome::Pending(refunded()));
    assert_eq!(line, "GET /v1/refunds?payment_intent=pi_1&limit=100");
}

#[tokio::test]
async fn a_refund_that_is_not_found_is_not_guessed_at() {
    let list = |has_more: bool| json!({"object": "list", "has_more": has_more, "data": []});
    assert_eq!(probed(Script::Json(200, list(false)), None).await.0, RefundProbeOutcome::NotFound);
    assert!(matches!(probed(Script::Json(200, list(true)), None).await.0, RefundProbeOutcome::Unknown(_)));
    let missing = error(json!({"code": "resource_missing"}));
    assert_eq!(probed(Script::Json(404, missing), None).await.0, RefundProbeOutcome::NotFound);
    for script in [Script::Json(500, json!({})), Script::Json(401, error(json!({}))), Script::Silence] {
        assert!(matches!(probed(script, None).await.0, RefundProbeOutcome::Unknown(_)));
    }
}
