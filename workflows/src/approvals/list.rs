//! Approvals as people see them.

use super::{ApprovalState, read_state};
use crate::ids::ApprovalId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};

/// Something that somebody wants to do, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// The approval.
    pub approval_id: ApprovalId,
    /// What is to be done: `refund`, `write-off`.
    pub act: String,
    /// To what.
    pub object: String,
    /// Who may consent: `operator`, `finance`.
    pub role: String,
    /// All that matters of what is to be done, as it was asked for.
    pub content: Value,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Until when somebody can decide.
    pub expires_at: DateTime<Utc>,
    /// How far it has come.
    pub state: ApprovalState,
    /// Who has decided.
    pub decided_by: Option<String>,
    /// Why so.
    pub decision_reason: Option<String>,
    /// When it was decided, or over.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which approvals to list.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// In this state.
    pub state: Option<ApprovalState>,
    /// Only this one.
    pub only: Option<ApprovalId>,
    /// Only those that were asked for before this one.
    pub after: Option<ApprovalId>,
    /// How many at most.
    pub limit: u32,
}

/// Approvals, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &ApprovalFilter) -> Result<Vec<Approval>, sqlx::Error> {
    list_from(pool, filter).await
}

async fn list_from(from: impl PgExecutor<'_>, filter: &ApprovalFilter) -> Result<Vec<Approval>, sqlx::Error> {
    let rows = sqlx::query!(
        "select approval_id, act, object, role, content, requested_by, reason, requested_at, expires_at, state,
             decided_by, decision_reason, ended_at
         from booking.approvals
         where ($1::text is null or state = $1)
             and ($2::uuid is null or approval_id = $2)
             and ($3::uuid is null or approval_id < $3)
         order by approval_id desc
         limit $4",
        filter.state.map(ApprovalState::as_str),
        filter.only.map(|approval| approval.0),
        filter.after.map(|approval| approval.0),
        i64::from(filter.limit),
    )
    .fetch_all(from)
    .await?;
    let approvals = rows.into_iter().map(|row| {
        let approval_id = ApprovalId(row.approval_id);
        Ok(Approval {
            approval_id,
            act: row.act,
            object: row.object,
            role: row.role,
            content: row.content,
            requested_by: row.requested_by,
            reason: row.reason,
            requested_at: row.requested_at,
            expires_at: row.expires_at,
            state: read_state(&row.state, approval_id)?,
            decided_by: row.decided_by,
            decision_reason: row.decision_reason,
            ended_at: row.ended_at,
        })
    });
    approvals.collect()
}

/// One approval.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, approval: ApprovalId) -> Result<Option<Approval>, sqlx::Error> {
    find_from(pool, approval).await
}

/// The same within a transaction.
pub(crate) async fn find_in_tx(tx: &mut PgConnection, approval: ApprovalId) -> Result<Option<Approval>, sqlx::Error> {
    find_from(tx, approval).await
}

async fn find_from(from: impl PgExecutor<'_>, approval: ApprovalId) -> Result<Option<Approval>, sqlx::Error> {
    let filter = ApprovalFilter { only: Some(approval), limit: 1, ..ApprovalFilter::default() };
    Ok(list_from(from, &filter).await?.pop())
}
