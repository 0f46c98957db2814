//! Runs a command with `DATABASE_URL` naming a throw-away database that has our migrations:
//! `with_database MIGRATIONS COMMAND [ARGUMENT]…`. Exits as the command does.

use std::{env, path::Path, process::Command, process::ExitCode};

use private_servers::TestServers;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [migrations, program, rest @ ..] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let servers = TestServers::shared();
    let url = match servers.database(Path::new(migrations)) {
        Ok(url) => url,
        Err(error) => return fail(&error.to_string()),
    };
    match Command::new(program).args(rest).env("DATABASE_URL", url).status() {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => fail(&format!("cannot run {}: {error}", program.display())),
    }
}

#[expect(clippy::print_stderr, reason = "a command line program says why it failed")]
fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
