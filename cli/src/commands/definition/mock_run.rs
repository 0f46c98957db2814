//! A mock run's path, drawn.

use serde_json::{Value, json};

use crate::output;

const COLUMNS: [(&str, &str); 8] = [
    ("AFTER", "/after"),
    ("TOOK", "/took"),
    ("STEP", "/step"),
    ("HALF", "/half"),
    ("ATTEMPT", "/attempt"),
    ("CALLS", "/calls"),
    ("ANSWER", "/answer"),
    ("WHY", "/failure/code"),
];

/// The calls that would be made, and how it would end.
pub(super) fn draw(run: &Value) {
    let calls: Vec<_> = run["path"].as_array().into_iter().flatten().map(row).collect();
    output::table(&calls, &COLUMNS);
    output::line(&end(run));
}

fn row(call: &Value) -> Value {
    let mut row = call.clone();
    row["after"] = json!(seconds(&call["afterMs"]));
    row["took"] = json!(seconds(&call["tookMs"]));
    row
}

/// How it ends, in a sentence.
fn end(run: &Value) -> String {
    let text = |member: &str| output::text(run.get(member));
    let took = seconds(&run["tookMs"]);
    let mut said = match run["truncated"].as_str() {
        Some(_) => format!("{} and going on after {took}, where a mock run ends", text("state")),
        None => format!("{} after {took}", text("state")),
    };
    if let Some(code) = run["cause"]["code"].as_str() {
        said += &format!(", because of {code}");
    }
    if let Some(reason) = run["waitsFor"].as_str() {
        said += &format!(", for {reason}");
    }
    let taken_back: Vec<_> = run["compensated"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !taken_back.is_empty() {
        said += &format!("; taken back: {}", taken_back.join(", "));
    }
    said
}

fn seconds(ms: &Value) -> String {
    let ms = ms.as_u64().unwrap_or_default();
    format!("{}.{:03}s", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_end_is_a_sentence() {
        let run = json!({
            "state": "compensated", "tookMs": 1300, "truncated": null, "waitsFor": null,
            "cause": { "code": "card-declined" }, "compensated": ["pay", "hold"]
        });
        assert_eq!(end(&run), "compensated after 1.300s, because of card-declined; taken back: pay, hold");
        let run = json!({ "state": "waiting", "tookMs": 90_000, "truncated": "time", "compensated": [] });
        assert_eq!(end(&run), "waiting and going on after 90.000s, where a mock run ends");
        let run = json!({ "state": "waiting", "tookMs": 5, "waitsFor": "the signal `go`" });
        assert_eq!(end(&run), "waiting after 0.005s, for the signal `go`");
    }
}
