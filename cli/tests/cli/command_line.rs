//! What the program answers, by its exit status and its two outputs.

use std::process::{Command, Output};

fn showrunner(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showrunner"));
    command.args(arguments).current_dir(std::env::temp_dir());
    for name in ["DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL", "SHOWRUNNER_URL", "SHOWRUNNER_TOKEN"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_cannot_be_understood_is_2_and_what_is_refused_is_1() {
    assert_eq!(showrunner(&["nonsense"], &[]).status.code(), Some(2));
    assert_eq!(showrunner(&["saga", "retry", "x"], &[]).status.code(), Some(2));
    let refused = showrunner(&["config"], &[("SHOWRUNNER_HTTP__LISSEN", "x")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("SHOWRUNNER_HTTP__LISSEN"), "{}", text(&refused.stderr));
    assert!(refused.stdout.is_empty());
    assert_eq!(showrunner(&["config"], &[]).status.code(), Some(0));
}

#[test]
fn a_sandbox_that_cannot_be_is_wrong_usage() {
    let wrong: [&[&str]; 2] =
        [&["sandbox", "--protocol", "gremlin"], &["sandbox", "--protocol", "adyen", "--webhook-secret", "whsec_1"]];
    for arguments in wrong {
        let refused = showrunner(arguments, &[]);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
    let help = text(&showrunner(&["sandbox", "--help"], &[]).stdout);
    assert!(help.contains("--protocol") && help.contains("adyen"), "{help}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let refused = showrunner(&["saga", "list", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("http://127.0.0.1:1/ cannot be reached"), "{}", text(&refused.stderr));
}

#[test]
fn the_configuration_is_printed_without_its_secrets() {
    let secrets = [
        ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", "https://api.stripe.com"),
        ("SHOWRUNNER_GATEWAYS__PRIMARY__API_KEY", "sk_live_hunter2"),
        ("DATABASE_URL", "postgres://me:hunter2@localhost/x"),
    ];
    for arguments in [&["config"][..], &["config", "--json"]] {
        let shown = text(&showrunner(arguments, &secrets).stdout);
        assert!(shown.contains("primary") && !shown.contains("hunter2"), "{shown}");
    }
    let json = showrunner(&["config", "--json"], &secrets).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["worker"]["concurrency"], 256);
}

/// What bash offers for the last of these words, with our script.
fn offered(words: &[&str]) -> Vec<String> {
    let (last, before) = words.split_last().unwrap();
    let ask = format!(
        "source <('{}' completion bash); COMP_WORDS=({}); COMP_CWORD={}; _showrunner showrunner {last:?} {:?}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        env!("CARGO_BIN_EXE_showrunner"),
        words.join(" "),
        before.len(),
        before.last().unwrap(),
    );
    let answered = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
    assert!(answered.status.success(), "{}", text(&answered.stderr));
    text(&answered.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_and_options() {
    assert_eq!(offered(&["showrunner", "saga", "re"]), ["retry", "resume"]);
    assert_eq!(offered(&["showrunner", "definition", "mock-run", "--ver"]), ["--version"]);
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        let script = text(&showrunner(&["completion", shell], &[]).stdout);
        assert!(script.contains("mock-run"), "{shell}");
    }
    assert_eq!(showrunner(&["completion", "cmd"], &[]).status.code(), Some(2));
}
