//! Lines that had no counterpart, held against the books again: a webhook may have come after the file, or a person may have
//! told the line's saga.

use super::{
    counterparts,
    file::Movement,
    import::{about, lock_in_tx},
    missing,
    outcome::{Before, Outcome, agreed, judge},
    state::{LineEvent, LineState},
    view::{self, LineRow},
};
use crate::{
    ledger::{Posting, PostingKind, post_in_tx},
    orders::impossible,
    payments::Gateways,
};
use orchestrator::ids::Uuid;
use sqlx::{PgConnection, PgPool};
use std::collections::HashSet;

/// How many lines share a transaction.
const LINES_PER_BATCH: i64 = 500;

/// Looks at all lines that have no counterpart. Answers how many have one now.
///
/// # Errors
/// The database's.
pub async fn match_again(pool: &PgPool, gateways: &Gateways) -> Result<usize, sqlx::Error> {
    let waiting = sqlx::query_scalar!(
        "select distinct gateway from booking.settlement_lines where state in ('open', 'told') and outcome = 'unexpected'"
    )
    .fetch_all(pool)
    .await?;
    let mut matched = 0;
    for gateway in waiting {
        let mut after = (Uuid::nil(), 0);
        loop {
            let mut tx = pool.begin().await?;
            lock_in_tx(&mut tx, &gateway).await?;
            let lines = view::without_counterpart(&mut tx, &gateway, after, LINES_PER_BATCH).await?;
            let Some(last) = lines.last() else { break };
            after = (last.settlement_id.0, last.line);
            matched += look_in_tx(&mut tx, gateways, &gateway, &lines).await?;
            tx.commit().await?;
        }
    }
    Ok(matched)
}

async fn look_in_tx(
    tx: &mut PgConnection,
    gateways: &Gateways,
    gateway: &str,
    lines: &[LineRow],
) -> Result<usize, sqlx::Error> {
    let read = lines.iter().map(LineRow::as_line).collect::<Result<Vec<_>, _>>()?;
    let counterparts = counterparts::find(tx, gateways, gateway, &read.iter().collect::<Vec<_>>()).await?;
    let (mut settled, mut postings, mut count) = (HashSet::new(), Vec::new(), 0);
    for ((row, line), found) in lines.iter().zip(&read).zip(&counterparts) {
        let Some(expected) = found.expected.filter(|_| line.movement != Movement::Other) else { continue };
        if found.is_taken || !settled.insert(expected.posting) {
            continue;
        }
        let outcome = judge(line, Some(expected), Before::Nowhere);
        let wrong = |error| impossible("booking.settlement_lines", "gross_minor", row.settlement_id, error);
        let entries = agreed(gateway, expected.amount).map_err(wrong)?;
        let key = format!("agreed:{}:{}", row.settlement_id, row.line);
        postings.push(Posting::new(PostingKind::Settled, key, about(gateway, line, found), entries)?);
        let state = if outcome == Outcome::Matched {
            row.state.on(LineEvent::Agreed).unwrap_or(row.state)
        } else {
            LineState::Open
        };
        sqlx::query!(
            "update booking.settlement_lines
             set outcome = $3, posting_id = $4, expected_minor = $5, expected_currency = $6, order_id = $7, payment_id = $8,
                 refund_id = $9, state = $10
             where settlement_id = $1 and line = $2",
            row.settlement_id.0,
            row.line,
            outcome.as_str(),
            expected.posting,
            expected.amount.amount_minor,
            expected.amount.currency.code(),
            found.order_id.map(|id| id.0),
            found.payment_id.map(|id| id.0),
            found.refund_id.map(|id| id.0),
            state.as_str()
        )
        .execute(&mut *tx)
        .await?;
        count += 1;
    }
    missing::arrived_in_tx(tx, &settled.into_iter().collect::<Vec<_>>()).await?;
    post_in_tx(tx, &postings).await?;
    Ok(count)
}
