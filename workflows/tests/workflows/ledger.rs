//! What the database refuses, and what it finds.

use chrono::{DateTime, TimeDelta, Utc};
use private_servers::TestServers;
use sqlx::PgPool;
use std::path::Path;
use workflows::{
    invariants::violations,
    ledger::{About, Account, Posting, PostingKind, balances, post_in_tx, roll_up},
    money::{Currency, Money},
};

async fn database() -> PgPool {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let url = TestServers::shared().database(&migrations).unwrap();
    orchestrator::db::connect(&url, 4).await.unwrap()
}

fn gateway(name: &str) -> Account {
    Account::Fees(name.to_owned())
}

fn posting(key: &str, debit: Account, amount: i64) -> Posting {
    let two = (debit, Account::SettlementDifferences);
    Posting::of_two(PostingKind::Settled, key, About::default(), two, Money::new(amount, Currency::EUR)).unwrap()
}

async fn post(pool: &PgPool, postings: &[Posting]) {
    let mut tx = pool.begin().await.unwrap();
    post_in_tx(&mut tx, postings).await.unwrap();
    tx.commit().await.unwrap();
}

async fn entries(pool: &PgPool) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select a.name, e.amount_minor from booking.ledger_entries e join booking.ledger_accounts a using (account_id)
         order by e.posting_id, a.name",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// By which constraint, or with which state, the database refuses the statement.
