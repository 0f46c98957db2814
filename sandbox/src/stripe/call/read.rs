//! The parameters of each endpoint, and what they may be.

use super::{Call, Capture, Confirmation, NewIntent, NewRefund, Page, RefundFilter, RefundTarget};
use crate::stripe::error::ApiError;
use crate::stripe::form::Fields;
use crate::stripe::objects::{CaptureMethod, ConfirmationMethod, Redirects};
use crate::stripe::params::Params;
use crate::stripe::{cards, currencies};

/// The most that one payment can be.
const AMOUNT_MAX: i64 = 99_999_999;
/// How many objects a page has when nothing is said.
const LIMIT_DEFAULT: i64 = 10;
/// How many objects a page can have.
const LIMIT_MAX: i64 = 100;

/// A call, and the parameters that are left: what is to be expanded.
pub(super) type Parsed = Result<(Call, Params), ApiError>;

/// The parameters of every list.
pub(super) const PAGE: [&str; 4] = ["ending_before", "expand", "limit", "starting_after"];

const CAPTURE_METHODS: [&str; 3] = ["automatic", "automatic_async", "manual"];

const FUTURE_USAGES: [&str; 2] = ["off_session", "on_session"];

const NEW_INTENT: [&str; 20] = [
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "expand",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "use_stripe_sdk",
];

/// `POST /v1/payment_intents`
pub(super) fn create_intent(fields: Fields) -> Parsed {
    let only_with_confirm: Vec<_> = ["error_on_requires_action", "off_session", "return_url"]
        .into_iter()
        .filter(|name| fields.contains_key(*name))
        .collect();
    let mut params = Params::new(fields, &NEW_INTENT)?;
    let amount = params.required_positive("amount")?;
    if amount > AMOUNT_MAX {
        let message = format!("Amount must be no more than {AMOUNT_MAX}");
        return Err(ApiError::invalid(message).code("amount_too_large").param("amount"));
    }
    let currency = currency(&params.required_text("currency")?)?;
    let is_confirmed = params.flag("confirm")?.unwrap_or(false);
    if let Some(name) = only_with_confirm.first().filter(|_| !is_confirmed) {
        let message = format!("You can only pass `{name}` when `confirm` is true.");
        return Err(ApiError::invalid(message).param(*name));
    }
    let (automatic, payment_method_types) = method_types(&mut params)?;
    let mut confirmation = confirmation(&mut params)?;
    let new = NewIntent {
        amount,
        currency,
        capture_method: params.choice("capture_method", &CAPTURE_METHODS)?.unwrap_or(CaptureMethod::Automatic),
        confirmation_method: params
            .choice("confirmation_method", &["automatic", "manual"])?
            .unwrap_or(ConfirmationMethod::Automatic),
        automatic,
        payment_method_types,
        payment_method: confirmation.payment_method.take(),
        customer: params.text("customer")?,
        description: params.text("description")?,
        receipt_email: confirmation.receipt_email.take(),
        setup_future_usage: confirmation.setup_future_usage.take(),
        statement_descriptor: params.text("statement_descriptor")?,
        statement_descriptor_suffix: params.text("statement_descriptor_suffix")?,
        metadata: params.metadata()?,
        confirmation: is_confirmed.then_some(confirmation),
    };
    Ok((Call::CreateIntent(Box::new(new)), params))
}

fn currency(text: &str) -> Result<String, ApiError> {
    let currency = text.to_lowercase();
    if currencies::SUPPORTED.contains(&currency.as_str()) {
        return Ok(currency);
    }
    let supported = currencies::SUPPORTED.join(", ");
    let message = format!("Invalid currency: {text}. Stripe currently supports these currencies: {supported}");
    Err(ApiError::invalid(message).param("currency"))
}

/// Which payment method types there are, and whether Stripe chooses them, as it does when nothing
/// is said.
fn method_types(params: &mut Params) -> Result<(Option<Redirects>, Vec<String>), ApiError> {
    let types = params.list("payment_method_types")?;
    let automatic = match params.map("automatic_payment_methods", &["allow_redirects", "enabled"])? {
        None => None,
        Some(mut inner) => {
            let enabled = inner.flag("enabled")?.ok_or_else(|| inner.missing("enabled"))?;
            let redirects = inner.choice("allow_redirects", &["always", "never"])?;
            enabled.then_some(redirects.unwrap_or(Redirects::Always))
        }
    };
    match (types, automatic) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "You may only specify one of these parameters: automatic_payment_methods, \
             payment_method_types.",
        )),
        (Some(types), None) => check_types(types).map(|types| (None, types)),
        (None, automatic) => {
            Ok((Some(automatic.unwrap_or(Redirects::Always)), vec!["card".to_owned(), "link".to_owned()]))
        }
    }
}

