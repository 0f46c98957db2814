//! What Stripe's answers mean. Nothing here calls anybody: an object or an error goes in, an outcome comes out.

use super::calls::Failure;
use super::objects::{ErrorObject, PaymentIntent, RefundList, RefundObject};
use super::{declines, refund_failures, unreadable};
use crate::gateways::answers::parse;
use crate::gateways::outcomes::{
    Captured, ChargeOutcome, Decline, Doubt, DoubtReason, PrepareOutcome, ProbeOutcome, RefundFailure, RefundOutcome,
    RefundProbeOutcome, Refusal, RefusalClass, VoidOutcome,
};
use crate::gateways::requests::{Reference, RefundRequest};
use reqwest::StatusCode;
use serde_json::Value;

/// What a payment intent in an answer says, if it is the one that was asked about.
pub(super) fn intent(body: &[u8], asked: &Reference) -> ProbeOutcome {
    match parse::<PaymentIntent>(body) {
        Ok(intent) => intent_of(&intent, asked),
        Err(doubt) => ProbeOutcome::Unknown(doubt),
    }
}

/// What a payment intent says, if it is the one that was asked about.
pub(super) fn intent_of(intent: &PaymentIntent, asked: &Reference) -> ProbeOutcome {
    match intent.reference() {
        Ok(reference) if reference == *asked => state_of(intent, reference),
        Ok(_) => ProbeOutcome::Unknown(unreadable("the gateway answered about another payment")),
        Err(doubt) => ProbeOutcome::Unknown(doubt),
    }
}

fn state_of(intent: &PaymentIntent, reference: Reference) -> ProbeOutcome {
    match (intent.status.as_str(), &intent.last_payment_error) {
        ("succeeded", _) => match intent.received() {
            Ok(amount) => ProbeOutcome::Captured(Captured { reference, amount }),
            Err(doubt) => ProbeOutcome::Unknown(doubt),
        },
        ("canceled", _) => ProbeOutcome::Voided { reference },
        ("processing", _) => ProbeOutcome::Processing { reference },
        ("requires_action", _) => {
            let next_action = intent.next_action.clone().unwrap_or(Value::Null);
            ProbeOutcome::ActionRequired { reference, next_action }
        }
        // A declined intent has lost its payment method, so that a late confirm finds nothing to charge.
        ("requires_payment_method", Some(error)) => ProbeOutcome::Declined(decline(error, Some(reference))),
        ("requires_payment_method" | "requires_confirmation" | "requires_capture", _) => {
            ProbeOutcome::NotCaptured { reference }
        }
        (_, _) => ProbeOutcome::Unknown(unreadable("the gateway answered with a status that is not documented")),
    }
}

pub(super) fn decline(error: &ErrorObject, reference: Option<Reference>) -> Decline {
    let code = error.word().to_owned();
    Decline { reference, category: declines::category(&code), code, message: error.sentence() }
}

fn refusal(status: StatusCode, error: &ErrorObject) -> Refusal {
    let class = match error.code.as_deref() {
        Some("amount_too_small" | "amount_too_large") => RefusalClass::Amount,
        _ => RefusalClass::Configuration,
    };
    let message = match error.sentence() {
        sentence if sentence.is_empty() => format!("the gateway answered {}", status.as_u16()),
        sentence => sentence,
    };
    Refusal { class, code: error.word().to_owned(), message }
}

fn unexpected_state(detail: &str) -> Doubt {
    Doubt::new(DoubtReason::UnexpectedState, detail)
}

/// Of calls that only ask: whatever went wrong, we know no more than before.
pub(super) fn not_asked(failure: Failure) -> Doubt {
    match failure {
        Failure::NotSent(not_executed) => not_executed.into(),
        Failure::Doubtful(doubt) => doubt,
        Failure::Refused(refusal) => Doubt::new(DoubtReason::NotAsked, refusal.message),
        Failure::Said { status, error } => Doubt::new(DoubtReason::NotAsked, refusal(status, &error).message),
    }
}

