//! What gateways are asked for, and with which keys.

use crate::ids::{OrderId, RefundId};
use crate::money::Money;
use orchestrator::ids::SagaId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The caller's name for a call: the same key and the same content again is the same call, not another one. Made of
/// saga and step, never of the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// A gateway's name for a charge or a refund. Its characters are such that it can stand in a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(String);

/// A text that cannot be a key or a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too long, empty, or with characters that a header cannot carry.
    #[error("an idempotency key has 1 to {} visible ASCII characters", IdempotencyKey::LENGTH_MAX)]
    NotAKey,
    /// Too long, empty, or with characters that do not belong in a path.
    #[error("a reference has 1 to {} letters, digits, `_` or `-`", Reference::LENGTH_MAX)]
    NotAReference,
}

impl IdempotencyKey {
    /// Leaves room for a suffix within the 255 characters that gateways allow.
    pub const LENGTH_MAX: usize = 200;

    /// A key.
    ///
    /// # Errors
    /// [`RequestError::NotAKey`].
    pub fn new(key: impl Into<String>) -> Result<Self, RequestError> {
        let key = key.into();
        let fits = (1..=Self::LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(key)) } else { Err(RequestError::NotAKey) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    /// Longer than any that gateways give.
    pub const LENGTH_MAX: usize = 255;

    /// A reference.
    ///
    /// # Errors
    /// [`RequestError::NotAReference`].
    pub fn new(reference: impl Into<String>) -> Result<Self, RequestError> {
        let reference = reference.into();
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let fits = (1..=Self::LENGTH_MAX).contains(&reference.len()) && reference.bytes().all(is_safe);
        if fits { Ok(Self(reference)) } else { Err(RequestError::NotAReference) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of this kind that is one of its parts, between `-`.
    #[must_use]
    pub fn named<Id: FromStr>(&self) -> Option<Id> {
        self.0.split('-').find_map(|part| part.parse().ok())
    }
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = RequestError;
            fn try_from(text: String) -> Result<Self, RequestError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_conversions!(IdempotencyKey);
text_conversions!(Reference);

/// A charge: so much money, of this payment method, for this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// The order that it is for.
    pub order_id: OrderId,
    /// The saga that asks.
    pub saga_id: SagaId,
    /// How much.
    pub amount: Money,
    /// The gateway's token for the payment method; never a card number.
    pub payment_method: String,
    /// This money was asked for here before, by whichever key, and that was not answered.
    pub repeats: bool,
}

/// A refund of a captured charge, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// The order whose money it is.
    pub order_id: OrderId,
    /// Our own id of the refund, by which it is found again.
    pub refund_id: RefundId,
    /// Which generation of its key this is, from 1: after a definite failure, or a part, the next one asks for what
    /// is outstanding, and must not be taken for the one before.
    pub generation: u32,
    /// The charge that is refunded.
    pub payment: Reference,
    /// How much of it.
    pub amount: Money,
}

/// Why a protocol cannot move this amount. Found before any call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Zero or less.
    #[error("{0} is not a positive amount")]
    NotPositive(Money),
    /// Less than the gateway charges.
    #[error("{amount} is less than the gateway's minimum of {minimum}")]
    BelowMinimum {
        /// What was asked.
        amount: Money,
        /// The least.
        minimum: Money,
    },
    /// The protocol has fewer decimal places for this currency than the amount needs.
    #[error("{0} has more decimal places than the gateway can charge")]
    TooPrecise(Money),
    /// More than a number can hold.
    #[error("{0} is too large")]
    TooLarge(Money),
    /// The protocol does not have this currency.
    #[error("the gateway does not charge in {0}")]
    UnsupportedCurrency(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_references_are_safe_where_they_are_put() {
        assert!(IdempotencyKey::new("sag_0:pay").is_ok());
        for refused in ["", "a b", "a\nb", "é", &"x".repeat(201)] {
            assert_eq!(IdempotencyKey::new(refused), Err(RequestError::NotAKey), "{refused}");
        }
        assert!(Reference::new("pi_3MtwBwLkdIwHu7ix28a3tqPa").is_ok());
        for refused in ["", "pi/..", "pi?x", "pi%2f", "é", &"x".repeat(256)] {
            assert_eq!(Reference::new(refused), Err(RequestError::NotAReference), "{refused}");
        }
        assert!(serde_json::from_str::<Reference>("\"../x\"").is_err());
        assert_eq!(serde_json::to_string(&Reference::new("pi_1").unwrap()).unwrap(), "\"pi_1\"");
    }
}
