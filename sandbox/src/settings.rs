//! What a sandbox gateway is started with.

use std::path::PathBuf;
use std::time::Duration;

/// The protocol that a sandbox gateway speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Stripe's API: payment intents, charges, refunds.
    #[default]
    Stripe,
    /// Adyen's Checkout API: payments and their modifications, whose outcome comes by webhook.
    Adyen,
}

impl Protocol {
    /// What webhooks are signed with where nothing else is said. Everybody knows it.
    #[must_use]
    pub fn default_webhook_secret(self) -> &'static str {
        match self {
            Self::Stripe => "whsec_sandbox",
            // The key of Adyen's own examples; one must be hexadecimal.
            Self::Adyen => "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        }
    }

    /// Whether webhooks can be signed with `secret`: Adyen's keys are hexadecimal.
    #[must_use]
    pub fn can_sign_with(self, secret: &str) -> bool {
        match self {
            Self::Stripe => true,
            Self::Adyen => !secret.is_empty() && hex::decode(secret).is_ok(),
        }
    }
}

/// How one sandbox gateway behaves. It has no `Debug`, since it holds secrets.
#[derive(Clone)]
pub struct Settings {
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// The file that keeps its books, one JSON document a line. It is made when it is not there.
    pub books_path: PathBuf,
    /// The key that every request of the protocol must bring; any will do when this is `None`.
    pub api_key: Option<String>,
    /// Where webhooks are sent; nowhere when this is `None`.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with. Adyen's is hexadecimal.
    pub webhook_secret: String,
    /// How long every answer of the protocol takes at least.
    pub answer_after: Duration,
}

impl Settings {
    /// A Stripe gateway with its books at `books_path`, no key asked for and no webhooks.
    pub fn new(books_path: impl Into<PathBuf>) -> Self {
        Self::speaking(Protocol::Stripe, books_path)
    }

    /// A gateway that speaks `protocol`, with its books at `books_path`, no key asked for and no
    /// webhooks.
    pub fn speaking(protocol: Protocol, books_path: impl Into<PathBuf>) -> Self {
        Self {
            protocol,
            books_path: books_path.into(),
            api_key: None,
            webhook_url: None,
            webhook_secret: protocol.default_webhook_secret().to_owned(),
            answer_after: Duration::ZERO,
        }
    }
}
