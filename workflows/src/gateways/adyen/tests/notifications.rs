//! Signed notifications. The vectors are those of Adyen's own libraries for Java and Python.

use super::*;
use crate::gateways::webhooks::{RefundState, WebhookKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn receive_with(keys: [&str; 2], body: &Value) -> Result<Vec<WebhookEvent>, WebhookError> {
    let mut settings = settings("http://127.0.0.1:1");
    settings.webhook_secret = keys[0].into();
    settings.webhook_secret_previous = Some(keys[1].into());
    let gateway = build(&settings).unwrap();
    gateway.verify_webhook(&HeaderMap::new(), body.to_string().as_bytes(), DateTime::UNIX_EPOCH)
}

fn receive(body: &Value) -> Result<Vec<WebhookEvent>, WebhookError> {
    receive_with([KEY, OTHER_KEY], body)
}

fn batch(items: impl IntoIterator<Item = Value>) -> Value {
    let items: Vec<_> = items.into_iter().map(|item| json!({"NotificationRequestItem": item})).collect();
    json!({"live": "false", "notificationItems": items})
}

/// An item about a refund of the order's payment, or about the payment.
fn item(event: &str, success: &str) -> Value {
    json!({
        "pspReference": "C3VJ2Z5Q7H8N9T65", "originalReference": "993617895195570C", "eventCode": event,
        "success": success, "merchantAccountCode": "ShowrunnerTest", "merchantReference": OURS,
        "amount": {"value": 1500, "currency": "EUR"}, "eventDate": "2026-11-20T14:35:36+01:00",
        "reason": "Not enough balance", "additionalData": {"something": "new"}, "operations": ["REFUND"],
    })
}

fn signed(mut item: Value, key: &str) -> Value {
    let text = |member: &Value| member.as_str().map_or_else(|| member.to_string(), str::to_owned);
    let members = [
        &item["pspReference"],
        &item["originalReference"],
        &item["merchantAccountCode"],
        &item["merchantReference"],
        &item["amount"]["value"],
        &item["amount"]["currency"],
        &item["eventCode"],
        &item["success"],
    ];
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(key).unwrap()).unwrap();
    mac.update(members.map(text).join(":").as_bytes());
    item["additionalData"]["hmacSignature"] = json!(STANDARD.encode(mac.finalize().into_bytes()));
    item
}

fn kind_of(item: Value) -> WebhookKind {
    let [event] = receive(&batch([signed(item, KEY)])).unwrap().try_into().unwrap();
    event.kind
}

#[test]
fn the_signature_is_that_of_adyens_own_libraries() {
    let python = json!({
        "pspReference": "7914073381342284", "merchantReference": "TestPayment-1407325143704",
        "merchantAccountCode": "TestMerchant", "amount": {"currency": "EUR", "value": 1130},
        "eventCode": "AUTHORISATION", "success": "true", "eventDate": "2019-05-06T17:15:34.121+02:00",
        "operations": ["CANCEL", "CAPTURE", "REFUND"], "paymentMethod": "visa",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    });
    let java = json!({
        "additionalData": {"hmacSignature": "NuEkADFmlCC6VgX+wcoPAegIWxVPNBPCuKlM4Hzo5qc="},
        "amount": {"currency": "EUR", "value": "0"}, "eventCode": "REPORT_AVAILABLE",
        "eventDate": "2019-11-20T14:35:36+01:00", "merchantAccountCode": "Magento2Rik",
        "merchantReference": "testMerchantRef1", "pspReference": "test_REPORT_AVAILABLE",
        "reason": "will contain the url to the report", "success": "true",
    });
    let events = receive(&batch([python, java])).unwrap();
    assert_eq!(events[0].id, "7914073381342284:AUTHORISATION:true");
    assert_eq!(events[0].occurred_at.to_rfc3339(), "2019-05-06T15:15:34.121+00:00");
    assert_eq!(events[0].order_id, None);
    assert!(matches!(&events[0].kind, WebhookKind::PaymentCaptured(it) if it.amount == eur(1130)));
    assert_eq!(events[1].kind, WebhookKind::Other("REPORT_AVAILABLE".into()));
}

