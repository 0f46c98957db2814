//! A file of refunds that somebody wants tried again: CSV with a column `refundId` or `orderId`, and `amount` where somebody
//! wants to make sure of what is outstanding. Other columns are not looked at, so that what a list gives can be given back.

use crate::{
    batches::SAGAS_MAX,
    ids::{OrderId, RefundId},
    settlements::rows::{Row, Rows, RowsError},
};
use orchestrator::ids::Uuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::collections::HashMap;

/// The largest file.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A file with more bad lines than that is taken for something else.
const BAD_LINES_MAX: usize = 1_000;
const REFUND: &str = "refundId";
const ORDER: &str = "orderId";
const AMOUNT: &str = "amount";

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFile {
    /// SHA-256 of its bytes: the same file again is the same plan.
    pub digest: [u8; 32],
    lines: Vec<Line>,
    bad: Vec<BadLine>,
}

/// A line that names nothing that could be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// Which; 1 is the heading.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// Why a file is not read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nobody could know what it names.
    #[error("{0}")]
    Heading(String),
    /// Too long.
    #[error("a file may have {FILE_BYTES_MAX} bytes and {SAGAS_MAX} lines")]
    TooLarge,
    /// It is something else.
    #[error("more than {BAD_LINES_MAX} lines are wrong; the first is line {}: {}", .0.line, .0.reason)]
    TooManyBadLines(BadLine),
}

/// What a line names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: u64,
    refund: Option<RefundId>,
    order: Option<OrderId>,
    /// What is outstanding of it, in minor units.
    amount: Option<i64>,
}

/// A refund that a line may mean.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    refund_id: RefundId,
    order_id: OrderId,
    outstanding_minor: i64,
}

/// What lines may mean.
#[derive(Debug, Default)]
struct Candidates {
    by_refund: HashMap<RefundId, Candidate>,
    by_order: HashMap<OrderId, Vec<Candidate>>,
}

impl Candidates {
    fn add(&mut self, one: Candidate) {
        self.by_refund.insert(one.refund_id, one);
        self.by_order.entry(one.order_id).or_default().push(one);
    }
}

/// Reads a file, with all its mistakes at once.
///
/// # Errors
/// See [`FileError`].
pub fn read(text: &[u8]) -> Result<ReplayFile, FileError> {
    let mut rows = Rows::new(text, FILE_BYTES_MAX as u64);
    rows.read_heading(&[]).map_err(|error| match error {
        RowsError::Row(mistake) => FileError::Heading(mistake.message),
        RowsError::TooLarge | RowsError::Io(_) => FileError::TooLarge,
    })?;
    check_heading(rows.columns())?;
    let (mut lines, mut bad): (Vec<Line>, Vec<BadLine>) = (Vec::new(), Vec::new());
    loop {
        match rows.read_row() {
            Ok(None) => break,
            Ok(Some(_)) if lines.len() == SAGAS_MAX => return Err(FileError::TooLarge),
            Ok(Some(row)) => match read_line(&row) {
                Ok(line) => lines.push(line),
                Err(reason) => bad.push(BadLine { line: row.number(), reason }),
            },
            Err(RowsError::Row(mistake)) => bad.push(BadLine { line: mistake.line, reason: mistake.message }),
            Err(RowsError::TooLarge | RowsError::Io(_)) => return Err(FileError::TooLarge),
        }
        if bad.len() > BAD_LINES_MAX {
            return Err(FileError::TooManyBadLines(bad.swap_remove(0)));
        }
    }
    Ok(ReplayFile { digest: Sha256::digest(text).into(), lines, bad })
}

fn check_heading(columns: &[String]) -> Result<(), FileError> {
    let count = |name: &str| columns.iter().filter(|column| column.as_str() == name).count();
    if count(REFUND) + count(ORDER) == 0 {
        return Err(FileError::Heading(format!("the heading has neither `{REFUND}` nor `{ORDER}`")));
    }
    match [REFUND, ORDER, AMOUNT].into_iter().find(|name| count(name) > 1) {
        Some(twice) => Err(FileError::Heading(format!("the heading has `{twice}` twice"))),
        None => Ok(()),
    }
}

