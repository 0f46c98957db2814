//! Which of Adyen's reasons against a refund no other try can mend. They are sentences, without a code.

/// Parts of sentences, in lower case. Our own balance ("Not enough balance") may be filled again, and an issuer
/// ("Refused") may think better of it.
const FINAL: &[&str] = &[
    "insufficient balance on payment",
    "hasn't been captured",
    "not found",
    "currency does not match",
    "expired",
    "account closed",
];

/// Whether asking again cannot end otherwise.
pub(super) fn is_final(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    FINAL.iter().any(|known| reason.contains(known))
}