/// Creating an intent moves nothing, so whatever is wrong with the payment method is a decline.
pub(super) fn failed_prepare(failure: Failure) -> PrepareOutcome {
    match failure {
        Failure::NotSent(not_executed) => PrepareOutcome::NotExecuted(not_executed),
        Failure::Refused(refusal) => PrepareOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => PrepareOutcome::Unknown(doubt),
        Failure::Said { status, error } => {
            let is_about_method = match &error.param {
                Some(param) => param.starts_with("payment_method") && param != "payment_method_types",
                // The method is the only thing that the call names.
                None => error.is_missing(status) && !error.is_unknown_path(),
            };
            if error.is_decline(status) || is_about_method {
                PrepareOutcome::Declined(decline(&error, None))
            } else {
                PrepareOutcome::Refused(refusal(status, &error))
            }
        }
    }
}

/// A confirm that was answered with the intent.
pub(super) fn confirmed(said: ProbeOutcome) -> ChargeOutcome {
    match said {
        ProbeOutcome::Captured(captured) => ChargeOutcome::Captured(captured),
        ProbeOutcome::Declined(decline) => ChargeOutcome::Declined(decline),
        ProbeOutcome::Voided { reference } => ChargeOutcome::Voided { reference },
        ProbeOutcome::ActionRequired { reference, next_action } => {
            ChargeOutcome::ActionRequired { reference, next_action }
        }
        ProbeOutcome::Processing { reference } => ChargeOutcome::Processing { reference },
        ProbeOutcome::Unknown(doubt) => ChargeOutcome::Unknown(doubt),
        ProbeOutcome::NotCaptured { .. } | ProbeOutcome::NotFound | ProbeOutcome::CannotAsk => {
            ChargeOutcome::Unknown(unexpected_state("the gateway confirmed the payment without taking it"))
        }
    }
}

/// What an error to a confirm says by itself; nothing when the intent must be looked at.
pub(super) fn refused_confirm(status: StatusCode, error: &ErrorObject, asked: &Reference) -> Option<ChargeOutcome> {
    let said = error.payment_intent.as_ref().map(|intent| intent_of(intent, asked));
    if error.is_decline(status) {
        return Some(match said {
            // The card was refused, and the intent went on all the same: the intent is what counts.
            Some(said @ (ProbeOutcome::Captured(_) | ProbeOutcome::Processing { .. })) => confirmed(said),
            _ => ChargeOutcome::Declined(decline(error, Some(asked.clone()))),
        });
    }
    match said {
        Some(said) => Some(not_confirmed(said, status, error)),
        // A parameter is wrong, so it was not looked at any further.
        None if error.param.is_some() => Some(ChargeOutcome::Refused(refusal(status, error))),
        None => None,
    }
}

/// A confirm that was refused, and what the intent says: perhaps an earlier confirm was executed.
pub(super) fn not_confirmed(said: ProbeOutcome, status: StatusCode, error: &ErrorObject) -> ChargeOutcome {
    match said {
        ProbeOutcome::NotCaptured { .. } | ProbeOutcome::NotFound => ChargeOutcome::Refused(refusal(status, error)),
        said => confirmed(said),
    }
}

/// A confirm that came to nothing that Stripe explains.
pub(super) fn failed_charge(failure: Failure) -> ChargeOutcome {
    match failure {
        Failure::NotSent(not_executed) => ChargeOutcome::NotExecuted(not_executed),
        Failure::Refused(refusal) => ChargeOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => ChargeOutcome::Unknown(doubt),
        Failure::Said { status, error } => ChargeOutcome::Refused(refusal(status, &error)),
    }
}

/// A cancel that was answered with the intent.
pub(super) fn cancelled(said: ProbeOutcome) -> VoidOutcome {
    match said {
        ProbeOutcome::Voided { reference } => VoidOutcome::Voided { reference },
        ProbeOutcome::Captured(captured) => VoidOutcome::AlreadyCaptured(captured),
        ProbeOutcome::Processing { reference } => VoidOutcome::Processing { reference },
        ProbeOutcome::NotFound => VoidOutcome::NotFound,
        ProbeOutcome::Unknown(doubt) => VoidOutcome::Unknown(doubt),
        _ => VoidOutcome::Unknown(unexpected_state("the gateway cancelled the payment without ending it")),
    }
}

