//! What stands in the booking tables, as metrics. Every process that looks says the same: of several take one, never
//! the sum.

use sqlx::PgPool;

/// Looks how many holds last and how many orders are not settled.
///
/// # Errors
/// The database's.
pub async fn measure(pool: &PgPool) -> Result<(), sqlx::Error> {
    let holds = sqlx::query!(
        r#"select count(*) filter (where state = 'active')::float8 as "active!",
               count(*) filter (where state = 'ordered')::float8 as "ordered!"
           from booking.holds where state in ('active', 'ordered')"#
    )
    .fetch_one(pool)
    .await?;
    metrics::gauge!("showrunner_holds", "state" => "active").set(holds.active);
    metrics::gauge!("showrunner_holds", "state" => "ordered").set(holds.ordered);

    let orders = sqlx::query!(
        r#"select count(*) filter (where status = 'pending')::float8 as "pending!",
               count(*) filter (where status = 'actionRequired')::float8 as "action_required!",
               count(*) filter (where status = 'cancelling')::float8 as "cancelling!",
               count(*) filter (where status = 'attention')::float8 as "attention!"
           from booking.orders where status in ('pending', 'actionRequired', 'cancelling', 'attention')"#
    )
    .fetch_one(pool)
    .await?;
    metrics::gauge!("showrunner_orders", "status" => "pending").set(orders.pending);
    metrics::gauge!("showrunner_orders", "status" => "actionRequired").set(orders.action_required);
    metrics::gauge!("showrunner_orders", "status" => "cancelling").set(orders.cancelling);
    metrics::gauge!("showrunner_orders", "status" => "attention").set(orders.attention);
    Ok(())
}