fn check_types(types: Vec<String>) -> Result<Vec<String>, ApiError> {
    let unknown = types.iter().find(|name| !["card", "link"].contains(&name.as_str()));
    if let Some(unknown) = unknown {
        let message = format!("The payment method type \"{unknown}\" is invalid.");
        return Err(ApiError::invalid(message).code("payment_intent_invalid_parameter").param("payment_method_types"));
    }
    if types.is_empty() {
        return Err(ApiError::invalid("Invalid array").param("payment_method_types"));
    }
    Ok(types)
}

/// The parameters that creating and confirming have in common.
fn confirmation(params: &mut Params) -> Result<Confirmation, ApiError> {
    let payment_method = params.text("payment_method")?;
    if let Some(method) = payment_method.as_ref().filter(|id| !cards::exists(id)) {
        return Err(ApiError::missing(400, "PaymentMethod", method, "payment_method"));
    }
    let return_url = params.text("return_url")?;
    if let Some(url) = &return_url
        && !url.contains("://")
    {
        return Err(ApiError::invalid("Not a valid URL").code("url_invalid").param("return_url"));
    }
    // It asks for another form of `next_action`, which is given anyway where there is no return URL.
    params.flag("use_stripe_sdk")?;
    Ok(Confirmation {
        payment_method,
        return_url,
        is_off_session: params.flag("off_session")?.unwrap_or(false),
        fails_on_action: params.flag("error_on_requires_action")?.unwrap_or(false),
        capture_method: None,
        receipt_email: params.text("receipt_email")?,
        setup_future_usage: params.choice("setup_future_usage", &FUTURE_USAGES)?,
    })
}

/// `POST /v1/payment_intents/{id}/confirm`
pub(super) fn confirm(id: String, fields: Fields) -> Parsed {
    let known = [
        "capture_method",
        "error_on_requires_action",
        "expand",
        "off_session",
        "payment_method",
        "receipt_email",
        "return_url",
        "setup_future_usage",
        "use_stripe_sdk",
    ];
    let mut params = Params::new(fields, &known)?;
    let mut confirmation = confirmation(&mut params)?;
    confirmation.capture_method = params.choice("capture_method", &CAPTURE_METHODS)?;
    Ok((Call::ConfirmIntent(id, confirmation), params))
}

/// `POST /v1/payment_intents/{id}/cancel`
pub(super) fn cancel(id: String, fields: Fields) -> Parsed {
    let mut params = Params::new(fields, &["cancellation_reason", "expand"])?;
    let allowed = ["abandoned", "duplicate", "fraudulent", "requested_by_customer"];
    let reason = params.choice("cancellation_reason", &allowed)?;
    Ok((Call::CancelIntent(id, reason), params))
}

/// `POST /v1/payment_intents/{id}/capture`
pub(super) fn capture(id: String, fields: Fields) -> Parsed {
    let known = ["amount_to_capture", "expand", "final_capture", "metadata"];
    let mut params = Params::new(fields, &known)?;
    if params.flag("final_capture")? == Some(false) {
        let message = "This account is not eligible for the requested card features.";
        return Err(ApiError::invalid(message).param("final_capture"));
    }
    let capture = Capture { amount: params.positive("amount_to_capture")?, metadata: params.metadata()? };
    Ok((Call::CaptureIntent(id, capture), params))
}

/// `POST /v1/refunds`
pub(super) fn create_refund(fields: Fields) -> Parsed {
    let known = ["amount", "charge", "expand", "metadata", "payment_intent", "reason"];
    let mut params = Params::new(fields, &known)?;
    let target = match (params.text("payment_intent")?, params.text("charge")?) {
        (Some(intent), None) => RefundTarget::Intent(intent),
        (None, Some(charge)) => RefundTarget::Charge(charge),
        (None, None) => return Err(params.missing("charge")),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("You may only specify one of these parameters: charge, payment_intent."));
        }
    };
    let reasons = ["duplicate", "fraudulent", "requested_by_customer"];
    let new = NewRefund {
        target,
        amount: params.positive("amount")?,
        reason: params.choice("reason", &reasons)?,
        metadata: params.metadata()?,
    };
    Ok((Call::CreateRefund(new), params))
}

/// `GET /v1/refunds`
pub(super) fn list_refunds(fields: Fields) -> Parsed {
    let known = [PAGE.as_slice(), &["charge", "payment_intent"]].concat();
    let mut params = Params::new(fields, &known)?;
    let filter = RefundFilter { intent: params.text("payment_intent")?, charge: params.text("charge")? };
    let page = page(&mut params)?;
    Ok((Call::ListRefunds(filter, page), params))
}

/// Which part of a list is wanted.
pub(super) fn page(params: &mut Params) -> Result<Page, ApiError> {
    let limit = params.positive("limit")?.unwrap_or(LIMIT_DEFAULT);
    if limit > LIMIT_MAX {
        let message = format!("This value must be less than or equal to {LIMIT_MAX}.");
        return Err(ApiError::invalid(message).code("parameter_invalid_integer").param("limit"));
    }
    Ok(Page {
        limit: usize::try_from(limit).expect("limits are between 1 and 100"),
        starting_after: params.text("starting_after")?,
        ending_before: params.text("ending_before")?,
    })
}
