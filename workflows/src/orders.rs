//! Orders: what a buyer asked for, from the request to the tickets. Placing one starts the saga that carries it
//! out; from then on its status follows the saga's moves (see [`crate::projection`]).

mod cancel;
mod payment_method;
mod place;
mod record;
mod status;
mod view;
mod wait;

pub use cancel::{CancelError, CancelOrder, Cancellation, Cancelled, cancel};
pub use payment_method::{InvalidPaymentMethod, PaymentMethod};
pub(crate) use place::keys;
pub use place::{PlaceError, PlaceOrder, Placed, Placement, Places, expire_keys};
pub use record::{NewOrder, record_in_tx, saga_in_tx};
pub use status::{IllegalOrderTransition, NotAnOrderStatus, OrderEvent, OrderStatus};
pub use view::{Order, OrderFilter, OrderPayment, OrderRefund, OrderTicket, find, list};
pub use wait::OrderWaits;

use crate::ids::{OrderId, RefundId};
use orchestrator::ids::{SagaId, Uuid};

/// The saga that carries out an order.
pub const BOOK_TICKETS: &str = "book-tickets";
/// The saga that gives an order's money back.
pub const REFUND_ORDER: &str = "refund-order";
/// Why an order was taken back that somebody wanted taken back.
pub(crate) const CANCELLED: &str = "cancelled";
/// Who starts the sagas that follow from orders, and whose their keys are.
pub const KEY_OWNER: &str = "orders";

/// The key under which an order's whole money is given back: by whichever saga or person, once.
#[must_use]
pub fn whole_refund_key(order: OrderId) -> String {
    format!("refund:{order}:all")
}

/// The refund of an order's whole money.
#[must_use]
pub fn whole_refund_id(order: OrderId) -> RefundId {
    RefundId(Uuid::new_v5(&order.0, b"refund:all"))
}

/// The order that a saga carries out or refunds, as its input says.
#[must_use]
pub(crate) fn order_of(input: &serde_json::Value) -> Option<OrderId> {
    input.get("orderId")?.as_str()?.parse().ok()
}

/// What a row of ours says that it must not.
pub(crate) fn impossible(
    table: &str,
    column: &str,
    row: impl std::fmt::Display,
    why: impl std::fmt::Display,
) -> sqlx::Error {
    sqlx::Error::Decode(format!("{table}.{column} of {row}: {why}").into())
}

/// The saga of an order, where the order exists.
///
/// # Errors
/// The database's.
pub async fn saga_of(pool: &sqlx::PgPool, order: OrderId) -> Result<Option<SagaId>, sqlx::Error> {
    let saga = sqlx::query_scalar!("select saga_id from booking.orders where order_id = $1", order.0)
        .fetch_optional(pool)
        .await?;
    Ok(saga.map(SagaId))
}
