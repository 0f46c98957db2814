//! `showrunner token`

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use workflows::access::{self, Role};

use crate::{config::Config, output, stack};

/// Of `showrunner token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is printed once and kept nowhere
    Create(CreateArguments),
    /// End every token with this name
    Revoke {
        /// The name
        #[arg(long)]
        name: String,
    },
}

/// Of `showrunner token create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// client, viewer, operator, finance or admin
    #[arg(long)]
    role: Role,
    /// The person or program it is for: what the record of acts shows
    #[arg(long)]
    name: String,
    /// The one user that a client's token acts for; without it, it acts for any
    #[arg(long)]
    user: Option<String>,
}

/// Makes or ends tokens, on the database.
pub(crate) async fn run(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let pool = stack::connect(config).await?;
    let by = at_the_command_line();
    match command {
        TokenCommand::Create(asked) => {
            let secret = access::create_token(&pool, asked.role, &asked.name, asked.user.as_deref(), &by).await?;
            output::line(secret.expose_secret());
        }
        TokenCommand::Revoke { name } => {
            let ended = access::revoke_tokens(&pool, &name, &by).await?;
            anyhow::ensure!(ended > 0, "there is no live token called {name:?}");
            output::remark(&format!("{ended} ended"));
        }
    }
    Ok(())
}

/// Who works on the database itself, as far as the system tells.
fn at_the_command_line() -> String {
    let user =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    format!("{} at the command line", user.as_deref().unwrap_or("somebody"))
}
