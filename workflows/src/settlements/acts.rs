//! What people do about lines that do not agree with our books.

use super::{
    file::Movement,
    outcome::{Outcome, differences, less},
    state::{LineEvent, LineState},
    view::{self, LineRow},
    write_off,
};
use crate::{
    approvals,
    gateways::{Captured, RefundState, WebhookEvent, WebhookKind},
    ids::{ApprovalId, SettlementId},
    ledger::{About, Account, Posting, PostingKind, post_in_tx},
    money::{Money, MoneyError},
    orders::impossible,
    payments::{NewsError, Webhooks},
    spawned,
};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::{net::IpAddr, time::Duration};

/// What can be done about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineAct {
    /// Its saga, which is not over, is told what the gateway says.
    Resume,
    /// Money that was taken when nobody waited for it any more goes back to the buyer, by a saga of its own.
    Refund,
    /// The difference is given up. A second person has to consent.
    WriteOff,
    /// The money was seen: it came another way.
    Received,
}

impl LineAct {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Resume, Self::Refund, Self::WriteOff, Self::Received];

    /// Its name in addresses and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Refund => "refund",
            Self::WriteOff => "write-off",
            Self::Received => "received",
        }
    }

    const fn recorded_as(self) -> &'static str {
        match self {
            Self::Resume => "settlement.resume",
            Self::Refund => "settlement.refund",
            Self::WriteOff => "settlement.write-off",
            Self::Received => "settlement.received",
        }
    }

    /// Why it is not possible with this line as it is.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn check(self, line: &LineRow) -> Result<(), &'static str> {
        if !matches!(line.state, LineState::Open | LineState::Told) {
            return Err("nothing is left to do about this line");
        }
        let can_be_told = line.outcome == Outcome::Unexpected
            && match line.movement {
                Movement::Capture => line.payment_id.is_some(),
                Movement::Refund | Movement::RefundReturned => line.refund_id.is_some(),
                _ => false,
            };
        match self {
            Self::Resume if !can_be_told => Err("the line says nothing that its saga could go on with"),
            // a refund that came back is one for finance again, also when the saga that carried it out is over
            Self::Resume if line.saga_is_finished && line.movement != Movement::RefundReturned => {
                Err("its saga is over")
            }
            Self::Refund if !can_be_told || line.movement != Movement::Capture => {
                Err("the line is not of a charge of ours that has taken money without our knowing")
            }
            Self::Refund if !line.saga_is_finished => Err("its saga is not over, and decides itself: resume it"),
            Self::Received if !matches!(line.outcome, Outcome::Missing | Outcome::Under) => {
                Err("nothing of this line has still to come")
            }
            Self::WriteOff if can_be_told && line.state == LineState::Open => {
                Err("its saga has not been told: resume it, or have the money given back")
            }
            Self::WriteOff if left_over(line).is_ok_and(|amounts| amounts.is_empty()) => {
                Err("nothing of this line is left over")
            }
            Self::Resume | Self::Refund | Self::WriteOff | Self::Received => Ok(()),
        }
    }
}

