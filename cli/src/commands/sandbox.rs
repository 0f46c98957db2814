//! `showrunner sandbox`

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, CommandFactory as _, ValueEnum, error::ErrorKind};
use tokio::net::TcpListener;

use crate::{arguments::Arguments, output, stopping};

/// Of `showrunner sandbox`.
#[derive(Debug, Args)]
pub(crate) struct SandboxArguments {
    /// The protocol that it speaks
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// Where it listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The file that keeps its books
    #[arg(long, value_name = "FILE", default_value = "sandbox-books.jsonl")]
    books: PathBuf,
    /// The key that callers must show; any will do without it
    #[arg(long)]
    api_key: Option<String>,
    /// Where webhooks are sent
    #[arg(long)]
    webhook_url: Option<String>,
    /// What webhooks are signed with: any text for stripe, a hexadecimal key for adyen [default: one that everybody
    /// knows]
    #[arg(long)]
    webhook_secret: Option<String>,
    /// How long every answer takes at least, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    answer_after_ms: u64,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// A protocol, as it is written on the command line.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Protocol {
    /// Stripe's payment intents, charges and refunds
    #[default]
    Stripe,
    /// Adyen's Checkout API, version 71
    Adyen,
}

impl SandboxArguments {
    /// Reads the settings. What cannot be one ends the program, as any other wrong usage.
    fn settings(self) -> sandbox::Settings {
        let protocol = match self.protocol {
            Protocol::Stripe => sandbox::Protocol::Stripe,
            Protocol::Adyen => sandbox::Protocol::Adyen,
        };
        let mut settings = sandbox::Settings::speaking(protocol, self.books);
        settings.api_key = self.api_key;
        settings.webhook_url = self.webhook_url;
        settings.answer_after = Duration::from_millis(self.answer_after_ms);
        if let Some(secret) = self.webhook_secret {
            if !protocol.can_sign_with(&secret) {
                let message = "--webhook-secret: adyen signs with a hexadecimal key";
                Arguments::command().error(ErrorKind::ValueValidation, message).exit();
            }
            settings.webhook_secret = secret;
        }
        settings
    }
}

/// Serves a sandbox gateway until it is told to stop. Prints its URL on standard output.
pub(crate) async fn run(arguments: SandboxArguments) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    let (listen, with_parent) = (arguments.listen, arguments.with_parent);
    let settings = arguments.settings();
    if with_parent {
        stopping::with_parent(&stopping);
    }
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    output::line(&format!("http://{}", listener.local_addr()?));
    sandbox::serve(listener, settings, async move { stopping.cancelled().await }).await
}
