//! Logs go to standard error: for people when that is a terminal, as JSON elsewhere. `RUST_LOG` chooses.

use std::{
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, Layer, filter::Directive, layer::SubscriberExt, util::SubscriberInitExt};

use crate::traces::Exporting;

/// What is logged when `RUST_LOG` says nothing.
pub(crate) const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,h2=warn,reqwest=warn";
/// The same where people read a table.
pub(crate) const QUIET_FILTER: &str = "error";

/// Starts logging, once per process, and has spans exported where there is something that does: all of ours then, whatever
/// `RUST_LOG` says of their crates.
pub(crate) fn start(default_filter: &str, exporting: Option<&Exporting>) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    if exporting.is_some() {
        // one filter for both: with one for each layer, lines of ours got lost (tracing-subscriber 0.3.23)
        let ours =
            ["api", "workers", "workflows", "orchestrator"].map(|ours| Directive::from_str(&format!("{ours}=info")));
        filter = ours.into_iter().flatten().fold(filter, EnvFilter::add_directive);
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if io::stderr().is_terminal() {
        lines.with_target(false).compact().boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(filter).with(exporting.map(Exporting::layer)).with(lines).init();
}
