//! The client against a server that answers from a script: what is sent, and what each answer is taken for.

mod charges;
mod refunds;
mod webhooks;

use super::*;
use crate::breakers::BreakerSettings;
use crate::gateways::scripted_server::{Script, Server};
use crate::gateways::{Captured, build};
use crate::ids::{OrderId, RefundId};
use crate::money::Currency;
use serde_json::{Value, json};

const ORDER: &str = "ord_018f0000000070008000000000000001";
const SAGA: &str = "sag_018f0000000070008000000000000002";
const REFUND: &str = "ref_018f0000000070008000000000000003";

fn settings(base_url: &str) -> GatewaySettings {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    GatewaySettings {
        name: "primary".into(),
        protocol: PROTOCOL.into(),
        base_url: base_url.into(),
        api_key: "sk_test_secret".into(),
        webhook_secret: "whsec_new".into(),
        webhook_secret_previous: Some("whsec_old".into()),
        return_url: None,
        timeout_ms: 1_000,
        late_window_secs: 1,
        breaker: BreakerSettings::default(),
        merchant_account: None,
    }
}

fn gateway(server: &Server) -> Arc<dyn Gateway> {
    build(&settings(&server.url)).unwrap()
}

fn key() -> IdempotencyKey {
    IdempotencyKey::new("saga-1:pay").unwrap()
}

fn pi() -> Reference {
    Reference::new("pi_1").unwrap()
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn charge_of(amount: Money) -> ChargeRequest {
    ChargeRequest {
        order_id: ORDER.parse::<OrderId>().unwrap(),
        saga_id: SAGA.parse().unwrap(),
        amount,
        payment_method: "pm_card_visa".into(),
        repeats: false,
    }
}

fn charge() -> ChargeRequest {
    charge_of(eur(4500))
}

fn refund_request() -> RefundRequest {
    RefundRequest {
        order_id: ORDER.parse().unwrap(),
        refund_id: REFUND.parse::<RefundId>().unwrap(),
        generation: 1,
        payment: pi(),
        amount: eur(1500),
    }
}

/// A payment intent as Stripe writes one, as far as we read it, with members that we do not know.
fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 4500, "amount_received": 0, "currency": "eur",
        "status": status, "livemode": false, "metadata": {"order_id": ORDER}, "last_payment_error": null,
        "next_action": null, "something_new": {"a": [1]},
    })
}

fn succeeded() -> Value {
    let mut intent = intent("succeeded");
    intent["amount_received"] = json!(4500);
    intent
}

fn declined() -> Value {
    let mut intent = intent("requires_payment_method");
    intent["last_payment_error"] = json!({
        "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
    });
    intent
}

fn captured() -> Captured {
    Captured { reference: pi(), amount: eur(4500) }
}

fn error(body: Value) -> Value {
    json!({ "error": body })
}
