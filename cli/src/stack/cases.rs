//! When a person is asked, who is told, and the periodic work that sees to it.

use std::time::Duration;

use anyhow::Context;
use orchestrator::{Engine, cases::Patience};
use workers::Chore;
use workflows::cases::{self, CaseWebhook, Notified};

use crate::config;

use super::ROWS_PER_RUN;

/// How long it is known who was in which case.
const CASES_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// See the module.
#[derive(Clone)]
pub(super) struct Asking {
    /// Who is told of cases.
    pub(super) notified: Notified,
    /// When a person is asked about who does nothing wrong but gets nowhere.
    patience: Patience,
}

impl Asking {
    /// As it is configured.
    pub(super) fn read(config: &config::Cases) -> anyhow::Result<Self> {
        let webhook = match &config.webhook_url {
            Some(url) => Some(CaseWebhook::new(url, config.webhook_secret.clone()).context("cases.webhook_url")?),
            None => None,
        };
        let mailbox = match &config.mail_to {
            Some(address) => Some(Notified::mailbox(address).context("cases.mail_to")?),
            None => None,
        };
        let patience = Patience {
            in_doubt_secs: config.in_doubt_secs,
            past_deadline_secs: config.past_deadline_secs,
            no_progress_secs: config.no_progress_secs,
        };
        Ok(Self { notified: Notified { webhook, mailbox }, patience })
    }

    /// What puts before a person, and tells them, what no move of a saga does; and takes away what no move does.
    pub(super) fn chores(&self, engine: &Engine) -> [Chore; 5] {
        let (patience, notified) = (self.patience, self.notified.clone());
        let [watched, told, killed, checked, expired] = std::array::from_fn(|_| engine.clone());
        [
            Chore::new("look-for-trouble", Duration::from_secs(10), move || {
                let engine = watched.clone();
                async move { Ok(engine.look_for_trouble(patience).await.map(drop)?) }
            }),
            Chore::new("tell-of-cases", Duration::from_secs(5), move || {
                let (engine, notified) = (told.clone(), notified.clone());
                async move { Ok(cases::tell_of_new(&engine, &notified).await.map(drop)?) }
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
