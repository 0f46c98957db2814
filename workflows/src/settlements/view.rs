//! Settlements and their lines, as people see them.

use super::{
    file::{Line, Movement},
    outcome::Outcome,
    state::LineState,
};
use crate::{
    gateways::Reference,
    ids::{ApprovalId, OrderId, PaymentId, RefundId, SettlementId},
    money::{Money, currency_from_code},
    orders::impossible,
};
use chrono::{DateTime, Utc};
use orchestrator::ids::{SagaId, Uuid};
use sqlx::{PgConnection, PgPool};
use std::{fmt::Display, str::FromStr};

/// A file that was taken into the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Its id.
    pub settlement_id: SettlementId,
    /// Whose it is.
    pub gateway: String,
    /// How many lines it has, without the heading.
    pub line_count: i32,
    /// When it came.
    pub imported_at: DateTime<Utc>,
    /// Who has brought it.
    pub imported_by: String,
    /// How many lines there are of each kind, and how many of them are for a person.
    pub counts: Vec<OutcomeCount>,
    /// What its lines come to.
    pub totals: Vec<CurrencyTotal>,
}

/// How many lines have an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeCount {
    /// Which.
    pub outcome: Outcome,
    /// How many.
    pub lines: i64,
    /// How many of them are for a person.
    pub open: i64,
}

/// What lines come to, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyTotal {
    /// Before fees.
    pub gross: Money,
    /// What the gateway has kept.
    pub fee: Money,
    /// What is left.
    pub net: Money,
    /// What the file says was paid out.
    pub paid_out: Money,
}

/// One line with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// The file.
    pub settlement_id: SettlementId,
    /// Its place there.
    pub line: i32,
    /// Whose file it is.
    pub gateway: String,
    /// What moved.
    pub movement: Movement,
    /// What the gateway calls that.
    pub category: String,
    pub(super) identity: Option<String>,
    /// The gateway's name for the charge.
    pub payment: Option<Reference>,
    /// The gateway's name for the refund or the dispute of it.
    pub reference: Option<Reference>,
    pub(super) own: Option<Reference>,
    /// Before fees.
    pub gross: Money,
    /// What the gateway has kept.
    pub fee: Money,
    /// What is left.
    pub net: Money,
    /// When it happened there.
    pub occurred_at: DateTime<Utc>,
    /// How it stands to our books.
    pub outcome: Outcome,
    /// What our books say.
    pub expected: Option<Money>,
    /// The order, where it is known.
    pub order_id: Option<OrderId>,
    /// The charge, where it is known.
    pub payment_id: Option<PaymentId>,
    /// The refund, where it is known.
    pub refund_id: Option<RefundId>,
    /// The saga that looks after it, or did.
    pub saga_id: Option<SagaId>,
    /// Whether that saga is over; true where it is gone.
    pub saga_is_finished: bool,
    /// Whether there is something to do.
    pub state: LineState,
    /// What a person has done about it.
    pub act: Option<String>,
    /// Who.
    pub acted_by: Option<String>,
    /// Why.
    pub act_reason: Option<String>,
    /// The consent that was asked for.
    pub approval_id: Option<ApprovalId>,
}

/// The file with this id.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, id: SettlementId) -> Result<Option<Settlement>, sqlx::Error> {
    let row = sqlx::query!(
        "select gateway, line_count, imported_at, imported_by from booking.settlements where settlement_id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let counts = sqlx::query!(
        r#"select outcome, count(*) as "lines!", count(*) filter (where state in ('open', 'told')) as "open!"
           from booking.settlement_lines where settlement_id = $1 group by outcome order by outcome"#,
        id.0
    )
    .fetch_all(pool)
    .await?;
    let counts = counts.into_iter().map(|count| {
        let outcome = read("outcome", id, &count.outcome)?;
        Ok(OutcomeCount { outcome, lines: count.lines, open: count.open })
    });
    Ok(Some(Settlement {
        settlement_id: id,
        gateway: row.gateway,
        line_count: row.line_count,
        imported_at: row.imported_at,
        imported_by: row.imported_by,
        counts: counts.collect::<Result<_, sqlx::Error>>()?,
        totals: totals(pool, id).await?,
    }))
}