async fn refused(pool: &PgPool, statement: &str) -> String {
    let mut tx = pool.begin().await.unwrap();
    let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap_err();
    let error = error.into_database_error().unwrap();
    error.constraint().map_or_else(|| error.code().unwrap().into_owned(), str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_posts_once_and_postings_of_one_call_share_accounts() {
    let pool = database().await;
    let both = [posting("one", gateway("a"), 5), posting("two", gateway("a"), 7)];
    post(&pool, &both).await;
    post(&pool, &both).await;
    post(&pool, &[posting("two", gateway("b"), 9), posting("three", gateway("b"), 1)]).await;
    let debited = |name: &str, amount| (format!("gateway:{name}:fees"), amount);
    let credited = |amount| ("settlement:differences".to_owned(), amount);
    let wanted = [debited("a", 5), credited(-5), debited("a", 7), credited(-7), debited("b", 1), credited(-1)];
    assert_eq!(entries(&pool).await, wanted);
    assert_eq!(violations(&pool).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_two_use_first_at_once_is_one() {
    let pool = database().await;
    let mut first = pool.begin().await.unwrap();
    post_in_tx(&mut first, &[posting("one", gateway("new"), 5)]).await.unwrap();
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { post(&pool, &[posting("two", gateway("new"), 7)]).await }
    });
    // it waits for the first one, and must not be done before
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 0 {
        assert!(!second.is_finished());
        tokio::task::yield_now().await;
    }
    first.commit().await.unwrap();
    second.await.unwrap();
    let accounts: i64 =
        sqlx::query_scalar("select count(*) from booking.ledger_accounts where name = 'gateway:new:fees'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((accounts, entries(&pool).await.len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_does_not_balance_and_what_would_change() {
    let pool = database().await;
    post(&pool, &[posting("one", gateway("a"), 5)]).await;
    let new = "insert into booking.ledger_postings (posting_id, key, kind) values (gen_random_uuid(), 'x', 'settled');";
    let entry = |amounts: &str| {
        format!(
            "insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency)
             select p.posting_id, row_number() over (), amount, currency
             from booking.ledger_postings p, (values {amounts}) as v (amount, currency) where p.key = "
        )
    };
    let unbalanced =
        ["(5, 'EUR')", "(5, 'EUR'), (-4, 'EUR')", "(5, 'EUR'), (-5, 'JPY')", "(5, 'EUR'), (-5, 'EUR'), (1, 'JPY')"];
    for amounts in unbalanced {
        assert_eq!(refused(&pool, &format!("{new}{}'x'", entry(amounts))).await, "posting_balances", "{amounts}");
    }
    assert_eq!(refused(&pool, &format!("{new}{}'x'", entry("(0, 'EUR')"))).await, "entry_has_money");
    // what was committed gets no more entries, however they balance
    let more = format!(
        "{}'one'",
        entry("(5, 'JPY'), (-5, 'JPY')").replace("row_number() over ()", "90 + row_number() over ()")
    );
    assert_eq!(refused(&pool, &more).await, "posting_is_written_once");
    let nobody_s = "insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency)
                    select gen_random_uuid(), 1, amount, 'EUR' from (values (5), (-5)) v (amount)";
    assert_eq!(refused(&pool, nobody_s).await, "posting_balances", "each is another posting");
    for statement in [
        "update booking.ledger_entries set amount_minor = amount_minor * 2",
        "delete from booking.ledger_entries",
        "truncate booking.ledger_entries",
        "update booking.ledger_postings set at = now()",
        "delete from booking.ledger_postings",
        "truncate booking.ledger_postings cascade",
        "update booking.ledger_accounts set name = name || '!'",
        "delete from booking.ledger_accounts",
        "truncate booking.ledger_accounts",
    ] {
        assert_eq!(refused(&pool, statement).await, "23001", "{statement}");
    }
    assert_eq!(entries(&pool).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_found() {
    let pool = database().await;
    post(&pool, &[posting("one", gateway("a"), 5)]).await;
    let tampered = "alter table booking.ledger_entries disable trigger user;
                    update booking.ledger_entries set amount_minor = 6 where amount_minor > 0;
                    alter table booking.ledger_entries enable trigger user;
                    insert into booking.ledger_postings (posting_id, key, kind) values (gen_random_uuid(), 'x', 'settled')";
    sqlx::raw_sql(tampered).execute(&pool).await.unwrap();
    let mut found: Vec<_> = violations(&pool).await.unwrap().into_iter().map(|found| found.detail).collect();
    found.sort();
    assert_eq!(found, ["has no entries", "is 1 EUR out of balance"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_the_same_before_and_after_they_are_counted() {
    let pool = database().await;
    // one posting every ten hours, so that days and parts of days are asked for
    let old = "with p as (
                   insert into booking.ledger_postings (posting_id, key, kind, at)
                   select gen_random_uuid(), n::text, 'settled', '2026-03-10T12:00Z'::timestamptz - n * interval '10 hours'
                   from generate_series(1, 10) n returning posting_id, at
               )
               insert into booking.ledger_entries (posting_id, account_id, amount_minor, currency, at)
               select posting_id, account_id, case name when 'doubt' then 5 else -5 end, 'EUR', at
               from p, booking.ledger_accounts where name in ('doubt', 'disputes:lost')";
    sqlx::raw_sql(old).execute(&pool).await.unwrap();
    let noon: DateTime<Utc> = "2026-03-10T12:00:00Z".parse().unwrap();
    let moments: Vec<_> = (0..110).map(|hours| Some(noon - TimeDelta::hours(hours))).chain([None]).collect();
    let at_all = || async {
        let mut all = Vec::new();
        for moment in &moments {
            let found = balances(&pool, *moment, None, 500).await.unwrap();
            assert!(found.trial.iter().all(|sum| sum.amount_minor == 0), "{moment:?}: {found:?}");
            all.push(found.accounts.into_iter().map(|one| (one.account, one.amount.amount_minor)).collect::<Vec<_>>());
        }
        all
    };
    let before = at_all().await;
    assert_eq!(before[35], [("disputes:lost".to_owned(), -35), ("doubt".to_owned(), 35)]);
    for _ in 0..2 {
        roll_up(&pool).await.unwrap();
        assert_eq!(at_all().await, before);
    }
    let counted: i64 = sqlx::query_scalar("select count(*) from booking.ledger_totals").fetch_one(&pool).await.unwrap();
    assert!(counted > 0);
    // as after a restore from a server that had written more
    sqlx::query("update booking.ledger_horizon set xid = '999999999'").execute(&pool).await.unwrap();
    assert_eq!(at_all().await, before);
    roll_up(&pool).await.unwrap();
    assert_eq!(at_all().await, before);
    assert_eq!(violations(&pool).await.unwrap(), []);
}
