//! Holding seats for a buyer: all or none.

use crate::{
    auth::Caller,
    problem::{Problem, kinds},
    query::StrictPath,
    state::ApiState,
    strict_json::StrictJson,
    wire::{Amount, Time},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::{
    events::Mistake,
    holds::{Reserve, ReserveError, Reserved, Wish},
    ids::{EventId, HoldId},
};

/// Which seats, for whom: either `seatIds` or `bestAvailable`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"userId": "anna", "bestAvailable": {"count": 2, "section": "Parterre"}}))]
pub(crate) struct ReserveSeats {
    user_id: String,
    seat_ids: Option<Vec<String>>,
    best_available: Option<BestAvailable>,
    /// The client's own choice: the same again with the same seats is the same hold, with others the hold is
    /// changed to them.
    hold_token: Option<String>,
}

/// So many seats, next to each other where that can be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BestAvailable {
    #[schema(minimum = 1)]
    count: usize,
    section: Option<String>,
}

/// Seats that are the buyer's until a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeatsReserved {
    #[schema(value_type = String)]
    reserve_id: HoldId,
    hold_token: String,
    seat_ids: Vec<String>,
    expires_at: Time,
    total: Amount,
}

/// Holds seats: all or none.
#[utoipa::path(post, path = "/events/{id}/reserve", tag = "booking", operation_id = "reserveSeats",
    params(("id" = String, Path)), request_body = ReserveSeats,
    responses((status = 201, body = SeatsReserved), (status = 200, body = SeatsReserved,
        description = "The hold was there already; it has these seats now")))]
pub(crate) async fn reserve(
    State(state): State<ApiState>,
    caller: Caller,
    StrictPath(event_id): StrictPath<EventId>,
    StrictJson(body): StrictJson<ReserveSeats>,
) -> Result<Response, Problem> {
    caller.must_act_for(&body.user_id)?;
    let wish = match (body.seat_ids, body.best_available) {
        (Some(seats), None) => Wish::Seats(seats),
        (None, Some(best)) => Wish::BestAvailable { count: best.count, section: best.section },
        _ => return Err(Problem::invalid_value("/seatIds", "give either seatIds or bestAvailable")),
    };
    let request = Reserve { event_id, user_id: body.user_id, wish, hold_token: body.hold_token };
    let reserved = state.holds.reserve(request).await.map_err(problem)?;
    let status = match reserved {
        Reserved::New(_) => StatusCode::CREATED,
        Reserved::Same(_) | Reserved::Changed(_) => StatusCode::OK,
    };
    let hold = reserved.hold();
    let location = [(header::LOCATION, format!("/reservations/{}", hold.hold_id))];
    let body = SeatsReserved {
        reserve_id: hold.hold_id,
        hold_token: hold.hold_token.clone(),
        seat_ids: hold.seat_ids.clone(),
        expires_at: hold.expires_at.into(),
        total: hold.total.into(),
    };
    Ok((status, location, Json(body)).into_response())
}

fn problem(error: ReserveError) -> Problem {
    match error {
        ReserveError::NoSuchEvent(_) => Problem::not_found("event"),
        ReserveError::NotFound => Problem::not_found("hold"),
        ReserveError::NoSuchSection(_) => {
            Problem::invalid_value("/bestAvailable/section", "the event has no such section")
        }
        ReserveError::UnknownSeats(seats) => {
            Problem::invalid_value("/seatIds", "some are no seats of this event").with("unknown", seats)
        }
        ReserveError::Invalid(mistakes) => invalid(&mistakes),
        ReserveError::NotOnSale => Problem::new(&kinds::NOT_ON_SALE, "The event is not on sale now."),
        ReserveError::OrderExists(_) => Problem::new(&kinds::ORDER_EXISTS, "The hold has an order already."),
        ReserveError::SeatsUnavailable(seats) => {
            let detail = if seats.is_empty() { "There are not as many." } else { "Somebody else has some of them." };
            Problem::new(&kinds::SEATS_UNAVAILABLE, detail).with("unavailable", seats)
        }
        ReserveError::Busy => {
            Problem::new(&kinds::OVERLOADED, "The hold is being changed by other requests.").retry_after(1)
        }
        ReserveError::Database(error) => error.into(),
    }
}

fn invalid(mistakes: &[Mistake]) -> Problem {
    let (pointer, message) =
        mistakes.first().map(|first| (first.pointer.as_str(), first.message.as_str())).unwrap_or_default();
    Problem::invalid_value(pointer, message).with("mistakes", serde_json::to_value(mistakes).unwrap_or_default())
}