async fn totals(pool: &PgPool, id: SettlementId) -> Result<Vec<CurrencyTotal>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select currency, coalesce(sum(gross_minor) filter (where movement <> 'payout'), 0)::bigint as "gross!",
               coalesce(sum(fee_minor) filter (where movement <> 'payout'), 0)::bigint as "fee!",
               coalesce(sum(net_minor) filter (where movement <> 'payout'), 0)::bigint as "net!",
               coalesce(-sum(net_minor) filter (where movement = 'payout'), 0)::bigint as "paid_out!"
           from booking.settlement_lines where settlement_id = $1 and outcome <> 'missing'
           group by currency order by currency"#,
        id.0
    )
    .fetch_all(pool)
    .await?;
    let totals = rows.into_iter().map(|row| {
        let money = |amount| money(id, amount, &row.currency);
        Ok(CurrencyTotal {
            gross: money(row.gross)?,
            fee: money(row.fee)?,
            net: money(row.net)?,
            paid_out: money(row.paid_out)?,
        })
    });
    totals.collect()
}

/// Which lines of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineFilter {
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Only those that are for a person.
    pub open: bool,
    /// Behind this one.
    pub after: i32,
}

/// At most `limit` lines, in their order.
///
/// # Errors
/// The database's.
pub async fn lines(
    pool: &PgPool,
    id: SettlementId,
    filter: LineFilter,
    limit: u32,
) -> Result<Vec<LineRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Stored,
        r#"select l.settlement_id as "settlement_id!", l.line as "line!", l.gateway as "gateway!", l.movement as "movement!",
               l.category as "category!", l.identity, l.payment_reference, l.reference, l.own_reference,
               l.gross_minor as "gross_minor!", l.fee_minor as "fee_minor!", l.net_minor as "net_minor!",
               l.currency as "currency!", l.occurred_at as "occurred_at!", l.outcome as "outcome!", l.expected_minor,
               l.expected_currency, l.order_id, l.payment_id, l.refund_id, l.saga_id,
               l.saga_is_finished as "saga_is_finished!", l.state as "state!", l.act, l.acted_by, l.act_reason, l.approval_id
           from booking.settlement_line_views l
           where l.settlement_id = $1 and l.line > $2 and ($3::text is null or l.outcome = $3)
             and (not $4 or l.state in ('open', 'told'))
           order by l.line limit $5"#,
        id.0,
        filter.after,
        filter.outcome.map(Outcome::as_str),
        filter.open,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Stored::read).collect()
}

/// One line, which nobody else changes for the rest of the transaction.
pub(super) async fn lock_line(
    tx: &mut PgConnection,
    id: SettlementId,
    line: i32,
) -> Result<Option<LineRow>, sqlx::Error> {
    sqlx::query!(
        "select line from booking.settlement_lines where settlement_id = $1 and line = $2 for update",
        id.0,
        line
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = sqlx::query_as!(
        Stored,
        r#"select l.settlement_id as "settlement_id!", l.line as "line!", l.gateway as "gateway!", l.movement as "movement!",
               l.category as "category!", l.identity, l.payment_reference, l.reference, l.own_reference,
               l.gross_minor as "gross_minor!", l.fee_minor as "fee_minor!", l.net_minor as "net_minor!",
               l.currency as "currency!", l.occurred_at as "occurred_at!", l.outcome as "outcome!", l.expected_minor,
               l.expected_currency, l.order_id, l.payment_id, l.refund_id, l.saga_id,
               l.saga_is_finished as "saga_is_finished!", l.state as "state!", l.act, l.acted_by, l.act_reason, l.approval_id
           from booking.settlement_line_views l where l.settlement_id = $1 and l.line = $2"#,
        id.0,
        line
    )
    .fetch_optional(tx)
    .await?;
    row.map(Stored::read).transpose()
}

/// Open lines that have no counterpart, by settlement and line, behind `after`.
pub(super) async fn without_counterpart(
    tx: &mut PgConnection,
    gateway: &str,
    (settlement, line): (Uuid, i32),
    limit: i64,
) -> Result<Vec<LineRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Stored,
        r#"select l.settlement_id as "settlement_id!", l.line as "line!", l.gateway as "gateway!", l.movement as "movement!",
               l.category as "category!", l.identity, l.payment_reference, l.reference, l.own_reference,
               l.gross_minor as "gross_minor!", l.fee_minor as "fee_minor!", l.net_minor as "net_minor!",
               l.currency as "currency!", l.occurred_at as "occurred_at!", l.outcome as "outcome!", l.expected_minor,
               l.expected_currency, l.order_id, l.payment_id, l.refund_id, l.saga_id,
               l.saga_is_finished as "saga_is_finished!", l.state as "state!", l.act, l.acted_by, l.act_reason, l.approval_id
           from booking.settlement_line_views l
           where l.gateway = $1 and l.state in ('open', 'told') and l.outcome = 'unexpected'
             and (l.settlement_id, l.line) > ($2, $3)
           order by l.settlement_id, l.line limit $4"#,
        gateway,
        settlement,
        line,
        limit
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Stored::read).collect()
}

