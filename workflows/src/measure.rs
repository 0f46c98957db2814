//! What stands in the booking tables, as metrics. Every process that looks says the same: of several take one, never
//! the sum.

use crate::{
    breakers::{Operation, modes, parked_reason},
    payments::Gateways,
    refunds::REFUND_STATES,
};
use sqlx::PgPool;

/// Looks how many holds last, how many orders and refunds are not over, and what waits behind which breaker.
///
/// # Errors
/// The database's.
pub async fn measure(pool: &PgPool, gateways: &Gateways) -> Result<(), sqlx::Error> {
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
    refunds(pool).await?;
    breakers(pool, gateways).await
}

async fn refunds(pool: &PgPool) -> Result<(), sqlx::Error> {
    let open: Vec<_> = REFUND_STATES.into_iter().filter(|state| !["succeeded", "rejected"].contains(state)).collect();
    let refunds = sqlx::query!(
        r#"select open.state as "state!", count(r.refund_id)::float8 as "refunds!",
               coalesce(extract(epoch from now() - min(r.requested_at)), 0)::float8 as "oldest_secs!"
           from unnest($1::text[]) as open (state)
           left join booking.refunds r on r.state = open.state and r.state not in ('succeeded', 'rejected')
           group by open.state"#,
        &open.into_iter().map(str::to_owned).collect::<Vec<_>>()
    )
    .fetch_all(pool)
    .await?;
    for row in refunds {
        metrics::gauge!("showrunner_refunds", "state" => row.state.clone()).set(row.refunds);
        metrics::gauge!("showrunner_refund_oldest_seconds", "state" => row.state).set(row.oldest_secs);
    }
    Ok(())
}

/// Each breaker as this process knows it, and how many sagas wait behind it.
async fn breakers(pool: &PgPool, gateways: &Gateways) -> Result<(), sqlx::Error> {
    let names = || gateways.iter().map(|configured| configured.gateway.name());
    let reasons = names().flat_map(|name| Operation::ALL.map(|operation| parked_reason(name, operation)));
    let parked = modes::parked(pool, &reasons.collect::<Vec<_>>()).await?;
    for configured in gateways.iter() {
        let Some(breakers) = configured.gateway.breakers() else { continue };
        for operation in Operation::ALL {
            let name = configured.gateway.name();
            let labels = [("gateway", name.to_owned()), ("operation", operation.as_str().to_owned())];
            let is_away = breakers.closed_for(operation).is_some();
            metrics::gauge!("showrunner_breaker_open", &labels).set(u32::from(is_away));
            let waiting = parked.get(&parked_reason(name, operation)).copied().unwrap_or_default();
            metrics::gauge!("showrunner_sagas_parked", &labels).set(u32::try_from(waiting).unwrap_or(u32::MAX));
        }
    }
    Ok(())
}
