//! The ledger, for finance: what accounts come to, and what was posted.

use crate::{
    csv::{self, ROWS_PER_READ},
    page::{self, Page},
    problem::Problem,
    query::StrictQuery,
    state::ApiState,
    wire::{self, Amount, Time},
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workflows::{
    ids::{OrderId, PostingId},
    ledger::{self, Balance, Posted, PostingFilter},
    money::Money,
};

const ACCOUNTS: &str = "ledger-accounts";
const POSTINGS: &str = "ledger-postings";
const ACCOUNT_COLUMNS: [&str; 4] = ["account", "debitMinor", "creditMinor", "currency"];
const POSTING_COLUMNS: [&str; 13] = [
    "postingId",
    "at",
    "kind",
    "orderId",
    "paymentId",
    "refundId",
    "gateway",
    "reference",
    "reason",
    "account",
    "debitMinor",
    "creditMinor",
    "currency",
];

/// Which balances.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountsQuery {
    /// As they were at this moment. Without it, now.
    #[serde(default, deserialize_with = "wire::time")]
    at: Option<DateTime<Utc>>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What an account comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountShown {
    account: String,
    /// Debit is positive.
    balance: Amount,
}

/// Accounts, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountsPage {
    items: Vec<AccountShown>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
    /// What all accounts come to, per currency: nothing, always.
    trial_balance: Vec<Amount>,
}

/// Which postings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PostingsQuery {
    /// Of this order.
    #[param(value_type = Option<String>)]
    order: Option<OrderId>,
    /// With an entry in this account.
    account: Option<String>,
    /// Posted then or later.
    #[serde(default, deserialize_with = "wire::time")]
    from: Option<DateTime<Utc>>,
    /// Posted before.
    #[serde(default, deserialize_with = "wire::time")]
    to: Option<DateTime<Utc>>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// What happened to money, once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PostingShown {
    posting_id: String,
    at: Time,
    kind: String,
    order_id: Option<String>,
    payment_id: Option<String>,
    refund_id: Option<String>,
    gateway: Option<String>,
    /// The gateway's name for it.
    reference: Option<String>,
    reason: Option<String>,
    entries: Vec<EntryShown>,
}

/// One account's part in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryShown {
    account: String,
    /// Debit is positive.
    amount: Amount,
}

impl From<Posted> for PostingShown {
    fn from(posted: Posted) -> Self {
        let about = posted.about;
        let entry = |entry: Balance| EntryShown { account: entry.account, amount: entry.amount.into() };
        Self {
            posting_id: posted.posting_id.to_string(),
            at: Time(posted.at),
            kind: posted.kind,
            order_id: about.order_id.map(|id| id.to_string()),
            payment_id: about.payment_id.map(|id| id.to_string()),
            refund_id: about.refund_id.map(|id| id.to_string()),
            gateway: about.gateway,
            reference: about.reference.map(|reference| reference.to_string()),
            reason: about.reason,
            entries: posted.entries.into_iter().map(entry).collect(),
        }
    }
}

/// What each account comes to, by name; as `text/csv` all of them.
#[utoipa::path(get, path = "/ledger/accounts", tag = "finance", operation_id = "listLedgerAccounts",
    params(AccountsQuery), responses((status = 200,
        content((AccountsPage = "application/json"), (String = "text/csv")))))]
