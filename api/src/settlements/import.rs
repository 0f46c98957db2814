//! A gateway's settlement file comes.

use super::{show, upload};
use crate::{
    auth::{Address, Caller},
    problem::{Problem, kinds},
    query::StrictQuery,
    replay,
    state::ApiState,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;
use workflows::settlements::{self, FILE_BYTES_MAX, FileError, ImportError, Imported, LINES_MAX, NewSettlement};

/// Whose file it is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// The gateway's name.
    gateway: String,
}

/// Takes a gateway's settlement file into the books, as the gateway writes it. The same file again is the same settlement.
#[utoipa::path(post, path = "/settlements", tag = "settlements", operation_id = "importSettlement", params(ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 201, body = show::SettlementShown), (status = 200, body = show::SettlementShown,
        description = "The file is in the books already")))]
pub(crate) async fn import(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    Address(address): Address,
    StrictQuery(query): StrictQuery<ImportQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let configured = state.gateways.get(&query.gateway).ok_or_else(|| Problem::not_found("gateway"))?;
    let protocol = configured.gateway.protocol();
    let (parts, body) = request.into_parts();
    if !is_csv(&parts.headers) {
        return Err(Problem::new(&kinds::UNSUPPORTED_MEDIA_TYPE, "Send the settlement file as text/csv."));
    }
    let new = NewSettlement {
        gateway: query.gateway,
        file: upload::read(protocol, body).await.map_err(refused)?,
        by: caller.name,
        address: Some(address),
        missing_days: state.settlement_missing_days,
    };
    let imported =
        settlements::import(state.engine.pool(), &state.gateways, new).await.map_err(|error| match error {
            ImportError::Money { line, source } => {
                Problem::new(&kinds::INVALID_SETTLEMENT, format!("Line {line}: {source}"))
            }
            ImportError::Database(error) => error.into(),
        })?;
    let (id, status) = match imported {
        Imported::New(id) => (id, StatusCode::CREATED),
        Imported::Known(id) => (id, StatusCode::OK),
    };
    let shown = show::shown(&state, id, show::Lines::default()).await?;
    let response = (status, [(header::LOCATION, format!("/settlements/{id}"))], Json(shown)).into_response();
    Ok(if status == StatusCode::OK { replay::marked(response) } else { response })
}

fn refused(error: FileError) -> Problem {
    match error {
        FileError::Mistakes(mistakes) => {
            let first = mistakes.first().map(|first| format!("Line {}: {}", first.line, first.message));
            Problem::new(&kinds::INVALID_SETTLEMENT, first.unwrap_or_default())
                .with("mistakes", serde_json::to_value(mistakes).unwrap_or_default())
        }
        FileError::TooLarge => {
            let message = format!("A settlement file may have {FILE_BYTES_MAX} bytes and {LINES_MAX} lines.");
            Problem::new(&kinds::BODY_TOO_LARGE, message)
        }
        error @ (FileError::UnknownProtocol(_) | FileError::Incomplete(_)) => {
            Problem::new(&kinds::INVALID_SETTLEMENT, error.to_string())
        }
    }
}

/// There is only one kind of body here; a tool that names none means it.
fn is_csv(headers: &HeaderMap) -> bool {
    let Some(said) = headers.get(header::CONTENT_TYPE) else { return true };
    let said = said.to_str().unwrap_or_default().to_ascii_lowercase();
    let media_type = said.split(';').next().unwrap_or_default().trim();
    ["text/csv", "text/plain", "application/csv", "application/octet-stream"].contains(&media_type)
}
