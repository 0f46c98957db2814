//! Payment gateways: one trait, one file per protocol, one list.
//!
//! What a call did is said in full. An answer is definitely executed, definitely not executed, or unknown, and
//! none of these is ever folded into another: see [`outcomes`]. Every operation that changes something takes the
//! caller's [`IdempotencyKey`], and may be repeated with the same key and the same content.
//!
//! The order of calls is the caller's: [`Gateway::prepare`], write the reference down, [`Gateway::charge`]; when the
//! outcome is unknown [`Gateway::probe`]; when the charge is no longer wanted [`Gateway::void`], then
//! [`Gateway::refund`] for what was captured all the same.
//!
//! To add a protocol: one file, and one line in [`PROTOCOLS`]; `docs/gateways.md` says how.

pub mod adyen;
mod answers;
#[cfg(test)]
pub(crate) mod fake;
mod guarded;
mod http;
mod measured;
mod minor_units;
pub mod outcomes;
pub mod requests;
#[cfg(test)]
mod scripted_server;
mod settings;
pub mod signature;
pub mod stripe;
pub mod webhooks;

pub use guarded::guarded;
pub use outcomes::{
    CAPTURE_FAILED, Captured, ChargeOutcome, Decline, DeclineCategory, Doubt, DoubtReason, NotExecuted,
    NotExecutedReason, PrepareOutcome, ProbeOutcome, RefundFailure, RefundOutcome, RefundProbeOutcome, Refunded,
    Refusal, RefusalClass, VoidOutcome,
};
pub use requests::{AmountError, ChargeRequest, IdempotencyKey, Reference, RefundRequest, RequestError};
pub use webhooks::{RefundState, WebhookError, WebhookEvent, WebhookKind};

use crate::{
    breakers::{BreakerSettings, GatewayBreakers},
    ids::OrderId,
    money::Money,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use std::sync::Arc;

/// What a protocol can do. What it cannot, its operations answer with `CannotAsk`, `CannotVoid` or
/// `NothingToPrepare`. `docs/gateways.md` has them side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Makes something without effect on money first, whose reference is known before the charge.
    pub prepares: bool,
    /// Can be asked what became of a charge.
    pub probes_charges: bool,
    /// Can be asked what became of a refund.
    pub probes_refunds: bool,
    /// Can end a charge so that a late arrival of it is refused. Without that [`Gateway::void`] may still ask the
    /// gateway to end what it has, but never says `Voided`: the webhook does.
    pub voids: bool,
    /// Says at once whether a refund was accepted; otherwise only its webhook does.
    pub answers_refunds: bool,
}