/// A cancel that was refused, and what the intent says.
pub(super) fn not_cancelled(said: ProbeOutcome, status: StatusCode, error: &ErrorObject) -> VoidOutcome {
    match said {
        ProbeOutcome::NotCaptured { .. } | ProbeOutcome::Declined(_) | ProbeOutcome::ActionRequired { .. } => {
            VoidOutcome::Refused(refusal(status, error))
        }
        said => cancelled(said),
    }
}

/// What a refund says.
pub(super) fn refund(object: &RefundObject) -> RefundProbeOutcome {
    let refunded = match object.refunded() {
        Ok(refunded) => refunded,
        Err(doubt) => return RefundProbeOutcome::Unknown(doubt),
    };
    match object.status.as_str() {
        "succeeded" => RefundProbeOutcome::Succeeded(refunded),
        "pending" | "requires_action" => RefundProbeOutcome::Pending(refunded),
        status @ ("failed" | "canceled") => RefundProbeOutcome::Failed(RefundFailure {
            reference: Some(refunded.reference),
            code: object.failure_reason.clone().unwrap_or_else(|| status.to_owned()),
            message: format!("the gateway's refund is {status}"),
            is_final: refund_failures::is_final(object.failure_reason.as_deref().unwrap_or(status)),
        }),
        _ => RefundProbeOutcome::Unknown(unreadable("the gateway answered with a status that is not documented")),
    }
}

/// The refund with our id, among all of a payment.
pub(super) fn refund_in(list: &RefundList, wanted: &RefundRequest) -> RefundProbeOutcome {
    let refund_id = wanted.refund_id.to_string();
    let generation = wanted.generation.to_string();
    let is_wanted = |object: &&RefundObject| {
        object.metadata.get("refund_id") == Some(&refund_id)
            && object.metadata.get("generation").map_or("1", String::as_str) == generation
    };
    match list.data.iter().find(is_wanted) {
        Some(object) => refund(object),
        None if list.has_more => {
            RefundProbeOutcome::Unknown(unreadable("the payment has more refunds than one page holds"))
        }
        None => RefundProbeOutcome::NotFound,
    }
}

/// A refund that was answered with the object.
pub(super) fn refunded(said: RefundProbeOutcome) -> RefundOutcome {
    match said {
        RefundProbeOutcome::Succeeded(refunded) => RefundOutcome::Succeeded(refunded),
        RefundProbeOutcome::Pending(refunded) => RefundOutcome::Pending(refunded),
        RefundProbeOutcome::Failed(failure) => RefundOutcome::Failed(failure),
        RefundProbeOutcome::Unknown(doubt) => RefundOutcome::Unknown(doubt),
        RefundProbeOutcome::NotFound | RefundProbeOutcome::CannotAsk => {
            RefundOutcome::Unknown(unexpected_state("the gateway refunded without a refund"))
        }
    }
}

/// A refund that came to nothing.
pub(super) fn failed_refund(failure: Failure) -> RefundOutcome {
    match failure {
        Failure::NotSent(not_executed) => RefundOutcome::NotExecuted(not_executed),
        Failure::Refused(refusal) => RefundOutcome::Refused(refusal),
        Failure::Doubtful(doubt) => RefundOutcome::Unknown(doubt),
        Failure::Said { status, error } => {
            // More than is left has no code of its own.
            if error.has_code("charge_already_refunded") || error.sentence().contains("unrefunded amount") {
                return RefundOutcome::NothingLeft;
            }
            if error.is_missing(status) || (error.param.is_some() && !error.is_decline(status)) {
                return RefundOutcome::Refused(refusal(status, &error));
            }
            let code = error.word().to_owned();
            let is_final = refund_failures::is_final(&code);
            RefundOutcome::Failed(RefundFailure { reference: None, code, message: error.sentence(), is_final })
        }
    }
}
