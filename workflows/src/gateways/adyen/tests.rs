//! The client against a server that answers from a script: what is sent, and what each answer is taken for.

mod charges;
mod notifications;
mod refunds;
mod voids;

use super::*;
use crate::breakers::BreakerSettings;
use crate::gateways::outcomes::DoubtReason;
use crate::gateways::scripted_server::{Script, Server};
use crate::gateways::{Captured, build};
use crate::money::Currency;
use serde_json::{Value, json};

const ORDER: &str = "ord_018f0000000070008000000000000001";
const SAGA: &str = "sag_018f0000000070008000000000000002";
const REFUND: &str = "ref_018f0000000070008000000000000003";
/// The order, and the first half of `printf 'saga-1:pay' | sha256sum`.
const OURS: &str = "ord_018f0000000070008000000000000001-53b7e307bdb09607ad727620ec93b275";
/// From the tests of Adyen's own libraries.
const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const OTHER_KEY: &str = "9064450A8892A093D9E97EFCC9639DE31B74F3A7803135555A3C96F5A57915D6";

fn settings(base_url: &str) -> GatewaySettings {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    GatewaySettings {
        name: "backup".into(),
        protocol: PROTOCOL.into(),
        base_url: base_url.into(),
        api_key: "AQE_test_secret".into(),
        webhook_secret: KEY.into(),
        webhook_secret_previous: Some(OTHER_KEY.into()),
        return_url: None,
        timeout_ms: 1_000,
        late_window_secs: 1,
        breaker: BreakerSettings::default(),
        merchant_account: Some("ShowrunnerTest".into()),
    }
}

fn gateway(server: &Server) -> Arc<dyn Gateway> {
    build(&settings(&server.url)).unwrap()
}

fn key() -> IdempotencyKey {
    IdempotencyKey::new("saga-1:pay").unwrap()
}

fn psp() -> Reference {
    Reference::new("993617895195570C").unwrap()
}

fn ours() -> Reference {
    Reference::new(OURS).unwrap()
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

fn charge_of(amount: Money) -> ChargeRequest {
    ChargeRequest {
        order_id: ORDER.parse().unwrap(),
        saga_id: SAGA.parse().unwrap(),
        amount,
        payment_method: "buyer-7:M5N7TQ4TG5PFWR50".into(),
        repeats: false,
    }
}

fn charge() -> ChargeRequest {
    charge_of(eur(4500))
}

fn captured() -> Captured {
    Captured { reference: psp(), amount: eur(4500) }
}

/// An answer to a charge as Adyen writes one, with members that we do not know.
fn payment(result: &str) -> Value {
    json!({
        "additionalData": {"cvcResult": "1 Matches"}, "pspReference": "993617895195570C", "resultCode": result,
        "amount": {"currency": "EUR", "value": 4500}, "merchantReference": OURS, "something_new": {"a": [1]},
    })
}

/// An error as Adyen writes one.
fn error(status: u16, code: &str) -> Script {
    let body = json!({"status": status, "errorCode": code, "message": "No.", "errorType": "validation"});
    Script::Json(status, body)
}