pub(crate) async fn accounts(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<AccountsQuery>,
) -> Result<Response, Problem> {
    let pool = state.engine.pool();
    if csv::is_wanted(&headers) {
        // at once, so that all of it is of one snapshot
        let balances = ledger::balances(pool, query.at, None, u32::MAX).await?;
        return Ok(csv::document(&ACCOUNT_COLUMNS, balances.accounts, |accounts| async {
            let mut text = String::new();
            accounts.into_iter().for_each(|balance| add_balance(&mut text, balance));
            Ok((text, None))
        }));
    }
    let limit = page::limit(query.limit)?;
    let after: Option<(String, String)> = page::decode(ACCOUNTS, query.cursor.as_deref())?;
    let after = after.as_ref().map(|(account, currency)| (account.as_str(), currency.as_str()));
    let balances = ledger::balances(pool, query.at, after, limit + 1).await?;
    let position = |last: &Balance| (last.account.clone(), last.amount.currency.code().to_owned());
    let show = |shown: Balance| AccountShown { account: shown.account, balance: shown.amount.into() };
    let Page { items, next } = Page::from_rows(ACCOUNTS, balances.accounts, limit, position, show);
    let trial_balance = balances.trial.into_iter().map(Amount::from).collect();
    Ok(Json(AccountsPage { items, next, trial_balance }).into_response())
}

/// Postings, the oldest first; as `text/csv` all that match, a line for each entry.
#[utoipa::path(get, path = "/ledger/postings", tag = "finance", operation_id = "listLedgerPostings",
    params(PostingsQuery), responses((status = 200,
        content((Page<PostingShown> = "application/json"), (String = "text/csv")))))]
pub(crate) async fn postings(
    State(state): State<ApiState>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<PostingsQuery>,
) -> Result<Response, Problem> {
    let limit = page::limit(query.limit)?;
    let after: Option<(DateTime<Utc>, PostingId)> = page::decode(POSTINGS, query.cursor.as_deref())?;
    let one_more = u16::try_from(limit + 1).map_err(Problem::internal)?;
    let PostingsQuery { order, account, from, to, .. } = query;
    let filter = PostingFilter { order, account, from, to, after, limit: one_more };
    if csv::is_wanted(&headers) {
        return Ok(postings_as_csv(state, filter));
    }
    let rows = ledger::postings(state.engine.pool(), &filter).await?;
    let position = |last: &Posted| (last.at, last.posting_id);
    Ok(Json(Page::from_rows(POSTINGS, rows, limit, position, PostingShown::from)).into_response())
}

/// Postings are never changed, and come in order: as many reads as it takes are as good as one.
fn postings_as_csv(state: ApiState, filter: PostingFilter) -> Response {
    let filter = PostingFilter { limit: ROWS_PER_READ, ..filter };
    csv::document(&POSTING_COLUMNS, filter, move |filter| {
        let state = state.clone();
        async move {
            let rows = ledger::postings(state.engine.pool(), &filter).await?;
            let after = rows.last().map(|last| (last.at, last.posting_id));
            let more = rows.len() == usize::from(ROWS_PER_READ);
            let mut text = String::new();
            rows.into_iter().for_each(|posted| add_posting(&mut text, posted));
            Ok((text, more.then_some(PostingFilter { after, ..filter })))
        }
    })
}

fn add_balance(text: &mut String, Balance { account, amount }: Balance) {
    let (debit, credit) = sides(amount);
    csv::add_line(text, [account.as_str(), &debit, &credit, amount.currency.code()]);
}

fn add_posting(text: &mut String, posted: Posted) {
    let entries = posted.entries.clone();
    let at = wire::utc(posted.at);
    let shown = PostingShown::from(posted);
    for Balance { account, amount } in entries {
        let (debit, credit) = sides(amount);
        let cells = [
            &shown.posting_id,
            at.as_str(),
            &shown.kind,
            shown.order_id.as_deref().unwrap_or_default(),
            shown.payment_id.as_deref().unwrap_or_default(),
            shown.refund_id.as_deref().unwrap_or_default(),
            shown.gateway.as_deref().unwrap_or_default(),
            shown.reference.as_deref().unwrap_or_default(),
            shown.reason.as_deref().unwrap_or_default(),
            &account,
            &debit,
            &credit,
            amount.currency.code(),
        ];
        csv::add_line(text, cells);
    }
}

/// Debit and credit, of which one is empty: no cell begins with a sign.
fn sides(amount: Money) -> (String, String) {
    let minor = amount.amount_minor.unsigned_abs().to_string();
    if amount.amount_minor < 0 { (String::new(), minor) } else { (minor, String::new()) }
}
