//! `showrunner sandbox`

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::{output, stopping};

/// Of `showrunner sandbox`.
#[derive(Debug, Args)]
pub(crate) struct SandboxArguments {
    /// Where it listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The file that keeps its books
    #[arg(long, value_name = "FILE", default_value = "sandbox-books.jsonl")]
    books: PathBuf,
    /// The key that callers must show; any will do without it
    #[arg(long)]
    api_key: Option<String>,
    /// Where events are sent
    #[arg(long)]
    webhook_url: Option<String>,
    /// What events are signed with
    #[arg(long, default_value = "whsec_sandbox")]
    webhook_secret: String,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Serves a sandbox gateway until it is told to stop. Prints its URL on standard output.
pub(crate) async fn run(arguments: SandboxArguments) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    if arguments.with_parent {
        stopping::with_parent(&stopping);
    }
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("listening on {}", arguments.listen))?;
    output::line(&format!("http://{}", listener.local_addr()?));
    let mut settings = sandbox::Settings::new(arguments.books);
    settings.api_key = arguments.api_key;
    settings.webhook_url = arguments.webhook_url;
    settings.webhook_secret = arguments.webhook_secret;
    sandbox::serve(listener, settings, async move { stopping.cancelled().await }).await
}
