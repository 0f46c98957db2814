//! The one binary. It reads arguments and configuration, wires the other crates together, and holds no
//! logic of its own: `arguments` is the command line, `commands` has a file per command.

mod arguments;
mod client;
mod commands;
mod config;
mod health;
mod house;
mod listening;
mod logging;
mod measuring;
mod metric_names;
mod output;
mod stack;
mod stopping;
mod tls;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.default_filter());
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // One cryptography provider for every TLS connection, in or out.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another cryptography provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(commands::run(arguments))
}
