//! A settlement as people see it: what agrees, and each line that does not with its saga and what can be done about it.

use crate::{
    csv::{self, ROWS_PER_READ},
    page,
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    wire::{self, Amount, Time},
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use orchestrator::ids::SagaId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use workflows::{
    gateways::Reference,
    ids::{ApprovalId, OrderId, PaymentId, RefundId, SettlementId},
    settlements::{self, CurrencyTotal, LineAct, LineFilter, LineRow, Outcome},
};

/// The name of this list in cursors.
const LIST: &str = "settlement-lines";
/// What a line of CSV has; amounts are in minor units.
const COLUMNS: [&str; 21] = [
    "line",
    "outcome",
    "state",
    "movement",
    "category",
    "paymentReference",
    "reference",
    "grossMinor",
    "feeMinor",
    "netMinor",
    "currency",
    "expectedMinor",
    "expectedCurrency",
    "occurredAt",
    "orderId",
    "refundId",
    "sagaId",
    "act",
    "actedBy",
    "actReason",
    "approvalId",
];

/// A file that was taken into the books, with a page of its lines.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettlementShown {
    #[schema(value_type = String)]
    settlement_id: SettlementId,
    gateway: String,
    imported_at: Time,
    imported_by: String,
    /// How many lines the file has, without the heading.
    line_count: i32,
    /// How many there are of each outcome: `matched`, `missing`, `unexpected`, `over`, `under`, `wrongCurrency`, `duplicate`.
    counts: BTreeMap<String, i64>,
    /// How many of them are for a person.
    open: i64,
    /// By currency.
    totals: Vec<Total>,
    lines: Vec<LineShown>,
    /// The `cursor` of the lines that follow; null on the last page.
    next: Option<String>,
}

/// What the lines come to, in one currency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Total {
    gross: Amount,
    fee: Amount,
    net: Amount,
    /// What the file says was paid out; Stripe's says nothing of that.
    paid_out: Amount,
}

impl From<CurrencyTotal> for Total {
    fn from(total: CurrencyTotal) -> Self {
        let CurrencyTotal { gross, fee, net, paid_out } = total;
        Self { gross: gross.into(), fee: fee.into(), net: net.into(), paid_out: paid_out.into() }
    }
}

/// One line. What comes to us is positive.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineShown {
    line: i32,
    /// `matched`, `missing`, `unexpected`, `over`, `under`, `wrongCurrency`, `duplicate`.
    outcome: &'static str,
    /// `settled`, `open`, `told`, `received`, `writtenOff`.
    state: &'static str,
    /// `capture`, `refund`, `refundReturned`, `dispute`, `disputeReturned`, `fee`, `payout`, `other`.
    movement: &'static str,
    /// What the gateway calls that.
    category: String,
    /// The gateway's name for the charge.
    #[schema(value_type = Option<String>)]
    payment_reference: Option<Reference>,
    /// The gateway's name for the refund or the dispute of it.
    #[schema(value_type = Option<String>)]
    reference: Option<Reference>,
    gross: Amount,
    fee: Amount,
    net: Amount,
    /// What our books say.
    expected: Option<Amount>,
    occurred_at: Time,
    #[schema(value_type = Option<String>)]
    order_id: Option<OrderId>,
    #[schema(value_type = Option<String>)]
    payment_id: Option<PaymentId>,
    #[schema(value_type = Option<String>)]
    refund_id: Option<RefundId>,
    #[schema(value_type = Option<String>)]
    saga_id: Option<SagaId>,
    /// What can be done about it now: `resume`, `refund`, `write-off`, `received`.
    acts: Vec<&'static str>,
    /// What a person has done about it.
    act: Option<String>,
    /// Who.
    acted_by: Option<String>,
    /// Why.
    act_reason: Option<String>,
    /// The consent that it needs.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

impl From<LineRow> for LineShown {
    fn from(row: LineRow) -> Self {
        let acts = LineAct::ALL.into_iter().filter(|act| act.check(&row).is_ok()).map(LineAct::as_str).collect();
        Self {
            line: row.line,
            outcome: row.outcome.as_str(),
            state: row.state.as_str(),
            movement: row.movement.as_str(),
            category: row.category,
            payment_reference: row.payment,
            reference: row.reference,
            gross: row.gross.into(),
            fee: row.fee.into(),
            net: row.net.into(),
            expected: row.expected.map(Amount::from),
            occurred_at: row.occurred_at.into(),
            order_id: row.order_id,
            payment_id: row.payment_id,
            refund_id: row.refund_id,
            saga_id: row.saga_id,
            acts,
            act: row.act,
            acted_by: row.acted_by,
            act_reason: row.act_reason,
            approval_id: row.approval_id,
        }
    }
}

