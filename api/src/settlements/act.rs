//! What people do about a line that does not agree with our books.

use super::show::LineShown;
use crate::{
    auth::{Address, Caller},
    booking::webhooks,
    problem::{Problem, kinds},
    query::StrictPath,
    replay,
    state::ApiState,
    strict_json::StrictJson,
    text,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;
use workflows::{
    ids::SettlementId,
    settlements::{self, ActOnLine, Acted, LineAct, LineActError},
};

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "it is on the bank statement of Tuesday"}))]
pub(crate) struct LineActBody {
    reason: String,
}

/// `resume`: its saga goes on with what the line says. `refund`: what was taken unheard goes back to the buyer. `received`: the
/// money came another way. `write-off`: what is left over is given up; it is done when a second person consents to `approvalId`.
#[utoipa::path(post, path = "/settlements/{id}/lines/{line}/{act}", tag = "settlements",
    operation_id = "actOnSettlementLine", request_body = LineActBody, responses((status = 202, body = LineShown)),
    params(("id" = String, Path), ("line" = i32, Path), ("act" = String, Path)))]
pub(crate) async fn act_on_line(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictPath((settlement_id, line, act)): StrictPath<(SettlementId, i32, String)>,
    StrictJson(body): StrictJson<LineActBody>,
) -> Result<Response, Problem> {
    let act = LineAct::ALL.into_iter().find(|known| known.as_str() == act).ok_or_else(Problem::no_such_address)?;
    let wanted = ActOnLine {
        settlement_id,
        line,
        act,
        reason: text::reason(&body.reason)?.to_owned(),
        by: caller.name,
        address: Some(address),
        expires_in: state.asks.expires_in(),
    };
    let acted = settlements::act(state.engine.pool(), &state.webhooks, wanted).await;
    let acted = acted.map_err(|error| match error {
        LineActError::NotFound => Problem::not_found("line of this settlement"),
        LineActError::NotAllowed(why) => Problem::new(&kinds::NOT_ALLOWED, why),
        LineActError::News(error) => webhooks::problem(&state, address, error),
        LineActError::Database(error) => error.into(),
    })?;
    let accepted = |row| (StatusCode::ACCEPTED, Json(LineShown::from(row))).into_response();
    Ok(match acted {
        Acted::New(row) => accepted(row),
        Acted::Replayed(row) => replay::marked(accepted(row)),
    })
}
