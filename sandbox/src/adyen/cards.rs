//! Stored payment methods, and what becomes of a payment with each.
//!
//! Adyen's own test cards decide by number or holder name; a sandbox that must never see a card
//! number decides by the id of the stored payment method:
//!
//! | `storedPaymentMethodId` | outcome |
//! |---|---|
//! | `sandbox_refused_<code>` | refused with that `refusalReasonCode` of Adyen's list |
//! | `sandbox_challenge` | the buyer is redirected (3D Secure); `/payments/details` decides |
//! | `sandbox_redirect` | the buyer is redirected; what they do there decides by itself |
//! | `sandbox_pending` | `Pending`, and stays so |
//! | `sandbox_received` | `Received`, and stays so |
//! | one of Stripe's test payment methods | what its issuer says there, in Adyen's words |
//! | any other | authorised |
//!
//! Stripe's stand for cards in a vault that both gateways can reach, so that one token is good at
//! either: its issuer says the same wherever it is shown.

use crate::stripe::cards as vault;

/// What the issuer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Authorised,
    Refused(Refusal),
    /// The buyer has to go somewhere; whether the merchant has to say that they came back.
    Redirected {
        needs_details: bool,
    },
    Pending,
    Received,
}

/// Why a payment is refused, in Adyen's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u8,
    pub(super) reason: &'static str,
}

impl Refusal {
    /// The result code that goes with it.
    pub(super) fn result_code(self) -> &'static str {
        match self.code {
            4 | 9 => "Error",
            15 | 16 => "Cancelled",
            _ => "Refused",
        }
    }
}

/// The issuer gives no reason.
pub(super) const REFUSED: Refusal = Refusal { code: 2, reason: "Refused" };
/// The buyer did not pass the challenge.
pub(super) const NOT_AUTHENTICATED: Refusal = Refusal { code: 11, reason: "3D Not Authenticated" };
/// There is not enough money.
pub(super) const NOT_ENOUGH_BALANCE: Refusal = Refusal { code: 12, reason: "Not enough balance" };
/// The issuer has blocked the card: it was lost, or stolen.
const BLOCKED: Refusal = Refusal { code: 5, reason: "Blocked Card" };
/// The card is not valid any more.
const EXPIRED: Refusal = Refusal { code: 6, reason: "Expired Card" };
/// The issuer believes that it is not the buyer's card.
const FRAUD: Refusal = Refusal { code: 20, reason: "FRAUD" };
/// The card's security code was not right.
const WRONG_CODE: Refusal = Refusal { code: 24, reason: "CVC Declined" };
/// The card was used too often.
const TOO_OFTEN: Refusal = Refusal { code: 29, reason: "Withdrawal count exceeded" };
/// Something went wrong between the gateway and the issuer.
const ACQUIRER_ERROR: Refusal = Refusal { code: 4, reason: "Acquirer Error" };
/// The issuer wants to hear from a buyer who is not there.
pub(super) const AUTHENTICATION_REQUIRED: Refusal = Refusal { code: 38, reason: "Authentication required" };

/// Every reason that Adyen documents, by its code.
const REASONS: &[(u8, &str)] = &[
    (2, "Refused"),
    (3, "Referral"),
    (4, "Acquirer Error"),
    (5, "Blocked Card"),
    (6, "Expired Card"),
    (7, "Invalid Amount"),
    (8, "Invalid Card Number"),
    (9, "Issuer Unavailable"),
    (10, "Not supported"),
    (11, "3D Not Authenticated"),
    (12, "Not enough balance"),
    (14, "Acquirer Fraud"),
    (15, "Cancelled"),
    (16, "Shopper Cancelled"),
    (17, "Invalid Pin"),
    (18, "Pin tries exceeded"),
    (19, "Pin validation not possible"),
    (20, "FRAUD"),
    (21, "Not Submitted"),
    (22, "FRAUD-CANCELLED"),
    (23, "Transaction Not Permitted"),
    (24, "CVC Declined"),
    (25, "Restricted Card"),
    (26, "Revocation Of Auth"),
    (27, "Declined Non Generic"),
    (28, "Withdrawal amount exceeded"),
    (29, "Withdrawal count exceeded"),
    (31, "Issuer Suspected Fraud"),
    (32, "AVS Declined"),
    (33, "Card requires online pin"),
    (34, "No checking account available on Card"),
    (35, "No savings account available on Card"),
    (36, "Mobile pin required"),
    (37, "Contactless fallback"),
    (38, "Authentication required"),
    (39, "RReq not received from DS"),
    (40, "Current AID is in Penalty Box."),
    (41, "CVM Required Restart Payment"),
    (42, "3DS Authentication Error"),
    (43, "Online PIN required"),
    (44, "Try another interface"),
    (45, "Chip downgrade mode"),
    (46, "Transaction blocked by Adyen to prevent excessive retry fees"),
];