#[test]
fn nothing_is_escaped_in_what_is_signed() {
    let key = "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174";
    for (reference, merchant_reference, signature) in [
        ("T7FD4VM4D3RZNN82", r"\\slashes are fun", "nIgT81gaB5oJpn2jPXupDq68iRo2wUlBsuYjtYfwKqo="),
        ("M8NB66SBZSGLNK82", ":slashes are fun", "2EQYm7YJpKO4EtHSPu55SQTyWf8dkW5u2nD1tJFpViA="),
        ("X3GWNS6KJ8NKGK82", "//slashes are fun", "9Z0xdpG9Xi3zcmXv14t/BvMBut77O/Xq9D4CQXSDUi4="),
        ("ZVWN7D3WSMK2WN82", r"\:/\/slashes are fun", "CZErGCNQaSsxbaQfZaJlakqo7KPP+mIa8a+wx3yNs9A="),
    ] {
        let item = json!({
            "pspReference": reference, "merchantReference": merchant_reference, "eventCode": "AUTHORISATION",
            "merchantAccountCode": "AntoniStroinski", "amount": {"currency": "EUR", "value": 1000}, "success": "true",
            "eventDate": "2023-01-10T13:42:29+01:00", "additionalData": {"hmacSignature": signature},
        });
        assert!(receive_with([key, KEY], &batch([item])).is_ok(), "{merchant_reference}");
    }
}

#[test]
fn payments_are_taken_for_what_they_say() {
    let captured = |reference: &str| {
        let reference = Reference::new(reference).unwrap();
        WebhookKind::PaymentCaptured(Captured { reference, amount: eur(1500) })
    };
    assert_eq!(kind_of(item("AUTHORISATION", "true")), captured("C3VJ2Z5Q7H8N9T65"));
    assert_eq!(kind_of(item("CAPTURE", "true")), captured("993617895195570C"));
    for event in ["CANCELLATION", "TECHNICAL_CANCEL"] {
        assert_eq!(kind_of(item(event, "true")), WebhookKind::PaymentVoided { reference: psp() });
        assert_eq!(kind_of(item(event, "false")), WebhookKind::PaymentVoidFailed { reference: Some(psp()) });
        let mut of_nothing = item(event, "false");
        of_nothing["originalReference"] = json!("");
        assert_eq!(kind_of(of_nothing), WebhookKind::PaymentVoidFailed { reference: None });
    }
    for (event, success, code) in [
        ("AUTHORISATION", "false", "insufficient_funds"),
        ("CAPTURE", "false", "capture_failed"),
        ("CAPTURE_FAILED", "true", "capture_failed"),
    ] {
        let kind = kind_of(item(event, success));
        assert!(matches!(&kind, WebhookKind::PaymentDeclined(why) if why.code == code), "{kind:?}");
    }
    assert!(matches!(kind_of(item("PENDING", "true")), WebhookKind::PaymentProcessing { .. }));
    for event in ["OFFER_CLOSED", "A_NEW_EVENT", ""] {
        assert_eq!(kind_of(item(event, "true")), WebhookKind::Other(event.into()));
    }
    let [event] = receive(&batch([signed(item("CAPTURE", "true"), KEY)])).unwrap().try_into().unwrap();
    assert_eq!(event.order_id, Some(ORDER.parse().unwrap()));
}

#[test]
fn our_own_name_of_a_charge_is_given_back_with_it() {
    let key = IdempotencyKey::new("sag_1:pay:backup").unwrap();
    let ours = build(&settings("http://127.0.0.1:1")).unwrap().own_reference(ORDER.parse().unwrap(), &key).unwrap();
    let named = |reference: &str| {
        let mut item = item("AUTHORISATION", "true");
        item["merchantReference"] = json!(reference);
        let [event] = receive(&batch([signed(item, KEY)])).unwrap().try_into().unwrap();
        event.own_reference
    };
    assert_eq!(named(ours.as_str()), Some(ours));
    for other in [&format!("{ORDER}-{REFUND}-2"), ORDER, "", "shop-53b7e307bdb09607ad727620ec93b275"] {
        assert_eq!(named(other), None, "{other}");
    }
}

