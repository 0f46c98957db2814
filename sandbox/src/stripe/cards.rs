//! The test payment methods that Stripe documents, and what becomes of a charge on each.

use super::objects::Failure;

/// What the issuer says.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Approved,
    Declined(Failure),
    Challenged,
}

/// Whether there can be such a payment method.
pub(crate) fn exists(method: &str) -> bool {
    ["pm_", "tok_", "card_", "src_"].iter().any(|prefix| method.len() > prefix.len() && method.starts_with(prefix))
}

/// What the issuer says to a charge on `method`.
pub(crate) fn verdict(method: &str) -> Verdict {
    let mut behaviour = method;
    for prefix in ["pm_", "tok_", "card_", "visa_"] {
        behaviour = behaviour.strip_prefix(prefix).unwrap_or(behaviour);
    }
    let failure = match behaviour {
        "chargeDeclined" | "chargeCustomerFail" => generic_decline(),
        "chargeDeclinedInsufficientFunds" => insufficient_funds(),
        "chargeDeclinedLostCard" => card_declined("lost_card", DECLINED),
        "chargeDeclinedStolenCard" => card_declined("stolen_card", DECLINED),
        "chargeDeclinedFraudulent" | "radarBlock" => card_declined("fraudulent", DECLINED),
        "chargeDeclinedVelocityLimitExceeded" => card_declined(
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its \
             amount limit.",
        ),
        "chargeDeclinedExpiredCard" => coded("expired_card", "Your card has expired."),
        "chargeDeclinedIncorrectCvc" => coded("incorrect_cvc", "Your card's security code is incorrect."),
        "chargeDeclinedProcessingError" => {
            coded("processing_error", "An error occurred while processing your card. Try again in a little bit.")
        }
        "authenticationRequired"
        | "authenticationRequiredOnSetup"
        | "authenticationRequiredSetupForOffSession"
        | "authenticationRequiredChargeDeclinedInsufficientFunds"
        | "threeDSecureRequired"
        | "threeDSecure2Required" => return Verdict::Challenged,
        _ => return Verdict::Approved,
    };
    Verdict::Declined(failure)
}

/// What the issuer says once the buyer has passed the challenge.
pub(crate) fn verdict_after_challenge(method: &str) -> Verdict {
    if method.ends_with("ChargeDeclinedInsufficientFunds") {
        Verdict::Declined(insufficient_funds())
    } else {
        Verdict::Approved
    }
}

const DECLINED: &str = "Your card was declined.";

/// The issuer gives no reason.
pub(crate) fn generic_decline() -> Failure {
    card_declined("generic_decline", DECLINED)
}

/// There is not enough money.
pub(crate) fn insufficient_funds() -> Failure {
    card_declined("insufficient_funds", "Your card has insufficient funds.")
}

/// The issuer wants to hear from a buyer who is not there.
pub(crate) fn authentication_required() -> Failure {
    Failure::new(
        "authentication_required",
        Some("authentication_required"),
        "Your card was declined. This transaction requires authentication.",
    )
}

/// The buyer did not pass the challenge.
pub(crate) fn authentication_failed() -> Failure {
    Failure::new(
        "payment_intent_authentication_failure",
        None,
        "We are unable to authenticate your payment method. Please choose a different payment \
         method and try again.",
    )
}

fn card_declined(decline_code: &str, message: &str) -> Failure {
    Failure::new("card_declined", Some(decline_code), message)
}

fn coded(code: &str, message: &str) -> Failure {
    Failure::new(code, Some(code), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_methods_decline_as_documented() {
        for (method, code, decline_code) in [
            ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
            ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
            ("tok_chargeDeclined", "card_declined", "generic_decline"),
            ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
            ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
            ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
            ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
            ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
            ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ] {
            let Verdict::Declined(failure) = verdict(method) else {
                panic!("{method} is not declined");
            };
            assert_eq!(failure.code, code, "{method}");
            assert_eq!(failure.decline_code.as_deref(), Some(decline_code), "{method}");
        }
    }

    #[test]
    fn others_succeed() {
        for method in ["pm_card_visa", "pm_card_mastercard", "tok_visa", "pm_1Qx"] {
            assert!(matches!(verdict(method), Verdict::Approved), "{method}");
        }
        assert!(matches!(verdict("pm_card_authenticationRequired"), Verdict::Challenged));
        assert!(!exists("4242") && !exists("pm_") && exists("pm_card_visa"));
    }
}
