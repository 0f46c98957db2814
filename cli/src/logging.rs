//! Logs go to standard error: for people when that is a terminal, as JSON elsewhere. `RUST_LOG` chooses.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` says nothing.
pub(crate) const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,h2=warn,reqwest=warn";
/// The same where people read a table.
pub(crate) const QUIET_FILTER: &str = "error";

/// Starts logging, once per process.
pub(crate) fn start(default_filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}
