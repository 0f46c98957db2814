//! The objects as Stripe's JSON.

use serde_json::{Value, json};

use super::error::doc_url;
use super::objects::{Charge, Failure, Intent, Redirects, Refund, RefundStatus};
use super::status::Status;
use super::store::Store;

fn seconds(at_ms: i64) -> i64 {
    at_ms / 1000
}

/// A payment intent.
pub(crate) fn intent(intent: &Intent) -> Value {
    let capturable = match intent.status {
        Status::RequiresCapture => intent.amount,
        _ => 0,
    };
    json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": capturable,
        "amount_details": {"tip": {}},
        "amount_received": intent.amount_received,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": intent.automatic.map(automatic),
        "canceled_at": intent.canceled_at_ms.map(seconds),
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": intent.capture_method,
        "client_secret": intent.client_secret,
        "confirmation_method": intent.confirmation_method,
        "created": seconds(intent.created_at_ms),
        "currency": intent.currency,
        "customer": intent.customer,
        "description": intent.description,
        "last_payment_error": intent.last_error.as_ref().map(last_error),
        "latest_charge": intent.charges.last(),
        "livemode": false,
        "metadata": intent.metadata,
        "next_action": intent.next_action,
        "on_behalf_of": null,
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": null,
        "payment_method_options": {
            "card": {
                "installments": null,
                "mandate_options": null,
                "network": null,
                "request_three_d_secure": "automatic",
            },
        },
        "payment_method_types": intent.payment_method_types,
        "processing": null,
        "receipt_email": intent.receipt_email,
        "review": null,
        "setup_future_usage": intent.setup_future_usage,
        "shipping": null,
        "source": null,
        "statement_descriptor": intent.statement_descriptor,
        "statement_descriptor_suffix": intent.statement_descriptor_suffix,
        "status": intent.status,
        "transfer_data": null,
        "transfer_group": null,
    })
}

fn automatic(redirects: Redirects) -> Value {
    json!({"allow_redirects": redirects, "enabled": true})
}

fn last_error(failure: &Failure) -> Value {
    let mut error = json!({
        "code": failure.code,
        "doc_url": doc_url(&failure.code),
        "message": failure.message,
        "type": "card_error",
    });
    if let Some(charge) = &failure.charge {
        error["charge"] = json!(charge);
    }
    if let Some(decline_code) = &failure.decline_code {
        error["decline_code"] = json!(decline_code);
    }
    if let Some(method) = &failure.payment_method {
        error["payment_method"] = payment_method(method);
    }
    error
}

/// A test payment method. They are all the same card, made at no particular time.
pub(crate) fn payment_method(id: &str) -> Value {
    json!({
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "card": card(),
        "created": 0,
        "customer": null,
        "livemode": false,
        "metadata": {},
        "type": "card",
    })
}

fn billing_details() -> Value {
    json!({
        "address": {
            "city": null, "country": null, "line1": null,
            "line2": null, "postal_code": null, "state": null,
        },
        "email": null,
        "name": null,
        "phone": null,
        "tax_id": null,
    })
}

fn card() -> Value {
    json!({
        "brand": "visa",
        "checks": {
            "address_line1_check": null,
            "address_postal_code_check": null,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": "sandboxSandbox01",
        "funding": "credit",
        "last4": "4242",
        "network": "visa",
        "three_d_secure": null,
        "wallet": null,
    })
}

/// A charge.
pub(crate) fn charge(charge: &Charge) -> Value {
    let failure = charge.failure.as_ref();
    let is_paid = failure.is_none();
    let amount_refunded = if charge.is_released { charge.amount } else { charge.amount_refunded };
    let returnable = if charge.amount_captured > 0 { charge.amount_captured } else { charge.amount };
    json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.amount_captured,
        "amount_refunded": amount_refunded,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": billing_details(),
        "calculated_statement_descriptor": "SANDBOX",
        "captured": charge.amount_captured > 0,
        "created": seconds(charge.created_at_ms),
        "currency": charge.currency,
        "customer": null,
        "description": charge.description,
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": failure.map(|failure| &failure.code),
        "failure_message": failure.map(|failure| &failure.message),
        "fraud_details": {},
        "livemode": false,
        "metadata": charge.metadata,
        "on_behalf_of": null,
        "outcome": {
            "network_status": if is_paid { "approved_by_network" } else { "declined_by_network" },
            "reason": failure.and_then(|failure| failure.decline_code.as_deref()),
            "risk_level": "normal",
            "seller_message": if is_paid {
                "Payment complete."
            } else {
                "The bank did not return any further details with this decline."
            },
            "type": if is_paid { "authorized" } else { "issuer_declined" },
        },
        "paid": is_paid,
        "payment_intent": charge.intent,
        "payment_method": charge.payment_method,
        "payment_method_details": {"card": card(), "type": "card"},
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": amount_refunded > 0 && amount_refunded == returnable,
        "review": null,
        "shipping": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": if is_paid { "succeeded" } else { "failed" },
        "transfer_data": null,
        "transfer_group": null,
    })
}

/// A refund.
pub(crate) fn refund(refund: &Refund) -> Value {
    let mut answer = json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": null,
        "charge": refund.charge,
        "created": seconds(refund.created_at_ms),
        "currency": refund.currency,
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": refund.metadata,
        "payment_intent": refund.intent,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": refund.status.name(),
        "transfer_reversal": null,
    });
    if refund.status == RefundStatus::Failed {
        answer["failure_reason"] = json!("expired_or_canceled_card");
    }
    answer
}

/// A page of a list.
pub(crate) fn list(url: &str, data: &[Value], has_more: bool) -> Value {
    json!({"object": "list", "url": url, "has_more": has_more, "data": data})
}

/// Replaces the ids that `paths` name by the objects behind them.
pub(crate) fn expand(value: &mut Value, paths: &[String], store: &Store) {
    for path in paths {
        let names: Vec<_> = path.split('.').collect();
        expand_one(value, &names, store);
    }
}

fn expand_one(value: &mut Value, path: &[&str], store: &Store) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| expand_one(item, path, store));
        return;
    }
    if let Some(object) = value.as_str().and_then(|id| object(id, store)) {
        *value = object;
    }
    if let Some((name, rest)) = path.split_first()
        && let Some(inner) = value.get_mut(*name)
    {
        expand_one(inner, rest, store);
    }
}

fn object(id: &str, store: &Store) -> Option<Value> {
    match id.split_once('_')?.0 {
        "pi" => store.intents.get(id).map(intent),
        "ch" => store.charges.get(id).map(charge),
        "re" => store.refunds.get(id).map(refund),
        "pm" | "tok" | "card" | "src" => Some(payment_method(id)),
        _ => None,
    }
}
