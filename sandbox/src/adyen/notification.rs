//! Notifications: what a payment or a modification came to, as the standard webhook tells it.

use serde_json::{Value, json};

use super::objects::{Act, Amount, Modification, Payment};
use super::signature;
use crate::edge;
use crate::gateway::{Dispute, Told};

/// Something that the webhook tells.
#[derive(Debug)]
pub(crate) struct Event {
    code: &'static str,
    psp_reference: String,
    original_reference: Option<String>,
    merchant_account: String,
    merchant_reference: String,
    amount: Amount,
    /// Why it did not succeed.
    failure: Option<String>,
    reason: String,
    /// What a reversal did.
    action: Option<&'static str>,
    /// What can be done with the payment now.
    operations: Option<[&'static str; 3]>,
}

impl Event {
    /// `AUTHORISATION`: the issuer has decided.
    pub(super) fn authorisation(payment: &Payment, refusal: Option<&str>) -> Self {
        Self {
            code: "AUTHORISATION",
            psp_reference: payment.psp_reference.clone(),
            original_reference: None,
            merchant_account: payment.merchant_account.clone(),
            merchant_reference: payment.reference.clone(),
            amount: payment.amount.clone(),
            failure: refusal.map(str::to_owned),
            reason: String::new(),
            action: None,
            operations: refusal.is_none().then_some(["CANCEL", "CAPTURE", "REFUND"]),
        }
    }

    /// What a modification came to. `payment` is there where the modification found one.
    pub(super) fn decided(modification: &Modification, payment: Option<&Payment>, result: Result<(), &str>) -> Self {
        let code = match modification.act {
            Act::Capture => "CAPTURE",
            Act::Cancel => "CANCELLATION",
            Act::TechnicalCancel => "TECHNICAL_CANCEL",
            Act::Refund => "REFUND",
            Act::Reverse => "CANCEL_OR_REFUND",
        };
        let amount = modification.amount.clone().or_else(|| payment.map(|payment| payment.amount.clone()));
        Self {
            code,
            psp_reference: modification.psp_reference.clone(),
            original_reference: payment.map(|payment| payment.psp_reference.clone()),
            merchant_account: modification.merchant_account.clone(),
            merchant_reference: modification.payment_reference.clone(),
            amount: amount.unwrap_or_else(|| Amount { value: 0, currency: "EUR".to_owned() }),
            failure: result.err().map(str::to_owned),
            reason: String::new(),
            action: None,
            operations: None,
        }
    }

    /// `REFUND_FAILED`: money that was given back has come back.
    pub(super) fn refund_failed(modification: &Modification, payment: &Payment) -> Self {
        let reason = "Refund Failed".to_owned();
        Self { code: "REFUND_FAILED", reason, ..Self::decided(modification, Some(payment), Ok(())) }
    }

    /// `CHARGEBACK`, and how that ended.
    pub(super) fn disputed(payment: &Payment, dispute: Dispute) -> Self {
        let code = match dispute {
            Dispute::Opened => "CHARGEBACK",
            Dispute::Won => "PREARBITRATION_WON",
            Dispute::Lost => "PREARBITRATION_LOST",
        };
        Self {
            code,
            // one for each payment, so that its end is told of the same
            psp_reference: format!("DISP{}", &payment.psp_reference[4..]),
            original_reference: Some(payment.psp_reference.clone()),
            merchant_account: payment.merchant_account.clone(),
            merchant_reference: payment.reference.clone(),
            amount: Amount { value: payment.captured, currency: payment.amount.currency.clone() },
            failure: None,
            reason: "Fraud".to_owned(),
            action: None,
            operations: None,
        }
    }

    /// Says what a reversal did.
    pub(super) fn doing(self, action: &'static str) -> Self {
        Self { action: Some(action), ..self }
    }
}

/// The webhook's body: one item, signed.
pub(super) fn body(event: &Event, told: &Told<'_>) -> String {
    let success = if event.failure.is_none() { "true" } else { "false" };
    let original = event.original_reference.as_deref().unwrap_or_default();
    let value = event.amount.value.to_string();
    let signed = [
        &event.psp_reference,
        original,
        &event.merchant_account,
        &event.merchant_reference,
        &value,
        &event.amount.currency,
        event.code,
        success,
    ];
    let mut additional = json!({"hmacSignature": signature::sign(told.secret, signed)});
    if let Some(action) = event.action {
        additional["modification.action"] = json!(action);
    }
    let mut item = json!({
        "additionalData": additional,
        "amount": {"currency": event.amount.currency, "value": event.amount.value},
        "eventCode": event.code,
        "eventDate": edge::rfc3339_seconds(told.at_ms),
        "merchantAccountCode": event.merchant_account,
        "merchantReference": event.merchant_reference,
        "paymentMethod": "visa",
        "pspReference": event.psp_reference,
        "reason": event.failure.as_ref().unwrap_or(&event.reason),
        "success": success,
    });
    if let Some(original) = &event.original_reference {
        item["originalReference"] = json!(original);
    }
    if let Some(operations) = event.operations {
        item["operations"] = json!(operations);
    }
    let body: Value = json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]});
    body.to_string()
}
