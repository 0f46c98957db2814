//! Adyen's notifications: batches, each item with its own signature in itself.
//! <https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures>
//!
//! Eight members are signed, joined with `:` as they are once the JSON is read; nothing is escaped, which Adyen's own
//! libraries have test vectors for. No time is signed, so there is none to check. What is not signed (the date, the
//! reason, the metadata) decides nothing about money.

use crate::gateways::webhooks::WebhookError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;

/// A key that notifications are signed with.
pub(super) struct NotificationKey(Hmac<Sha256>);

impl NotificationKey {
    /// From its hexadecimal digits; nothing where there are none, or other characters.
    pub(super) fn from_hex(digits: &str) -> Option<Self> {
        let bytes = hex::decode(digits).ok().filter(|bytes| !bytes.is_empty())?;
        Hmac::new_from_slice(&bytes).ok().map(Self)
    }

    /// Compares in constant time.
    fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        self.0.clone().chain_update(text).verify_slice(signature).is_ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    notification_items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "NotificationRequestItem")]
    item: Item,
}

/// One piece of news.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Item {
    pub(super) psp_reference: Text,
    pub(super) original_reference: Text,
    merchant_account_code: Text,
    pub(super) merchant_reference: Text,
    pub(super) amount: ItemAmount,
    pub(super) event_code: Text,
    pub(super) success: Text,
    pub(super) event_date: Text,
    pub(super) reason: Text,
    additional_data: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ItemAmount {
    pub(super) value: Text,
    pub(super) currency: Text,
}

/// A member as its text, whether it was written as a text, a number or a truth value; empty when it is missing.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self::default()),
            Value::String(text) => Ok(Self(text)),
            Value::Bool(truth) => Ok(Self(truth.to_string())),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Array(_) | Value::Object(_) => Err(de::Error::custom("a text was expected")),
        }
    }
}

impl Item {
    pub(super) fn additional(&self, name: &str) -> Option<&str> {
        self.additional_data.get(name).and_then(Value::as_str)
    }

    /// What is signed. Only the merchant's reference may have a `:` in it: with two such members, one signature would
    /// fit several notifications.
    fn signed_text(&self) -> Result<String, WebhookError> {
        let before = [&self.psp_reference, &self.original_reference, &self.merchant_account_code];
        let after = [&self.amount.value, &self.amount.currency, &self.event_code, &self.success];
        if before.iter().chain(&after).any(|text| text.0.contains(':')) {
            return Err(WebhookError::WrongSignature);
        }
        let members = before.into_iter().chain([&self.merchant_reference]).chain(after);
        Ok(members.map(|text| text.0.as_str()).collect::<Vec<_>>().join(":"))
    }

    fn check(&self, keys: &[NotificationKey]) -> Result<(), WebhookError> {
        let signature = self.additional("hmacSignature").filter(|signature| !signature.is_empty());
        let signature = STANDARD.decode(signature.ok_or(WebhookError::NotSigned)?);
        let signature = signature.map_err(|_| WebhookError::WrongSignature)?;
        let text = self.signed_text()?;
        let is_right = keys.iter().any(|key| key.has_signed(&text, &signature));
        if is_right { Ok(()) } else { Err(WebhookError::WrongSignature) }
    }
}

/// The items of a batch, when each of them is signed by one of the keys.
///
/// # Errors
/// See [`WebhookError`]: of one item, for the whole batch.
pub(super) fn verified(body: &[u8], keys: &[NotificationKey]) -> Result<Vec<Item>, WebhookError> {
    // What is no batch has no place for a signature.
    let batch: Batch = serde_json::from_slice(body).map_err(|_| WebhookError::NotSigned)?;
    if batch.notification_items.is_empty() {
        return Err(WebhookError::NotSigned);
    }
    let items: Vec<_> = batch.notification_items.into_iter().map(|entry| entry.item).collect();
    items.iter().try_for_each(|item| item.check(keys))?;
    Ok(items)
}
