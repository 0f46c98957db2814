//! `showrunner saga watch`: prints each entry of a journal when it is there, until the saga has ended.

use std::time::Duration;

use serde_json::Value;

use crate::{client::Client, output};

/// How often to ask for news.
const ASK_EVERY: Duration = Duration::from_millis(300);
const FINAL_STATES: [&str; 3] = ["completed", "compensated", "killed"];

/// An entry of a journal, as a table shows it.
pub(super) const COLUMNS: [(&str, &str); 7] = [
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("KIND", "/kind"),
    ("STEP", "/step"),
    ("ATTEMPT", "/attempt"),
    ("DETAIL", "/detail"),
    ("BY", "/by"),
];

/// Follows one saga.
pub(super) async fn run(client: &Client, saga: &str, json: bool) -> anyhow::Result<()> {
    let mut seen = 0;
    loop {
        let found = client.get(&["sagas", saga], &[]).await?;
        let entries = found["journal"].as_array().into_iter().flatten();
        for entry in entries.filter(|entry| entry["seq"].as_i64() > Some(seen)) {
            output::line(&if json { entry.to_string() } else { for_people(entry) });
        }
        seen = found["seq"].as_i64().unwrap_or(seen);
        let state = found["state"].as_str().unwrap_or_default();
        if FINAL_STATES.contains(&state) {
            if !json {
                output::line(state);
            }
            return Ok(());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn for_people(entry: &Value) -> String {
    let texts = COLUMNS.iter().map(|(_, pointer)| output::text(entry.pointer(pointer)));
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  ")
}
