//! What Stripe's decline codes mean for us. <https://docs.stripe.com/declines/codes>
//!
//! A code that is not here is final: shopping around with a card that an issuer refused is what issuers punish.

use crate::gateways::outcomes::DeclineCategory;

/// The way to the issuer failed, or this gateway cannot take the card: another gateway could do better.
const RETRY_ELSEWHERE: &[&str] = &[
    "approve_with_id",
    "currency_not_supported",
    "issuer_not_available",
    "processing_error",
    "reenter_transaction",
    "service_not_allowed",
    "try_again_later",
];

/// The buyer must prove who they are first.
const NEEDS_ACTION: &[&str] = &[
    "authentication_not_handled",
    "authentication_required",
    "mobile_device_authentication_required",
    "offline_pin_required",
    "online_or_offline_pin_required",
    "payment_intent_authentication_failure",
];

/// What is known to be final, for the tests and for whoever wonders whether a code was forgotten.
#[cfg(test)]
const FINAL: &[&str] = &[
    "call_issuer",
    "card_not_supported",
    "card_velocity_exceeded",
    "do_not_honor",
    "do_not_try_again",
    "duplicate_transaction",
    "expired_card",
    "fraudulent",
    "generic_decline",
    "incorrect_address",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_pin",
    "incorrect_zip",
    "insufficient_funds",
    "invalid_account",
    "invalid_amount",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "invalid_pin",
    "lost_card",
    "merchant_blacklist",
    "new_account_information_available",
    "no_action_taken",
    "not_permitted",
    "pickup_card",
    "pin_try_exceeded",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "stolen_card",
    "stop_payment_order",
    "testmode_decline",
    "transaction_not_allowed",
    "withdrawal_count_limit_exceeded",
];

/// What a code means: the decline code where there is one, else the error's own code.
pub(super) fn category(code: &str) -> DeclineCategory {
    if RETRY_ELSEWHERE.contains(&code) {
        DeclineCategory::RetryElsewhere
    } else if NEEDS_ACTION.contains(&code) {
        DeclineCategory::NeedsAction
    } else {
        DeclineCategory::Final
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_in_one_list_and_the_unknown_is_final() {
        for code in FINAL {
            assert_eq!(category(code), DeclineCategory::Final, "{code}");
        }
        for code in RETRY_ELSEWHERE {
            assert_eq!(category(code), DeclineCategory::RetryElsewhere, "{code}");
            assert!(!NEEDS_ACTION.contains(code));
        }
        assert_eq!(category("authentication_required"), DeclineCategory::NeedsAction);
        assert_eq!(category("a_code_of_next_year"), DeclineCategory::Final);
    }
}
