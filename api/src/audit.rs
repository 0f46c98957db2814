//! The record of what people did, and of what they were refused, and whether it is still what it was.

mod chain;

pub(crate) use chain::{AuditChain, ChainStatus};

use crate::{
    auth::Caller,
    page::{self, Page},
    problem::Problem,
    query::StrictQuery,
    state::ApiState,
    wire::Time,
};
use axum::{Json, extract::State};
use orchestrator::{
    acts::{RecordFilter, RecordedAct},
    ids::Uuid,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The name of this list in cursors.
const LIST: &str = "audit";

/// Which acts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Of this person.
    actor: Option<String>,
    /// `retry`, `cancel`, `kill`, `signal`, `activate`, ...
    act: Option<String>,
    /// On this saga, or this version of a definition (`name/version`).
    object: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// An act of a person. `reason` and `address` are null where they are kept from the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    at: Time,
    actor: String,
    act: String,
    object: String,
    /// `done` or `refused`.
    outcome: String,
    reason: Option<String>,
    address: Option<String>,
    /// Personal data are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

impl AuditEntry {
    fn of(act: RecordedAct, redacted: bool) -> Self {
        Self {
            at: act.at.into(),
            actor: act.actor,
            act: act.act,
            object: act.object,
            outcome: act.outcome,
            reason: Some(act.reason).filter(|_| !redacted),
            address: act.address.filter(|_| !redacted),
            redacted,
        }
    }
}

/// A page of the record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    #[serde(flatten)]
    page: Page<AuditEntry>,
    chain: ChainStatus,
}

/// What people did and were refused, the newest first; and whether the whole record is what was sealed.
#[utoipa::path(get, path = "/audit", tag = "sagas", operation_id = "listAudit", params(AuditQuery),
    responses((status = 200, body = AuditPage)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    StrictQuery(query): StrictQuery<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = page::limit(query.limit)?;
    let before: Option<Uuid> = page::decode(LIST, query.cursor.as_deref())?;
    let filter = RecordFilter { actor: query.actor, act: query.act, object: query.object };
    let rows = state.engine.recorded_acts(&filter, before, limit + 1).await?;
    let redacted = caller.sees_redacted();
    let page = Page::from_rows(LIST, rows, limit, |last| last.act_id, |act| AuditEntry::of(act, redacted));
    Ok(Json(AuditPage { page, chain: state.audit_chain.look(&state.engine).await? }))
}