/// The documented reason with this code.
pub(super) fn refusal(code: u8) -> Option<Refusal> {
    let found = REASONS.iter().find(|(known, _)| *known == code);
    found.map(|&(code, reason)| Refusal { code, reason })
}

/// What the issuer says to a payment with `method`.
pub(super) fn verdict(method: &str) -> Verdict {
    let refused = method.strip_prefix("sandbox_refused_").and_then(|code| refusal(code.parse().ok()?));
    match method {
        "sandbox_challenge" => Verdict::Redirected { needs_details: true },
        "sandbox_redirect" => Verdict::Redirected { needs_details: false },
        "sandbox_pending" => Verdict::Pending,
        "sandbox_received" => Verdict::Received,
        _ if is_shared(method) => of_shared(vault::verdict(method)),
        _ => refused.map_or(Verdict::Authorised, Verdict::Refused),
    }
}

/// Whether it is in the vault that both gateways can reach, where it belongs to no shopper of ours.
pub(super) fn is_shared(method: &str) -> bool {
    vault::exists(method)
}

fn of_shared(card: vault::Verdict) -> Verdict {
    let failure = match card {
        vault::Verdict::Approved => return Verdict::Authorised,
        vault::Verdict::Challenged => return Verdict::Redirected { needs_details: false },
        vault::Verdict::Declined(failure) => failure,
    };
    Verdict::Refused(match failure.decline_code.as_deref().unwrap_or(&failure.code) {
        "insufficient_funds" => NOT_ENOUGH_BALANCE,
        "lost_card" | "stolen_card" => BLOCKED,
        "fraudulent" => FRAUD,
        "card_velocity_exceeded" => TOO_OFTEN,
        "expired_card" => EXPIRED,
        "incorrect_cvc" => WRONG_CODE,
        "processing_error" => ACQUIRER_ERROR,
        _ => REFUSED,
    })
}

/// What the issuer says to a buyer who has passed the challenge.
pub(super) fn verdict_after_challenge(method: &str) -> Result<(), Refusal> {
    if !is_shared(method) {
        return Ok(());
    }
    match of_shared(vault::verdict_after_challenge(method)) {
        Verdict::Refused(refusal) => Err(refusal),
        _ => Ok(()),
    }
}

/// What the issuer says in the end, when nobody can ask the buyer any more.
pub(super) fn final_verdict(method: &str) -> Result<(), Refusal> {
    match verdict(method) {
        Verdict::Refused(refusal) => Err(refusal),
        Verdict::Redirected { .. } => Err(AUTHENTICATION_REQUIRED),
        Verdict::Authorised | Verdict::Pending | Verdict::Received => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_reason_can_be_had() {
        for (code, reason) in REASONS {
            let Verdict::Refused(refusal) = verdict(&format!("sandbox_refused_{code}")) else {
                panic!("{code} is not refused");
            };
            assert_eq!((refusal.code, refusal.reason), (*code, *reason));
        }
        let ours = [REFUSED, NOT_AUTHENTICATED, NOT_ENOUGH_BALANCE, AUTHENTICATION_REQUIRED];
        let shared = [BLOCKED, EXPIRED, FRAUD, WRONG_CODE, TOO_OFTEN, ACQUIRER_ERROR];
        for named in [&ours[..], &shared].concat() {
            assert_eq!(refusal(named.code), Some(named));
        }
    }

    #[test]
    fn a_shared_card_is_the_same_card_here() {
        for (method, expected) in [
            ("pm_card_visa", Verdict::Authorised),
            ("pm_card_chargeDeclined", Verdict::Refused(REFUSED)),
            ("pm_card_visa_chargeDeclinedInsufficientFunds", Verdict::Refused(NOT_ENOUGH_BALANCE)),
            ("pm_card_visa_chargeDeclinedLostCard", Verdict::Refused(BLOCKED)),
            ("pm_card_chargeDeclinedExpiredCard", Verdict::Refused(EXPIRED)),
            ("pm_card_chargeDeclinedIncorrectCvc", Verdict::Refused(WRONG_CODE)),
            ("pm_card_chargeDeclinedProcessingError", Verdict::Refused(ACQUIRER_ERROR)),
            ("tok_radarBlock", Verdict::Refused(FRAUD)),
            ("pm_card_authenticationRequired", Verdict::Redirected { needs_details: false }),
        ] {
            assert_eq!(verdict(method), expected, "{method}");
        }
    }

    #[test]
    fn others_are_authorised() {
        for method in ["8415718415172204", "M5N7TQ4TG5PFWR50", "sandbox_refused_13", "sandbox_refused_"] {
            assert_eq!(verdict(method), Verdict::Authorised, "{method}");
        }
    }
}
