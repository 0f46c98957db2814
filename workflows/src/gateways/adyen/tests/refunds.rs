//! Refunds: received, and ended by notification.

use super::*;
use crate::gateways::outcomes::{Refunded, RefusalClass};

fn refund_request() -> RefundRequest {
    RefundRequest {
        order_id: ORDER.parse().unwrap(),
        refund_id: REFUND.parse().unwrap(),
        generation: 2,
        payment: psp(),
        amount: eur(1500),
    }
}

fn received() -> Value {
    json!({"merchantAccount": "ShowrunnerTest", "paymentPspReference": "993617895195570C", "status": "received",
           "pspReference": "C3VJ2Z5Q7H8N9T65", "amount": {"currency": "EUR", "value": 1500}})
}

async fn outcome(script: Script) -> RefundOutcome {
    let server = Server::start([script]).await;
    gateway(&server).refund(&key(), &refund_request()).await
}

#[tokio::test]
async fn a_refund_names_the_payment_and_our_id_and_is_pending() {
    let server = Server::start([Script::Json(201, received())]).await;
    let gateway = gateway(&server);
    let reference = Reference::new("C3VJ2Z5Q7H8N9T65").unwrap();
    let expected = RefundOutcome::Pending(Refunded { reference: reference.clone(), amount: eur(1500) });
    assert_eq!(gateway.refund(&key(), &refund_request()).await, expected);
    for known in [None, Some(&reference)] {
        assert_eq!(gateway.probe_refund(&refund_request(), known).await, RefundProbeOutcome::CannotAsk);
    }
    let [asked] = server.asked().try_into().ok().unwrap();
    assert_eq!(asked.line, "POST /v71/payments/993617895195570C/refunds");
    assert_eq!(
        asked.body,
        r#"{"merchantAccount":"ShowrunnerTest","amount":{"currency":"EUR","value":1500},"#.to_owned()
            + &format!(r#""reference":"{ORDER}-{REFUND}-2"}}"#)
    );
    assert_eq!(asked.header("idempotency-key"), Some("saga-1:pay"));
}

#[tokio::test]
async fn what_is_not_received_is_refused_or_unknown() {
    for (script, class) in [
        (error(401, "000"), RefusalClass::Credentials),
        (error(422, "167"), RefusalClass::Configuration),
        (error(422, "137"), RefusalClass::Amount),
    ] {
        let outcome = outcome(script).await;
        assert!(matches!(&outcome, RefundOutcome::Refused(why) if why.class == class), "{outcome:?}");
    }
    assert!(matches!(outcome(error(429, "000")).await, RefundOutcome::NotExecuted(_)));
    let with = |change: fn(&mut Value)| {
        let mut received = received();
        change(&mut received);
        Script::Json(201, received)
    };
    for script in [
        with(|it| it["paymentPspReference"] = json!("another")),
        with(|it| it["status"] = json!("done")),
        with(|it| it["pspReference"] = json!("../x")),
        with(|it| it["amount"] = Value::Null),
        with(|it| it["amount"]["currency"] = json!("ZZZ")),
        error(500, "000"),
        error(422, "704"),
        Script::Silence,
        Script::HangUp,
        Script::Cut(201),
    ] {
        assert!(matches!(outcome(script).await, RefundOutcome::Unknown(_)));
    }
}
