//! What a buyer pays with: a gateway's token, never a card.

use crate::card_number::contains_card_number;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest token, and the longest name of a gateway.
const TOKEN_CHARS_MAX: usize = 255;
/// For how many gateways one order may bring tokens.
const GATEWAYS_MAX: usize = 16;

/// A token, or one for each gateway where they don't share a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PaymentMethod {
    /// Good at every gateway.
    Token(String),
    /// By the gateway's name.
    ByGateway(BTreeMap<String, String>),
}

/// Why a payment method is refused. None of these repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPaymentMethod {
    /// Card data.
    #[error("the payment method looks like a card number: send the gateway's token instead")]
    CardData,
    /// Empty, too long, or with characters that no token has.
    #[error("a payment method is a token of 1 to 255 printable characters, or one for each of at most 16 gateways")]
    NotAToken,
}

impl PaymentMethod {
    /// Refuses what is no token.
    ///
    /// # Errors
    /// See [`InvalidPaymentMethod`].
    pub fn check(&self) -> Result<(), InvalidPaymentMethod> {
        let texts: Vec<&str> = match self {
            Self::Token(token) => vec![token],
            Self::ByGateway(tokens) if tokens.is_empty() || tokens.len() > GATEWAYS_MAX => {
                return Err(InvalidPaymentMethod::NotAToken);
            }
            Self::ByGateway(tokens) => {
                tokens.iter().flat_map(|(name, token)| [name.as_str(), token.as_str()]).collect()
            }
        };
        if texts.iter().any(|text| contains_card_number(text)) {
            return Err(InvalidPaymentMethod::CardData);
        }
        let is_token = |text: &&str| {
            !text.is_empty() && text.len() <= TOKEN_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if texts.iter().all(is_token) { Ok(()) } else { Err(InvalidPaymentMethod::NotAToken) }
    }

    /// The gateways that it names; none where the token is good at every one.
    pub fn gateways(&self) -> impl Iterator<Item = &str> {
        let tokens = match self {
            Self::Token(_) => None,
            Self::ByGateway(tokens) => Some(tokens),
        };
        tokens.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The token for this gateway, if there is one.
    #[must_use]
    pub fn token_for(&self, gateway: &str) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            Self::ByGateway(tokens) => tokens.get(gateway).map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> PaymentMethod {
        PaymentMethod::Token(text.to_owned())
    }

    #[test]
    fn tokens_are_taken_and_cards_are_not() {
        assert_eq!(token("pm_card_visa").check(), Ok(()));
        assert_eq!(token("4242 4242 4242 4242").check(), Err(InvalidPaymentMethod::CardData));
        assert_eq!(token("4242424242424242").check(), Err(InvalidPaymentMethod::CardData));
        for wrong in ["", "a b", "pm\u{0}", &"x".repeat(256)] {
            assert_eq!(token(wrong).check(), Err(InvalidPaymentMethod::NotAToken), "{wrong:?}");
        }
    }

    #[test]
    fn each_gateway_gets_its_own() {
        let method: PaymentMethod = serde_json::from_str(r#"{"primary": "pm_1", "backup": "tok_2"}"#).unwrap();
        assert_eq!(method.check(), Ok(()));
        assert_eq!(method.token_for("backup"), Some("tok_2"));
        assert_eq!(method.token_for("third"), None);
        assert_eq!(token("pm_1").token_for("third"), Some("pm_1"));
        assert_eq!(PaymentMethod::ByGateway(BTreeMap::new()).check(), Err(InvalidPaymentMethod::NotAToken));
    }
}
