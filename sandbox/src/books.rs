//! What a gateway's books look like from outside, whatever protocol it speaks.

use std::collections::BTreeMap;

use serde::Serialize;

/// A gateway's own truth.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Books {
    /// Every payment that was announced or tried.
    pub(crate) charges: Vec<ChargeEntry>,
    /// Every payment that was, or was to be, ended before it was captured.
    pub(crate) voids: Vec<VoidEntry>,
    /// Every refund.
    pub(crate) refunds: Vec<RefundEntry>,
}

/// One payment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChargeEntry {
    pub(crate) reference: String,
    /// The merchant's own name for it, where the protocol has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_reference: Option<String>,
    /// The protocol's own id of the last attempt, where it has one.
    pub(crate) charge: Option<String>,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    /// How many decimals the gateway counts the currency in, where its protocol has a table of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exponent: Option<u32>,
    /// `created`, `actionRequired`, `processing`, `authorized`, `captured`, `refunded` (in full),
    /// `declined` or `voided`.
    pub(crate) status: &'static str,
    pub(crate) protocol_status: &'static str,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) decline_code: Option<String>,
    pub(crate) payment_method: Option<String>,
    pub(crate) idempotency_keys: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// How often money was asked for: every call that reached the gateway, answered or not.
    pub(crate) asked: u64,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

/// One payment that was ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VoidEntry {
    pub(crate) reference: String,
    /// The merchant's own name for it, where the protocol has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_reference: Option<String>,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: &'static str,
    pub(crate) idempotency_keys: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) asked: u64,
    pub(crate) created_at: String,
}

/// One refund.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundEntry {
    pub(crate) reference: String,
    /// The merchant's own name for it, where the protocol has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_reference: Option<String>,
    /// The payment that it gives back.
    pub(crate) payment: String,
    pub(crate) charge: Option<String>,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) idempotency_keys: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) asked: u64,
    pub(crate) created_at: String,
}
