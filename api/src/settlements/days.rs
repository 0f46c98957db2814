//! Days that finance signs off.

use crate::{
    auth::{Address, Caller},
    csv,
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
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::iter;
use utoipa::ToSchema;
use workflows::settlements::{self, CloseDay, ClosedDay, Day};

/// What a line of CSV has. `part` is the member of the report that it is of; amounts are in minor units.
const COLUMNS: [&str; 6] = ["part", "name", "gateway", "amountMinor", "currency", "count"];

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

/// A day, as it was signed off or as it stands. As `text/csv` its report.
#[utoipa::path(get, path = "/days/{date}", tag = "settlements", operation_id = "getDay",
    params(("date" = String, Path)),
    responses((status = 200, content((DayShown = "application/json"), (String = "text/csv")))))]
pub(crate) async fn show_day(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictPath(day): StrictPath<NaiveDate>,
) -> Result<Response, Problem> {
    let day = settlements::day(state.engine.pool(), day).await?;
    if !csv::is_wanted(&headers) {
        return Ok(Json(DayShown::from(day)).into_response());
    }
    let lines = report_lines(&day.report);
    Ok(csv::document(&COLUMNS, lines, |lines| async { Ok((lines, None)) }))
}

/// One line for each account, sum, kind of posting, file and kind of open line.
fn report_lines(report: &Value) -> String {
    let none = &Value::Null;
    let listed = |part: &str| report[part].as_array().into_iter().flatten();
    let mut text = String::new();
    let mut add = |part: &str, cells: [&Value; 5]| {
        let cells = cells.map(cell);
        csv::add_line(&mut text, iter::once(part).chain(cells.iter().map(String::as_str)));
    };
    for item in listed("accounts") {
        let balance = &item["balance"];
        add("accounts", [&item["account"], none, &balance["amount"], &balance["currency"], none]);
    }
    for sum in listed("trialBalance") {
        add("trialBalance", [none, none, &sum["amount"], &sum["currency"], none]);
    }
    for (kind, count) in report["postings"].as_object().into_iter().flatten() {
        add("postings", [&kind.as_str().into(), none, none, none, count]);
    }
    for file in listed("settlements") {
        add("settlements", [&file["settlementId"], &file["gateway"], none, none, &file["lines"]]);
    }
    for open in listed("openLines") {
        add("openLines", [&open["outcome"], &open["gateway"], none, none, &open["lines"]]);
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_of_a_report_has_its_lines() {
        let report = json!({
            "accounts": [
                {"account": "=doubt", "balance": {"amount": 4_500, "currency": "EUR"}},
                {"account": "refunds:failed", "balance": {"amount": -4_500, "currency": "EUR"}},
            ],
            "trialBalance": [{"amount": 0, "currency": "EUR"}],
            "postings": {"capture": 2},
            "settlements": [{"settlementId": "stl_1", "gateway": "primary", "lines": 3}],
            "openLines": [{"gateway": "primary", "outcome": "missing", "lines": 1}],
        });
        let lines = report_lines(&report);
        let wanted = [
            "accounts,'=doubt,,4500,EUR,",
            "accounts,refunds:failed,,'-4500,EUR,",
            "trialBalance,,,0,EUR,",
            "postings,capture,,,,2",
            "settlements,stl_1,primary,,,3",
            "openLines,missing,primary,,,1",
        ];
        assert_eq!(lines.split_terminator("\r\n").collect::<Vec<_>>(), wanted);
    }
}
