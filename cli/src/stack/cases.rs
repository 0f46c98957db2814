//! When a person is asked, and the periodic work that sees to it.

use std::time::Duration;

use orchestrator::{Engine, cases::Patience};
use workers::Chore;
use workflows::cases;

use crate::config;

use super::ROWS_PER_RUN;

/// How long it is known who was in which case.
const CASES_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// See the module.
#[derive(Clone)]
pub(super) struct Asking {
    /// When a person is asked about who does nothing wrong but gets nowhere.
    patience: Patience,
}

impl Asking {
    /// As it is configured.
    pub(super) fn read(config: &config::Cases) -> Self {
        let patience = Patience {
            in_doubt_secs: config.in_doubt_secs,
            past_deadline_secs: config.past_deadline_secs,
            no_progress_secs: config.no_progress_secs,
        };
        Self { patience }
    }

    /// What puts before a person what no move of a saga does; and takes away what no move does.
    pub(super) fn chores(&self, engine: &Engine) -> [Chore; 4] {
        let patience = self.patience;
        let [watched, killed, checked, expired] = std::array::from_fn(|_| engine.clone());
        [
            Chore::new("look-for-trouble", Duration::from_secs(10), move || {
                let engine = watched.clone();
                async move { Ok(engine.look_for_trouble(patience).await.map(drop)?) }
            }),
            Chore::new("close-killed", Duration::from_secs(60), move || {
                let engine = killed.clone();
                async move { Ok(cases::close_killed(engine.pool()).await.map(drop)?) }
            }),
            Chore::new("check-invariants", Duration::from_secs(3_600), move || check_invariants(checked.clone())),
            Chore::new("expire-cases", Duration::from_secs(3_600), move || expire(expired.clone())),
        ]
    }
}

/// What may never be is a mistake of ours: put before a person, and said.
async fn check_invariants(engine: Engine) -> anyhow::Result<()> {
    let found = cases::check_invariants(&engine).await?;
    if found > 0 {
        tracing::error!(violations = found, "{found} invariants do not hold: showrunner check says which");
    }
    Ok(())
}

async fn expire(engine: Engine) -> anyhow::Result<()> {
    cases::give_up_webhooks(engine.pool()).await?;
    orchestrator::cases::expire(engine.pool(), CASES_KEPT, ROWS_PER_RUN).await?;
    Ok(())
}
