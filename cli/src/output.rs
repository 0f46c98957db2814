//! What people see: tables and JSON on standard output, errors on standard error.

use std::{
    io::{self, Write},
    process,
};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;
use serde_json::Value;
use workflows::money::Money;

/// Writes a line to standard output. Whoever stopped reading has seen enough.
pub(crate) fn line(text: &str) {
    if let Err(cause) = writeln!(io::stdout().lock(), "{text}") {
        process::exit(i32::from(cause.kind() != io::ErrorKind::BrokenPipe));
    }
}

/// Writes a part of a document to standard output, as it is.
pub(crate) fn part(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    if let Err(cause) = output.write_all(bytes).and_then(|()| output.flush()) {
        process::exit(i32::from(cause.kind() != io::ErrorKind::BrokenPipe));
    }
}

/// Writes JSON to standard output, indented.
pub(crate) fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Writes an error with its causes to standard error.
pub(crate) fn error(error: &anyhow::Error) {
    // When even that cannot be written, the exit status still tells.
    let _ = writeln!(io::stderr().lock(), "error: {error:#}");
}

/// Writes a remark to standard error, where it does not get in the way of what is piped.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes one row per item; a column is a heading and the JSON pointer of what stands below it.
pub(crate) fn table<'a>(items: impl IntoIterator<Item = &'a Value>, columns: &[(&str, &str)]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    fit(&mut table);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, pointer)| text(item.pointer(pointer))));
    }
    line(&table.to_string());
}

/// Says where a list goes on, if it does.
pub(crate) fn more(answer: &Value) {
    if let Some(next) = answer["next"].as_str() {
        remark(&format!("there are more: --cursor {next}"));
    }
}

/// Whether a plan would do anything to anybody.
pub(crate) fn would_act(plan: &Value) -> bool {
    plan["groups"].as_array().into_iter().flatten().any(|group| group["wouldAct"] == true)
}

/// Keeps a table as narrow as `COLUMNS` says, or else as the terminal is.
pub(crate) fn fit(table: &mut Table) {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(columns) = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()) {
        table.set_width(columns);
    }
}

/// A JSON value as it stands in a table or a sentence.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(value @ Value::Object(members)) => {
            if let Ok(money) = Money::deserialize(value) {
                return money.to_string();
            }
            let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}={}", text(Some(value)))).collect();
            members.join(" ")
        }
        Some(Value::Array(items)) => items.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}