fn read_line(row: &Row<'_>) -> Result<Line, String> {
    let refund = row.optional(REFUND)?.map(str::parse).transpose();
    let refund: Option<RefundId> = refund.map_err(|_| format!("`{REFUND}` is not the id of a refund"))?;
    let order = row.optional(ORDER)?.map(str::parse).transpose();
    let order: Option<OrderId> = order.map_err(|_| format!("`{ORDER}` is not the id of an order"))?;
    let amount = row.optional(AMOUNT)?.map(str::parse).transpose();
    let amount: Option<i64> = amount.map_err(|_| format!("`{AMOUNT}` is not a whole number of minor units"))?;
    if refund.is_none() && order.is_none() {
        return Err("it names no refund and no order".to_owned());
    }
    Ok(Line { number: row.number(), refund, order, amount })
}

impl ReplayFile {
    /// The refunds that it names, each once, and every bad line.
    pub(super) async fn find(&self, pool: &PgPool) -> Result<(Vec<RefundId>, Vec<BadLine>), sqlx::Error> {
        let candidates = self.candidates(pool).await?;
        let mut seen: HashMap<RefundId, u64> = HashMap::new();
        let (mut refunds, mut bad) = (Vec::new(), self.bad.clone());
        for line in &self.lines {
            let number = line.number;
            let reason = match choose(line, &candidates) {
                Ok(refund) => match seen.insert(refund, number) {
                    None => {
                        refunds.push(refund);
                        continue;
                    }
                    Some(first) => {
                        seen.insert(refund, first);
                        format!("line {first} names the same refund")
                    }
                },
                Err(reason) => reason,
            };
            bad.push(BadLine { line: number, reason });
        }
        bad.sort_by_key(|bad| bad.line);
        Ok((refunds, bad))
    }

    async fn candidates(&self, pool: &PgPool) -> Result<Candidates, sqlx::Error> {
        let refunds: Vec<Uuid> = self.lines.iter().filter_map(|line| Some(line.refund?.0)).collect();
        let orders: Vec<Uuid> = self.lines.iter().filter_map(|line| Some(line.order?.0)).collect();
        let rows = sqlx::query!(
            r#"select refund_id, order_id, outstanding_minor as "outstanding_minor!" from booking.refunds
               where refund_id = any($1) or order_id = any($2)
               order by refund_id"#,
            &refunds,
            &orders
        );
        let mut candidates = Candidates::default();
        for row in rows.fetch_all(pool).await? {
            let (refund_id, order_id) = (RefundId(row.refund_id), OrderId(row.order_id));
            candidates.add(Candidate { refund_id, order_id, outstanding_minor: row.outstanding_minor });
        }
        Ok(candidates)
    }
}

