//! A file per command.

pub(crate) mod api;
pub(crate) mod approval;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod case;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod definition;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod gateway;
pub(crate) mod ledger;
pub(crate) mod migrate;
pub(crate) mod outbox;
pub(crate) mod refund;
pub(crate) mod saga;
pub(crate) mod sandbox;
pub(crate) mod settlement;
pub(crate) mod token;
pub(crate) mod worker;

use std::path::Path;

use crate::{
    arguments::{Arguments, Command},
    config::{Config, Environment, load},
};

/// Does what the command line asks for.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config.as_deref();
    match arguments.command {
        Command::Dev(asked) => dev::run(asked).await,
        Command::Demo(asked) => demo::run(asked).await,
        Command::Api => api::run(&configured(file)?).await,
        Command::Worker(asked) => worker::run(&configured(file)?, &asked).await,
        Command::Migrate => migrate::run(&configured(file)?).await,
        Command::Sandbox(asked) => sandbox::run(asked).await,
        Command::Check(asked) => check::run(&configured(file)?, &asked).await,
        Command::Audit(asked) => audit::run(&configured(file)?, asked).await,
        Command::Token(asked) => token::run(&configured(file)?, asked).await,
        Command::Completion { shell } => completion::run(shell),
        Command::Config(asked) => config::run(file, &asked),
        Command::Saga(asked) => saga::run(asked).await,
        Command::Batch(asked) => batch::run(asked).await,
        Command::Case(asked) => case::run(asked).await,
        Command::Definition(asked) => definition::run(asked).await,
        Command::Gateway(asked) => gateway::run(asked).await,
        Command::Refund(asked) => refund::run(asked).await,
        Command::Approval(asked) => approval::run(asked).await,
        Command::Ledger(asked) => ledger::run(asked).await,
        Command::Settlement(asked) => settlement::run(asked).await,
        Command::Outbox(asked) => outbox::run(asked).await,
    }
}

fn configured(file: Option<&Path>) -> anyhow::Result<Config> {
    Ok(load(file, &Environment::of_this_process())?.config)
}
