//! pgbench, which PostgreSQL brings along: one commit per step, from many clients.

use super::Reference;
use anyhow::Context;
use tokio::process::Command;

/// How many threads pgbench's clients share.
const THREADS: usize = 2;

/// What one client does for one saga.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// Each move is `begin`, two statements, `commit`.
    CommitPerStep,
    /// Each move is one statement: a round trip for each commit, and nothing in between.
    StatementPerStep,
}

impl Script {
    fn text(self) -> String {
        let mut text = "insert into sagas (definition, state, step, seq, input) \
                        values ('four-local', 'running', 'hold', 1, :input) returning saga_id \\gset\n"
            .to_owned();
        for (seq, (step, next, state)) in (2..).zip(super::MOVES) {
            let next = next.map_or("null".to_owned(), |next| format!("'{next}'"));
            let insert = format!(
                "insert into journal (saga_id, seq, kind, step, entry) \
                 values (:saga_id, {seq}, 'done', '{step}', :entry)"
            );
            let update = format!(
                "update sagas set state = '{state}', step = {next}, seq = {seq}, updated_at = now() \
                 where saga_id = :saga_id"
            );
            text += &match self {
                Self::CommitPerStep => format!("begin;\n{insert};\n{update};\ncommit;\n"),
                Self::StatementPerStep => format!("with entry as ({insert}) {update};\n"),
            };
        }
        text
    }
}

/// Sagas per second from so many clients.
pub(super) async fn run(of: &Reference<'_>, script: Script, clients: usize, seconds: u32) -> anyhow::Result<f64> {
    of.empty().await?;
    let file = of.cluster.out().join("pgbench.sql");
    std::fs::write(&file, script.text()).context("writing pgbench's script")?;
    let program = of.cluster.program("pgbench").await?;
    let output = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared"])
        .args([format!("--client={clients}"), format!("--jobs={THREADS}"), format!("--time={seconds}")])
        .args([format!("--define=input={}", of.input), format!("--define=entry={}", of.entry)])
        .arg("--file")
        .arg(&file)
        .arg(of.cluster.url(&of.database)?)
        .output()
        .await
        .with_context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    rate(&said).with_context(|| format!("pgbench did not tell its rate: {said}"))
}

fn rate(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_rate() {
        assert_eq!(rate("latency average = 7 ms\ntps = 2034.5 (without initial connection time)\n"), Some(2034.5));
        assert_eq!(rate("nothing"), None);
    }

    #[test]
    fn a_saga_is_five_commits_either_way() {
        assert_eq!(Script::CommitPerStep.text().matches("commit;").count(), 4);
        assert_eq!(Script::StatementPerStep.text().lines().count(), 5);
    }
}
