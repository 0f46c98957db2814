//! The instrument works: with a few sagas, each part gives figures that can be figures.
#![expect(clippy::unwrap_used, reason = "a test stops where it stands")]

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn measured(part: &str, name: &str) -> Value {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{part}"));
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([
            "--quick",
            "--sagas",
            "100",
            "--seconds",
            "1",
            "--history",
            "1000",
            "--orders",
            "24",
            "--entries",
            "20000",
            "--stuck",
            "100",
            "--only",
            part,
        ])
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read_to_string(out.join(format!("{name}-quick.json"))).unwrap();
    serde_json::from_str(&file).unwrap()
}

fn assert_positive(figures: &Value, names: &[&str]) {
    for name in names {
        assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name}: {}", figures[name]);
    }
}

#[test]
fn throughput_has_its_figures() {
    let figures = measured("throughput", "engine-throughput");
    assert_positive(&figures, &["sagas_per_s", "vs_one_commit_per_step", "vs_batched", "commits_per_saga"]);
    assert_eq!(figures["measured_on"]["postgres"]["fsync"], "on");
    assert_eq!(figures["measured_on"]["postgres"]["synchronous_commit"], "on");
}

#[test]
fn the_ledger_has_its_figures() {
    assert_positive(&measured("ledger", "ledger"), &["all_entries_ms", "balances_now_ms", "balances_then_ms"]);
}

#[test]
fn history_has_its_figure() {
    assert_positive(&measured("history", "engine-history"), &["with_history"]);
}

/// The binary that is measured lies beside ours. Only where it was never built, it is built now: as it is built with the
/// whole workspace, so that nothing is compiled twice.
fn build_showrunner() {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_bench")).with_file_name("showrunner");
    if !beside.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--workspace", "--bin", "showrunner"]).status().unwrap();
        assert!(built.success() && beside.exists(), "{} was not built", beside.display());
    }
}

#[test]
fn a_batch_has_its_figures() {
    build_showrunner();
    let names = ["dry_run_s", "mended_per_s", "mended_vs_started_and_stopped"];
    assert_positive(&measured("batch", "batch"), &names);
}

#[test]
fn orders_have_their_figures() {
    build_showrunner();
    let figures = measured("orders", "orders");
    assert_positive(&figures, &["gateway_p50_ms"]);
    for workers in [1, 2, 4] {
        let names = ["confirmed_p50_ms", "told_p99_ms", "confirmed_vs_gateway_p50", "orders_per_s"];
        let names = names.map(|name| format!("{name}_{workers}_workers"));
        assert_positive(&figures, &names.each_ref().map(String::as_str));
    }
    // two answers, each of which takes 50 ms at least
    assert!(figures["gateway_p50_ms"].as_f64().is_some_and(|ms| ms >= 100.0), "{figures:#}");
}
