//! `showrunner demo`: sells tickets through the HTTP API, and shows what became of each order and what its saga did.

mod scenes;
mod shop;

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use clap::Args;
use comfy_table::{Table, presets};
use secrecy::ExposeSecret;
use workflows::access::Role;

use crate::{
    commands::{check, dev},
    house::{House, Site},
    output, stopping,
};
use scenes::Outcome;
use shop::Shop;

/// Of `showrunner demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Go on serving until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Where the API listens [default: 127.0.0.1:8080, or a free port where that is taken]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where all data is kept
    #[arg(long, value_name = "DIR", default_value = dev::DATA_DIR)]
    data_dir: PathBuf,
    /// Begin without any data
    #[arg(long)]
    fresh: bool,
}

/// Plays every scene; fails with what was not as it should be.
pub(crate) async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    let stopping = stopping::on_signals()?;
    let site = Site { listen: arguments.listen, data_dir: arguments.data_dir, fresh: arguments.fresh };
    let played = tokio::select! {
        played = play(&site) => played,
        () = stopping.cancelled() => return Ok(()),
    };
    let (house, outcomes, wrong) = played?;
    if arguments.serve {
        look_closer(&house, &outcomes)?;
        dev::welcome(&house);
        stopping.cancelled().await;
        output::remark("stopping …");
    }
    house.stop().await?;
    anyhow::ensure!(wrong.is_empty(), "not as it should be:\n  {}", wrong.join("\n  "));
    Ok(())
}

async fn play(site: &Site) -> anyhow::Result<(House, Vec<Outcome>, Vec<String>)> {
    let began = Instant::now();
    output::remark("starting PostgreSQL, Redis, the API, a worker and two sandbox gateways …");
    let house = House::start(site).await?;
    output::remark(&format!("started in {} ms; selling tickets …", began.elapsed().as_millis()));
    let shop = Shop::new(&house.url, house.tokens.of(Role::Admin)?.clone());
    let mut outcomes = Vec::new();
    for scene in scenes::all() {
        let outcome = match scene.play(&house, &shop).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::broken(scene.title(), &error),
        };
        let verdict = if outcome.wrong.is_empty() { "as it should be" } else { "NOT as it should be" };
        output::remark(&format!("{}: {verdict}", outcome.title));
        outcomes.push(outcome);
    }
    output::line(&table(&outcomes));
    let mut wrong: Vec<_> = outcomes.iter().flat_map(|outcome| outcome.complaints()).collect();
    for violation in check::violations(&house.stack.engine).await? {
        wrong.push(format!("violated: {violation}"));
    }
    let verdict = if wrong.is_empty() { "Every invariant holds." } else { "Not as it should be." };
    output::line(&format!("{verdict} ({} s in all)", began.elapsed().as_secs()));
    Ok((house, outcomes, wrong))
}

/// Where each order and its saga are, and a token that opens them all.
fn look_closer(house: &House, outcomes: &[Outcome]) -> anyhow::Result<()> {
    for outcome in outcomes {
        output::line(&format!("{}\n  {}", outcome.title, outcome.links.join("\n  ")));
    }
    let admin = house.tokens.of(Role::Admin)?.expose_secret();
    output::line(&format!("Look closer: curl -H 'Authorization: Bearer {admin}' <link>"));
    Ok(())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    output::fit(&mut table);
    table.set_header(["WHAT WAS TRIED", "THE ORDER", "WHAT ITS SAGA DID"]);
    for outcome in outcomes {
        table.add_row([&outcome.title, &outcome.order, &outcome.steps.join("\n")]);
    }
    table.to_string()
}
