//! Which of Stripe's failures of a refund no other try can mend.
//! <https://docs.stripe.com/api/refunds/object#refund_object-failure_reason>, <https://docs.stripe.com/error-codes>

/// Our balance may be filled again and an issuer may think better of it; a card that is gone stays gone, and what
/// somebody has stopped on purpose is for a person.
const FINAL: &[&str] = &[
    "lost_or_stolen_card",
    "expired_or_canceled_card",
    "charge_for_pending_refund_disputed",
    "merchant_request",
    "canceled",
    "charge_disputed",
    "refund_disputed_payment",
];

/// Whether asking again cannot end otherwise.
pub(super) fn is_final(code: &str) -> bool {
    FINAL.contains(&code)
}
