//! A settlement as people see it: what agrees, and each line that does not with its saga and what can be done about it.

use crate::{
    page,
    problem::{Problem, kinds},
    query::{StrictPath, StrictQuery},
    state::ApiState,
    wire::{Amount, Time},
};
use axum::{Json, extract::State};
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

/// A settlement and its lines, in the order of the file; what is missing comes last.
#[utoipa::path(get, path = "/settlements/{id}", tag = "settlements", operation_id = "getSettlement",
    params(("id" = String, Path), Lines), responses((status = 200, body = SettlementShown)))]
pub(crate) async fn show(
    State(state): State<ApiState>,
    StrictPath(id): StrictPath<SettlementId>,
    StrictQuery(query): StrictQuery<Lines>,
) -> Result<Json<SettlementShown>, Problem> {
    shown(&state, id, query).await.map(Json)
}

/// The settlement with these lines.
pub(super) async fn shown(state: &ApiState, id: SettlementId, query: Lines) -> Result<SettlementShown, Problem> {
    let limit = page::limit(query.limit)?;
    let outcome = query.outcome.map(|text| text.parse::<Outcome>()).transpose();
    let outcome = outcome
        .map_err(|error| Problem::new(&kinds::INVALID_PARAMETER, format!("{error}.")).with("parameter", "outcome"))?;
    let after: Option<i32> = page::decode(LIST, query.cursor.as_deref())?;
    let pool = state.engine.pool();
    let found = settlements::find(pool, id).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    let filter = LineFilter { outcome, open: query.open.unwrap_or_default(), after: after.unwrap_or_default() };
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
