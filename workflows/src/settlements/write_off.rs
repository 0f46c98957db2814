//! Giving a difference up: asked for by one person, and done in the transaction in which another consents. Whoever has a
//! line has locked it before its approval.

use super::{
    acts::{ActOnLine, LineAct, LineActError, left_over, moved, write},
    state::{LineEvent, LineState},
    view::{self, LineRow},
};
use crate::{
    approvals::{self, Approval, ApprovedAct, Consent, NewApproval},
    ids::{ApprovalId, SettlementId},
    ledger::{Account, post_in_tx},
    orders::impossible,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

/// Asks for the consent of a second person. False where the same person has asked the same before, and nobody has decided.
pub(super) async fn ask_in_tx(tx: &mut PgConnection, wanted: &ActOnLine, row: &LineRow) -> Result<bool, LineActError> {
    LineAct::WriteOff.check(row).map_err(LineActError::NotAllowed)?;
    let content = content(row)?;
    if let Some(open) = open_in_tx(tx, row, &content).await? {
        let is_again = open.requested_by == wanted.by && open.reason == wanted.reason;
        return if is_again { Ok(false) } else { Err(LineActError::NotAllowed("somebody has asked for it already")) };
    }
    let approval = NewApproval {
        approval_id: ApprovalId::fresh(),
        act: ApprovedAct::WriteOff,
        object: &name_of(row),
        content: &content,
        requested_by: &wanted.by,
        reason: &wanted.reason,
        expires_in: wanted.expires_in,
    };
    approvals::request_in_tx(tx, &approval).await?;
    write(tx, wanted, row, row.state, Some(approval.approval_id)).await?;
    Ok(true)
}

/// Who has asked for exactly this, where somebody can still consent. What was asked for before and is not this is over.
async fn open_in_tx(tx: &mut PgConnection, row: &LineRow, content: &Value) -> Result<Option<Approval>, sqlx::Error> {
    let Some(id) = row.approval_id else { return Ok(None) };
    let asked = approvals::find_in_tx(tx, id).await?;
    if let Some(asked) = asked.filter(|asked| asked.content == *content)
        && matches!(approvals::consent_in_tx(tx, id, content).await?, Consent::Awaited(_))
    {
        return Ok(Some(asked));
    }
    approvals::close_in_tx(tx, id).await?;
    Ok(None)
}

/// Locks the line with this name: nobody acts on it until the transaction is over.
pub(crate) async fn lock_in_tx(tx: &mut PgConnection, object: &str) -> Result<(), sqlx::Error> {
    lock(tx, object).await.map(drop)
}

/// Writes off what there is consent to. False where the line is not any more what was asked for.
pub(crate) async fn write_off_in_tx(tx: &mut PgConnection, approval: &Approval) -> Result<bool, sqlx::Error> {
    let missing = || impossible("booking.approvals", "object", approval.approval_id, "is no line");
    let row = lock(tx, &approval.object).await?.ok_or_else(missing)?;
    if content(&row)? != approval.content {
        return Ok(false);
    }
    let state = row.state.on(LineEvent::WrittenOff);
    let state = state.map_err(|error| impossible("booking.settlement_lines", "state", row.settlement_id, error))?;
    end(tx, &row, state).await?;
    let posting = moved(&row, LineAct::WriteOff, &Account::SettlementWrittenOff, &approval.reason)?;
    post_in_tx(tx, &[posting]).await?;
    Ok(true)
}

async fn end(tx: &mut PgConnection, row: &LineRow, state: LineState) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.settlement_lines set state = $3 where settlement_id = $1 and line = $2",
        row.settlement_id.0,
        row.line,
        state.as_str()
    )
    .execute(tx)
    .await
    .map(drop)
}

/// All that matters of it: where what is left over is, how much, and of what.
fn content(row: &LineRow) -> Result<Value, sqlx::Error> {
    let wrong = |error| impossible("booking.settlement_lines", "gross_minor", row.settlement_id, error);
    let amounts = left_over(row).map_err(wrong)?.into_iter().map(|(account, amount)| {
        json!({ "account": account.to_string(), "amount": amount.amount_minor, "currency": amount.currency.code() })
    });
    Ok(json!({
        "settlementId": row.settlement_id, "line": row.line, "gateway": row.gateway, "orderId": row.order_id,
        "outcome": row.outcome, "state": row.state, "amounts": amounts.collect::<Vec<_>>(),
    }))
}

/// The name of a line, where acts are recorded and consented to.
pub(super) fn name_of(row: &LineRow) -> String {
    format!("{}/{}", row.settlement_id, row.line)
}

async fn lock(tx: &mut PgConnection, object: &str) -> Result<Option<LineRow>, sqlx::Error> {
    let Some((settlement, line)) = object.split_once('/') else { return Ok(None) };
    match (settlement.parse::<SettlementId>(), line.parse()) {
        (Ok(settlement), Ok(line)) => view::lock_line(tx, settlement, line).await,
        _ => Ok(None),
    }
}
