//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use reqwest::Url;
use secrecy::SecretString;

use crate::{
    client::Client,
    commands::{
        approval::ApprovalCommand, audit::AuditCommand, batch::BatchCommand, case::CaseCommand,
        definition::DefinitionCommand, demo::DemoArguments, dev::DevArguments, gateway::GatewayCommand,
        ledger::LedgerCommand, outbox::OutboxCommand, refund::RefundCommand, saga::SagaCommand,
        sandbox::SandboxArguments, settlement::SettlementCommand, token::TokenCommand,
    },
    config::{Environment, load},
    logging,
};

/// Sells tickets, and keeps its promises: durable sagas over PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "showrunner", version)]
pub(crate) struct Arguments {
    /// The configuration [default: showrunner.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "SHOWRUNNER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// What is logged when `RUST_LOG` says nothing.
    pub(crate) fn default_filter(&self) -> &'static str {
        match self.command {
            Command::Demo(_) => logging::QUIET_FILTER,
            _ => logging::DEFAULT_FILTER,
        }
    }
}

impl Arguments {
    /// Where the spans of what is about to run go, if anywhere. What is wrong with the configuration is said by the command
    /// itself.
    pub(crate) fn otlp_endpoint(&self) -> Option<String> {
        let endpoint = match self.command {
            Command::Api | Command::Worker(_) => {
                load(self.config.as_deref(), &Environment::of_this_process()).ok()?.config.telemetry.otlp_endpoint
            }
            // its configuration is written when it starts
            Command::Dev(_) => std::env::var("SHOWRUNNER_TELEMETRY__OTLP_ENDPOINT").ok()?,
            _ => return None,
        };
        Some(endpoint).filter(|endpoint| !endpoint.is_empty())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one command, on private servers of its own
    Dev(DevArguments),
    /// Sell tickets as `dev` would, and show what became of each order
    Demo(DemoArguments),
    /// Serve the HTTP API
    Api,
    /// Run sagas
    Worker(ChildArguments),
    /// Bring the schema and the definitions up to date
    Migrate,
    /// Serve a payment gateway for trying things out
    Sandbox(SandboxArguments),
    /// Run every invariant on the database
    Check(JsonArguments),
    /// Look whether the record of people's acts is what it was
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make and end the tokens that programs and people are known by
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print what is in force, secrets masked
    Config(JsonArguments),
    /// Print what a shell needs to complete commands and options
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// Look into sagas and repair them
    #[command(subcommand)]
    Saga(SagaCommand),
    /// Act on many sagas at once
    #[command(subcommand)]
    Batch(BatchCommand),
    /// See what needs a person, by cause
    #[command(subcommand)]
    Case(CaseCommand),
    /// Look at saga definitions and change them
    #[command(subcommand)]
    Definition(DefinitionCommand),
    /// Look at payment gateways, and keep calls away from them or let them through
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Give money back, and see what became of it
    #[command(subcommand)]
    Refund(RefundCommand),
    /// Decide what needs a second person
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// See what the ledger says
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Hold what gateways have paid out against the books
    #[command(subcommand)]
    Settlement(SettlementCommand),
    /// See what could not be delivered, and have it tried again
    #[command(subcommand)]
    Outbox(OutboxCommand),
}

/// Of a process that may have a parent.
#[derive(Debug, Args)]
pub(crate) struct ChildArguments {
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// How to answer.
#[derive(Debug, Args)]
pub(crate) struct JsonArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which showrunner to ask, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The API
    #[arg(long, env = "SHOWRUNNER_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// What it knows you by
    #[arg(long, env = "SHOWRUNNER_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Remote {
    /// A client for it.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.url.clone(), self.token.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