#[test]
fn refunds_and_disputes_name_their_payment() {
    let with_reference = |mut item: Value, reference: String| {
        item["merchantReference"] = json!(reference);
        item
    };
    let refund = |state, refund_id, generation| WebhookKind::Refund {
        reference: Reference::new("C3VJ2Z5Q7H8N9T65").unwrap(),
        payment: Some(psp()),
        refund_id,
        generation,
        amount: eur(1500),
        state,
    };
    let refund_id = Some(REFUND.parse().unwrap());
    let failed = |reason: &str, is_final| RefundState::Failed { reason: reason.to_owned(), is_final };
    for (event, success, state) in [
        ("REFUND", "true", RefundState::Succeeded),
        ("REFUND", "false", failed("Not enough balance", false)),
        ("REFUND_FAILED", "true", failed("Not enough balance", false)),
        ("REFUNDED_REVERSED", "true", failed("refund_reversed", false)),
    ] {
        let item = with_reference(item(event, success), format!("{ORDER}-{REFUND}-2"));
        let [told] = receive(&batch([signed(item, KEY)])).unwrap().try_into().unwrap();
        assert_eq!((told.order_id, told.kind), (Some(ORDER.parse().unwrap()), refund(state, refund_id, Some(2))));
    }
    let mut reversal = item("CANCEL_OR_REFUND", "true");
    assert_eq!(kind_of(reversal.clone()), WebhookKind::Other("CANCEL_OR_REFUND".into()));
    reversal["additionalData"]["modification.action"] = json!("refund");
    assert_eq!(kind_of(reversal.clone()), refund(RefundState::Succeeded, None, None));
    reversal["additionalData"]["modification.action"] = json!("cancel");
    assert_eq!(kind_of(reversal), WebhookKind::PaymentVoided { reference: psp() });
    for event in ["NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"] {
        let kind = kind_of(item(event, "true"));
        assert!(
            matches!(&kind, WebhookKind::Dispute { payment: Some(it), status, .. } if *it == psp() && status == event)
        );
    }
}

#[test]
fn a_batch_is_believed_whole_or_not_at_all() {
    let right = || signed(item("REFUND", "true"), KEY);
    let before = signed(item("CAPTURE", "true"), OTHER_KEY);
    assert_eq!(receive(&batch([right(), before.clone()])).unwrap().len(), 2);
    assert_eq!(receive_with([KEY, KEY], &batch([right(), before])), Err(WebhookError::WrongSignature));
    let mut unsigned = right();
    unsigned["additionalData"]["hmacSignature"] = json!("");
    for unsigned in [unsigned, item("REFUND", "true")] {
        assert_eq!(receive(&batch([right(), unsigned])), Err(WebhookError::NotSigned));
    }
    for unsigned in [json!([]), json!({}), json!({"notificationItems": []}), json!("x")] {
        assert_eq!(receive(&unsigned), Err(WebhookError::NotSigned));
    }
    let mut no_base64 = right();
    no_base64["additionalData"]["hmacSignature"] = json!("*");
    assert_eq!(receive(&batch([no_base64])), Err(WebhookError::WrongSignature));
    // Rightly signed, and not what the documentation describes.
    for (member, value) in [
        ("success", json!("perhaps")),
        ("originalReference", json!("")),
        ("amount", json!({"value": 15.5, "currency": "EUR"})),
        ("amount", json!({"value": 1500, "currency": "ZZZ"})),
    ] {
        let mut item = item("REFUND", "true");
        item[member] = value;
        let [told, other] = receive(&batch([signed(item, KEY), right()])).unwrap().try_into().unwrap();
        assert!(matches!(told.kind, WebhookKind::Unreadable(_)), "{member}: {told:?}");
        assert!(matches!(other.kind, WebhookKind::Refund { .. }), "{other:?}");
    }
    // Nobody has signed the time.
    let mut dateless = right();
    dateless["eventDate"] = json!("yesterday");
    let [told] = receive(&batch([dateless])).unwrap().try_into().unwrap();
    assert_eq!(told.occurred_at, DateTime::UNIX_EPOCH);
    assert!(matches!(told.kind, WebhookKind::Refund { .. }), "{told:?}");
}

#[test]
fn whatever_is_signed_cannot_be_changed() {
    for (pointer, value) in [
        ("/pspReference", json!("C3VJ2Z5Q7H8N9T66")),
        ("/originalReference", json!("")),
        ("/merchantAccountCode", json!("Another")),
        ("/merchantReference", json!("another")),
        ("/amount/value", json!(9900)),
        ("/amount/currency", json!("USD")),
        ("/eventCode", json!("REFUND_FAILED")),
        ("/success", json!("false")),
    ] {
        let mut item = signed(item("REFUND", "true"), KEY);
        *item.pointer_mut(pointer).unwrap() = value;
        assert_eq!(receive(&batch([item])), Err(WebhookError::WrongSignature), "{pointer}");
    }
    // The same text, cut elsewhere.
    let mut cut = item("REFUND", "true");
    cut["merchantReference"] = json!("a:b");
    let mut cut = signed(cut, KEY);
    cut["merchantAccountCode"] = json!("ShowrunnerTest:a");
    cut["merchantReference"] = json!("b");
    assert_eq!(receive(&batch([cut])), Err(WebhookError::WrongSignature));
}
