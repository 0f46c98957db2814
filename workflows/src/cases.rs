//! What needs a person, with what it holds: whose money, and how much of it. The engine says who is in which case
//! ([`orchestrator::cases`]); here is added what only our business knows.

mod invariants;
mod leavings;
mod notices;
mod worth;

pub use invariants::check_invariants;
pub use leavings::close_killed;
pub use notices::{CASE_MAIL, CASE_WEBHOOK, CaseWebhook, Notified, NotifiedError, tell_of_new};

use crate::money::Money;
use orchestrator::{
    Engine,
    cases::{self, WEBHOOK_UNMATCHED},
    ids::CaseId,
};
use sqlx::PgPool;
use std::time::Duration;

/// How long a webhook that nothing matches stays in front of a person.
const UNMATCHED_SHOWN: Duration = Duration::from_secs(30 * 86_400);

/// A case, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Which, and who is in it.
    pub of: cases::Case,
    /// Whose orders are in it: how many people.
    pub buyers: i64,
    /// What gateways have taken for them, or may have, and what is owed to them: one sum per currency.
    pub money_at_risk: Vec<Money>,
}

/// Open cases, those of most sagas first: all, or the one that is named.
///
/// # Errors
/// The database's.
pub async fn list(engine: &Engine, one: Option<CaseId>) -> Result<Vec<Case>, sqlx::Error> {
    let found = engine.cases(one).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let mut buyers = worth::buyers(engine.pool(), one).await?;
    let mut money = worth::money_at_risk(engine.pool(), one).await?;
    let case = |of: cases::Case| Case {
        buyers: buyers.remove(&of.case_id).unwrap_or_default(),
        money_at_risk: money.remove(&of.case_id).unwrap_or_default(),
        of,
    };
    Ok(found.into_iter().map(case).collect())
}

/// Takes webhooks out of their cases that nothing has matched for a month: nothing will any more.
///
/// # Errors
/// The database's.
pub async fn give_up_webhooks(pool: &PgPool) -> Result<u64, sqlx::Error> {
    cases::give_up(pool, WEBHOOK_UNMATCHED, UNMATCHED_SHOWN).await
}
