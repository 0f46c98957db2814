//! What a sandbox gateway is started with.

use std::path::PathBuf;

/// The protocol that a sandbox gateway speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Stripe's API: payment intents, charges, refunds.
    #[default]
    Stripe,
}

/// How one sandbox gateway behaves. It has no `Debug`, since it holds secrets.
#[derive(Clone)]
pub struct Settings {
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// The file that keeps its books, one JSON document a line. It is made when it is not there.
    pub books_path: PathBuf,
    /// The key that every request under `/v1` must bring; any will do when this is `None`.
    pub api_key: Option<String>,
    /// Where events are sent; nowhere when this is `None`.
    pub webhook_url: Option<String>,
    /// What events are signed with.
    pub webhook_secret: String,
}

impl Settings {
    /// A Stripe gateway with its books at `books_path`, no key asked for and no webhooks.
    pub fn new(books_path: impl Into<PathBuf>) -> Self {
        Self {
            protocol: Protocol::Stripe,
            books_path: books_path.into(),
            api_key: None,
            webhook_url: None,
            webhook_secret: "whsec_sandbox".to_owned(),
        }
    }
}
