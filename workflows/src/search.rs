//! Finds sagas by what people know of them: an order, a payment's reference, a seat, a buyer.

use crate::ids::OrderId;
use orchestrator::{ids::SagaId, view::Search};
use sqlx::PgPool;

/// Sagas of how many orders one search finds, the newest first.
const ORDERS_MAX: i64 = 1_000;
/// The tags of our sagas that say what they are about.
const TAGS: [&str; 3] = ["order", "refund", "event"];
/// The tags that say who somebody is.
pub const PERSONAL_TAGS: [&str; 1] = ["user"];

/// How much of what is known of an order may be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everything,
    /// Nothing that says who somebody is: otherwise whoever may not see an e-mail address could still find out
    /// whose order it is.
    NothingPersonal,
}

/// What `text` may mean, for lists of sagas.
///
/// # Errors
/// The database's.
pub async fn sagas(pool: &PgPool, text: &str, scope: Scope) -> Result<Search, sqlx::Error> {
    let email = (scope == Scope::Everything && text.contains('@')).then_some(text);
    let sagas = sqlx::query_scalar!(
        r#"with found as (
             select order_id from booking.orders where order_id = $2
             union
             select order_id from booking.payments where reference = $1
             union
             select order_id from booking.refunds where reference = $1
             union
             (select order_id from booking.order_emails where lower(email) = lower($3)
              order by order_id desc limit $4)
             union
             (select order_id from booking.orders where seat_ids @> array[$1] order by order_id desc limit $4)
         )
         select o.saga_id as "saga_id!" from found join booking.orders o using (order_id)
         union
         select o.cancel_saga_id from found join booking.orders o using (order_id) where o.cancel_saga_id is not null
         union
         select r.saga_id from found join booking.refunds r using (order_id)"#,
        text,
        text.parse::<OrderId>().ok().map(|order| order.0),
        email,
        ORDERS_MAX,
    )
    .fetch_all(pool)
    .await?;
    let named = text.parse().ok();
    let personal = if scope == Scope::Everything { &PERSONAL_TAGS[..] } else { &[] };
    Ok(Search {
        sagas: sagas.into_iter().map(SagaId).chain(named).collect(),
        tags: TAGS.iter().chain(personal).map(|tag| ((*tag).to_owned(), text.to_owned())).collect(),
    })
}
