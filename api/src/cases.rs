//! Cases: what needs a person, by cause.

use crate::{
    page::Page,
    problem::Problem,
    query::StrictPath,
    state::ApiState,
    wire::{Amount, Time},
};
use axum::{Json, extract::State};
use orchestrator::ids::{CaseId, SagaId};
use serde::Serialize;
use utoipa::ToSchema;
use workflows::cases::{self, Case};

/// One cause that needs a person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaseShown {
    /// The same cause has the same one, also when it comes back.
    #[schema(value_type = String)]
    case_id: CaseId,
    /// `exhausted`, `refused`, `worker-lost`, `definition-unknown`, `killed`, `in-doubt`, `past-deadline`,
    /// `no-progress`, `invariant`, `webhook-unmatched`.
    cause: String,
    /// What its sagas run; null where it is about none.
    definition: Option<String>,
    /// Where they stand.
    step: Option<String>,
    /// In which half of the step: `forward`, `compensation`.
    lane: Option<String>,
    /// The failure's code; the invariant's name; what the webhook tells, and why it was not understood.
    code: Option<String>,
    /// Whom they were calling.
    gateway: Option<String>,
    /// How many are in it now.
    count: i64,
    /// How many people have orders in it.
    buyers: i64,
    /// Since when the oldest is in it.
    oldest: Time,
    /// How many have joined lately.
    trend: Trend,
    /// What gateways have taken or may have, and what is owed: one sum per currency.
    money_at_risk: Vec<Amount>,
    /// What helps most of the time: `retry`, `probe`, `cancel`, `complete`, or `look` first.
    suggested_act: &'static str,
    /// Those that have been in it the longest, at most 100.
    #[schema(value_type = Vec<String>)]
    saga_ids: Vec<SagaId>,
}

/// How many have joined a case lately, whether they are still in it or not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trend {
    last_hour: i64,
    hour_before: i64,
}

impl From<Case> for CaseShown {
    fn from(Case { of, buyers, money_at_risk }: Case) -> Self {
        Self {
            case_id: of.case_id,
            suggested_act: of.suggested_act(),
            cause: of.cause,
            definition: of.definition,
            step: of.step,
            lane: of.lane,
            code: of.code,
            gateway: of.gateway,
            count: of.count,
            buyers,
            oldest: of.oldest.into(),
            trend: Trend { last_hour: of.joined_last_hour, hour_before: of.joined_hour_before },
            money_at_risk: money_at_risk.into_iter().map(Amount::from).collect(),
            saga_ids: of.sagas,
        }
    }
}

/// What needs a person, by cause, those of most sagas first: all of it, at most 500 causes.
#[utoipa::path(get, path = "/cases", tag = "cases", operation_id = "listCases",
    responses((status = 200, body = Page<CaseShown>)))]
pub(crate) async fn list(State(state): State<ApiState>) -> Result<Json<Page<CaseShown>>, Problem> {
    let found = cases::list(&state.engine, None).await?;
    Ok(Json(Page { items: found.into_iter().map(CaseShown::from).collect(), next: None }))
}

/// One of them, as long as anything is in it.
#[utoipa::path(get, path = "/cases/{id}", tag = "cases", operation_id = "showCase",
    params(("id" = String, Path)), responses((status = 200, body = CaseShown)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    StrictPath(case): StrictPath<CaseId>,
) -> Result<Json<CaseShown>, Problem> {
    let found = cases::list(&state.engine, Some(case)).await?.pop().ok_or_else(|| Problem::not_found("open case"))?;
    Ok(Json(found.into()))
}
