//! What Adyen's answers mean. Nothing here calls anybody: an object or an error goes in, an outcome comes out.

use super::calls::Failure;
use super::declines;
use super::objects::{ErrorObject, ModificationResponse, PaymentResponse, reference};
use crate::gateways::answers::{parse, sentence, unreadable};
use crate::gateways::outcomes::{
    Captured, ChargeOutcome, Decline, DeclineCategory, Doubt, DoubtReason, RefundOutcome, Refunded, Refusal,
    RefusalClass, VoidOutcome,
};
use crate::gateways::requests::Reference;
use crate::money::Money;
use reqwest::StatusCode;
use serde_json::Value;

/// "Original pspReference required for this operation": there is no such payment.
const NO_SUCH_PAYMENT: &str = "167";
/// "Invalid amount specified", "Unsupported currency specified".
const AMOUNT_ERRORS: &[&str] = &["137", "138"];

/// What the answer to a charge says, if it is about this one.
/// <https://docs.adyen.com/online-payments/build-your-integration/payment-result-codes>
pub(super) fn paid(body: &[u8], ours: &Reference, asked: Money) -> ChargeOutcome {
    let outcome = parse::<PaymentResponse>(body).and_then(|response| result(&response, ours, asked));
    outcome.unwrap_or_else(ChargeOutcome::Unknown)
}

fn result(response: &PaymentResponse, ours: &Reference, asked: Money) -> Result<ChargeOutcome, Doubt> {
    if response.merchant_reference.as_ref().is_some_and(|named| named != ours.as_str()) {
        return Err(unreadable("the gateway answered about another payment"));
    }
    let theirs = || match &response.psp_reference {
        Some(id) => reference(id),
        None => Err(unreadable("the gateway has not named the payment")),
    };
    let said = response.amount.as_ref().map(|amount| amount.money()).transpose()?;
    match response.result_code.as_str() {
        // The amount is not always there; all of it was authorised then.
        "Authorised" => Ok(captured(theirs()?, said.unwrap_or(asked))),
        "PartiallyAuthorised" => match said {
            Some(amount) => Ok(captured(theirs()?, amount)),
            None => Err(unreadable("the gateway has not said how much it has authorised")),
        },
        "Refused" | "Error" | "Cancelled" => Ok(ChargeOutcome::Declined(decline(
            response.psp_reference.as_deref().map(reference).transpose()?,
            response.refusal_reason_code.as_deref(),
            response.refusal_reason.as_deref(),
        ))),
        "RedirectShopper" | "ChallengeShopper" | "IdentifyShopper" | "PresentToShopper" => {
            // Adyen names a payment that waits for the buyer only when the buyer is back; until then our name of it
            // stands in.
            let reference = if response.psp_reference.is_some() { theirs()? } else { ours.clone() };
            let next_action = response.action.clone().unwrap_or(Value::Null);
            Ok(ChargeOutcome::ActionRequired { reference, next_action })
        }
        "Pending" | "Received" => Ok(ChargeOutcome::Processing { reference: theirs()? }),
        "AuthenticationFinished" | "AuthenticationNotRequired" | "Success" => {
            Err(Doubt::new(DoubtReason::UnexpectedState, "the gateway answered what was not asked for"))
        }
        _ => Err(unreadable("the gateway answered with a result that is not documented")),
    }
}

fn captured(reference: Reference, amount: Money) -> ChargeOutcome {
    ChargeOutcome::Captured(Captured { reference, amount })
}

pub(super) fn decline(reference: Option<Reference>, code: Option<&str>, text: Option<&str>) -> Decline {
    let (word, category) = declines::meaning(code, text);
    Decline { reference, code: word.to_owned(), category, message: sentence(text.unwrap_or_default()) }
}

fn refusal(error: &ErrorObject) -> Refusal {
    let is_amount = AMOUNT_ERRORS.contains(&error.code());
    let class = if is_amount { RefusalClass::Amount } else { RefusalClass::Configuration };
    Refusal { class, code: error.code().to_owned(), message: error.sentence() }
}

/// A charge that came to no result.
pub(super) fn failed_charge(failure: Failure) -> ChargeOutcome {
    match failure {
        Failure::NotSent(not_executed) => ChargeOutcome::NotExecuted(not_executed),
        Failure::Refused(refusal) => ChargeOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => ChargeOutcome::Unknown(doubt),
        Failure::Said { error, .. } if declines::is_about_method(error.code()) => ChargeOutcome::Declined(Decline {
            reference: None,
            code: "payment_method_not_usable".into(),
            category: DeclineCategory::Final,
            message: error.sentence(),
        }),
        Failure::Said { error, .. } => ChargeOutcome::Refused(refusal(&error)),
    }
}

/// A cancel that was received. Its end comes by notification.
pub(super) fn cancel_received(body: &[u8], named: Option<&Reference>, ours: &Reference) -> VoidOutcome {
    let response = match received(body) {
        Ok(response) => response,
        Err(doubt) => return VoidOutcome::Unknown(doubt),
    };
    let answers = [(&response.payment_psp_reference, named), (&response.payment_reference, Some(ours))];
    let is_other = |(said, asked): &(&Option<String>, Option<&Reference>)| match (said, asked) {
        (Some(said), Some(asked)) => said != asked.as_str(),
        _ => false,
    };
    if answers.iter().any(is_other) {
        return VoidOutcome::Unknown(unreadable("the gateway answered about another payment"));
    }
    VoidOutcome::Accepted
}

/// A cancel that was not received.
pub(super) fn failed_void(failure: Failure) -> VoidOutcome {
    match failure {
        Failure::NotSent(not_executed) => VoidOutcome::Unknown(not_executed.into()),
        Failure::Refused(refusal) => VoidOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => VoidOutcome::Unknown(doubt),
        Failure::Said { status, error } if status == StatusCode::NOT_FOUND || error.code() == NO_SUCH_PAYMENT => {
            VoidOutcome::NotFound
        }
        Failure::Said { error, .. } => VoidOutcome::Refused(refusal(&error)),
    }
}

/// A refund that was received. Its end comes by notification.
pub(super) fn refund_received(body: &[u8], payment: &Reference) -> RefundOutcome {
    let refunded = received(body).and_then(|response| {
        if response.payment_psp_reference.as_ref().is_some_and(|said| said != payment.as_str()) {
            return Err(unreadable("the gateway answered about another payment"));
        }
        let amount = response.amount.ok_or_else(|| unreadable("the gateway has not said how much it refunds"))?;
        Ok(Refunded { reference: reference(&response.psp_reference)?, amount: amount.money()? })
    });
    match refunded {
        Ok(refunded) => RefundOutcome::Pending(refunded),
        Err(doubt) => RefundOutcome::Unknown(doubt),
    }
}

/// A refund that was not received.
pub(super) fn failed_refund(failure: Failure) -> RefundOutcome {
    match failure {
        Failure::NotSent(not_executed) => RefundOutcome::NotExecuted(not_executed),
        Failure::Refused(refusal) => RefundOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => RefundOutcome::Unknown(doubt),
        Failure::Said { error, .. } => RefundOutcome::Refused(refusal(&error)),
    }
}

fn received(body: &[u8]) -> Result<ModificationResponse, Doubt> {
    let response: ModificationResponse = parse(body)?;
    match response.status.as_str() {
        "received" => Ok(response),
        _ => Err(unreadable("the gateway answered with a status that is not documented")),
    }
}
