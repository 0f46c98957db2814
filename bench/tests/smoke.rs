//! The instrument works: with a few sagas, each part gives figures that can be figures.
#![expect(clippy::unwrap_used, reason = "a test stops where it stands")]

use serde_json::Value;
use std::{path::Path, process::Command};

fn measured(part: &str) -> Value {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{part}"));
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", "--sagas", "100", "--seconds", "1", "--history", "1000", "--only", part, "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read_to_string(out.join(format!("engine-{part}-quick.json"))).unwrap();
    serde_json::from_str(&file).unwrap()
}

fn assert_positive(figures: &Value, names: &[&str]) {
    for name in names {
        assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name}: {}", figures[name]);
    }
}

#[test]
fn throughput_has_its_figures() {
    let figures = measured("throughput");
    assert_positive(&figures, &["sagas_per_s", "vs_one_commit_per_step", "vs_batched", "commits_per_saga"]);
    assert_eq!(figures["measured_on"]["postgres"]["fsync"], "on");
    assert_eq!(figures["measured_on"]["postgres"]["synchronous_commit"], "on");
}

#[test]
fn history_has_its_figure() {
    assert_positive(&measured("history"), &["with_history"]);
}