/// What somebody wants done about a line.
#[derive(Debug, Clone)]
pub struct ActOnLine {
    /// The file.
    pub settlement_id: SettlementId,
    /// Its line.
    pub line: i32,
    /// What.
    pub act: LineAct,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// How long a second person can consent, where one has to.
    pub expires_in: Duration,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Acted {
    /// It is done, or a second person is asked for; the line as it is now.
    New(LineRow),
    /// The same person has done the same before.
    Replayed(LineRow),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum LineActError {
    /// There is no such line.
    #[error("there is no such line")]
    NotFound,
    /// The line does not allow it.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// Its saga could not be told.
    #[error("telling the line's saga")]
    News(#[from] NewsError),
    /// The database's.
    #[error("acting on the line")]
    Database(#[from] sqlx::Error),
}

/// Does it, once. It goes on to its end when the caller goes away.
///
/// # Errors
/// See [`LineActError`].
pub async fn act(pool: &PgPool, webhooks: &Webhooks, wanted: ActOnLine) -> Result<Acted, LineActError> {
    let (pool, webhooks) = (pool.clone(), webhooks.clone());
    spawned::run(async move { act_now(&pool, &webhooks, &wanted).await }).await
}

async fn act_now(pool: &PgPool, webhooks: &Webhooks, wanted: &ActOnLine) -> Result<Acted, LineActError> {
    let mut tx = pool.begin().await?;
    let found = view::lock_line(&mut tx, wanted.settlement_id, wanted.line).await?;
    let row = found.ok_or(LineActError::NotFound)?;
    let is_new = match wanted.act {
        LineAct::WriteOff => write_off::ask_in_tx(&mut tx, wanted, &row).await?,
        LineAct::Resume | LineAct::Refund => act_in_tx(&mut tx, wanted, &row, LineEvent::Told).await?,
        LineAct::Received => act_in_tx(&mut tx, wanted, &row, LineEvent::Received).await?,
    };
    let now = view::lock_line(&mut tx, wanted.settlement_id, wanted.line).await?.ok_or(LineActError::NotFound)?;
    tx.commit().await?;
    if now.state == LineState::Told {
        // once by its id, however often it is told: also by whoever comes after a crash between the two
        webhooks.settlement_news(&row.gateway, news_of(&row)?).await?;
    }
    Ok(if is_new { Acted::New(now) } else { Acted::Replayed(now) })
}

/// Does it at once. False where the same person has done the same before.
async fn act_in_tx(
    tx: &mut PgConnection,
    wanted: &ActOnLine,
    row: &LineRow,
    event: LineEvent,
) -> Result<bool, LineActError> {
    let is_again = row.act.as_deref() == Some(wanted.act.as_str())
        && row.acted_by.as_deref() == Some(wanted.by.as_str())
        && row.act_reason.as_deref() == Some(wanted.reason.as_str());
    if is_again {
        return Ok(false);
    }
    wanted.act.check(row).map_err(LineActError::NotAllowed)?;
    let state = row.state.on(event).map_err(|_| LineActError::NotAllowed("nothing is left to do about this line"))?;
    if let Some(approval) = row.approval_id {
        approvals::close_in_tx(tx, approval).await?;
    }
    write(tx, wanted, row, state, None).await?;
    if event == LineEvent::Received {
        post_in_tx(tx, &[received(row, &wanted.reason)?]).await?;
    }
    Ok(true)
}

pub(super) async fn write(
    tx: &mut PgConnection,
    wanted: &ActOnLine,
    row: &LineRow,
    state: LineState,
    approval: Option<ApprovalId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update booking.settlement_lines
         set state = $3, act = $4, acted_by = $5, act_reason = $6, acted_at = now(), approval_id = $7
         where settlement_id = $1 and line = $2",
        row.settlement_id.0,
        row.line,
        state.as_str(),
        wanted.act.as_str(),
        wanted.by,
        wanted.reason,
        approval.map(|approval| approval.0)
    )
    .execute(&mut *tx)
    .await?;
    let object = write_off::name_of(row);
    let detail = json!({ "before": row.state, "after": state, "outcome": row.outcome, "saga": row.saga_id, "approvalId": approval });
    let by = Author { name: &wanted.by, address: wanted.address };
    record_in_tx(tx, &DoneAct { by, act: wanted.act.recorded_as(), object: &object, reason: &wanted.reason, detail })
        .await
}

/// What a line leaves neither here nor there: where it is missing, all that was expected.
pub(super) fn left_over(row: &LineRow) -> Result<Vec<(Account, Money)>, MoneyError> {
    if row.outcome == Outcome::Missing {
        let expected = row.expected.into_iter().filter(|expected| expected.amount_minor != 0);
        return Ok(expected.map(|expected| (Account::Clearing(row.gateway.clone()), expected)).collect());
    }
    let expected = row.expected.filter(|_| row.outcome != Outcome::Duplicate);
    Ok(differences(row.gross, expected)?.into_iter().map(|amount| (Account::SettlementDifferences, amount)).collect())
}

/// Moves what is left over to where it is. Its key is the act's, and not the kind's: the line has posted what it settles
/// itself, as the same kind.
pub(super) fn moved(row: &LineRow, act: LineAct, to: &Account, reason: &str) -> Result<Posting, sqlx::Error> {
    let wrong = |error: MoneyError| impossible("booking.settlement_lines", "gross_minor", row.settlement_id, error);
    let kind = if act == LineAct::WriteOff { PostingKind::WrittenOff } else { PostingKind::Settled };
    let mut entries = Vec::new();
    for (from, amount) in left_over(row).map_err(wrong)? {
        entries.push((from, less(amount).map_err(wrong)?));
        entries.push((to.clone(), amount));
    }
    let about = About {
        order_id: row.order_id,
        payment_id: row.payment_id,
        refund_id: row.refund_id,
        gateway: Some(row.gateway.clone()),
        reference: row.reference.clone().or_else(|| row.payment.clone()),
        reason: Some(reason.to_owned()),
    };
    Ok(Posting::new(kind, format!("{}:{}:{}", act.as_str(), row.settlement_id, row.line), about, entries)?)
}

fn received(row: &LineRow, reason: &str) -> Result<Posting, sqlx::Error> {
    moved(row, LineAct::Received, &Account::Cash(row.gateway.clone()), reason)
}

/// What the line says, as the gateway would have told it.
fn news_of(row: &LineRow) -> Result<WebhookEvent, sqlx::Error> {
    let wrong = |why: &str| impossible("booking.settlement_lines", "movement", row.settlement_id, why);
    let amount =
        if row.gross.amount_minor < 0 { less(row.gross).map_err(|_| wrong("does not fit"))? } else { row.gross };
    let named = || row.reference.clone().ok_or_else(|| wrong("has no name"));
    let refund = |state, row: &LineRow| {
        Ok::<_, sqlx::Error>(WebhookKind::Refund {
            reference: named()?,
            payment: row.payment.clone(),
            refund_id: row.refund_id,
            generation: None,
            amount,
            state,
        })
    };
    let kind = match row.movement {
        Movement::Capture => WebhookKind::PaymentCaptured(Captured {
            reference: row.payment.clone().ok_or_else(|| wrong("has no name"))?,
            amount,
        }),
        Movement::Refund => refund(RefundState::Succeeded, row)?,
        Movement::RefundReturned => {
            let reason = "the settlement says that it came back".to_owned();
            refund(RefundState::Failed { reason, is_final: false }, row)?
        }
        _ => return Err(wrong("is nothing that a saga could be told")),
    };
    Ok(WebhookEvent {
        id: format!("settlement:{}:{}", row.settlement_id, row.line),
        occurred_at: row.occurred_at,
        order_id: row.order_id,
        own_reference: row.own.clone(),
        kind,
    })
}
