//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use reqwest::Url;
use secrecy::SecretString;

use crate::{
    client::Client,
    commands::{definition::DefinitionCommand, saga::SagaCommand},
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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what is in force, secrets masked
    Config(ConfigArguments),
    /// Look into sagas and repair them
    #[command(subcommand)]
    Saga(SagaCommand),
    /// Look at saga definitions and change them
    #[command(subcommand)]
    Definition(DefinitionCommand),
}

/// Of `showrunner config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
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