/// A payment gateway. `workflows/tests/workflows/gateways_conformance.rs` says what each must keep to.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// The name by which the configuration knows it.
    fn name(&self) -> &str;

    /// The protocol that it speaks, as in [`PROTOCOLS`].
    fn protocol(&self) -> &'static str;

    /// What the protocol can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether the protocol can charge this amount: its minimum, its exponent for the currency.
    /// [`Gateway::prepare`] and [`Gateway::charge`] refuse what this refuses, without a call.
    ///
    /// # Errors
    /// Why it cannot.
    fn check_amount(&self, amount: Money) -> Result<(), AmountError>;

    /// Our own name for a charge, known before any call, where the protocol has one: webhooks give it back, and until
    /// the gateway's own name is known it stands in for it. Its order's id is one of its parts ([`Reference::named`]).
    fn own_reference(&self, order: OrderId, key: &IdempotencyKey) -> Option<Reference>;

    /// What keeps calls away from it while it fails, if anything does.
    fn breakers(&self) -> Option<&GatewayBreakers> {
        None
    }

    /// Makes what has no effect on money yet. The caller writes the reference down before it charges.
    async fn prepare(&self, key: &IdempotencyKey, charge: &ChargeRequest) -> PrepareOutcome;

    /// Moves the money. `reference` is what [`Gateway::prepare`] gave, if it gave one.
    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &ChargeRequest,
        reference: Option<&Reference>,
    ) -> ChargeOutcome;

    /// Asks what became of a charge. Changes nothing.
    async fn probe(&self, charge: &ChargeRequest, reference: Option<&Reference>) -> ProbeOutcome;

    /// Ends a charge that is not captured, so that a late arrival of it is refused.
    async fn void(&self, key: &IdempotencyKey, charge: &ChargeRequest, reference: Option<&Reference>) -> VoidOutcome;

    /// Gives back money that was captured, whole or in part.
    async fn refund(&self, key: &IdempotencyKey, refund: &RefundRequest) -> RefundOutcome;

    /// Asks what became of a refund: by its reference where it is known, else by our own id of it.
    async fn probe_refund(&self, refund: &RefundRequest, reference: Option<&Reference>) -> RefundProbeOutcome;

    /// Checks a webhook's signatures, of its raw body or of what they cover in it, and reads what it says. It is
    /// believed whole or not at all; of several pieces of news one that cannot be read is [`WebhookKind::Unreadable`],
    /// so that it does not keep out the others.
    ///
    /// # Errors
    /// Nothing that it says may be believed.
    fn verify_webhook(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookEvent>, WebhookError>;
}

/// A gateway's part of the configuration.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Its name: `primary`.
    pub name: String,
    /// One of [`PROTOCOLS`].
    pub protocol: String,
    /// Where it is, without the version in the path: `https://api.stripe.com`.
    pub base_url: String,
    /// The secret that we show.
    pub api_key: SecretString,
    /// The secret that its webhooks are signed with.
    pub webhook_secret: SecretString,
    /// The one before, while secrets are being changed.
    pub webhook_secret_previous: Option<SecretString>,
    /// Where a buyer comes back to after a challenge; sent where it is set.
    pub return_url: Option<String>,
    /// How long one call may take.
    pub timeout_ms: u64,
    /// For how long a call that nobody waits for any more may still arrive there.
    pub late_window_secs: u64,
    /// When it is left alone.
    pub breaker: BreakerSettings,
    /// Our account there, for protocols that ask for it.
    pub merchant_account: Option<String>,
}

/// Why no gateway can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A protocol that is not in [`PROTOCOLS`].
    #[error("gateway `{gateway}`: there is no protocol `{protocol}`; there is {known}")]
    UnknownProtocol {
        /// The gateway.
        gateway: String,
        /// What was asked for.
        protocol: String,
        /// What there is.
        known: String,
    },
    /// A setting that cannot be.
    #[error("gateway `{gateway}`: {setting} {problem}")]
    Setting {
        /// The gateway.
        gateway: String,
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client could not be made (most often: the process installed no TLS provider).
    #[error("gateway `{gateway}`: no HTTP client")]
    Client {
        /// The gateway.
        gateway: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// Makes a gateway that speaks one protocol.
type Build = fn(&GatewaySettings) -> Result<Arc<dyn Gateway>, BuildError>;

/// Every protocol there is.
pub const PROTOCOLS: &[(&str, Build)] = &[(stripe::PROTOCOL, stripe::build), (adyen::PROTOCOL, adyen::build)];

/// Makes the gateway that the settings describe.
///
/// # Errors
/// See [`BuildError`].
pub fn build(settings: &GatewaySettings) -> Result<Arc<dyn Gateway>, BuildError> {
    match PROTOCOLS.iter().find(|(protocol, _)| *protocol == settings.protocol) {
        Some((_, build)) => Ok(measured::measured(build(settings)?)),
        None => Err(BuildError::UnknownProtocol {
            gateway: settings.name.clone(),
            protocol: settings.protocol.clone(),
            known: PROTOCOLS.iter().map(|(protocol, _)| *protocol).collect::<Vec<_>>().join(", "),
        }),
    }
}
