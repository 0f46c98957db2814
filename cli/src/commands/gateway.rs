//! `showrunner gateway`: what keeps calls away from payment gateways, over the HTTP API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{arguments::Remote, output};

/// What to do with gateways.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// List gateways and their breakers
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Make no call, until the end or `auto`
    Open(Forced),
    /// Make all calls whatever becomes of them, until the end or `auto`
    Close(Forced),
    /// Leave the breakers to themselves
    Auto(Which),
    /// Change the order in which gateways are asked
    Order {
        /// All gateways, the one first that is asked first
        #[arg(required = true)]
        names: Vec<String>,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Breakers, with why.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The gateway's name
    gateway: String,
    /// For charge, refund, void or probe alone [default: for all]
    #[arg(long)]
    operation: Option<String>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

/// The same, with an end.
#[derive(Debug, Args)]
pub(crate) struct Forced {
    #[command(flatten)]
    which: Which,
    /// Until this time (RFC 3339) [default: until somebody says otherwise]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

const COLUMNS: [(&str, &str); 9] = [
    ("GATEWAY", "/gateway"),
    ("OPERATION", "/operation"),
    ("BREAKER", "/breaker"),
    ("MODE", "/mode"),
    ("SINCE", "/since"),
    ("UNTIL", "/until"),
    ("PARKED", "/parked"),
    ("CALLS", "/calls"),
    ("ERRORS", "/errors"),
];

/// Does it.
pub(crate) async fn run(command: GatewayCommand) -> anyhow::Result<()> {
    match command {
        GatewayCommand::List { remote } => {
            let answer = remote.client().get(&["gateways"], &[]).await?;
            show(&remote, &answer);
            Ok(())
        }
        GatewayCommand::Open(Forced { which, until }) => set(&which, "open", until).await,
        GatewayCommand::Close(Forced { which, until }) => set(&which, "closed", until).await,
        GatewayCommand::Auto(which) => set(&which, "auto", None).await,
        GatewayCommand::Order { names, reason, remote } => {
            let answer =
                remote.client().put(&["gateways", "order"], &json!({ "names": names, "reason": reason })).await?;
            show(&remote, &answer);
            Ok(())
        }
    }
}

async fn set(which: &Which, mode: &str, until: Option<String>) -> anyhow::Result<()> {
    let mut body = json!({ "mode": mode, "reason": which.reason });
    for (name, value) in [("operation", which.operation.clone()), ("until", until)] {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let answer = which.remote.client().post(&["gateways", &which.gateway, "breaker"], &body).await?;
    show(&which.remote, &answer);
    Ok(())
}

/// A row for each gateway and operation.
fn show(remote: &Remote, answer: &Value) {
    if remote.json {
        output::json(answer);
        return;
    }
    let mut rows = Vec::new();
    for gateway in answer["items"].as_array().into_iter().flatten() {
        for operation in gateway["operations"].as_array().into_iter().flatten() {
            let mut row = operation.clone();
            row["gateway"] = gateway["name"].clone();
            rows.push(row);
        }
        if gateway["shared"] == false {
            let name = output::text(gateway.get("name"));
            output::remark(&format!(
                "the breakers of {name} are as this API process knows them: Redis does not answer"
            ));
        }
    }
    output::table(&rows, &COLUMNS);
}
