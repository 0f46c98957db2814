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
mod traces;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use traces::Exporting;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exporting = match prepare(&arguments) {
        Ok(exporting) => exporting,
        Err(error) => {
            output::error(&error);
            return ExitCode::FAILURE;
        }
    };
    let done = run(arguments);
    // what is left is exported before the process ends
    drop(exporting);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// What must be there before anything else: cryptography, the log, and traces where they are wanted.
fn prepare(arguments: &Arguments) -> anyhow::Result<Option<Exporting>> {
    // One cryptography provider for every TLS connection, in or out.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another cryptography provider is installed already"))?;
    let exporting = arguments.otlp_endpoint().map(|endpoint| traces::export(&endpoint)).transpose()?;
    logging::start(arguments.default_filter(), exporting.as_ref());
    Ok(exporting)
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(commands::run(arguments))
}
