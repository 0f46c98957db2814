//! `showrunner config`

use std::path::Path;

use crate::{
    arguments::JsonArguments,
    config::{self, Environment},
    output,
};

/// Prints what is in force.
pub(crate) fn run(file: Option<&Path>, arguments: &JsonArguments) -> anyhow::Result<()> {
    let loaded = config::load(file, &Environment::of_this_process())?;
    if arguments.json {
        output::json(&config::as_json(&loaded));
    } else {
        output::line(config::as_toml(&loaded).trim_end());
    }
    Ok(())
}