/// A row of the view.
struct Stored {
    settlement_id: Uuid,
    line: i32,
    gateway: String,
    movement: String,
    category: String,
    identity: Option<String>,
    payment_reference: Option<String>,
    reference: Option<String>,
    own_reference: Option<String>,
    gross_minor: i64,
    fee_minor: i64,
    net_minor: i64,
    currency: String,
    occurred_at: DateTime<Utc>,
    outcome: String,
    expected_minor: Option<i64>,
    expected_currency: Option<String>,
    order_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    saga_id: Option<Uuid>,
    saga_is_finished: bool,
    state: String,
    act: Option<String>,
    acted_by: Option<String>,
    act_reason: Option<String>,
    approval_id: Option<Uuid>,
}

impl Stored {
    fn read(self) -> Result<LineRow, sqlx::Error> {
        let id = SettlementId(self.settlement_id);
        let name = |column, text: Option<String>| {
            let name = text.map(Reference::new).transpose();
            name.map_err(|error| impossible("booking.settlement_lines", column, id, error))
        };
        let movement = Movement::ALL.into_iter().find(|movement| movement.as_str() == self.movement);
        let movement =
            movement.ok_or_else(|| impossible("booking.settlement_lines", "movement", id, "is not known here"))?;
        let expected = self.expected_minor.zip(self.expected_currency.as_ref());
        Ok(LineRow {
            settlement_id: id,
            line: self.line,
            movement,
            payment: name("payment_reference", self.payment_reference)?,
            reference: name("reference", self.reference)?,
            own: name("own_reference", self.own_reference)?,
            gross: money(id, self.gross_minor, &self.currency)?,
            fee: money(id, self.fee_minor, &self.currency)?,
            net: money(id, self.net_minor, &self.currency)?,
            outcome: read("outcome", id, &self.outcome)?,
            expected: expected.map(|(amount, code)| money(id, amount, code)).transpose()?,
            order_id: self.order_id.map(OrderId),
            payment_id: self.payment_id.map(PaymentId),
            refund_id: self.refund_id.map(RefundId),
            saga_id: self.saga_id.map(SagaId),
            state: read("state", id, &self.state)?,
            gateway: self.gateway,
            category: self.category,
            identity: self.identity,
            occurred_at: self.occurred_at,
            saga_is_finished: self.saga_is_finished,
            act: self.act,
            acted_by: self.acted_by,
            act_reason: self.act_reason,
            approval_id: self.approval_id.map(ApprovalId),
        })
    }
}

impl LineRow {
    /// As it was in its file.
    pub(super) fn as_line(&self) -> Result<Line, sqlx::Error> {
        let wrong = |error: &str| impossible("booking.settlement_lines", "line", self.settlement_id, error);
        Ok(Line {
            number: u64::try_from(self.line).map_err(|_| wrong("is negative"))?,
            movement: self.movement,
            category: self.category.clone(),
            identity: self.identity.clone().ok_or_else(|| wrong("is in no file"))?,
            payment: self.payment.clone(),
            own: self.own.clone(),
            reference: self.reference.clone(),
            gross: self.gross,
            fee: self.fee,
            net: self.net,
            at: self.occurred_at,
        })
    }
}

fn read<T: FromStr<Err: Display>>(column: &str, id: SettlementId, text: &str) -> Result<T, sqlx::Error> {
    text.parse().map_err(|error| impossible("booking.settlement_lines", column, id, error))
}

fn money(id: SettlementId, amount_minor: i64, code: &str) -> Result<Money, sqlx::Error> {
    let wrong = |error| impossible("booking.settlement_lines", "currency", id, error);
    Ok(Money::new(amount_minor, currency_from_code(code).map_err(wrong)?))
}
