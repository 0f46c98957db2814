//! What Adyen's refusal reasons mean for us. <https://docs.adyen.com/development-resources/refusal-reasons>
//!
//! A reason that is not here is final: shopping around with a card that an issuer refused is what issuers punish.

use crate::gateways::outcomes::DeclineCategory::{self, Final, NeedsAction, RetryElsewhere};

/// `refusalReasonCode`, `refusalReason`, our word for it (that of the other protocols where it is the same thing),
/// and what it means. Another gateway could do better where the way to the issuer failed; pins and authentication
/// are the buyer's to give.
const REASONS: &[(&str, &str, &str, DeclineCategory)] = &[
    ("2", "Refused", "generic_decline", Final),
    ("3", "Referral", "call_issuer", Final),
    ("4", "Acquirer Error", "acquirer_error", RetryElsewhere),
    ("5", "Blocked Card", "blocked_card", Final),
    ("6", "Expired Card", "expired_card", Final),
    ("7", "Invalid Amount", "invalid_amount", Final),
    ("8", "Invalid Card Number", "invalid_number", Final),
    ("9", "Issuer Unavailable", "issuer_not_available", RetryElsewhere),
    ("10", "Not supported", "not_supported", Final),
    ("11", "3D Not Authenticated", "authentication_required", NeedsAction),
    ("12", "Not enough balance", "insufficient_funds", Final),
    ("14", "Acquirer Fraud", "fraudulent", Final),
    ("15", "Cancelled", "cancelled", Final),
    ("16", "Shopper Cancelled", "shopper_cancelled", Final),
    ("17", "Invalid Pin", "invalid_pin", Final),
    ("18", "Pin tries exceeded", "pin_try_exceeded", Final),
    ("19", "Pin validation not possible", "pin_validation_not_possible", Final),
    ("20", "FRAUD", "fraudulent", Final),
    ("21", "Not Submitted", "not_submitted", RetryElsewhere),
    ("22", "FRAUD-CANCELLED", "fraudulent", Final),
    ("23", "Transaction Not Permitted", "transaction_not_allowed", Final),
    ("24", "CVC Declined", "incorrect_cvc", Final),
    ("25", "Restricted Card", "restricted_card", Final),
    ("26", "Revocation Of Auth", "revocation_of_authorization", Final),
    ("27", "Declined Non Generic", "declined_non_generic", Final),
    ("28", "Withdrawal amount exceeded", "withdrawal_amount_exceeded", Final),
    ("29", "Withdrawal count exceeded", "withdrawal_count_limit_exceeded", Final),
    ("31", "Issuer Suspected Fraud", "fraudulent", Final),
    ("32", "AVS Declined", "incorrect_address", Final),
    ("33", "Card requires online pin", "online_pin_required", NeedsAction),
    ("34", "No checking account available on Card", "no_checking_account", Final),
    ("35", "No savings account available on Card", "no_savings_account", Final),
    ("36", "Mobile pin required", "mobile_pin_required", NeedsAction),
    ("37", "Contactless fallback", "contactless_fallback", Final),
    ("38", "Authentication required", "authentication_required", NeedsAction),
    ("39", "RReq not received from DS", "authentication_not_answered", RetryElsewhere),
    ("40", "Current AID is in Penalty Box", "card_application_blocked", Final),
    ("41", "CVM Required Restart Payment", "verification_required", NeedsAction),
    ("42", "3DS Authentication Error", "authentication_error", RetryElsewhere),
    ("43", "Online PIN required", "online_pin_required", NeedsAction),
    ("44", "Try another interface", "try_another_interface", Final),
    ("45", "Chip downgrade mode", "chip_downgrade", Final),
    // Of retries that would cost a fee: elsewhere as well.
    ("46", "Transaction blocked by Adyen to prevent excessive retry fees", "excessive_retries", Final),
];

/// Errors of a call, not of a payment, that are about the payment method: no such token, expired, wrong in itself.
/// <https://docs.adyen.com/development-resources/error-codes>
const METHOD_ERRORS: &[&str] = &["101", "102", "103", "129", "140", "141", "800", "802", "803", "805"];

/// Our word for a reason that is not in the table.
const UNKNOWN: (&str, DeclineCategory) = ("unknown_reason", Final);

/// What a refusal means: by its code, else by its text, which is all that a notification has.
pub(super) fn meaning(code: Option<&str>, text: Option<&str>) -> (&'static str, DeclineCategory) {
    let by_code = |code: &str| REASONS.iter().find(|(known, ..)| *known == code);
    let by_text = |text: &str| REASONS.iter().find(|(_, known, ..)| known.eq_ignore_ascii_case(text.trim()));
    let found = code.and_then(by_code).or_else(|| text.and_then(by_text));
    found.map_or(UNKNOWN, |(_, _, word, category)| (*word, *category))
}

/// Whether a call was refused for its payment method.
pub(super) fn is_about_method(error_code: &str) -> bool {
    METHOD_ERRORS.contains(&error_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_there_once_and_found_by_code_and_text() {
        for (index, (code, text, word, category)) in REASONS.iter().enumerate() {
            assert!(REASONS[..index].iter().all(|(other, name, ..)| other != code && name != text), "{code}");
            assert_eq!(meaning(Some(code), None), (*word, *category));
            assert_eq!(meaning(None, Some(&text.to_uppercase())), (*word, *category));
        }
    }

    #[test]
    fn the_code_is_what_counts_and_the_unknown_is_final() {
        assert_eq!(meaning(Some("4"), Some("Refused")), ("acquirer_error", RetryElsewhere));
        assert_eq!(meaning(Some("999"), Some("Referral")), ("call_issuer", Final));
        for (code, text) in [(None, None), (Some("999"), None), (Some("0"), Some("a reason of next year"))] {
            assert_eq!(meaning(code, text), UNKNOWN);
        }
    }
}
