//! Takes a file into the books: every line against its counterpart, with its posting, in one transaction.

use super::{
    counterparts::{self, Counterpart},
    file::{Line, SettlementFile},
    missing,
    outcome::{Before, Expected, Outcome, entries, judge},
    state::LineState,
};
use crate::{
    gateways::Reference,
    ids::SettlementId,
    ledger::{About, Posting, PostingKind, post_in_tx},
    money::MoneyError,
    payments::Gateways,
    spawned,
};
use chrono::{DateTime, Utc};
use orchestrator::{
    acts::{DoneAct, record_in_tx},
    catalog::Author,
    ids::Uuid,
};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, net::IpAddr};

/// How many lines share a statement.
const LINES_PER_BATCH: usize = 1_000;

/// A file that somebody brings.
#[derive(Debug, Clone)]
pub struct NewSettlement {
    /// Of which gateway.
    pub gateway: String,
    /// What it says.
    pub file: SettlementFile,
    /// Who.
    pub by: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// After how many days what no file has is missing.
    pub missing_days: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is in the books.
    New(SettlementId),
    /// It was before.
    Known(SettlementId),
}

/// Why a file was not taken into the books.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its amounts cannot be added up.
    #[error("line {line}")]
    Money {
        /// Where.
        line: u64,
        /// Why.
        #[source]
        source: MoneyError,
    },
    /// The database's.
    #[error("taking the settlement into the books")]
    Database(#[from] sqlx::Error),
}

/// Takes it into the books, once. It goes on to its end when the caller goes away.
///
/// # Errors
/// See [`ImportError`]; nothing has changed then.
pub async fn import(pool: &PgPool, gateways: &Gateways, new: NewSettlement) -> Result<Imported, ImportError> {
    let (pool, gateways) = (pool.clone(), gateways.clone());
    spawned::run(async move { import_now(&pool, &gateways, &new).await }).await
}

async fn import_now(pool: &PgPool, gateways: &Gateways, new: &NewSettlement) -> Result<Imported, ImportError> {
    let mut tx = pool.begin().await?;
    lock_in_tx(&mut tx, &new.gateway).await?;
    let id = SettlementId::fresh();
    if let Some(known) = insert(&mut tx, id, new).await? {
        return Ok(Imported::Known(known));
    }
    let (identities, settled) = (HashSet::new(), HashSet::new());
    let mut taking = Taking { id, gateways, gateway: &new.gateway, identities, settled };
    for lines in new.file.lines.chunks(LINES_PER_BATCH) {
        taking.take(&mut tx, &lines.iter().collect::<Vec<_>>()).await?;
    }
    let next = new.file.lines.last().map_or(2, |last| last.number + 1);
    let missing = missing::look_in_tx(&mut tx, id, &new.gateway, next, new.missing_days).await?;
    let act = DoneAct {
        by: Author { name: &new.by, address: new.address },
        act: "settlement.import",
        object: &id.to_string(),
        reason: "",
        detail: json!({ "gateway": new.gateway, "lines": new.file.lines.len(), "missing": missing }),
    };
    record_in_tx(&mut tx, &act).await?;
    tx.commit().await?;
    Ok(Imported::New(id))
}

/// One at a time per gateway: two files cannot settle the same posting.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, gateway: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('settlement:' || $1::text, 0))", gateway)
        .execute(tx)
        .await
        .map(drop)
}

/// Writes the settlement down; the one that was written down before, where there is one.
async fn insert(
    tx: &mut PgConnection,
    id: SettlementId,
    new: &NewSettlement,
) -> Result<Option<SettlementId>, sqlx::Error> {
    let known = sqlx::query_scalar!(
        "select settlement_id from booking.settlements where gateway = $1 and digest = $2",
        new.gateway,
        &new.file.digest
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(known) = known {
        return Ok(Some(SettlementId(known)));
    }
    sqlx::query!(
        "insert into booking.settlements (settlement_id, gateway, digest, line_count, imported_by)
         values ($1, $2, $3, $4, $5)",
        id.0,
        new.gateway,
        &new.file.digest,
        i32::try_from(new.file.lines.len()).unwrap_or(i32::MAX),
        new.by
    )
    .execute(tx)
    .await?;
    Ok(None)
}

/// A file that is being taken.
struct Taking<'a> {
    id: SettlementId,
    gateways: &'a Gateways,
    gateway: &'a str,
    /// What this file has had.
    identities: HashSet<String>,
    settled: HashSet<Uuid>,
}

