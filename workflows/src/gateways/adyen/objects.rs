//! Adyen's objects, as far as we write and read them. What we do not know is ignored; what we need and is missing
//! makes the answer unreadable. <https://github.com/Adyen/adyen-openapi/blob/main/json/CheckoutService-v71.json>

use super::amounts;
use crate::gateways::answers::{ProtocolError, parse, sentence, unreadable};
use crate::gateways::outcomes::{Doubt, DoubtReason};
use crate::gateways::requests::{AmountError, Reference};
use crate::money::Money;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An amount in Adyen's minor units.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Amount {
    currency: String,
    value: i64,
}

impl Amount {
    pub(super) fn of(amount: Money) -> Result<Self, AmountError> {
        Ok(Self { currency: amount.currency.code().to_owned(), value: amounts::to_adyen(amount)? })
    }

    pub(super) fn money(&self) -> Result<Money, Doubt> {
        amounts::from_adyen(self.value, &self.currency).map_err(|error| unreadable(error.to_string()))
    }
}

/// A charge of a stored payment method.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentRequest<'a> {
    pub(super) merchant_account: &'a str,
    pub(super) amount: Amount,
    pub(super) reference: &'a str,
    pub(super) payment_method: PaymentMethod<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shopper_reference: Option<&'a str>,
    pub(super) shopper_interaction: &'static str,
    pub(super) recurring_processing_model: &'static str,
    pub(super) capture_delay_hours: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) return_url: Option<&'a str>,
    pub(super) metadata: Metadata,
}

/// A stored payment method.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentMethod<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    stored_payment_method_id: &'a str,
}

impl<'a> PaymentMethod<'a> {
    /// What a token names: `<shopperReference>:<storedPaymentMethodId>`, or the latter alone. Adyen stores payment
    /// methods under the shopper's reference and asks for it again.
    pub(super) fn of_token(token: &'a str) -> (Option<&'a str>, Self) {
        let (shopper, id) = match token.rsplit_once(':') {
            Some((shopper, id)) => (Some(shopper), id),
            None => (None, token),
        };
        (shopper, Self { kind: "scheme", stored_payment_method_id: id })
    }
}

/// For people who look at the payment in Adyen's Customer Area.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) order_id: String,
    pub(super) saga_id: String,
}

/// A cancel or a refund of a payment that the path names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modification<'a> {
    merchant_account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    reference: &'a str,
}

impl<'a> Modification<'a> {
    pub(super) fn new(merchant_account: &'a str, reference: &'a str, amount: Option<Amount>) -> Self {
        Self { merchant_account, amount, reference }
    }
}

/// A cancel of a payment whose name at Adyen is not known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelByReference<'a> {
    pub(super) merchant_account: &'a str,
    pub(super) payment_reference: &'a str,
    pub(super) reference: &'a str,
}

/// What became of a charge.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentResponse {
    pub(super) result_code: String,
    #[serde(default)]
    pub(super) psp_reference: Option<String>,
    #[serde(default)]
    pub(super) merchant_reference: Option<String>,
    #[serde(default)]
    pub(super) amount: Option<Amount>,
    #[serde(default)]
    pub(super) refusal_reason: Option<String>,
    #[serde(default)]
    pub(super) refusal_reason_code: Option<String>,
    #[serde(default)]
    pub(super) action: Option<Value>,
}

/// A cancel or a refund that was received.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModificationResponse {
    pub(super) status: String,
    pub(super) psp_reference: String,
    #[serde(default)]
    pub(super) payment_psp_reference: Option<String>,
    #[serde(default)]
    pub(super) payment_reference: Option<String>,
    #[serde(default)]
    pub(super) amount: Option<Amount>,
}

/// What is wrong with a call. <https://docs.adyen.com/development-resources/error-codes>
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorObject {
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// "request already processed or in progress".
const IN_PROGRESS: &str = "704";

impl ErrorObject {
    pub(super) fn code(&self) -> &str {
        self.error_code.as_deref().unwrap_or("unknown")
    }

    /// Adyen's sentence, fit to be stored and shown.
    pub(super) fn sentence(&self) -> String {
        sentence(self.message.as_deref().unwrap_or_default())
    }
}

impl ProtocolError for ErrorObject {
    fn parse(body: &[u8]) -> Result<Self, Doubt> {
        parse(body)
    }

    fn doubt(&self) -> Option<DoubtReason> {
        (self.code() == IN_PROGRESS).then_some(DoubtReason::InFlight)
    }
}

pub(super) fn reference(id: &str) -> Result<Reference, Doubt> {
    Reference::new(id).map_err(|error| unreadable(error.to_string()))
}