/// The refund that a line means.
fn choose(line: &Line, candidates: &Candidates) -> Result<RefundId, String> {
    if let Some(refund) = line.refund {
        let known = candidates.by_refund.get(&refund).ok_or("there is no such refund")?;
        if line.order.is_some_and(|order| order != known.order_id) {
            return Err("the refund is of another order".to_owned());
        }
        let outstanding = known.outstanding_minor;
        return match line.amount {
            // what it says instead may be anything, and is kept nowhere
            Some(amount) if amount != outstanding => Err(format!("not that amount is outstanding, but {outstanding}")),
            _ => Ok(refund),
        };
    }
    let of_order = line.order.and_then(|order| candidates.by_order.get(&order)).ok_or("the order has no refund")?;
    let is_meant = |one: &&Candidate| {
        one.outstanding_minor > 0 && line.amount.is_none_or(|amount| amount == one.outstanding_minor)
    };
    let mut meant = of_order.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.refund_id),
        (None, _) if line.amount.is_some() => Err("nothing of that amount is outstanding of the order".to_owned()),
        (None, _) => Err("nothing is outstanding of the order's refunds".to_owned()),
        (Some(_), Some(_)) => Err(format!("several refunds of the order are outstanding: name one by `{REFUND}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> Vec<(u64, String)> {
        read(text.as_bytes()).unwrap().bad.into_iter().map(|bad| (bad.line, bad.reason)).collect()
    }

    #[test]
    fn lines_are_read_or_told_by_their_number() {
        let (refund, order) = (RefundId::fresh(), OrderId::fresh());
        let text = format!(
            "state,refundId,orderId,amount\r\nfailed,{refund},,4500\r\n,,{order},\r\nx,ref_1,,\r\nx,,,\r\n\
             x,{refund},,45.00\r\nx,{refund}\r\n,,{refund},\r\n"
        );
        let file = read(text.as_bytes()).unwrap();
        let expected = [
            Line { number: 2, refund: Some(refund), order: None, amount: Some(4_500) },
            Line { number: 3, refund: None, order: Some(order), amount: None },
        ];
        assert_eq!(file.lines, expected);
        let expected = [
            (4, "`refundId` is not the id of a refund"),
            (5, "it names no refund and no order"),
            (6, "`amount` is not a whole number of minor units"),
            (7, "the row has 2 cells, the heading 4"),
            (8, "`orderId` is not the id of an order"),
        ];
        assert_eq!(bad(&text), expected.map(|(line, reason)| (line, reason.to_owned())));
    }

    #[test]
    fn what_is_no_such_file_is_refused_whole() {
        let refused = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused(""), "the file is empty");
        assert_eq!(refused("refund,order\n1,2\n"), "the heading has neither `refundId` nor `orderId`");
        assert_eq!(refused("refundId,refundId\n1,2\n"), "the heading has `refundId` twice");
        let wrong = format!("refundId\n{}", "x\n".repeat(BAD_LINES_MAX + 1));
        assert!(refused(&wrong).contains("the first is line 2"), "{}", refused(&wrong));
        assert_eq!(bad(&format!("refundId\n{}", "x\n".repeat(BAD_LINES_MAX))).len(), BAD_LINES_MAX);
        let long = format!("orderId\n{}", format!("{}\n", OrderId::fresh()).repeat(SAGAS_MAX + 1));
        assert_eq!(read(long.as_bytes()), Err(FileError::TooLarge));
    }

    #[test]
    fn an_order_means_the_one_refund_of_it_that_is_outstanding() {
        let order = OrderId::fresh();
        let of = |outstanding_minor| Candidate { refund_id: RefundId::fresh(), order_id: order, outstanding_minor };
        let (back, small, large) = (of(0), of(1_000), of(2_000));
        let (refund, wanted) = (small.refund_id, large.refund_id);
        let line = |amount| Line { number: 2, refund: None, order: Some(order), amount };
        let mut candidates = Candidates::default();
        candidates.add(back);
        assert!(choose(&line(None), &candidates).unwrap_err().contains("nothing is outstanding"));
        candidates.add(small);
        assert_eq!(choose(&line(None), &candidates), Ok(refund));
        assert!(choose(&line(Some(1)), &candidates).unwrap_err().contains("of that amount"));
        candidates.add(large);
        assert!(choose(&line(None), &candidates).unwrap_err().contains("several refunds"));
        assert_eq!(choose(&line(Some(2_000)), &candidates), Ok(wanted));
        let named = |order, amount| Line { number: 2, refund: Some(refund), order, amount };
        assert_eq!(choose(&named(Some(order), Some(1_000)), &candidates), Ok(refund));
        assert!(choose(&named(Some(OrderId::fresh()), None), &candidates).unwrap_err().contains("another order"));
        assert!(choose(&named(None, Some(999)), &candidates).unwrap_err().contains("but 1000"));
        assert!(choose(&line(None), &Candidates::default()).unwrap_err().contains("no refund"));
    }
}
