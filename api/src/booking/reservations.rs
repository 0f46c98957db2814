//! Giving a hold back.

use crate::{
    auth::Caller,
    problem::{Problem, kinds},
    query::StrictPath,
    state::ApiState,
};
use axum::{extract::State, http::StatusCode};
use workflows::{holds::ReleaseError, ids::HoldId};

/// Gives the seats of a hold back. Again: the same.
#[utoipa::path(delete, path = "/reservations/{reserveId}", tag = "booking", operation_id = "releaseReservation",
    params(("reserveId" = String, Path)), responses((status = 204, description = "The seats are free")))]
pub(crate) async fn release(
    State(state): State<ApiState>,
    Caller(caller): Caller,
    StrictPath(hold): StrictPath<HoldId>,
) -> Result<StatusCode, Problem> {
    state.holds.release(hold, caller.user.as_deref()).await.map_err(|error| match error {
        ReleaseError::NotFound => Problem::not_found("hold"),
        ReleaseError::OrderExists(_) => Problem::new(&kinds::ORDER_EXISTS, "The hold has an order already."),
        ReleaseError::Database(error) => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
