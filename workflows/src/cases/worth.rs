//! Whose money is in a case, and how much. Each of its sagas is looked up by itself and by an index, so that a case of
//! ten thousand costs ten thousand look-ups and never a table.

use crate::money::{Currency, Money};
use orchestrator::ids::CaseId;
use sqlx::PgPool;
use std::collections::HashMap;

/// How many people have orders in each case.
pub(super) async fn buyers(pool: &PgPool, one: Option<CaseId>) -> Result<HashMap<CaseId, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select open.group_id as "group_id!", count(distinct buyer.user_id) as "buyers!"
           from engine.open_cases as open
           cross join lateral (
               (select o.user_id from booking.orders o where o.saga_id = open.looked_at limit 1)
               union all
               (select o.user_id from booking.refunds r join booking.orders o on o.order_id = r.order_id
                where r.saga_id = open.looked_at limit 1)
               union all
               -- one that settles a doubt says in its tags whose
               (select o.user_id from engine.saga_states s
                join booking.orders o on o.order_id = substr(s.tags ->> 'order', 5)::uuid
                where s.saga_id = open.looked_at and s.definition = 'settle-doubt' limit 1)
           ) as buyer
           where $1::uuid is null or open.group_id = $1
           group by open.group_id"#,
        one.map(|case| case.0)
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (CaseId(row.group_id), row.buyers)).collect())
}

/// What gateways hold of each case's orders or may hold, what refunds owe, and what webhooks tell of that nobody knows.
pub(super) async fn money_at_risk(
    pool: &PgPool,
    one: Option<CaseId>,
) -> Result<HashMap<CaseId, Vec<Money>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select open.group_id as "group_id!", held.currency as "currency!", sum(held.minor)::int8 as "minor!"
           from engine.open_cases as open
           cross join lateral (
               -- an order's own charges, save those that another saga looks after
               (select p.currency, case when p.captured_minor > 0 then p.captured_minor - p.refunded_minor
                                        when p.status in ('pending', 'inDoubt') then p.amount_minor
                                        else 0 end as minor
                from booking.orders o join booking.payments p on p.order_id = o.order_id
                where o.saga_id = open.looked_at and p.left_behind_at is null limit 100)
               union all
               (select r.currency, r.amount_minor from booking.refunds r
                where r.saga_id = open.looked_at and r.state not in ('succeeded', 'rejected') limit 1)
               union all
               (select p.currency, case when p.captured_minor > 0 then p.captured_minor - p.refunded_minor
                                        else p.amount_minor end
                from engine.saga_states s
                join booking.payments p on p.order_id = substr(s.tags ->> 'order', 5)::uuid
                where s.saga_id = open.looked_at and s.definition = 'settle-doubt'
                  and p.left_behind_at is not null and p.status <> 'voided' limit 100)
               union all
               (select i.detail #>> '{amount,currency}', (i.detail #>> '{amount,amount}')::int8
                from booking.webhook_inbox i
                where open.cause = 'webhook-unmatched' and i.gateway = open.gateway
                  and i.webhook_id = substr(open.subject, length(open.gateway) + 2)
                  and i.kind = 'paymentCaptured' and i.detail -> 'amount' <> 'null'
                limit 1)
           ) as held
           where ($1::uuid is null or open.group_id = $1) and held.minor > 0
           group by open.group_id, held.currency
           order by open.group_id, held.currency"#,
        one.map(|case| case.0)
    )
    .fetch_all(pool)
    .await?;
    let mut sums: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let currency = Currency::from_code(&row.currency).ok_or_else(|| {
            sqlx::Error::Decode(format!("a case has money in `{}`, which is no currency", row.currency).into())
        })?;
        sums.entry(CaseId(row.group_id)).or_default().push(Money::new(row.minor, currency));
    }
    Ok(sums)
}
