//! Our own references of charges and refunds at Adyen. They are part of what is signed in notifications, so what
//! they say may be believed. Adyen takes at most 80 characters, and has `-` between several references in one.

use crate::gateways::requests::{IdempotencyKey, Reference, RefundRequest};
use crate::ids::{OrderId, RefundId};
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// As many bytes of a key's digest as tell charges of one order apart.
const DIGEST_BYTES: usize = 16;

/// The reference of a charge: its order, and which of the order's charges it is. Known before the call and after any
/// crash, so that it can be cancelled without an answer.
pub(super) fn charge(order: OrderId, key: &IdempotencyKey) -> Reference {
    let digest = Sha256::digest(key.as_str());
    let text = format!("{order}-{}", hex::encode(&digest[..DIGEST_BYTES]));
    Reference::new(text).expect("an order's id and hexadecimal digits are a reference")
}

/// The reference of a refund: its order, our id of it, and which generation.
pub(super) fn refund(refund: &RefundRequest) -> String {
    format!("{}-{}-{}", refund.order_id, refund.refund_id, refund.generation)
}

/// A charge's reference, when that is what a reference is: that of a refund names its charge's order, not the charge.
pub(super) fn own_charge(reference: &str) -> Option<Reference> {
    let (order, digest) = reference.split_once('-')?;
    let is_digest = digest.len() == 2 * DIGEST_BYTES && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_charge = is_digest && order.parse::<OrderId>().is_ok();
    is_charge.then(|| Reference::new(reference).ok()).flatten()
}

/// Which generation a refund's reference is of.
pub(super) fn generation(reference: &str) -> Option<i32> {
    let (refund, generation) = reference.rsplit_once('-')?;
    named::<RefundId>(refund)?;
    generation.parse().ok()
}

/// The id of this kind that a reference names.
pub(super) fn named<Id: FromStr>(reference: &str) -> Option<Id> {
    reference.split('-').find_map(|part| part.parse().ok())
}
