//! What needs a person, with what it holds: whose money, and how much of it. The engine says who is in which case
//! ([`orchestrator::cases`]); here is added what only our business knows.

mod leavings;
mod worth;

pub use leavings::close_killed;

use crate::money::Money;
use orchestrator::{Engine, cases, ids::CaseId};

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
