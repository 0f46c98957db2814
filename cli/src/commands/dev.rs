//! `showrunner dev`

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use secrecy::ExposeSecret;

use crate::{
    house::{House, Site},
    output, stopping,
};

/// Where data is kept when nobody says where.
pub(crate) const DATA_DIR: &str = ".showrunner";

/// Of `showrunner dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Where the API listens [default: 127.0.0.1:8080, or a free port where that is taken]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where all data is kept
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Begin without any data
    #[arg(long)]
    fresh: bool,
}

/// Runs everything until Ctrl-C.
pub(crate) async fn run(arguments: DevArguments) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    let site = Site { listen: arguments.listen, data_dir: arguments.data_dir, fresh: arguments.fresh };
    let house = tokio::select! {
        house = House::start(&site) => house?,
        () = stopping.cancelled() => return Ok(()),
    };
    welcome(&house);
    stopping.cancelled().await;
    output::remark("stopping …");
    house.stop().await
}

/// Where everything is, and how to be let in.
pub(crate) fn welcome(house: &House) {
    output::line(&format!("API       {}", house.url));
    output::line(&format!("Docs      {}/docs", house.url));
    for sandbox in house.sandboxes.in_order() {
        output::line(&format!("Sandbox   {}  {}, {}", sandbox.url, sandbox.name(), sandbox.protocol()));
    }
    output::line(&format!("Database  {}", house.database_url()));
    for (role, token) in house.tokens.iter() {
        output::line(&format!("{role:<9} {}", token.expose_secret()));
    }
    output::line("Ctrl-C stops it.");
}
