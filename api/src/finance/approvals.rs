//! Acts that need a second person, and that person's decision.

use crate::{
    auth::{Address, Caller},
    page::{self, Page},
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    replay,
    sagas::acts,
    state::ApiState,
    strict_json::StrictJson,
    text,
    wire::Time,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use workflows::{
    approvals::{self, ApprovalFilter, ApprovalState, DecideError, Decided, Decision},
    ids::ApprovalId,
};

/// The name of this list in cursors.
const LIST: &str = "approvals";

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalsQuery {
    /// `requested`, `approved`, `rejected`, `expired`, `void`.
    state: Option<String>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Something that somebody wants to do, and what a second person says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Approval {
    #[schema(value_type = String)]
    approval_id: ApprovalId,
    /// What is to be done: `refund`, `write-off`.
    act: String,
    /// To what.
    object: String,
    /// Who may decide: `operator`, `finance`.
    role: String,
    /// All that matters of it, frozen; null where it is kept from the caller.
    content: Option<Value>,
    requested_by: String,
    /// Null where it is kept from the caller.
    reason: Option<String>,
    requested_at: Time,
    expires_at: Time,
    /// `requested`, `approved`, `rejected`, `expired`, `void`.
    state: &'static str,
    decided_by: Option<String>,
    decision_reason: Option<String>,
    /// When it was decided, or over.
    ended_at: Option<Time>,
    /// Content and reasons are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

impl Approval {
    fn of(approval: approvals::Approval, redacted: bool) -> Self {
        Self {
            approval_id: approval.approval_id,
            act: approval.act,
            object: approval.object,
            role: approval.role,
            content: Some(approval.content).filter(|_| !redacted),
            requested_by: approval.requested_by,
            reason: Some(approval.reason).filter(|_| !redacted),
            requested_at: approval.requested_at.into(),
            expires_at: approval.expires_at.into(),
            state: approval.state.as_str(),
            decided_by: approval.decided_by,
            decision_reason: approval.decision_reason.filter(|_| !redacted),
            ended_at: approval.ended_at.map(Time),
            redacted,
        }
    }
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "checked with the venue"}))]
pub(crate) struct DecisionBody {
    /// Why, in the person's words.
    pub(super) reason: String,
}

/// Acts that need a second person, the newest first.
#[utoipa::path(get, path = "/approvals", tag = "finance", operation_id = "listApprovals", params(ApprovalsQuery),
    responses((status = 200, body = Page<Approval>)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ApprovalsQuery>,
) -> Result<Json<Page<Approval>>, Problem> {
    let limit = page::limit(query.limit)?;
    let wanted = query
        .state
        .map(|state| state.parse::<ApprovalState>())
        .transpose()
        .map_err(|error| Problem::new(&kinds::INVALID_PARAMETER, error.to_string()).with("parameter", "state"))?;
    let after: Option<ApprovalId> = page::decode(LIST, query.cursor.as_deref())?;
    let filter = ApprovalFilter { state: wanted, after, limit: limit + 1, ..ApprovalFilter::default() };
    let rows = approvals::list(state.engine.pool(), &filter).await?;
    let redacted = caller.sees_redacted();
    Ok(Json(Page::from_rows(LIST, rows, limit, |last| last.approval_id, |row| Approval::of(row, redacted))))
}

/// Who decides, from where, about what, and why.
type Deciding = (State<ApiState>, Caller, Address, StrictPath<ApprovalId>, StrictJson<DecisionBody>);

/// Consents to what somebody else has asked for. It is done then.
#[utoipa::path(post, path = "/approvals/{id}/approve", tag = "finance", operation_id = "approve",
    params(("id" = String, Path)), request_body = DecisionBody, responses((status = 202, body = Approval)))]
pub(crate) async fn approve(deciding: Deciding) -> Result<Response, Problem> {
    decide_from(deciding, true).await
}

/// Refuses what somebody else has asked for. It is not done then.
#[utoipa::path(post, path = "/approvals/{id}/reject", tag = "finance", operation_id = "reject",
    params(("id" = String, Path)), request_body = DecisionBody, responses((status = 202, body = Approval)))]
pub(crate) async fn reject(deciding: Deciding) -> Result<Response, Problem> {
    decide_from(deciding, false).await
}

async fn decide_from(deciding: Deciding, consents: bool) -> Result<Response, Problem> {
    let (State(state), caller, address, StrictPath(approval_id), StrictJson(body)) = deciding;
    decide(&state, &caller, address, approval_id, consents, &body).await
}

/// A second person decides, wherever they have found what is to be decided.
pub(super) async fn decide(
    state: &ApiState,
    Caller(caller): &Caller,
    Address(address): Address,
    approval_id: ApprovalId,
    consents: bool,
    body: &DecisionBody,
) -> Result<Response, Problem> {
    let reason = text::reason(&body.reason)?.to_owned();
    let decision = Decision { approval_id, consents, reason, address: Some(address) };
    let answer = |approval| (StatusCode::ACCEPTED, Json(Approval::of(approval, false))).into_response();
    match approvals::decide(&state.engine, caller, decision).await.map_err(problem)? {
        Decided::New(approval) => Ok(answer(approval)),
        Decided::Replayed(approval) => Ok(replay::marked(answer(approval))),
    }
}

fn problem(error: DecideError) -> Problem {
    match error {
        DecideError::NotFound => Problem::not_found("approval"),
        DecideError::WrongRole(role) => {
            Problem::wrong_role("What is asked for is for another role to decide.", |may| may.includes(role))
        }
        DecideError::FourEyes(_) => Problem::new(&kinds::FOUR_EYES, error.to_string()),
        DecideError::Void(why) => Problem::new(&kinds::APPROVAL_VOID, why),
        DecideError::AlreadyDecided { .. } => Problem::new(&kinds::ALREADY_DECIDED, error.to_string()),
        DecideError::Saga(error) => acts::problem(error),
        DecideError::Database(error) => error.into(),
    }
}
