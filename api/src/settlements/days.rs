//! Days that finance signs off.

use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
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
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use workflows::settlements::{self, CloseDay, ClosedDay, Day};

/// A day of UTC.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DayShown {
    date: NaiveDate,
    closed: bool,
    closed_at: Option<Time>,
    closed_by: Option<String>,
    reason: Option<String>,
    /// The accounts at the day's end, what was posted and which files came on it, and which lines were open: as it was when the
    /// day was closed, else as it is now.
    report: Value,
}

impl From<Day> for DayShown {
    fn from(day: Day) -> Self {
        let Day { day: date, closed, report } = day;
        Self {
            date,
            closed: closed.is_some(),
            closed_at: closed.as_ref().map(|closed| closed.at.into()),
            closed_by: closed.as_ref().map(|closed| closed.by.clone()),
            reason: closed.map(|closed| closed.reason),
            report,
        }
    }
}

/// What a person says who signs a day off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseBody {
    reason: String,
}

/// Signs a day off, once it is over: its report is kept as it is. Again: the same report.
#[utoipa::path(post, path = "/days/{date}/close", tag = "settlements", operation_id = "closeDay",
    params(("date" = String, Path)), request_body = CloseBody,
    responses((status = 201, body = DayShown), (status = 200, body = DayShown, description = "It was closed before")))]
pub(crate) async fn close_day(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath(day): StrictPath<NaiveDate>,
    StrictJson(body): StrictJson<CloseBody>,
) -> Result<Response, Problem> {
    let reason = text::reason(&body.reason)?.to_owned();
    let wanted = CloseDay { day, by: caller.name, address: Some(address), reason };
    match settlements::close_day(state.engine.pool(), wanted).await? {
        ClosedDay::New(day) => Ok((StatusCode::CREATED, Json(DayShown::from(day))).into_response()),
        ClosedDay::Known(day) => Ok(replay::marked(Json(DayShown::from(day)).into_response())),
        ClosedDay::NotOver => Err(Problem::new(&kinds::NOT_ALLOWED, "The day is not over.")),
    }
}

/// A day, as it was signed off or as it stands.
#[utoipa::path(get, path = "/days/{date}", tag = "settlements", operation_id = "getDay",
    params(("date" = String, Path)), responses((status = 200, body = DayShown)))]
pub(crate) async fn show_day(
    State(state): State<ApiState>,
    StrictPath(day): StrictPath<NaiveDate>,
) -> Result<Json<DayShown>, Problem> {
    Ok(Json(settlements::day(state.engine.pool(), day).await?.into()))
}
