//! Mail, over SMTP. What leaves us comes from the outbox, so that it is sent at least once; who sends a message again
//! gives it the same Message-ID, by which the other side may know it.

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::AddressError,
    message::Mailbox,
    transport::smtp::{Error, PoolConfig},
};
use orchestrator::outbox::Refused;
use std::time::Duration;

/// How long one command may take at the mail server.
const COMMAND_MAX: Duration = Duration::from_secs(15);
/// How many connections to the mail server one process keeps.
const CONNECTIONS_MAX: u32 = 4;

/// Why mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender is none.
    #[error("`{0}` is not an address to send mail from")]
    From(String, #[source] AddressError),
    /// The address of the mail server is none.
    #[error("the address of the mail server does not read")]
    Url(#[source] Error),
}

/// Sends mail. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// Sends through the server at `url` (`smtp://` or `smtps://`). Nothing is connected yet; its connections are looked
    /// after by the runtime that this is called in.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn new(url: &str, from: &str) -> Result<Self, MailError> {
        let from = from.parse().map_err(|error| MailError::From(from.to_owned(), error))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(MailError::Url)?
            .timeout(Some(COMMAND_MAX))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX))
            .build();
        Ok(Self { transport, from })
    }

    /// Whether mail can be from such a one.
    #[must_use]
    pub fn is_sender(from: &str) -> bool {
        from.parse::<Mailbox>().is_ok()
    }

    /// Whom mail is from.
    #[must_use]
    pub fn from(&self) -> &Mailbox {
        &self.from
    }

    /// Hands a message to the mail server.
    ///
    /// # Errors
    /// [`Refused`] when the server has said that it will never take this message; any other error is worth another
    /// try. No text has an address in it.
    pub async fn send(&self, message: Message) -> Result<(), anyhow::Error> {
        let Err(error) = self.transport.send(message).await else { return Ok(()) };
        let told = without_addresses(&error.to_string());
        // A server that refuses us, our password or our address, refuses every message: that is no fault of this one.
        if error.is_permanent() && self.transport.test_connection().await.is_ok_and(|connected| connected) {
            return Err(Refused(told).into());
        }
        Err(anyhow::Error::msg(told))
    }
}

/// What a mail server says often repeats the address that it was asked for.
fn without_addresses(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains('@') { "(address)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_kept_without_addresses() {
        assert_eq!(
            without_addresses("permanent error (550): 5.1.1 <anna@example.org>: no such user\r\n"),
            "permanent error (550): 5.1.1 (address) no such user"
        );
    }

    #[tokio::test]
    async fn a_mailer_has_a_server_and_a_sender() {
        let mailer = Mailer::new("smtp://127.0.0.1:2525", "Arena <tickets@example.org>").unwrap();
        assert_eq!(mailer.from().to_string(), "Arena <tickets@example.org>");
        for from in ["", "tickets", "a@b, c@d"] {
            assert!(matches!(Mailer::new("smtp://127.0.0.1", from), Err(MailError::From(..))), "{from}");
        }
        for url in ["", "127.0.0.1", "http://127.0.0.1"] {
            assert!(matches!(Mailer::new(url, "tickets@example.org"), Err(MailError::Url(_))), "{url}");
        }
    }
}
