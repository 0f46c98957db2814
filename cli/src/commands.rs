//! A file per command.

pub(crate) mod config;
pub(crate) mod definition;
pub(crate) mod saga;

use crate::arguments::{Arguments, Command};

/// Does what the command line asks for.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config.as_deref();
    match arguments.command {
        Command::Config(asked) => config::run(file, &asked),
        Command::Saga(asked) => saga::run(asked).await,
        Command::Definition(asked) => definition::run(asked).await,
    }
}