/// Which lines.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Lines {
    /// Of one outcome.
    outcome: Option<String>,
    /// Only those that are for a person.
    open: Option<bool>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A settlement and its lines, in the order of the file; what is missing comes last. As `text/csv` all lines that match.
#[utoipa::path(get, path = "/settlements/{id}", tag = "settlements", operation_id = "getSettlement",
    params(("id" = String, Path), Lines),
    responses((status = 200, content((SettlementShown = "application/json"), (String = "text/csv")))))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictPath(id): StrictPath<SettlementId>,
    StrictQuery(query): StrictQuery<Lines>,
) -> Result<Response, Problem> {
    if !csv::is_wanted(&headers) {
        return Ok(Json(shown(&state, id, query).await?).into_response());
    }
    let filter = filter_of(&query)?;
    settlements::find(state.engine.pool(), id).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    Ok(as_csv(state, id, filter))
}

fn filter_of(query: &Lines) -> Result<LineFilter, Problem> {
    let outcome = query.outcome.as_deref().map(str::parse::<Outcome>).transpose();
    let outcome = outcome
        .map_err(|error| Problem::new(&kinds::INVALID_PARAMETER, format!("{error}.")).with("parameter", "outcome"))?;
    let after: Option<i32> = page::decode(LIST, query.cursor.as_deref())?;
    Ok(LineFilter { outcome, open: query.open.unwrap_or_default(), after: after.unwrap_or_default() })
}

/// No line changes its place: as many reads as it takes miss none and tell none twice.
fn as_csv(state: ApiState, id: SettlementId, filter: LineFilter) -> Response {
    csv::document(&COLUMNS, filter, move |filter| {
        let state = state.clone();
        async move {
            let rows = settlements::lines(state.engine.pool(), id, filter, ROWS_PER_READ.into()).await?;
            let next = rows.last().map(|last| LineFilter { after: last.line, ..filter });
            let mut text = String::new();
            rows.iter().for_each(|row| add_line(&mut text, row));
            Ok((text, next.filter(|_| rows.len() == usize::from(ROWS_PER_READ))))
        }
    })
}

fn add_line(text: &mut String, row: &LineRow) {
    fn named(name: Option<impl ToString>) -> String {
        name.map(|name| name.to_string()).unwrap_or_default()
    }
    let cells = [
        &row.line.to_string(),
        row.outcome.as_str(),
        row.state.as_str(),
        row.movement.as_str(),
        &row.category,
        &named(row.payment.as_ref()),
        &named(row.reference.as_ref()),
        &row.gross.amount_minor.to_string(),
        &row.fee.amount_minor.to_string(),
        &row.net.amount_minor.to_string(),
        row.gross.currency.code(),
        &named(row.expected.map(|expected| expected.amount_minor)),
        row.expected.map(|expected| expected.currency.code()).unwrap_or_default(),
        &wire::utc(row.occurred_at),
        &named(row.order_id),
        &named(row.refund_id),
        &named(row.saga_id),
        row.act.as_deref().unwrap_or_default(),
        row.acted_by.as_deref().unwrap_or_default(),
        row.act_reason.as_deref().unwrap_or_default(),
        &named(row.approval_id),
    ];
    csv::add_line(text, cells);
}

/// The settlement with these lines.
pub(super) async fn shown(state: &ApiState, id: SettlementId, query: Lines) -> Result<SettlementShown, Problem> {
    let limit = page::limit(query.limit)?;
    let filter = filter_of(&query)?;
    let pool = state.engine.pool();
    let found = settlements::find(pool, id).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    let rows = settlements::lines(pool, id, filter, limit + 1).await?;
    let page = page::Page::from_rows(LIST, rows, limit, |last| last.line, LineShown::from);
    Ok(SettlementShown {
        settlement_id: id,
        gateway: found.gateway,
        imported_at: found.imported_at.into(),
        imported_by: found.imported_by,
        line_count: found.line_count,
        open: found.counts.iter().map(|count| count.open).sum(),
        counts: found.counts.into_iter().map(|count| (count.outcome.to_string(), count.lines)).collect(),
        totals: found.totals.into_iter().map(Total::from).collect(),
        lines: page.items,
        next: page.next,
    })
}
