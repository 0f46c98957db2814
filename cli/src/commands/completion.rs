//! `showrunner completion`

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{arguments::Arguments, output};

/// Prints the script for a shell.
pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    output::line(String::from_utf8(script)?.trim_end());
    Ok(())
}
