//! Signed events.

use super::*;
use crate::gateways::webhooks::{RefundState, WebhookKind};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn receive(body: &[u8], secret: &str, signed_at: DateTime<Utc>) -> Result<Vec<WebhookEvent>, WebhookError> {
    let mut headers = HeaderMap::new();
    let header = signature::sign(body, &secret.into(), signed_at);
    headers.insert("Stripe-Signature", header.parse().unwrap());
    build(&settings("http://127.0.0.1:1")).unwrap().verify_webhook(&headers, body, now())
}

fn kind_of(event: &str, object: Value) -> (Option<OrderId>, WebhookKind) {
    let body = json!({"id": "evt_1", "object": "event", "api_version": "2026-02-25.clover", "created": 1_699_999_990,
                      "type": event, "data": {"object": object}});
    let [event] = receive(body.to_string().as_bytes(), "whsec_new", now()).unwrap().try_into().unwrap();
    assert_eq!(event.id, "evt_1");
    assert_eq!(event.occurred_at.timestamp(), 1_699_999_990);
    (event.order_id, event.kind)
}

#[test]
fn each_event_is_taken_for_what_it_says() {
    let order: OrderId = ORDER.parse().unwrap();
    let mut challenge = intent("requires_action");
    challenge["next_action"] = json!({"type": "redirect_to_url"});
    for (event, object, kind) in [
        ("payment_intent.succeeded", succeeded(), WebhookKind::PaymentCaptured(captured())),
        ("payment_intent.canceled", intent("canceled"), WebhookKind::PaymentVoided { reference: pi() }),
        ("payment_intent.processing", intent("processing"), WebhookKind::PaymentProcessing { reference: pi() }),
        (
            "payment_intent.requires_action",
            challenge.clone(),
            WebhookKind::PaymentActionRequired { reference: pi(), next_action: challenge["next_action"].clone() },
        ),
    ] {
        assert_eq!(kind_of(event, object), (Some(order), kind));
    }
    let (_, kind) = kind_of("payment_intent.payment_failed", declined());
    assert!(matches!(kind, WebhookKind::PaymentDeclined(why) if why.code == "insufficient_funds"));
}

#[test]
fn refunds_and_disputes_name_their_payment() {
    let refund = json!({"id": "re_1", "amount": 1500, "currency": "eur", "status": "failed", "payment_intent": "pi_1",
                        "failure_reason": "lost_or_stolen_card", "metadata": {"order_id": ORDER, "refund_id": REFUND}});
    let expected = WebhookKind::Refund {
        reference: Reference::new("re_1").unwrap(),
        payment: Some(pi()),
        refund_id: Some(REFUND.parse().unwrap()),
        generation: Some(1),
        amount: eur(1500),
        state: RefundState::Failed { reason: "lost_or_stolen_card".into(), is_final: true },
    };
    assert_eq!(kind_of("refund.failed", refund), (Some(ORDER.parse().unwrap()), expected));
    let dispute = json!({"id": "dp_1", "amount": 4500, "currency": "eur", "status": "needs_response",
                         "payment_intent": "pi_1"});
    let expected = WebhookKind::Dispute {
        reference: Reference::new("dp_1").unwrap(),
        payment: Some(pi()),
        amount: eur(4500),
        status: "needs_response".into(),
    };
    assert_eq!(kind_of("charge.dispute.created", dispute), (None, expected));
    let (order, kind) = kind_of("customer.created", json!({"id": "cus_1"}));
    assert_eq!((order, kind), (None, WebhookKind::Other("customer.created".into())));
}

#[test]
fn nothing_is_believed_that_is_not_signed_and_readable() {
    let body = br#"{"id": "evt_1", "type": "x", "created": 1, "data": {"object": {}}}"#;
    let off = |seconds| now() + chrono::TimeDelta::seconds(seconds);
    assert!(receive(body, "whsec_old", now()).is_ok());
    assert_eq!(receive(body, "whsec_stolen", now()), Err(WebhookError::WrongSignature));
    assert_eq!(receive(body, "whsec_new", off(301)), Err(WebhookError::Stale));
    assert_eq!(receive(body, "whsec_new", off(-301)), Err(WebhookError::Stale));
    let gateway = build(&settings("http://127.0.0.1:1")).unwrap();
    assert_eq!(gateway.verify_webhook(&HeaderMap::new(), body, now()), Err(WebhookError::NotSigned));
    let broken = br#"{"id": "evt_1", "type": "refund.updated", "created": 1, "data": {"object": {}}}"#;
    for body in [&b"nonsense"[..], b"[]", broken] {
        assert!(matches!(receive(body, "whsec_new", now()), Err(WebhookError::Unreadable(_))));
    }
}
