//! The seats of an event.

use crate::{
    cached,
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    wire::Amount,
};
use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workflows::{
    ids::EventId,
    seats::{self, SeatMapError, SeatStatus},
};

/// Seats go fast: what is kept is kept for a second.
const CACHE_CONTROL: &str = "public, max-age=1";

/// Which seats.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeatsQuery {
    /// Of this section alone.
    section: Option<String>,
}

/// All seats that were asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seats {
    items: Vec<Seat>,
}

/// A seat.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seat {
    seat_id: String,
    section: String,
    row: i32,
    number: i32,
    price: Amount,
    /// `available`, `held`, `sold`.
    #[schema(value_type = String)]
    status: SeatStatus,
}

/// All seats of an event, or of one section, in the order of sections, rows and numbers. Not paged.
#[utoipa::path(get, path = "/events/{id}/seats", tag = "booking", operation_id = "listSeats",
    params(("id" = String, Path), SeatsQuery),
    responses((status = 200, body = Seats), (status = 304, description = "As named by If-None-Match")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictPath(event): StrictPath<EventId>,
    StrictQuery(query): StrictQuery<SeatsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (pool, section) = (state.engine.pool(), query.section.as_deref());
    if cached::names_any(&headers) {
        let version = seats::seat_map_version(pool, event, section).await.map_err(problem)?;
        if let Some(response) = cached::not_modified(&headers, CACHE_CONTROL, &version)? {
            return Ok(response);
        }
    }
    let map = seats::seat_map(pool, event, section).await.map_err(problem)?;
    let seat = |seat: seats::Seat| Seat {
        seat_id: seat.seat_id,
        section: seat.section,
        row: seat.row,
        number: seat.number,
        price: seat.price.into(),
        status: seat.status,
    };
    let body = Seats { items: map.items.into_iter().map(seat).collect() };
    cached::answer(CACHE_CONTROL, &map.version, &body)
}

fn problem(error: SeatMapError) -> Problem {
    match error {
        SeatMapError::NoSuchEvent(_) => Problem::not_found("event"),
        SeatMapError::NoSuchSection(_) => {
            Problem::new(&kinds::INVALID_PARAMETER, "The event has no such section.").with("parameter", "section")
        }
        SeatMapError::Database(error) => error.into(),
    }
}
