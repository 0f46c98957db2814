//! What sagas do with seats, each in the transaction of its move: hold, commit, release.
//!
//! All are keyed by the order. Running one twice does nothing the second time. A release that comes first bars
//! the hold and the commit that come late.

use crate::{
    holds::{
        BoundHold, ConfirmError, NewOrderHold, SEATS_PER_HOLD_MAX, commit_in_tx, confirm_in_tx, hold_for_order_in_tx,
        release_order_in_tx,
    },
    ids::{EventId, HoldId, OrderId},
    money::Money,
    orders::{self, NewOrder},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::action::{Answer, Call, Halt, LocalAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::time::Duration;

/// `seats.hold`: makes sure of the order's hold, or makes it from seats.
#[derive(Debug, Clone, Copy)]
pub struct HoldSeats {
    /// How long a hold lasts that has to be made, or made again.
    pub lasts: Duration,
    /// How long it must last at least, so that there is time to pay: it is extended to that, once.
    pub to_pay: Duration,
}

/// What [`HoldSeats`] needs: the order, and where it was placed without a hold, the seats and their buyer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldSeatsInput {
    /// Whose.
    pub order_id: OrderId,
    /// What the seats are for.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// The seats.
    #[serde(default)]
    pub seat_ids: Vec<String>,
    /// For whom.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// An order's seats, held.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldSeatsOutput {
    /// The hold.
    pub hold_id: HoldId,
    /// What the seats are for.
    pub event_id: EventId,
    /// The seats.
    pub seat_ids: Vec<String>,
    /// What they cost together.
    pub total: Money,
    /// When the hold ends.
    pub expires_at: DateTime<Utc>,
}

#[async_trait]
impl LocalAction for HoldSeats {
    const NAME: &'static str = "seats.hold";
    type Input = HoldSeatsInput;
    type Output = HoldSeatsOutput;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Self::Input) -> Answer<Self::Output> {
        let needed_until = call.now + self.to_pay;
        let held = match (input.event_id, input.user_id) {
            (Some(event_id), Some(user_id)) if !input.seat_ids.is_empty() => {
                if input.seat_ids.len() > SEATS_PER_HOLD_MAX {
                    return Err(Halt::permanent("too-many-seats", format!("at most {SEATS_PER_HOLD_MAX} seats")));
                }
                let (hold_id, seat_ids) = (HoldId(call.saga_id.0), input.seat_ids);
                let new = NewOrderHold { hold_id, order_id: input.order_id, event_id, user_id, seat_ids };
                hold_for_order_in_tx(tx, &new, self.lasts, needed_until).await
            }
            _ => confirm_in_tx(tx, input.order_id, self.lasts, needed_until).await,
        };
        let hold = held.map_err(halt)?;
        match orders::saga_in_tx(&mut *tx, input.order_id).await? {
            Some(saga_id) if saga_id == call.saga_id => {}
            Some(_) => return Err(not_its_order(input.order_id)),
            // a saga that was started with seats: nobody has placed its order
            None => {
                let new = NewOrder { order_id: input.order_id, saga_id: call.saga_id, hold: hold.clone() };
                if !orders::record_in_tx(&mut *tx, &new).await? {
                    return Err(not_its_order(input.order_id));
                }
            }
        }
        let BoundHold { hold_id, event_id, seat_ids, total, expires_at, .. } = hold;
        Ok(HoldSeatsOutput { hold_id, event_id, seat_ids, total, expires_at })
    }
}

/// `seats.commit`: sells the order its seats, after looking at the hold once more.
#[derive(Debug, Clone, Copy)]
pub struct CommitSeats;

/// Whose seats.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderSeatsInput {
    /// Whose.
    pub order_id: OrderId,
}

/// An order's seats, sold.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitSeatsOutput {
    /// What the seats are for.
    pub event_id: EventId,
    /// The seats.
    pub seat_ids: Vec<String>,
}

#[async_trait]
impl LocalAction for CommitSeats {
    const NAME: &'static str = "seats.commit";
    type Input = OrderSeatsInput;
    type Output = CommitSeatsOutput;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Self::Input) -> Answer<Self::Output> {
        if orders::saga_in_tx(&mut *tx, input.order_id).await?.is_some_and(|saga_id| saga_id != call.saga_id) {
            return Err(not_its_order(input.order_id));
        }
        let sold = commit_in_tx(tx, input.order_id).await.map_err(halt)?;
        Ok(CommitSeatsOutput { event_id: sold.event_id, seat_ids: sold.seat_ids })
    }
}

/// `seats.release`: gives back what the order has of seats, and bars what comes late.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseSeats;

/// What was given back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSeatsOutput {
    /// The seats that were the order's until now.
    pub released: Vec<String>,
}

#[async_trait]
impl LocalAction for ReleaseSeats {
    const NAME: &'static str = "seats.release";
    type Input = OrderSeatsInput;
    type Output = ReleaseSeatsOutput;

    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Self::Input) -> Answer<Self::Output> {
        if orders::saga_in_tx(&mut *tx, input.order_id).await?.is_some_and(|saga_id| saga_id != call.saga_id) {
            return Ok(ReleaseSeatsOutput { released: Vec::new() });
        }
        let released = release_order_in_tx(tx, input.order_id).await?;
        Ok(ReleaseSeatsOutput { released: released.seat_ids })
    }
}

fn not_its_order(order: OrderId) -> Halt {
    Halt::permanent("order-exists", format!("{order} is carried out by another saga"))
}

fn halt(error: ConfirmError) -> Halt {
    let code = match error {
        ConfirmError::Database(error) => return error.into(),
        ConfirmError::NoHold | ConfirmError::GivenBack | ConfirmError::Lost(_) => "hold-lost",
        ConfirmError::UnknownSeats(_) | ConfirmError::NoSuchEvent => "no-such-seats",
    };
    Halt::permanent(code, error.to_string())
}