/// A line as it is stored: the columns of `booking.settlement_lines`.
#[derive(Serialize)]
struct Row<'a> {
    settlement_id: Uuid,
    line: u64,
    gateway: &'a str,
    movement: &'static str,
    category: &'a str,
    identity: &'a str,
    payment_reference: Option<&'a Reference>,
    reference: Option<&'a Reference>,
    own_reference: Option<&'a Reference>,
    gross_minor: i64,
    fee_minor: i64,
    net_minor: i64,
    currency: &'static str,
    occurred_at: DateTime<Utc>,
    outcome: Outcome,
    posting_id: Option<Uuid>,
    expected_minor: Option<i64>,
    expected_currency: Option<&'static str>,
    order_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    refund_id: Option<Uuid>,
    state: LineState,
}

impl<'a> Taking<'a> {
    async fn take(&mut self, tx: &mut PgConnection, lines: &[&'a Line]) -> Result<(), ImportError> {
        let counterparts = counterparts::find(tx, self.gateways, self.gateway, lines).await?;
        let (mut rows, mut postings, mut arrived) = (Vec::new(), Vec::new(), Vec::new());
        for (line, found) in lines.iter().zip(&counterparts) {
            let before = self.before(line, found);
            let outcome = judge(line, found.expected, before);
            let settles = found.expected.filter(|_| outcome != Outcome::Duplicate);
            if let Some(settled) = settles {
                self.settled.insert(settled.posting);
                arrived.push(settled.posting);
            }
            if before != Before::EarlierFile {
                let posting = self.posting(line, found, settles);
                postings.extend(posting.map_err(|source| ImportError::Money { line: line.number, source })?);
            }
            rows.push(self.row(line, found, outcome, before));
        }
        insert_lines(tx, &rows).await?;
        missing::arrived_in_tx(tx, &arrived).await?;
        post_in_tx(tx, &postings).await?;
        Ok(())
    }

    fn before(&mut self, line: &Line, found: &Counterpart) -> Before {
        let is_in_this_file = !self.identities.insert(line.identity.clone());
        let is_settled = found.expected.is_some_and(|expected| self.settled.contains(&expected.posting));
        if !is_in_this_file && found.was_in_earlier_file {
            Before::EarlierFile
        } else if is_in_this_file || is_settled || found.is_taken {
            Before::Twice
        } else {
            Before::Nowhere
        }
    }

    /// What the line posts; nothing where no money moves.
    fn posting(
        &self,
        line: &Line,
        found: &Counterpart,
        settles: Option<Expected>,
    ) -> Result<Option<Posting>, MoneyError> {
        let entries = entries(self.gateway, line, settles.map(|expected| expected.amount))?;
        let key = format!("settled:{}:{}", self.id, line.number);
        // a line that moves nothing posts nothing; that all others balance is a property that is tested
        Ok(Posting::new(PostingKind::Settled, key, about(self.gateway, line, found), entries).ok())
    }

    fn row(&self, line: &'a Line, found: &Counterpart, outcome: Outcome, before: Before) -> Row<'a> {
        let is_settled = outcome == Outcome::Matched || before == Before::EarlierFile;
        let expected = found.expected;
        Row {
            settlement_id: self.id.0,
            line: line.number,
            gateway: self.gateway,
            movement: line.movement.as_str(),
            category: &line.category,
            identity: &line.identity,
            payment_reference: line.payment.as_ref(),
            reference: line.reference.as_ref(),
            own_reference: line.own.as_ref(),
            gross_minor: line.gross.amount_minor,
            fee_minor: line.fee.amount_minor,
            net_minor: line.net.amount_minor,
            currency: line.net.currency.code(),
            occurred_at: line.at,
            outcome,
            posting_id: expected.map(|expected| expected.posting),
            expected_minor: expected.map(|expected| expected.amount.amount_minor),
            expected_currency: expected.map(|expected| expected.amount.currency.code()),
            order_id: found.order_id.map(|id| id.0),
            payment_id: found.payment_id.map(|id| id.0),
            refund_id: found.refund_id.map(|id| id.0),
            state: if is_settled { LineState::Settled } else { LineState::Open },
        }
    }
}

/// What a posting for a line is about.
pub(super) fn about(gateway: &str, line: &Line, found: &Counterpart) -> About {
    About {
        order_id: found.order_id,
        payment_id: found.payment_id,
        refund_id: found.refund_id,
        gateway: Some(gateway.to_owned()),
        reference: line.name().cloned(),
        reason: None,
    }
}

async fn insert_lines(tx: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    let rows = serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "insert into booking.settlement_lines
         select * from jsonb_populate_recordset(null::booking.settlement_lines, $1)",
        rows
    )
    .execute(tx)
    .await
    .map(drop)
}
